// The one hook of the step, for all that is not the paper's: denoising, loss weights, registered parts.

import type { Tensor, World } from '@pgpc/torch';
import type { z } from 'zod';
import type { MethodConfig } from '../config/method.js';
import { type PartOptions, registerOptions } from '../config/parts.js';
import type { SegmentorOutput } from '../models/segmentor.js';
import type { PixelView } from './contrast/contrast.js';
import type { Learner } from './learner.js';
import type { PseudoLabels } from './pseudo-labels.js';

/** What is kept from step to step, by name, for a checkpoint. */
export interface Stateful {
  stateDict(): Map<string, Tensor>;
  /** What of it a step may have written; left out: all of it. */
  written?(): Map<string, Tensor>;
  /** Copies what `stateDict` gave. @throws Error if names or shapes do not fit. */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void;
}

/** lambda_t and lambda_c of a step: scalars on the device, without gradient. */
export interface LossWeights {
  /** Multiplies the target pixels of the mixed image, as `selfTraining.weight` does. */
  target: Tensor;
  /** Absent where the method contrasts nothing. */
  contrast?: Tensor;
}

/** The teacher's view of the target as each of its two readers is to see it. */
export interface RefinedView {
  /** For the pseudo-labels of L_t. */
  labels: PixelView;
  /** For the choice of anchors and negatives. */
  contrast: PixelView;
  /** (B, h, w) in 0 .. 1: what the weight of a pseudo-label is multiplied by; left out: by 1. */
  trust?: Tensor | undefined;
}

/** The student's pass over the source, and its labels. */
export interface SourcePass extends SegmentorOutput {
  /** (B, 3, H, W), normalised; in the target's style, where the method has one. */
  image: Tensor;
  /** (B, H, W), int64. */
  label: Tensor;
}

/** The student's pass over the mixed image, and what it is to learn from it. */
export interface MixedPass extends SegmentorOutput {
  /** (B, 3, H, W), normalised and strongly augmented. */
  image: Tensor;
  /** (B, H, W), int64: the source's labels where `mask` is true, else pseudo-labels. */
  label: Tensor;
  /** (B, H, W): 1 on the source's pixels, lambda_t q on the target's. */
  weight: Tensor;
  /** (B, H, W), bool: pixels from the source. */
  mask: Tensor;
}

/** A step's losses and what they were computed from, all of one rank. */
export interface WeightedTerms {
  /** L_s, features (B, D, h, w) with their gradient retained, label (B, H, W). */
  source: { loss: Tensor; features: Tensor; label: Tensor };
  mixed: Omit<MixedPass, 'image' | 'stages'>;
  /** L_c without its weight, and the features that the anchors were taken from. */
  contrast?: { loss: Tensor; features: Tensor };
}

/** What takes part in a step. Each hook may be left out. Tensors made in a hook are freed when the step ends. */
export interface Part extends Partial<Stateful> {
  /** The weights of the step that begins. */
  lossWeights?(): LossWeights;
  /**
   * The teacher's view of the clean target image, (B, 3, H, W), without gradient.
   * @param predict the teacher's logits of an image, for further views.
   * @param glance whether it is only looked at, by one rank alone: no other rank answers, and nothing is to be remembered.
   */
  refine?(view: PixelView, image: Tensor, predict: (image: Tensor) => Tensor, glance?: boolean): RefinedView;
  /** Pseudo-labels by another rule. @param size H and W of the target image. */
  pseudoLabels?(view: PixelView, size: readonly [number, number]): PseudoLabels;
  /** A loss on the source, its weight included: a scalar with gradient. Logged as `loss/NAME`. */
  sourceLoss?(source: SourcePass): Tensor;
  /** A loss on the mixed image, its weight included: a scalar with gradient. Logged as `loss/NAME`. */
  mixedLoss?(mixed: MixedPass): Tensor;
  /** Called before the mixed image's backward pass, after the source's. @returns what is called after that pass. Goes with `lossWeights`. */
  watch?(terms: WeightedTerms, weights: LossWeights): () => void;
  /** Whether every step runs the same operators with the same host numbers, so that it may be a CUDA graph. */
  readonly recordable?: boolean;
  dispose?(): void;
}

/** What a part is made from. */
export interface PartContext {
  readonly method: MethodConfig;
  readonly student: Learner;
  /** C */
  readonly classes: number;
  /** Where the student computes: 'cpu', 'cuda:0', ... */
  readonly device: string;
  /** The ranks whose batches make one. */
  readonly world: World;
}

/** A part to register, with its options. */
export interface PartDefinition<T extends z.ZodObject> extends PartOptions {
  readonly options: T;
  create(options: z.output<T>, context: PartContext): Part;
}

type Create = (options: Record<string, unknown>, context: PartContext) => Part;
const created = new Map<string, Create>();

/**
 * Registers a part under `method.parts.NAME`: its options are validated with the configuration, set by `--set`, and
 * shown by `pgpc train --help`. The module that calls this is loaded by `--plugin`.
 * @throws Error for a name that is taken.
 */
export function registerPart<T extends z.ZodObject>(definition: PartDefinition<T>): void {
  registerOptions(definition);
  created.set(definition.name, definition.create as Create);
}

/** The parts that a method names. */
export function ownParts(context: PartContext): Map<string, Part> {
  const entries = Object.entries(context.method.parts ?? {});
  return new Map(entries.map(([name, options]) => [name, created.get(name)!(options, context)]));
}
