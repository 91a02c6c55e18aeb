// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import { noGrad, ops, type optim, sizeOf, type Tensor, zeros } from '@pgpc/torch';
import type { MethodConfig } from '../config/method.js';
import type { Batch } from '../pipeline/batch.js';
import { classMixMask, mix } from './class-mix.js';
import type { PixelView } from './contrast/contrast.js';
import { trusted } from './denoise/denoise.js';
import { StepExecution, type StepSurroundings } from './execution/step-execution.js';
import type { Learner } from './learner.js';
import { segmentationLoss } from './losses.js';
import type { LossWeights, MixedPass } from './parts.js';
import { pseudoLabels } from './pseudo-labels.js';
import { StepParts } from './step-parts.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';

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
  /** Of parts of one's own, by their names. */
  [part: `parts.${string}`]: Tensor;
}

/** One method on one student. `parts` is what carries state from step to step, `execution` how a step is computed. */
export class AdaptationStep {
  readonly parts: StepParts;
  readonly execution: StepExecution;

  /**
   * @param student on the device on which the step is to be computed; what the step keeps for itself is put there too.
   * @param totalIterations length of the run; the contrast's warm-up is a share of it.
   */
  constructor(
    readonly method: MethodConfig,
    readonly student: Learner,
    optimizer: optim.Optimizer,
    readonly totalIterations: number,
    seed: number,
    surroundings: StepSurroundings = {},
  ) {
    this.parts = new StepParts(method, student, seed, surroundings.world);
    this.execution = new StepExecution(student, this.parts, optimizer, surroundings);
  }

