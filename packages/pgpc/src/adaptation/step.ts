// The training step, top to bottom as METHOD has it: L = L_s + lambda_FD L_FD + lambda_t L_t + lambda_c L_c.

import { noGrad, ops, type optim, sizeOf, type Tensor, zeros } from '@pgpc/torch';
import type { MethodConfig } from '../config/method.js';
import type { SelfTrainingOptions } from '../config/self-training.js';
import { boxOf, contextImage } from '../models/multi-resolution.js';
import type { SegmentorOutput } from '../models/segmentor.js';
import type { Batch, TargetBatch } from '../pipeline/batch.js';
import { betweenMargins, nearest } from '../pixels.js';
import { classMixMask, mix } from './class-mix.js';
import { trusted } from './denoise/denoise.js';
import { StepExecution, type StepSurroundings } from './execution/step-execution.js';
import type { Learner } from './learner.js';
import { detached, passLoss, type StepLosses, weighted, withSourceLosses } from './losses.js';
import { imagesToMask, masked } from './masked-consistency.js';
import type { LossWeights, MixedPass, RefinedView, WeightedTerms } from './parts.js';
import { pseudoLabels } from './pseudo-labels.js';
import { StepParts } from './step-parts.js';
import { strongAugment } from './strong-augment.js';
import { styledImage, styledPass } from './style/style.js';

export type { StepLosses } from './losses.js';

/** What the student's pass on the mixed image is given, with the clean target that it was made from. */
type GivenMixed = Omit<MixedPass, keyof SegmentorOutput> & GivenTarget;

/** What an anchor's features and its certainty are taken from. */
interface GivenTarget {
  teacherLogits: Tensor;
  targetImage: Tensor;
  /** (B, H, W), 0 or 1: pixels outside the margins of the camera's image; absent where it has none. */
  targetValid?: Tensor | undefined;
}

