// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import {
  type AutocastDtype,
  alone,
  cudaAvailable,
  Generator,
  type GradientReducer,
  nn,
  noGrad,
  ops,
  type optim,
  sizeOf,
  type Tensor,
  tidy,
  type World,
  zeros,
} from '@pgpc/torch';
import type { MethodConfig, SelfTrainingOptions } from '../config/method.js';
import { type LossWeighting, type LossWeights, lossWeighting } from '../experiments/loss-weights.js';
import { withoutInitialValues } from '../models/initial-values.js';
import { createBackbone, type Segmentor } from '../models/segmentor.js';
import type { Batch } from '../pipeline/batch.js';
import type { Precision } from '../precision.js';
import { Rng, seedFor } from '../random.js';
import { classMixMask, mix } from './class-mix.js';
import { PixelContrast, type PixelView } from './contrast/contrast.js';
import { type Denoised, Denoiser, trusted } from './denoise/denoise.js';
import { FeatureDistance } from './feature-distance.js';
import type { Learner } from './learner.js';
import { segmentationLoss } from './losses.js';
import { pseudoLabels } from './pseudo-labels.js';
import { eager, GraphedStages, type Stages, type Tensors } from './stages.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';
import { Teacher } from './teacher.js';

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

function autocastOf(precision: Precision): AutocastDtype {
  return precision === 'float32' ? undefined : precision;
}

/** How a step is computed: where, how precisely and by whom. */
export interface StepSurroundings {
  /** Of whose batch this process trains on its part; left out: it trains on its own. */
  world?: World | undefined;
  /** Averages the gradients over the ranks; absent in a process on its own. */
  reducer?: GradientReducer | undefined;
  /** Runs the student's blocks twice instead of keeping their activations. */
  activationCheckpointing?: boolean | undefined;
  /** What the products of all networks are computed in; float32 by default, as everything else is. */
  precision?: Precision | undefined;
  /**
   * Records the step's parts as graphs of the card; by default where the student is on one. What cannot be recorded is
   * run operator by operator all the same: several processes, weights that set themselves, an anchor share that moves.
   */
  graphs?: boolean | undefined;
}

/** What comes of the clean images: the student has learned from the source, the mixed image is ready to be augmented. */
interface Clean extends Tensors {
  sourceLoss: Tensor;
  distance: Tensor | undefined;
  onSource: Tensor;
  /** (N, 3, H, W) */
  mixedImage: Tensor;
  /** (N, H, W), bool: which of its pixels are the source's. */
  mask: Tensor;
  /** (N, H, W) */
  label: Tensor;
  weight: Tensor;
  q: Tensor;
  /** The teacher's, (N, C, h, w), for the anchors. */
  logits: Tensor;
  targetImage: Tensor;
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
  readonly #stages: Stages;
  /** 16-bit copies of the student's weights, in which its gradients gather, of the teacher's, and both. */
  readonly #studentCasts: nn.CastWeights | undefined;
  readonly #teacherCasts: nn.CastWeights | undefined;
  readonly #casts: readonly nn.CastWeights[] = [];

  /**
   * @param student on the device on which the step is to be computed; what the step keeps for itself is put there too.
   * @param totalIterations length of the run, of which the contrast's warm-up is a share.
   */
  constructor(
    readonly method: MethodConfig,
    readonly student: Learner,
    readonly optimizer: optim.Optimizer,
    readonly totalIterations: number,
    seed: number,
    surroundings: StepSurroundings = {},
  ) {
    const { world = alone, reducer, activationCheckpointing = false, precision = 'float32' } = surroundings;
    this.world = world;
    this.reducer = reducer;
    const { config } = student.segmentor as Segmentor;
    const { device } = student.parameters()[0]!;
    this.mixGenerator = new Generator(seedFor(seed, 'mix'));
    this.augmentRng = new Rng(seed, 'augment');
    if (activationCheckpointing) {
      this.checkpoints = new nn.ActivationCheckpoints(student.segmentor.checkpointable);
    }
    if (method.selfTraining) {
      this.teacher = new Teacher(config, student, method.contrast);
      this.teacher.network.to({ device });
    }
    if (method.contrast) {
      this.contrast = new PixelContrast(config.classes, method.contrast, seed, world).to({ device });
    }
    if (method.denoise) {
      const { featureChannels } = student.segmentor;
      this.denoiser = new Denoiser(method.denoise, config.classes, featureChannels, world).to({ device });
    }
    if (method.weighting && method.selfTraining) {
      const start = { target: method.selfTraining.weight, contrast: method.contrast?.weight };
      this.weighting = lossWeighting(method.weighting, start, device, world);
    }
    if (method.featureDistance) {
      using generator = new Generator(0);
      const encoder = withoutInitialValues(() => createBackbone(config.backbone, generator, 0));
      encoder.to({ device });
      encoder.loadStateDict(student.segmentor.backbone.stateDict());
      this.featureDistance = new FeatureDistance(encoder, method.featureDistance, world);
      encoder.autocast_(autocastOf(precision));
    }
    student.autocast_(autocastOf(precision));
    this.teacher?.network.autocast_(autocastOf(precision));
    if (precision !== 'float32') {
      const castsOf = (network: nn.StateModule | undefined) =>
        network && new nn.CastWeights(network, precision);
      // Not where ranks average the gradients of the weights themselves, while the backward pass goes on.
      if (world.size === 1) this.#studentCasts = castsOf(student);
      this.#teacherCasts = castsOf(this.teacher?.network);
      this.#casts = [this.#studentCasts, this.#teacherCasts].filter((casts) => casts !== undefined);
      if (this.featureDistance) nn.narrowWeights_(this.featureDistance.encoder, precision);
    }
    const graphs = surroundings.graphs ?? (cudaAvailable() && device.startsWith('cuda'));
    this.#stages = graphs && this.#recordable() ? new GraphedStages() : eager;
  }

