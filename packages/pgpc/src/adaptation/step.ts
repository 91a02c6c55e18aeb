// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import {
  alone,
  Generator,
  type GradientReducer,
  nn,
  noGrad,
  ops,
  type optim,
  type Tensor,
  tidy,
  type World,
  zeros,
} from '@pgpc/torch';
import { withoutInitialValues } from '../models/initial-values.js';
import { createBackbone, type Segmentor } from '../models/segmentor.js';
import { Rng, seedFor } from '../pipeline/rng.js';
import { classMixMask, mix } from './class-mix.js';
import type { MethodConfig } from './config.js';
import { PixelContrast } from './contrast/contrast.js';
import { type Denoised, Denoiser, trusted } from './denoise/denoise.js';
import { FeatureDistance } from './feature-distance.js';
import type { Learner } from './learner.js';
import { segmentationLoss } from './losses.js';
import { pseudoLabels } from './pseudo-labels.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';
import { Teacher } from './teacher.js';
import { type LossWeighting, lossWeighting } from './weighting.js';

/** Shapes: images (N, 3, H, W), normalised; labels (N, H, W), int64, 255 = no class. */
export interface Batch {
  sourceImage: Tensor;
  sourceLabel: Tensor;
  /** Absent for methods that train on the source alone, see `usesTarget`. */
  targetImage?: Tensor;
}

/** Scalars on the device: reading one waits for it, so only the log does. */
export interface StepLosses {
  total: Tensor;
  source: Tensor;
  target?: Tensor;
  contrast?: Tensor;
  /** lambda_FD L_FD */
  featureDistance?: Tensor;
  /** q: the share of target pixels that the teacher is certain of. */
  q?: Tensor;
  /** lambda_t and lambda_c of this step, where they set themselves. */
  targetWeight?: Tensor;
  contrastWeight?: Tensor;
}

/** How a step is computed, which does not change what it computes. */
export interface StepSurroundings {
  /** Of whose batch this process trains on its part; left out: it trains on its own. */
  world?: World | undefined;
  /** Averages the gradients over the ranks; absent in a process on its own. */
  reducer?: GradientReducer | undefined;
  /** Runs the student's blocks twice instead of keeping their activations. */
  activationCheckpointing?: boolean | undefined;
}

/** One method on one student: the parts that carry state from step to step, and the step itself. */
export class AdaptationStep {
  readonly teacher: Teacher | undefined;
  readonly contrast: PixelContrast | undefined;
  readonly denoiser: Denoiser | undefined;
  readonly featureDistance: FeatureDistance | undefined;
  readonly weighting: LossWeighting | undefined;
  /** Of the student's activations; undefined: all are kept until the backward pass. */
  readonly checkpoints: nn.ActivationCheckpoints | undefined;
  readonly world: World;
  readonly reducer: GradientReducer | undefined;
  /** Chooses the classes that ClassMix pastes. */
  readonly mixGenerator: Generator;
  /** Draws colour jitter and blur. */
  readonly augmentRng: Rng;

  /** @param totalIterations length of the run, of which the contrast's warm-up is a share. */
  constructor(
    readonly method: MethodConfig,
    readonly student: Learner,
    readonly optimizer: optim.Optimizer,
    readonly totalIterations: number,
    seed: number,
    { world = alone, reducer, activationCheckpointing = false }: StepSurroundings = {},
  ) {
    this.world = world;
    this.reducer = reducer;
    const { config } = student.segmentor as Segmentor;
    this.mixGenerator = new Generator(seedFor(seed, 'mix'));
    this.augmentRng = new Rng(seed, 'augment');
    if (activationCheckpointing) {
      this.checkpoints = new nn.ActivationCheckpoints(student.segmentor.checkpointable);
    }
    if (method.selfTraining) this.teacher = new Teacher(config, student, method.contrast);
    if (method.contrast) this.contrast = new PixelContrast(config.classes, method.contrast, seed, world);
    if (method.denoise) {
      const { featureChannels } = student.segmentor;
      this.denoiser = new Denoiser(method.denoise, config.classes, featureChannels, world);
    }
    if (method.weighting && method.selfTraining) {
      const start = { target: method.selfTraining.weight, contrast: method.contrast?.weight };
      const { device } = student.parameters()[0]!;
      this.weighting = lossWeighting(method.weighting, start, device, world);
    }
    if (method.featureDistance) {
      using generator = new Generator(0);
      const encoder = withoutInitialValues(() => createBackbone(config.backbone, generator, 0));
      encoder.loadStateDict(student.segmentor.backbone.stateDict());
      this.featureDistance = new FeatureDistance(encoder, method.featureDistance, world);
    }
  }

  /** One iteration; `iteration` counts from 0. The caller owns the losses returned. */
  run(batch: Batch, iteration: number): StepLosses {
    const step = () => this.#run(batch, iteration);
    return this.checkpoints ? this.checkpoints.record(step) : step();
  }