  /** One iteration; `iteration` counts from 0. The losses hold until the next, and are the caller's to dispose. */
  run(batch: Batch, iteration: number): StepLosses {
    const { contrast } = this.parts;
    const progress = iteration / this.totalIterations;
    const contrasting = contrast !== undefined && progress >= contrast.options.warmup;
    const kind = contrasting ? 'with contrast' : 'without';
    return this.execution.step(kind, () => this.#run(batch, iteration, progress, contrasting));
  }

  #run(batch: Batch, iteration: number, progress: number, contrasting: boolean): StepLosses {
    const { execution, parts } = this;
    const { selfTraining } = this.method;
    const { sourceImage, sourceLabel, targetImage } = batch;

    // theta' <- a theta' + (1 - a) theta, before anything of this step is learned.
    if (selfTraining) parts.teacher?.update(this.student, iteration, selfTraining.alpha);
    execution.teacherMoved();

    if (!selfTraining || !targetImage) {
      const learned = execution.stage('source', { sourceImage, sourceLabel, targetImage }, (given) => {
        execution.zeroGrad();
        return lossesOf(this.#learnSource(given, true));
      });
      execution.update();
      const { onSource: total, sourceLoss: source, distance: featureDistance } = learned;
      return { total, source, featureDistance };
    }

    // The student learns from the source; the teacher looks at the clean target; both are mixed.
    const lambda = parts.lossWeights();
    const images = { sourceImage, sourceLabel, targetImage };
    const { sourceFeatures, ...clean } = execution.stage('clean images', images, (given) => {
      execution.zeroGrad();
      const source = this.#learnSource(given, false);
      const mixed = this.#mixTarget({ ...given, targetImage }, source, progress, lambda);
      return { ...lossesOf(source), ...mixed, sourceFeatures: lambda && source.features };
    });

    // The student sees half of the source's classes pasted onto the target, strongly augmented.
    const image = noGrad(() =>
      strongAugment(clean.mixedImage, selfTraining, parts.augmentRng, execution.world),
    );
    const learned = execution.stage('mixed image', { ...clean, image }, (given) => {
      const source = { loss: clean.sourceLoss, features: sourceFeatures, label: sourceLabel };
      return this.#learnMixed(given, source, progress, contrasting, lambda);
    });
    execution.update();
    const { loss, ...losses } = learned;
    return {
      total: clean.onSource.add(loss),
      source: clean.sourceLoss,
      featureDistance: clean.distance,
      ...losses,
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
    const { student, parts } = this;
    const { style } = this.method;
    // All that follows sees the source in the target's style, where the method has one.
    const styled = style !== undefined && targetImage !== undefined;
    const image = styled ? styledImage(sourceImage, targetImage, style) : sourceImage;
    const { features, logits, stages } = styled
      ? styledPass(student.segmentor, image, targetImage, style)
      : student.segmentor.call(image);
    const sourceLoss = segmentationLoss(logits, sourceLabel); // L_s
    const distance = parts.featureDistance?.loss(image, sourceLabel, stages.at(-1)!); // lambda_FD L_FD
    const onSource = distance ? sourceLoss.add(distance) : sourceLoss;
    if (parts.with('watch')) features.retainGrad();
    this.execution.backward(onSource, last);
    return { image, features, logits, sourceLoss, distance, onSource };
  }

  /** The teacher looks at the clean target image; its pseudo-labels and the source are mixed; the banks fill. */
  #mixTarget(
    { sourceLabel, targetImage }: Required<Batch>,
    source: PixelView & { image: Tensor },
    progress: number,
    lambda: LossWeights | undefined,
  ) {
    const { contrast, mixGenerator } = this.parts;
    const { selfTraining } = this.method;
    const { world } = this.execution;
    const teacher = this.parts.teacher!;
    return noGrad(() => {
      const view = teacher.view(targetImage);
      const refine = this.parts.with('refine');
      const seen = refine?.refine(view, targetImage, (image) => teacher.view(image).logits) ?? {
        labels: view,
        contrast: view,
      };
      const size = sizeOf(targetImage);
      const rule = this.parts.with('pseudoLabels');
      const pseudo = rule
        ? rule.pseudoLabels(seen.labels, size)
        : trusted(pseudoLabels(seen.labels.logits, size, selfTraining!, world), seen.trust);

      // The banks fill from the first step on (eq 9 to 11); the loss sets in after the warm-up.
      contrast?.storeSource(source, sourceLabel, teacher.network.projection!);
      contrast?.storeTarget(seen.contrast, teacher.network.projection!, progress);

      const mask = classMixMask(sourceLabel, view.logits.shape[1]!, mixGenerator, world);
      const onTarget = weighted(pseudo.weight, lambda?.target ?? selfTraining!.weight);
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

  /** L_t, L_c and the losses of parts of one's own, with one backward pass. */
  #learnMixed(
    given: Omit<MixedPass, 'features'> & { targetImage: Tensor },
    source: { loss: Tensor; features: Tensor | undefined; label: Tensor },
    progress: number,
    contrasting: boolean,
    lambda: LossWeights | undefined,
  ) {
    const { student, parts } = this;
    const { contrast } = parts;
    const { image, mask, label, weight, logits: teacherLogits, targetImage } = given;
    const { features, logits } = student.segmentor.call(image);
    const mixed = { image, mask, label, weight, features, logits };

    const targetLoss = segmentationLoss(logits, label, weight); // L_t, lambda_t in its weight
    let loss = targetLoss;

    let contrastLoss: Tensor | undefined; // L_c (eq 5)
    let anchorFeatures = features;
    if (contrast) {
      // The anchors' features are those of the mixed image, or of a pass on the clean target made for them alone.
      const onTarget = contrast.options.anchorView === 'target';
      if (contrasting && onTarget) anchorFeatures = student.segmentor.call(targetImage).features;
      const pasted = onTarget ? undefined : mask;
      contrastLoss = contrasting
        ? contrast.loss(anchorFeatures, pasted, { logits: teacherLogits }, student.projection!, progress)
        : zeros([], { device: image.device });
      loss = loss.add(weighted(contrastLoss, lambda?.contrast ?? contrast.options.weight));
    }

    const own: Record<`parts.${string}`, Tensor> = {};
    for (const [name, part] of parts.hooked) {
      const added = part.mixedLoss?.(mixed);
      if (!added) continue;
      loss = loss.add(added);
      own[name as `parts.${string}`] = added.detach();
    }

    const terms = contrastLoss && { contrast: { loss: contrastLoss, features: anchorFeatures } };
    const learnWeights =
      lambda &&
      parts
        .with('watch')
        ?.watch({ source: { ...source, features: source.features! }, mixed, ...terms }, lambda);
    this.execution.backward(loss, true);
    learnWeights?.();
    return { loss: loss.detach(), target: targetLoss.detach(), contrast: contrastLoss?.detach(), ...own };
  }

  /** Starts from the student as it is now, buffers too: after weights were loaded into it. */
  adoptStudent(): void {
    this.parts.adoptStudent();
    this.execution.weightsChanged();
  }

  /** Frees the teacher, the banks and the frozen encoder; student and optimizer are the caller's. */
  dispose(): void {
    this.execution.dispose();
    this.parts.dispose();
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
