// Pseudo-label guided pixels contrast: what each step stores, and the loss.

import { alone, Generator, noGrad, sizeOf, type Tensor, tidy, type World } from '@pgpc/torch';
import {
  type ContrastOptions,
  type ContrastSettings,
  type ContrastType,
  contrastSettings,
  type Domain,
  type DomainChoice,
} from '../../config/contrast.js';
import { pixelLabels, pixelMap, pixelRows, pureLabels } from '../../pixels.js';
import { seedFor } from '../../random.js';
import { AnchorList } from './anchor-list.js';
import { anchorShareAt, selectAnchors } from './anchors.js';
import { infoNceOfScores, positiveScores } from './info-nce.js';
import { MemoryBank } from './memory-bank.js';
import {
  hardSourceNegatives,
  type Negatives,
  PixelNegatives,
  PrototypeNegatives,
  sourceNegatives,
  targetNegatives,
} from './negatives.js';
import {
  classMembers,
  knownClasses,
  PixelPositives,
  type Positives,
  PrototypePositives,
  prototypesOf,
} from './positives.js';
import { ProjectedPixels } from './projected-pixels.js';
import { normalizeRows, type ProjectionHead } from './projection-head.js';
import { chosenByAll, type Draws, sampleCandidates } from './sampling.js';

export type { ContrastOptions } from '../../config/contrast.js';

/** What a network says of a batch, or of the rows of it that may be contrasted. */
export interface PixelView {
  /** (B, D, h, w): what the projection head reads. */
  features: Tensor;
  /** (B, C, h, w) */
  logits: Tensor;
}

/** What the teacher knows of the clean target batch. */
export type TeacherView = PixelView;

/** What the rules take of the target's pixels, (C, P), bool each. */
export interface PixelChoice {
  /** From which M anchors of each class are drawn; undefined where no target pixel is an anchor. */
  readonly anchors: Tensor | undefined;
  /** From which the negatives of each class are drawn; undefined where no target pixel is a negative. */
  readonly negatives: Tensor | undefined;
}

/** Rows of the queues of all classes. */
export interface StoredRows {
  /** (R, D), of unit length. */
  readonly rows: Tensor;
  /** (R), int64: the class in whose queue each stands. */
  readonly owner: Tensor;
}

/** What each type contrasts. The paper's hybrid takes the best of both sides. */
const types: Readonly<
  Record<ContrastType, { positives: 'prototypes' | 'pixels'; negatives: 'prototypes' | 'pixels' }>
> = {
  hybrid: { positives: 'prototypes', negatives: 'pixels' },
  'pixel-to-pixel': { positives: 'pixels', negatives: 'pixels' },
  'pixel-to-prototype': { positives: 'prototypes', negatives: 'prototypes' },
};

const positivesOf = { prototypes: PrototypePositives, pixels: PixelPositives };

/** Positives and negatives, and the loss between them and the student's anchors. */
export class PixelContrast {
  readonly options: ContrastSettings;
  readonly generator: Generator;
  readonly positives: Positives;
  readonly negatives: Negatives;

  constructor(
    readonly classes: number,
    options: ContrastOptions,
    seed: number,
    /** The ranks whose pixels fill the banks, which are the same on all of them. */
    readonly world: World = alone,
  ) {
    this.options = contrastSettings(options);
    this.generator = new Generator(seedFor(seed, 'contrast'));
    const { positives, negatives } = types[this.options.type];
    const draws: Draws = { generator: this.generator, world };
    this.positives = new positivesOf[positives](classes, this.options, draws);
    this.negatives =
      negatives === 'pixels'
        ? new PixelNegatives(classes, this.options, this.positives, draws)
        : new PrototypeNegatives(this.positives);
  }