  #run(batch: Batch, iteration: number): StepLosses {
    return tidy(() => {
      const { student, teacher, contrast, featureDistance, optimizer, world } = this;
      const { selfTraining, style } = this.method;
      const { sourceLabel, targetImage } = batch;
      optimizer.zeroGrad();

      // All that follows sees the source in the target's style, where the method has one.
      const styled = style !== undefined && targetImage !== undefined;
      const sourceImage = styled ? styledImage(batch.sourceImage, targetImage, style) : batch.sourceImage;

      // theta' <- a theta' + (1 - a) theta, before anything of this step is learned.
      if (teacher && selfTraining) teacher.update(student, iteration, selfTraining.alpha);

      // L_s and lambda_FD L_FD, with a backward pass of their own, so that their activations are gone before the next
      // forward pass.
      const source = styled
        ? styledPass(student.segmentor, sourceImage, targetImage, style)
        : student.segmentor.call(sourceImage);
      const sourceLoss = segmentationLoss(source.logits, sourceLabel);
      const distance = featureDistance?.loss(sourceImage, sourceLabel, source.stages.at(-1)!);
      const onSource = distance ? sourceLoss.add(distance) : sourceLoss;
      const sourceOnly = !teacher || !selfTraining || !targetImage;
      if (this.weighting) source.features.retainGrad();
      this.#backward(onSource, sourceOnly);
      const sourceLosses = { source: sourceLoss.detach(), featureDistance: distance?.detach() };
      if (sourceOnly) {
        optimizer.step();
        return { ...sourceLosses, total: onSource.detach() };
      }

      // The teacher looks at the clean target image.
      const view = teacher.view(targetImage);
      const size = targetImage.shape.slice(2) as [number, number];
      const seen: Denoised = this.denoiser?.refine(
        view,
        targetImage,
        (image) => teacher.view(image).logits,
      ) ?? { labels: view, contrast: view };
      const pseudo = noGrad(() =>
        trusted(pseudoLabels(seen.labels.logits, size, selfTraining, world), seen.trust),
      );

      // The student sees half of the source's classes pasted onto the target, strongly augmented.
      const lambda = this.weighting?.weights();
      const mixed = noGrad(() => {
        const mask = classMixMask(sourceLabel, view.logits.shape[1]!, this.mixGenerator, world);
        return {
          mask,
          image: strongAugment(mix(mask, sourceImage, targetImage), selfTraining, this.augmentRng, world),
          label: mix(mask, sourceLabel, pseudo.label),
          weight: mix(
            mask,
            ops.onesLike(pseudo.weight),
            weighted(pseudo.weight, lambda?.target ?? selfTraining.weight),
          ),
        };
      });
      const target = student.segmentor.call(mixed.image);

      // L_t
      const targetLoss = segmentationLoss(target.logits, mixed.label, mixed.weight);

      // L_c: the banks fill from the first step, the loss sets in after the warm-up.
      let contrastLoss: Tensor | undefined;
      let anchorFeatures = target.features;
      if (contrast) {
        const progress = iteration / this.totalIterations;
        contrast.storeSource(source, sourceLabel, teacher.network.projection!);
        contrast.storeTarget(seen.contrast, teacher.network.projection!, progress);
        if (iteration >= contrast.options.warmup * this.totalIterations) {
          // The anchors' features are those of the mixed image, or of a pass on the clean target made for them alone.
          const onTarget = contrast.options.anchorView === 'target';
          if (onTarget) anchorFeatures = student.segmentor.call(targetImage).features;
          const sourceMask = onTarget ? undefined : mixed.mask;
          contrastLoss = contrast.loss(
            anchorFeatures,
            sourceMask,
            seen.contrast,
            student.projection!,
            progress,
          );
        } else {
          contrastLoss = zeros([]);
        }
      }

      const loss = contrastLoss
        ? targetLoss.add(weighted(contrastLoss, lambda?.contrast ?? contrast!.options.weight))
        : targetLoss;
      const terms = {
        source: { loss: sourceLoss, features: source.features, label: sourceLabel },
        mixed: { ...mixed, features: target.features, logits: target.logits },
        ...(contrastLoss && { contrast: { loss: contrastLoss, features: anchorFeatures } }),
      };
      const learnWeights = lambda && this.weighting?.watch(terms, lambda);
      this.#backward(loss, true);
      learnWeights?.();
      optimizer.step();
      return {
        ...sourceLosses,
        total: onSource.detach().add(loss.detach()),
        target: targetLoss.detach(),
        contrast: contrastLoss?.detach(),
        q: pseudo.q,
        targetWeight: lambda?.target,
        contrastWeight: lambda?.contrast,
      };
    });
  }

  /** @param last whether no other loss of this step follows, so that the gradients can be exchanged. */
  #backward(loss: Tensor, last: boolean): void {
    const { checkpoints, reducer } = this;
    if (!checkpoints) {
      if (last) reducer?.prepare(loss);
      loss.backward();
      return;
    }
    checkpoints.backward(loss);
    if (last) reducer?.average();
  }

  /** Starts from the student as it is now, buffers too: after weights were loaded into it. */
  adoptStudent(): void {
    this.teacher?.network.loadStateDict(this.student.stateDict());
    this.featureDistance?.encoder.loadStateDict(this.student.segmentor.backbone.stateDict());
  }

  /** Frees the teacher, the banks and the frozen encoder; student and optimizer are the caller's. */
  dispose(): void {
    this.teacher?.network.dispose();
    this.contrast?.dispose();
    this.denoiser?.dispose();
    this.featureDistance?.dispose();
    this.weighting?.dispose();
    this.mixGenerator.dispose();
  }
}

/** @param weight set by hand, or a scalar on the device. */
function weighted(x: Tensor, weight: number | Tensor): Tensor {
  return typeof weight === 'number' ? x.mul(weight) : x.mul(weight);
}
