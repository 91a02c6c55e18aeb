// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import {
  alone,
  Generator,
  type GradientReducer,
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
import { FeatureDistance } from './feature-distance.js';
import type { Learner } from './learner.js';
import { segmentationLoss } from './losses.js';
import { pseudoLabels } from './pseudo-labels.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';
import { Teacher } from './teacher.js';

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
}

/** One method on one student: the parts that carry state from step to step, and the step itself. */
export class AdaptationStep {
  readonly teacher: Teacher | undefined;
  readonly contrast: PixelContrast | undefined;
  readonly featureDistance: FeatureDistance | undefined;
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
    /** Of whose batch this process trains on its part. */
    readonly world: World = alone,
    /** Averages the gradients over the ranks; absent in a process on its own. */
    readonly reducer?: GradientReducer,
  ) {
    const { config } = student.segmentor as Segmentor;
    this.mixGenerator = new Generator(seedFor(seed, 'mix'));
    this.augmentRng = new Rng(seed, 'augment');
    if (method.selfTraining) this.teacher = new Teacher(config, student, method.contrast);
    if (method.contrast) this.contrast = new PixelContrast(config.classes, method.contrast, seed, world);
    if (method.featureDistance) {
      using generator = new Generator(0);
      const encoder = withoutInitialValues(() => createBackbone(config.backbone, generator, 0));
      encoder.loadStateDict(student.segmentor.backbone.stateDict());
      this.featureDistance = new FeatureDistance(encoder, method.featureDistance, world);
    }
  }

  /** One iteration; `iteration` counts from 0. The caller owns the losses returned. */
  run(batch: Batch, iteration: number): StepLosses {
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
      if (sourceOnly) this.reducer?.prepare(onSource);
      onSource.backward();
      const sourceLosses = { source: sourceLoss.detach(), featureDistance: distance?.detach() };
      if (sourceOnly) {
        optimizer.step();
        return { ...sourceLosses, total: onSource.detach() };
      }

      // The teacher looks at the clean target image.
      const view = teacher.view(targetImage);
      const size = targetImage.shape.slice(2) as [number, number];
      const pseudo = noGrad(() => pseudoLabels(view.logits, size, selfTraining, world));

      // The student sees half of the source's classes pasted onto the target, strongly augmented.
      const mixed = noGrad(() => {
        const mask = classMixMask(sourceLabel, view.logits.shape[1]!, this.mixGenerator, world);
        return {
          mask,
          image: strongAugment(mix(mask, sourceImage, targetImage), selfTraining, this.augmentRng, world),
          label: mix(mask, sourceLabel, pseudo.label),
          weight: mix(mask, ops.onesLike(pseudo.weight), pseudo.weight.mul(selfTraining.weight)),
        };
      });
      const target = student.segmentor.call(mixed.image);

      // L_t
      const targetLoss = segmentationLoss(target.logits, mixed.label, mixed.weight);

      // L_c: the banks fill from the first step, the loss sets in after the warm-up.
      let contrastLoss: Tensor | undefined;
      if (contrast) {
        contrast.storeSource(source.features, sourceLabel, teacher.network.projection!);
        contrast.storeTarget(view, teacher.network.projection!);
        contrastLoss =
          iteration >= contrast.options.warmup * this.totalIterations
            ? contrast.loss(target.features, mixed.mask, view, student.projection!)
            : zeros([]);
      }

      const loss = contrastLoss ? targetLoss.add(contrastLoss.mul(contrast!.options.weight)) : targetLoss;
      this.reducer?.prepare(loss);
      loss.backward();
      optimizer.step();
      return {
        ...sourceLosses,
        total: onSource.detach().add(loss.detach()),
        target: targetLoss.detach(),
        contrast: contrastLoss?.detach(),
        q: pseudo.q,
      };
    });
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
    this.featureDistance?.dispose();
    this.mixGenerator.dispose();
  }
}