  /**
   * Stores the source's positives, by default the class centres (eq 9), and its qualified negatives (eq 10).
   * A feature is of a class that has `minShare` of the pixels under it, or of none.
   * @param view of the source batch, the logits for `hardSource`. The features may be the student's: the training step has
   * them anyway, and the teacher's would take one more pass.
   * @param label (B, H, W). @param head the teacher's.
   */
  storeSource(view: PixelView, label: Tensor, head: ProjectionHead): void {
    const { classes } = this;
    const { hardSource, rank } = this.options;
    this.#store('source', view, head, () => {
      const labels = this.#sourceLabels(view.features, label);
      return {
        label: () => labels,
        positives: () => classMembers(labels, classes),
        negatives: () =>
          hardSource
            ? hardSourceNegatives(labels, pixelRows(view.logits), rank)
            : sourceNegatives(labels, classes),
      };
    });
  }

  /** (P), int64: the classes of the source's features. @param label (B, H, W). */
  #sourceLabels(features: Tensor, label: Tensor): Tensor {
    return pureLabels(label, sizeOf(features), this.classes, this.options.minShare);
  }

  /**
   * Stores the target's qualified negatives (eq 11) and, where the options say so, the anchor candidates as positives.
   * @param head the teacher's. @param progress of the run, in [0, 1].
   * @param valid (B, H, W), 0 or 1: which pixels may be taken; left out, all of them.
   */
  storeTarget(view: TeacherView, head: ProjectionHead, progress = 0, valid?: Tensor): void {
    const taken = (members: Tensor) => within(members, valid, view);
    this.#store('target', view, head, () => ({
      label: () => pixelRows(view.logits).argmax(1),
      positives: () => taken(this.#candidates(view, progress)),
      negatives: () => taken(this.#qualified(view)),
    }));
  }

  /** Qualified negatives of the target, (C, P) (eq 11). */
  #qualified({ logits }: Pick<TeacherView, 'logits'>): Tensor {
    return targetNegatives(pixelRows(logits), this.options.rank);
  }

  /**
   * The teacher's class scores, corrected by what the prototypes make of its pixels: with p_ic the probability of class c at
   * pixel i, p_ic times the softmax over c of z_i . z_c+ / tau. The prototypes are of the source and count every class
   * alike, so they are a second opinion to that of the classifier, which has seen mostly road and sky. A class without a
   * prototype has the opinion 1 / C.
   * tau is the option `correction`.
   * @param view of the teacher. @param head the teacher's.
   * @returns log-probabilities, (B, C, h, w), without gradient.
   */
  corrected({ features, logits }: PixelView, head: ProjectionHead): Tensor {
    return tidy(() =>
      noGrad(() => {
        const z = new ProjectedPixels(features, head).all();
        const scores = z.matmul(this.prototypes().t()).div(this.options.correction!);
        const known = this.known();
        const opinion = scores
          .maskedFill(known.logicalNot(), Number.NEGATIVE_INFINITY)
          .logSoftmax(1)
          .maskedFill(known.logicalNot(), -Math.log(this.classes));
        const both = pixelRows(logits.logSoftmax(1)).add(opinion).logSoftmax(1);
        return pixelMap(both, logits).contiguous();
      }),
    );
  }

  /** Hands the pixels of a domain to positives and negatives that take them. The masks, (C, P), are made only then. */
  #store(
    domain: Domain,
    { features }: PixelView,
    head: ProjectionHead,
    masks: () => { label: () => Tensor; positives: () => Tensor; negatives: () => Tensor },
  ): void {
    const { prototypeDomains, negativeDomains } = this.options;
    tidy(() =>
      noGrad(() => {
        const pixels = new ProjectedPixels(features.detach(), head);
        const { label, positives, negatives } = masks();
        if (includes(prototypeDomains, domain)) this.positives.add(domain, pixels, positives());
        if (includes(negativeDomains, domain)) this.negatives.add?.(pixels, negatives(), label);
      }),
    );
  }

  /** Anchor candidates (C, P) at this point of the run (eq 8). */
  #candidates({ logits }: Pick<TeacherView, 'logits'>, progress: number, world = this.world): Tensor {
    const anchorShare = anchorShareAt(this.options, progress);
    return selectAnchors(pixelRows(logits).softmax(1), { ...this.options, anchorShare }, world);
  }

  /** Of anchor candidates (C, P) the ones whose class takes part: it has a positive and a negative. */
  #usable(candidates: Tensor): Tensor {
    return candidates.logicalAnd(this.known().logicalAnd(this.negatives.ready()).unsqueeze(1));
  }

  /**
   * What a step would choose among the target's pixels, to look at: nothing is drawn or stored. One rank looks by itself, so
   * these are all the pixels that there are.
   * @param view the teacher's; as in {@link loss} and {@link storeTarget}. @param progress of the run, in [0, 1].
   * @param valid (B, H, W), 0 or 1: which pixels may be chosen; left out, all of them.
   */
  choice(view: Pick<TeacherView, 'logits'>, progress: number, valid?: Tensor): PixelChoice {
    const { negativeDomains } = this.options;
    const arePixels = this.negatives.add !== undefined && includes(negativeDomains, 'target');
    return tidy(() =>
      noGrad(() => ({
        anchors: this.hasAnchorsIn('target')
          ? this.#usable(within(this.#candidates(view, progress, alone), valid, view))
          : undefined,
        negatives: arePixels ? within(this.#qualified(view), valid, view) : undefined,
      })),
    );
  }

  /**
   * A sample of what is stored, by the name of the store: up to n rows of each class's queue. Where the centres are no queue
   * there is none of them.
   */
  memory(n: number): Map<string, StoredRows> {
    return tidy(
      () =>
        new Map(
          this.stores.flatMap(({ name, module }) => {
            if (!(module instanceof MemoryBank)) return [];
            const { rows, owner } = module.spread(n);
            // A row of a bank that is drawn from by class ends with its class.
            return [[name, { rows: normalizeRows(rows.narrow(1, 0, this.options.width)), owner }] as const];
          }),
        ),
    );
  }

  /** (C), bool: which classes have positives yet. */
  known(): Tensor {
    return knownClasses(this.positives);
  }

  /** Prototypes z_c+ (eq 9), one a class: (C, D), unit rows; zeros for classes that are not {@link known}. */
  prototypes(): Tensor {
    return prototypesOf(this.positives);
  }

  /** Whether pixels of the domain are anchors. */
  hasAnchorsIn(domain: Domain): boolean {
    return includes(this.options.anchorDomains, domain);
  }

  /**
   * L_c (eq 5) of the student's features at the target's pixels. Gradients flow to the anchors alone.
   * @param features the student's, (B, D, h, w), of the mixed or of the clean target image.
   * @param leftOut (B, H, W), bool: pixels that are no anchors, such as the mixed image's of the source; left out, all may be.
   * @param head the student's. @param progress of the run, in [0, 1].
   */
  loss(
    features: Tensor,
    leftOut: Tensor | undefined,
    view: Pick<TeacherView, 'logits'>,
    head: ProjectionHead,
    progress = 0,
  ): Tensor {
    return this.#loss(features, head, () => {
      const candidates = this.#candidates(view, progress);
      return within(candidates, leftOut?.logicalNot(), view);
    });
  }

  /**
   * L_c (eq 5) with labelled pixels as anchors: M of every class of the source, drawn to its prototype.
   * @param features the student's of the source batch, (B, D, h, w). @param label (B, H, W). @param head the student's.
   */
  sourceLoss(features: Tensor, label: Tensor, head: ProjectionHead): Tensor {
    return this.#loss(features, head, () => classMembers(this.#sourceLabels(features, label), this.classes));
  }

  /** Eq 5 for M anchors a class, drawn from the candidates (C, P). */
  #loss(features: Tensor, head: ProjectionHead, candidates: () => Tensor): Tensor {
    return tidy(() => {
      const { options, world } = this;
      const anchors = noGrad(() =>
        sampleCandidates(this.#usable(candidates()), options.anchors, this.generator, world),
      );
      const list = new AnchorList(anchors.valid);
      const z = new ProjectedPixels(features, head).at(list.rows(anchors.index));
      const scores = {
        positive: positiveScores(z, this.positives.draw(anchors), list),
        negative: this.negatives.scores(z, anchors, list),
      };
      const valid = chosenByAll(anchors, options.anchors, world);
      return infoNceOfScores(scores, list, valid, options.temperature, world);
    });
  }

  /** What is kept from step to step, under its name in a checkpoint. */
  get stores() {
    return [this.positives.store, this.negatives.store].filter((store) => store !== undefined);
  }

  /** The banks' tensors by name, for a checkpoint; the generator's state is saved beside them. */
  stateDict(): Map<string, Tensor> {
    return new Map(
      this.stores.flatMap(({ name, module }) =>
        [...module.stateDict()].map(([key, value]) => [`${name}.${key}`, value] as const),
      ),
    );
  }

  /**
   * What of {@link stateDict} a step may have written: of a bank the rows that the two domains can add at most, which are few
   * of all that it holds.
   */
  written(): Map<string, Tensor> {
    return new Map(
      this.stores.flatMap(({ name, module }) =>
        [...module.stateDict()].map(([key, value]) => {
          const isBank = module instanceof MemoryBank && value === module.rows;
          return [`${name}.${key}`, isBank ? module.newest(2 * this.options.enqueue) : value] as const;
        }),
      ),
    );
  }

  /** Copies what {@link stateDict} gave. @throws Error if names or shapes do not fit. */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    for (const { name, module } of this.stores) {
      const own = [...state].filter(([key]) => key.startsWith(`${name}.`));
      module.loadStateDict(new Map(own.map(([key, value]) => [key.slice(name.length + 1), value])));
    }
  }

  /** Moves the stores to a device; all features and logits have to be on it, too. */
  to({ device }: { device: string }): this {
    for (const { module } of this.stores) module.to({ device });
    return this;
  }

  dispose(): void {
    for (const { module } of this.stores) module.dispose();
    this.generator.dispose();
  }
}

/** Of pixels (C, P) of a view the ones that `valid` (B, H, W) has; left out, it has all. */
function within(members: Tensor, valid: Tensor | undefined, { logits }: Pick<TeacherView, 'logits'>): Tensor {
  return valid ? members.logicalAnd(pixelLabels(valid, sizeOf(logits)).ne(0)) : members;
}

function includes(choice: DomainChoice, domain: Domain): boolean {
  return choice === 'both' || choice === domain;
}
