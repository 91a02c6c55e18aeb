// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import { noGrad, ops, type optim, sizeOf, type Tensor, zeros } from '@pgpc/torch';
import type { MethodConfig } from '../config/method.js';
import type { SelfTrainingOptions } from '../config/self-training.js';
import type { SegmentorOutput } from '../models/segmentor.js';
import type { Batch } from '../pipeline/batch.js';
import { betweenMargins, nearest } from '../pixels.js';
import { classMixMask, mix } from './class-mix.js';
import { trusted } from './denoise/denoise.js';
import { StepExecution, type StepSurroundings } from './execution/step-execution.js';
import type { Learner } from './learner.js';
import { detached, type StepLosses, segmentationLoss, weighted, withSourceLosses } from './losses.js';
import type { LossWeights, MixedPass, RefinedView, WeightedTerms } from './parts.js';
import { pseudoLabels } from './pseudo-labels.js';
import { StepParts } from './step-parts.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';

export type { StepLosses } from './losses.js';

/** What the student's pass on the mixed image is given, with the clean target that it was made from. */
type GivenMixed = Omit<MixedPass, keyof SegmentorOutput> & { teacherLogits: Tensor; targetImage: Tensor };

/** One method on one student. `parts` carries state from step to step; `execution` computes the step. */
export class AdaptationStep {
  readonly parts: StepParts;
  readonly execution: StepExecution;

  /**
   * @param student on the device that computes the step. What the step keeps for itself is put there, too.
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

  /** One iteration; `iteration` counts from 0. The losses are valid until the next, and the caller's to dispose. */
  run(batch: Batch, iteration: number): StepLosses {
    const { contrast } = this.parts;
    const progress = iteration / this.totalIterations;
    const contrasting = contrast !== undefined && progress >= contrast.options.warmup;
    return this.execution.step(contrasting ? 'with contrast' : 'without', () => {
      // theta' <- a theta' + (1 - a) theta, before anything of this step is learned.
      this.parts.updateTeacher(iteration);
      this.execution.teacherMoved();
      const { selfTraining } = this.method;
      return selfTraining && batch.targetImage
        ? this.#adapt(batch as Required<Batch>, selfTraining, progress, contrasting)
        : this.#learnSourceAlone(batch);
    });
  }

