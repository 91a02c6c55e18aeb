// What a method keeps from step to step: teacher, banks, frozen encoder, parts behind the hook, generators.

import { alone, Generator, type Tensor, type World } from '@pgpc/torch';
import type { MethodConfig } from '../config/method.js';
import { detailStep } from '../config/segmentor.js';
import { BatchContrast } from '../experiments/batch-contrast.js';
import { lossWeighting } from '../experiments/loss-weights.js';
import { withoutInitialValues } from '../models/initial-values.js';
import { createBackbone } from '../models/segmentor.js';
import { Rng, seedFor } from '../random.js';
import type { Box } from '../windows.js';
import { PixelContrast, type PixelView } from './contrast/contrast.js';
import { Denoiser } from './denoise/denoise.js';
import { drawBox } from './detail-box.js';
import { FeatureDistance } from './feature-distance.js';
import type { Learner } from './learner.js';
import {
  type LossWeights,
  type MixedPass,
  ownParts,
  type Part,
  type RefinedView,
  type SourcePass,
  type Stateful,
} from './parts.js';
import { Teacher } from './teacher.js';

/** Losses of registered parts, as a step reports them. */
type PartLosses = Record<`parts.${string}`, Tensor>;

/** The parts of one method around one student, on the student's device. */
export class StepParts {
  readonly teacher: Teacher | undefined;
  readonly contrast: PixelContrast | undefined;
  readonly featureDistance: FeatureDistance | undefined;
  /** By the name of their state in a checkpoint, in the order in which their hooks are called. */
  readonly hooked: ReadonlyMap<string, Part>;
  /** Chooses the classes that ClassMix pastes. */
  readonly mixGenerator: Generator;
  /** Draws colour jitter and blur, and the detail crops of a network of two resolutions. */
  readonly augmentRng: Rng;
  /** Draws which patches are hidden. */
  readonly maskGenerator: Generator | undefined;

  constructor(
    readonly method: MethodConfig,
    readonly student: Learner,
    seed: number,
    world: World = alone,
  ) {
    const { config, featureChannels } = student.segmentor;
    const { device } = student.parameters()[0]!;
    const { classes } = config;
    const { selfTraining, contrast, batchContrast, denoise, weighting, featureDistance } = method;
    if (method.maskedConsistency) this.maskGenerator = new Generator(seedFor(seed, 'mask'));
    this.mixGenerator = new Generator(seedFor(seed, 'mix'));
    this.augmentRng = new Rng(seed, 'augment');
    if (selfTraining) {
      this.teacher = new Teacher(config, student, contrast);
      this.teacher.network.to({ device });
    }
    if (contrast) this.contrast = new PixelContrast(classes, contrast, seed, world).to({ device });
    const hooked = new Map<string, Part>();
    if (denoise) hooked.set('denoise', new Denoiser(denoise, classes, featureChannels, world).to({ device }));
    if (batchContrast) hooked.set('parts.batch-contrast', new BatchContrast(batchContrast));
    if (weighting && selfTraining) {
      const start = { target: selfTraining.weight, contrast: contrast?.weight };
      hooked.set('weighting', lossWeighting(weighting, start, device, world));
    }
    for (const [name, part] of ownParts({ method, student, classes, device, world })) {
      hooked.set(`parts.${name}`, part);
    }
    this.hooked = hooked;
    if (featureDistance) {
      using generator = new Generator(0);
      const encoder = withoutInitialValues(() => createBackbone(config, generator));
      encoder.to({ device });
      encoder.loadStateDict(student.segmentor.backbone.stateDict());
      this.featureDistance = new FeatureDistance(encoder, featureDistance, world);
    }
  }

  /** The last part that has the hook: a part of one's own stands in for the library's. */
  with<K extends keyof Part>(hook: K): (Part & Required<Pick<Part, K>>) | undefined {
    return [...this.hooked.values()].findLast((part) => part[hook] !== undefined) as never;
  }

  /** Whether steps of one kind run the same operators with the same numbers of the host's. */
  get recordable(): boolean {
    const moving = this.contrast?.options;
    // The detail crop is elsewhere in every step.
    if (this.student.segmentor.config.multiResolution) return false;
    const steady = [...this.hooked.values()].every((part) => part.recordable);
    return steady && (!moving || moving.anchorShare === moving.anchorShareEnd);
  }