/** The masked image, with what the student should say of it. */
interface GivenMasked extends GivenTarget {
  image: Tensor;
  label: Tensor;
  weight: Tensor;
}

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
        ? this.#adapt(batch as TargetBatch, selfTraining, progress, contrasting)
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

  /**
   * The student learns from the source; the teacher looks at the target; the student learns from both mixed, and, where the
   * method has it, from images that are mostly hidden.
   */
  #adapt(
    batch: TargetBatch,
    selfTraining: SelfTrainingOptions,
    progress: number,
    contrasting: boolean,
  ): StepLosses {
    const { execution, parts } = this;
    const { maskedConsistency } = this.method;
    const lambda = parts.lossWeights();
    const { sourceFeatures, ...clean } = execution.stage('clean images', { ...batch }, (given) => {
      const source = this.#learnSource(given, false, contrasting, lambda);
      const mixed = this.#mixTarget(given, source, selfTraining, progress, lambda);
      return {
        ...source.losses,
        ...mixed,
        sourceFeatures: lambda && source.features,
        sourceImage: maskedConsistency && source.image,
      };
    });
    // The student sees half of the source's classes pasted onto the target, strongly augmented.
    const image = noGrad(() =>
      strongAugment(clean.mixedImage, selfTraining, parts.augmentRng, execution.world),
    );
    const { loss, ...losses } = execution.stage('mixed image', { ...clean, image }, (given) => {
      const source = { loss: clean.source, features: sourceFeatures!, label: batch.sourceLabel };
      return this.#learnMixed(given, source, progress, contrasting, lambda);
    });
    let total = clean.total.add(loss);
    let hidden: { masked?: Tensor; contrast?: Tensor | undefined } = {};
    if (maskedConsistency) {
      const toMask = this.#imagesToMask({ ...batch, ...clean, sourceImage: clean.sourceImage! });
      const { loss: ofMasked, ...values } = execution.stage(
        'masked image',
        { ...clean, ...toMask },
        (given) => this.#learnMasked(given, progress, contrasting),
      );
      total = total.add(ofMasked);
      hidden = { masked: values.masked, ...(values.contrast && { contrast: values.contrast }) };
    }
    execution.update();
    return {
      total,
      source: clean.source,
      featureDistance: clean.featureDistance,
      ...withSourceLosses({ ...losses, ...hidden }, clean),
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
    const pass = styled ? styledPass(student.segmentor, image, targetImage, style) : this.#pass(image);
    const { features, logits, stages } = pass;
    const source = this.#loss(pass, sourceLabel); // L_s
    // lambda_FD L_FD; its frozen encoder sees what the encoder of these stages has seen.
    const featureDistance = parts.featureDistance?.loss(
      pass.detail ? contextImage(image) : image,
      sourceLabel,
      stages.at(-1)!,
    );
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

  /** The student's pass; of a network of two resolutions with details at a place of its own. */
  #pass(image: Tensor): SegmentorOutput {
    return this.student.segmentor.call(image, this.parts.detailBox(sizeOf(image)));
  }

  #loss(pass: SegmentorOutput, label: Tensor, weight?: Tensor): Tensor {
    const { multiResolution } = this.student.segmentor.config;
    return passLoss(pass, label, weight, multiResolution?.detailWeight ?? 0);
  }

  /** The teacher looks at the clean target; its pseudo-labels and the source are mixed; the banks fill (eq 9 to 11). */
  #mixTarget(
    { sourceLabel, targetImage, targetValid }: TargetBatch,
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
      if (targetValid) pseudo.weight.mul_(targetValid);

      const { contrast } = parts;
      if (contrast) {
        const projection = teacher.network.projection!;
        contrast.storeSource({ ...source, features: projection.input(source) }, sourceLabel, projection);
        // The margins have no pseudo-labels: they give neither negatives nor positives, nor anchors below.
        const inside = (map: Tensor) => betweenMargins(map, size[0], selfTraining);
        const target = { features: inside(projected!), logits: inside(seen.contrast.logits) };
        contrast.storeTarget(target, projection, progress, targetValid);
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
        targetValid,
        pseudoLabel: this.method.maskedConsistency && pseudo.label,
        pseudoWeight: this.method.maskedConsistency && pseudo.weight,
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
    const { parts } = this;
    const { image, mask, label, weight } = given;
    const pass = this.#pass(image);
    const mixed = { image, mask, label, weight, ...pass };
    const target = this.#loss(pass, label, weight); // lambda_t L_t: lambda_t is in the weight
    let loss = target;

    let contrast: { loss: Tensor; features: Tensor } | undefined;
    if (parts.contrast && parts.contrast.options.anchorView !== 'masked') {
      contrast =
        contrasting && parts.contrast.hasAnchorsIn('target')
          ? this.#contrastTarget(pass, given, progress, mask) // L_c (eq 5); before the warm-up's end 0
          : { loss: zeros([], { device: image.device }), features: pass.features };
      loss = loss.add(weighted(contrast.loss, lambda?.contrast ?? parts.contrast.options.weight));
    }
    const own = parts.mixedLosses(mixed);
    for (const value of Object.values(own)) loss = loss.add(value);

    const learnWeights =
      lambda && parts.with('watch')?.watch({ source, mixed, ...(contrast && { contrast }) }, lambda);
    this.execution.backward(loss, !this.method.maskedConsistency);
    learnWeights?.();
    return detached({ loss, target, contrast: contrast?.loss, ...own });
  }

  /** Images with most of them hidden, and what the student should say of all of them; hidden anew in every step. */
  #imagesToMask(given: {
    sourceImage: Tensor;
    sourceLabel: Tensor;
    targetImage: Tensor;
    pseudoLabel?: Tensor | undefined;
    pseudoWeight?: Tensor | undefined;
  }) {
    const { parts, execution, method } = this;
    const { sourceImage, sourceLabel, targetImage, pseudoLabel, pseudoWeight } = given;
    const options = method.maskedConsistency!;
    return noGrad(() => {
      const { image, label, weight } = imagesToMask(
        { image: sourceImage, label: sourceLabel, weight: ops.onesLike(pseudoWeight!) },
        { image: targetImage, label: pseudoLabel!, weight: pseudoWeight! },
        options,
        execution.world,
      );
      const augmented = options.augment
        ? strongAugment(
            image,
            { ...method.selfTraining!, sharedBlur: true },
            parts.augmentRng,
            execution.world,
          )
        : image;
      return { image: masked(augmented, options, parts.maskGenerator!, execution.world), label, weight };
    });
  }

  /** lambda_M L_M and, where the anchors are of this view, lambda_c L_c, with one backward pass. */
  #learnMasked(given: GivenMasked, progress: number, contrasting: boolean) {
    const { parts } = this;
    const pass = this.#pass(given.image);
    const ofMasked = this.#loss(pass, given.label, given.weight).mul(this.method.maskedConsistency!.weight);
    let loss = ofMasked;
    let contrast: Tensor | undefined;
    if (contrasting && parts.contrast?.options.anchorView === 'masked') {
      contrast = this.#contrastTarget(pass, given, progress).loss;
      loss = loss.add(weighted(contrast, parts.contrast.options.weight));
    }
    this.execution.backward(loss, true);
    return detached({ loss, masked: ofMasked, contrast });
  }

  /**
   * L_c (eq 5) of the target's anchors, with the features that it reads.
   * @param pass the student's on the mixed image, or on the masked one.
   * @param mask (B, H, W), bool: pixels of that image that are the source's; left out, none is.
   */
  #contrastTarget(
    pass: SegmentorOutput,
    { teacherLogits, targetImage, targetValid }: GivenTarget,
    progress: number,
    mask?: Tensor,
  ) {
    const { projection } = this.student;
    const contrast = this.parts.contrast!;
    // The anchors' features come from the image of the loss, or from a pass on the clean target made for them alone.
    const onTarget = contrast.options.anchorView === 'target';
    const seen = onTarget ? this.#pass(targetImage) : pass;
    const features = projection!.input(seen);
    const size = sizeOf(targetImage);
    const inside = (map: Tensor) => betweenMargins(map, size[0], this.method.selfTraining!);
    const left = outOfReach(features, {
      source: onTarget ? undefined : mask,
      invalid: targetValid?.eq(0),
      // The encoder's stages are of the context image; what the classifier reads is of the details in their box alone.
      context: contrast.options.features === 'decoder' ? outsideBox(seen, size) : undefined,
    });
    const view = { logits: inside(teacherLogits) };
    const loss = contrast.loss(inside(features), left && inside(left), view, projection!, progress);
    return { loss, features };
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

/** Where a pass has no details, (B, H, W), bool; undefined where it has them everywhere. */
function outsideBox({ detail, logits }: SegmentorOutput, [height, width]: readonly [number, number]) {
  if (!detail) return undefined;
  const everywhere = ops.ones([logits.shape[0]!, height, width], { dtype: 'bool', device: logits.device });
  boxOf(everywhere, detail.box, [height, width]).fill_(false);
  return everywhere;
}

/** Pixels that give no anchors, for any of several reasons: masks (B, H, W) to one at the features' size, (B, h, w). */
function outOfReach(features: Tensor, reasons: Readonly<Record<string, Tensor | undefined>>) {
  const masks = Object.values(reasons).filter((mask) => mask !== undefined);
  if (masks.length === 0) return undefined;
  return nearest(
    masks.reduce((all, mask) => all.logicalOr(mask)),
    sizeOf(features),
  );
}