  /** Whether steps of one kind run the same operators with the same numbers of the host's. */
  #recordable(): boolean {
    const moving = this.contrast?.options;
    return (
      this.world.size === 1 && !this.weighting && (!moving || moving.anchorShare === moving.anchorShareEnd)
    );
  }

  /** One iteration; `iteration` counts from 0. The losses hold until the next, and are the caller's to dispose. */
  run(batch: Batch, iteration: number): StepLosses {
    const step = () => tidy(() => this.#run(batch, iteration));
    return this.checkpoints ? this.checkpoints.record(step) : step();
  }

  #run({ sourceImage, sourceLabel, targetImage }: Batch, iteration: number): StepLosses {
    const { student, teacher, contrast, world } = this;
    const { selfTraining } = this.method;
    const progress = iteration / this.totalIterations;
    const contrasting = contrast !== undefined && progress >= contrast.options.warmup;
    this.#stages.begin(contrasting ? 'with contrast' : 'without');

    // theta' <- a theta' + (1 - a) theta, before anything of this step is learned.
    if (teacher && selfTraining) teacher.update(student, iteration, selfTraining.alpha);
    this.#teacherCasts?.refresh();

    const images = { sourceImage, sourceLabel, targetImage };
    if (!teacher || !selfTraining || !targetImage) {
      const learned = this.#stages.run('source', images, (given) => {
        this.#zeroGrad();
        return lossesOf(this.#learnSource(given, true));
      });
      this.#update();
      const { onSource: total, sourceLoss: source, distance: featureDistance } = learned;
      return { total, source, featureDistance };
    }

    const lambda = this.weighting?.weights();
    const { sourceFeatures, ...clean } = this.#stages.run(
      'clean images',
      { ...images, targetImage },
      (given) => {
        this.#zeroGrad();
        const source = this.#learnSource(given, false);
        return {
          ...lossesOf(source),
          ...this.#lookAtTarget(given, source, teacher, selfTraining, progress, lambda),
          sourceFeatures: this.weighting && source.features,
        };
      },
    );

    // The student sees half of the source's classes pasted onto the target, strongly augmented.
    const image = noGrad(() => strongAugment(clean.mixedImage, selfTraining, this.augmentRng, world));

    const learned = this.#stages.run('mixed image', { ...clean, image }, (given) => {
      const source = { loss: clean.sourceLoss, features: sourceFeatures, label: sourceLabel };
      return this.#learnTarget(given, source, contrasting, progress, lambda);
    });
    this.#update();
    return {
      total: clean.onSource.add(learned.loss),
      source: clean.sourceLoss,
      featureDistance: clean.distance,
      target: learned.target,
      contrast: learned.contrast,
      q: clean.q,
      targetWeight: lambda?.target,
      contrastWeight: lambda?.contrast,
    };
  }

  /**
   * L_s and lambda_FD L_FD, with a backward pass of their own, so that their activations are gone before the next
   * forward pass.
   */
  #learnSource({ sourceImage, sourceLabel, targetImage }: Batch, last: boolean) {
    const { student, featureDistance } = this;
    const { style } = this.method;
    // All that follows sees the source in the target's style, where the method has one.
    const styled = style !== undefined && targetImage !== undefined;
    const image = styled ? styledImage(sourceImage, targetImage, style) : sourceImage;
    const { features, logits, stages } = styled
      ? styledPass(student.segmentor, image, targetImage, style)
      : student.segmentor.call(image);
    const sourceLoss = segmentationLoss(logits, sourceLabel);
    const distance = featureDistance?.loss(image, sourceLabel, stages.at(-1)!);
    const onSource = distance ? sourceLoss.add(distance) : sourceLoss;
    if (this.weighting) features.retainGrad();
    this.#backward(onSource, last);
    return { image, features, logits, sourceLoss, distance, onSource };
  }

  /** The teacher looks at the clean target image; its pseudo-labels and the source are mixed; the banks fill. */
  #lookAtTarget(
    { sourceLabel, targetImage }: Batch & { targetImage: Tensor },
    source: PixelView & { image: Tensor },
    teacher: Teacher,
    selfTraining: SelfTrainingOptions,
    progress: number,
    lambda: LossWeights | undefined,
  ) {
    const { contrast, denoiser, world } = this;
    return noGrad(() => {
      const view = teacher.view(targetImage);
      const seen: Denoised = denoiser?.refine(view, targetImage, (image) => teacher.view(image).logits) ?? {
        labels: view,
        contrast: view,
      };
      const size = sizeOf(targetImage);
      const pseudo = trusted(pseudoLabels(seen.labels.logits, size, selfTraining, world), seen.trust);

      // From the first step on; the loss sets in after the warm-up.
      contrast?.storeSource(source, sourceLabel, teacher.network.projection!);
      contrast?.storeTarget(seen.contrast, teacher.network.projection!, progress);

      const mask = classMixMask(sourceLabel, view.logits.shape[1]!, this.mixGenerator, world);
      const onTarget = weighted(pseudo.weight, lambda?.target ?? selfTraining.weight);
      return {
        mask,
        mixedImage: mix(mask, source.image, targetImage),
        label: mix(mask, sourceLabel, pseudo.label),
        weight: mix(mask, ops.onesLike(pseudo.weight), onTarget),
        q: pseudo.q,
        logits: seen.contrast.logits,
        targetImage,
      };
    });
  }

  /** L_t and L_c. */
  #learnTarget(
    { image, mask, label, weight, logits, targetImage }: Clean & { image: Tensor },
    source: { loss: Tensor; features: Tensor | undefined; label: Tensor },
    contrasting: boolean,
    progress: number,
    lambda: LossWeights | undefined,
  ) {
    const { student, contrast } = this;
    const mixed = student.segmentor.call(image);

    // L_t
    const targetLoss = segmentationLoss(mixed.logits, label, weight);

    // L_c
    let contrastLoss: Tensor | undefined;
    let anchorFeatures = mixed.features;
    if (contrast && contrasting) {
      // The anchors' features are those of the mixed image, or of a pass on the clean target made for them alone.
      const onTarget = contrast.options.anchorView === 'target';
      if (onTarget) anchorFeatures = student.segmentor.call(targetImage).features;
      const sourceMask = onTarget ? undefined : mask;
      contrastLoss = contrast.loss(anchorFeatures, sourceMask, { logits }, student.projection!, progress);
    } else if (contrast) {
      contrastLoss = zeros([], { device: image.device });
    }

    const loss = contrastLoss
      ? targetLoss.add(weighted(contrastLoss, lambda?.contrast ?? contrast!.options.weight))
      : targetLoss;
    const learnWeights =
      lambda &&
      this.weighting?.watch(
        {
          source: { ...source, features: source.features! },
          mixed: { mask, label, weight, features: mixed.features, logits: mixed.logits },
          ...(contrastLoss && { contrast: { loss: contrastLoss, features: anchorFeatures } }),
        },
        lambda,
      );
    this.#backward(loss, true);
    learnWeights?.();
    return { loss: loss.detach(), target: targetLoss.detach(), contrast: contrastLoss?.detach() };
  }

  #zeroGrad(): void {
    this.optimizer.zeroGrad();
    this.#studentCasts?.zeroGrad();
  }

  #update(): void {
    this.optimizer.step(this.#studentCasts?.gradientOf);
    this.#studentCasts?.refresh();
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
    this.weightsChanged();
  }

  /** To be called after weights of the student or the teacher were changed by others. */
  weightsChanged(): void {
    for (const casts of this.#casts) casts.refresh();
  }

  /** Frees the teacher, the banks and the frozen encoder; student and optimizer are the caller's. */
  dispose(): void {
    this.#stages.dispose();
    for (const casts of this.#casts) casts.dispose();
    this.teacher?.network.dispose();
    this.contrast?.dispose();
    this.denoiser?.dispose();
    this.featureDistance?.dispose();
    this.weighting?.dispose();
    this.mixGenerator.dispose();
  }
}

function lossesOf(learned: { sourceLoss: Tensor; distance: Tensor | undefined; onSource: Tensor }) {
  const { sourceLoss, distance, onSource } = learned;
  return {
    sourceLoss: sourceLoss.detach(),
    distance: distance?.detach(),
    onSource: onSource.detach(),
  };
}

/** @param weight set by hand, or a scalar on the device. */
function weighted(x: Tensor, weight: number | Tensor): Tensor {
  return typeof weight === 'number' ? x.mul(weight) : x.mul(weight);
}