  /** Everything that a step changes, but for the optimizer and the generators, by its name in a checkpoint. */
  state(): Map<string, Stateful> {
    const { student, teacher, contrast, featureDistance } = this;
    const all: [string, Partial<Stateful> | undefined][] = [
      ['student', student],
      ['teacher', teacher?.network],
      ['contrast', contrast],
      ['frozen', featureDistance?.encoder],
      ...this.hooked,
    ];
    return new Map(all.filter(([, part]) => part?.stateDict && part.loadStateDict) as [string, Stateful][]);
  }

  /** The generators that a step draws from, by their names in a checkpoint. */
  generators(): Map<string, Generator> {
    const { student, contrast, mixGenerator, maskGenerator } = this;
    return new Map([
      ['model', student.segmentor.generator],
      ['mix', mixGenerator],
      ...(contrast ? [['contrast', contrast.generator] as const] : []),
      ...(maskGenerator ? [['mask', maskGenerator] as const] : []),
    ]);
  }

  /**
   * Where the student sees details in its next pass: the same box in all images of the batch. Undefined of a network of one
   * resolution. @param size H and W of the crop.
   */
  detailBox(size: readonly [number, number]): Box | undefined {
    const { multiResolution, head } = this.student.segmentor.config;
    return multiResolution && drawBox(size, multiResolution.detailCrop, detailStep(head)!, this.augmentRng);
  }

  /** Starts from the student as it is now, buffers too. */
  adoptStudent(): void {
    this.teacher?.network.loadStateDict(this.student.stateDict());
    this.featureDistance?.encoder.loadStateDict(this.student.segmentor.backbone.stateDict());
  }

  /** theta' <- a theta' + (1 - a) theta. @param iteration from 0. */
  updateTeacher(iteration: number): void {
    const { selfTraining } = this.method;
    if (selfTraining) this.teacher?.update(this.student, iteration, selfTraining.alpha);
  }

  /** The teacher's view of the clean target image as its readers are to see it: as it is, or denoised. */
  refine(view: PixelView, image: Tensor, glance = false): RefinedView {
    const predict = (other: Tensor) => this.teacher!.view(other).logits;
    return this.with('refine')?.refine(view, image, predict, glance) ?? { labels: view, contrast: view };
  }

  /** As {@link refine}, to look at, by one rank alone: the part stays as it was. */
  glance(view: PixelView, image: Tensor): RefinedView {
    // A registered part may have been written without a thought of being looked at.
    const part = this.with('refine');
    const kept = [...(part?.stateDict?.() ?? [])].map(([name, value]) => [name, value.clone()] as const);
    const refined = this.refine(view, image, true);
    if (kept.length > 0) part?.loadStateDict?.(new Map(kept));
    return refined;
  }

  /** The losses that parts add on the source, by the names of the parts. */
  sourceLosses(source: SourcePass): PartLosses {
    return this.#losses((part) => part.sourceLoss?.(source));
  }

  /** The losses that parts add on the mixed image, by the names of the parts. */
  mixedLosses(mixed: MixedPass): PartLosses {
    return this.#losses((part) => part.mixedLoss?.(mixed));
  }

  #losses(lossOf: (part: Part) => Tensor | undefined): PartLosses {
    const losses = [...this.hooked].flatMap(([name, part]) => {
      const loss = lossOf(part);
      return loss ? [[name, loss] as const] : [];
    });
    return Object.fromEntries(losses);
  }

  /** lambda_t and lambda_c, where they set themselves. */
  lossWeights(): LossWeights | undefined {
    return this.with('lossWeights')?.lossWeights();
  }

  /** Frees all but the student, which is the caller's. */
  dispose(): void {
    this.teacher?.network.dispose();
    this.contrast?.dispose();
    this.featureDistance?.dispose();
    for (const part of this.hooked.values()) part.dispose?.();
    this.mixGenerator.dispose();
    this.maskGenerator?.dispose();
  }
}