  #learnSourceAlone(batch: Batch): StepLosses {
    const { execution } = this;
    const learned = execution.stage(
      'source',
      { ...batch },
      (given) => this.#learnSource(given, true, false).losses,
    );
    execution.update();
    const { total, source, featureDistance } = learned;
    return { total, source, featureDistance };
  }

  /** The student learns from the source; the teacher looks at the target; the student learns from both mixed. */
  #adapt(
    batch: Required<Batch>,
    selfTraining: SelfTrainingOptions,
    progress: number,
    contrasting: boolean,
  ): StepLosses {
    const { execution, parts } = this;
    const lambda = parts.lossWeights();
    const { sourceFeatures, ...clean } = execution.stage('clean images', { ...batch }, (given) => {
      const source = this.#learnSource(given, false, contrasting, lambda);
      const mixed = this.#mixTarget(given, source, selfTraining, progress, lambda);
      return { ...source.losses, ...mixed, sourceFeatures: lambda && source.features };
    });
    // The student sees half of the source's classes pasted onto the target, strongly augmented.
    const image = noGrad(() =>
      strongAugment(clean.mixedImage, selfTraining, parts.augmentRng, execution.world),
    );
    const { loss, ...losses } = execution.stage('mixed image', { ...clean, image }, (given) => {
      const source = { loss: clean.source, features: sourceFeatures!, label: batch.sourceLabel };
      return this.#learnMixed(given, source, progress, contrasting, lambda);
    });
    execution.update();
    return {
      total: clean.total.add(loss),
      source: clean.source,
      featureDistance: clean.featureDistance,
      ...withSourceLosses(losses, clean),
      q: clean.q,
      targetWeight: lambda?.target,
      contrastWeight: lambda?.contrast,
    };
  }

  /**
   * L_s + lambda_FD L_FD, and lambda_c L_c of the source's anchors where the method has them. Their own backward pass frees
   * their activations before the next forward pass.
   */
  #learnSource(
    { sourceImage, sourceLabel, targetImage }: Batch,
    last: boolean,
    contrasting: boolean,
    lambda?: LossWeights,
  ) {
    const { student, parts, execution } = this;
    const { style } = this.method;
    execution.zeroGrad();
    // All that follows sees the source in the target's style, where the method has one.
    const styled = style !== undefined && targetImage !== undefined;
    const image = styled ? styledImage(sourceImage, targetImage, style) : sourceImage;
    const pass = styled
      ? styledPass(student.segmentor, image, targetImage, style)
      : student.segmentor.call(image);
    const { features, logits, stages } = pass;
    const source = segmentationLoss(logits, sourceLabel); // L_s
    const featureDistance = parts.featureDistance?.loss(image, sourceLabel, stages.at(-1)!); // lambda_FD L_FD
    let total = featureDistance ? source.add(featureDistance) : source;
    let contrast: Tensor | undefined; // L_c of the source's anchors
    if (contrasting && parts.contrast!.hasAnchorsIn('source')) {
      const projection = student.projection!;
      contrast = parts.contrast!.sourceLoss(projection.input(pass), sourceLabel, projection);
      total = total.add(weighted(contrast, lambda?.contrast ?? parts.contrast!.options.weight));
    }
    const own = parts.sourceLosses({ image, label: sourceLabel, features, logits, stages });
    for (const value of Object.values(own)) total = total.add(value);
    if (parts.with('watch')) features.retainGrad();
    execution.backward(total, last);
    const losses = detached({ total, source, featureDistance, contrast, ...own });
    return { image, features, logits, stages, losses };
  }

  /** The teacher looks at the clean target; its pseudo-labels and the source are mixed; the banks fill (eq 9 to 11). */
  #mixTarget(
    { sourceLabel, targetImage }: Required<Batch>,
    source: SegmentorOutput & { image: Tensor },
    selfTraining: SelfTrainingOptions,
    progress: number,
    lambda: LossWeights | undefined,
  ) {
    const { parts } = this;
    const { world } = this.execution;
    const teacher = parts.teacher!;
    return noGrad(() => {
      const view = teacher.view(targetImage);
      const projected = teacher.network.projection?.input(view);
      const seen = this.#corrected(parts.refine(view, targetImage), projected);
      const size = sizeOf(targetImage);
      const pseudo =
        parts.with('pseudoLabels')?.pseudoLabels(seen.labels, size) ??
        trusted(pseudoLabels(seen.labels.logits, size, selfTraining, world), seen.trust);

      const { contrast } = parts;
      if (contrast) {
        const projection = teacher.network.projection!;
        contrast.storeSource({ ...source, features: projection.input(source) }, sourceLabel, projection);
        // The margins have no pseudo-labels: they give neither negatives nor positives, nor anchors below.
        const inside = (map: Tensor) => betweenMargins(map, size[0], selfTraining);
        const target = { features: inside(projected!), logits: inside(seen.contrast.logits) };
        contrast.storeTarget(target, projection, progress);
      }

      const mask = classMixMask(sourceLabel, view.logits.shape[1]!, parts.mixGenerator, world);
      const onTarget = weighted(pseudo.weight, lambda?.target ?? selfTraining.weight); // lambda_t q
      return {
        mask,
        mixedImage: mix(mask, source.image, targetImage),
        label: mix(mask, sourceLabel, pseudo.label),
        weight: mix(mask, ops.onesLike(pseudo.weight), onTarget),
        q: pseudo.q,
        teacherLogits: seen.contrast.logits,
        targetImage,
      };
    });
  }

  /**
   * The view of the pseudo-labels, corrected by the contrast's prototypes where the method says so.
   * @param features what the teacher's projection head reads of the target.
   */
  #corrected(seen: RefinedView, features: Tensor | undefined): RefinedView {
    const { contrast, teacher } = this.parts;
    if (contrast?.options.correction === undefined) return seen;
    const { projection } = teacher!.network;
    const view = { features: features!, logits: seen.labels.logits };
    return { ...seen, labels: { ...seen.labels, logits: contrast.corrected(view, projection!) } };
  }

  /** lambda_t L_t + lambda_c L_c and the losses of registered parts, with one backward pass. */
  #learnMixed(
    given: GivenMixed,
    source: WeightedTerms['source'],
    progress: number,
    contrasting: boolean,
    lambda: LossWeights | undefined,
  ) {
    const { student, parts } = this;
    const { image, mask, label, weight } = given;
    const pass = student.segmentor.call(image);
    const { logits } = pass;
    const mixed = { image, mask, label, weight, ...pass };
    const target = segmentationLoss(logits, label, weight); // lambda_t L_t: lambda_t is in the weight
    let loss = target;

    let contrast: { loss: Tensor; features: Tensor } | undefined;
    if (parts.contrast) {
      contrast =
        contrasting && parts.contrast.hasAnchorsIn('target')
          ? this.#contrastTarget(pass, given, progress) // L_c (eq 5); before the warm-up's end 0
          : { loss: zeros([], { device: image.device }), features: pass.features };
      loss = loss.add(weighted(contrast.loss, lambda?.contrast ?? parts.contrast.options.weight));
    }
    const own = parts.mixedLosses(mixed);
    for (const value of Object.values(own)) loss = loss.add(value);

    const learnWeights =
      lambda && parts.with('watch')?.watch({ source, mixed, ...(contrast && { contrast }) }, lambda);
    this.execution.backward(loss, true);
    learnWeights?.();
    return detached({ loss, target, contrast: contrast?.loss, ...own });
  }

  /**
   * L_c (eq 5) of the target's anchors, with the features that it reads.
   * @param pass the student's on the mixed image.
   */
  #contrastTarget(
    pass: SegmentorOutput,
    { image, mask, teacherLogits, targetImage }: GivenMixed,
    progress: number,
  ) {
    const { segmentor, projection } = this.student;
    const contrast = this.parts.contrast!;
    // The anchors' features come from the mixed image, or from a pass on the clean target made for them alone.
    const onTarget = contrast.options.anchorView === 'target';
    const features = projection!.input(onTarget ? segmentor.call(targetImage) : pass);
    const inside = (map: Tensor) => betweenMargins(map, sizeOf(image)[0], this.method.selfTraining!);
    const fromSource = onTarget ? undefined : inside(nearest(mask, sizeOf(features)));
    const view = { logits: inside(teacherLogits) };
    return { loss: contrast.loss(inside(features), fromSource, view, projection!, progress), features };
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
