// Pseudo-label guided pixels contrast: what is stored each step, and the loss that comes of it.

import { alone, Generator, noGrad, ops, type Tensor, tidy, type World } from '@pgpc/torch';
import { seedFor } from '../../pipeline/rng.js';
import { anchorCandidates } from './anchors.js';
import { infoNce } from './info-nce.js';
import { MemoryBank } from './memory-bank.js';
import { sourceNegatives, targetNegatives } from './negatives.js';
import { classCentres } from './positives.js';
import { normalizeRows, type ProjectionHead } from './projection-head.js';
import { chosenByAll, gatherSample, sampleCandidates } from './sampling.js';

export interface ContrastOptions {
  /** lambda_c, the weight of the loss: 0.1 in the paper. */
  weight: number;
  /** Share of the run after which the loss sets in; the banks fill from the first step. Half in the paper. */
  warmup: number;
  /** eta: the share of target pixels, the most certain ones, that may be anchors (eq 8). */
  anchorShare: number;
  /** M: anchors a class. */
  anchors: number;
  /** N: negatives a class. */
  negatives: number;
  /** r: a target pixel is no negative for its r most likely classes (eq 11): 4 in the paper. */
  rank: number;
  /** K: rows of the negatives' bank a class. */
  bankCapacity: number;
  /** Rows that a step may add to a class's bank, from the source and from the target each. */
  enqueue: number;
  /** Centres of a class that its prototype is the mean of (eq 9). */
  prototypeQueue: number;
  /** tau. */
  temperature: number;
  /** Width and depth of the projection head. */
  width: number;
  depth: number;
}

/** Features at the decoder's resolution as a list of pixels: (N, D, h, w) to (N h w, D). */
export function pixelRows(map: Tensor): Tensor {
  return map.permute([0, 2, 3, 1]).reshape([-1, map.shape[1]!]);
}

/** A label map or mask at the decoder's resolution, by nearest neighbour: (N, H, W) to (N h w). */
export function pixelLabels(label: Tensor, size: readonly [number, number]): Tensor {
  return ops.upsampleNearest2d(label.unsqueeze(1).to('float32'), size).flatten().to(label.dtype);
}

/** What the teacher knows of the clean target batch. */
export interface TeacherView {
  /** (N, channels, h, w) */
  features: Tensor;
  /** (N, C, h, w) */
  logits: Tensor;
}

/** The banks of positives and negatives, and the loss between them and the student's anchors. */
export class PixelContrast {
  readonly generator: Generator;
  /** Queue of batch centres a class, from the source (eq 9). */
  readonly centres: MemoryBank;
  /** Queue of qualified negatives a class, from source and target (eq 10, 11). */
  readonly negatives: MemoryBank;

  constructor(
    readonly classes: number,
    readonly options: ContrastOptions,
    seed: number,
    /** The ranks whose pixels fill the banks, which are the same on all of them. */
    readonly world: World = alone,
  ) {
    this.generator = new Generator(seedFor(seed, 'contrast'));
    this.centres = new MemoryBank(classes, options.prototypeQueue, options.width);
    this.negatives = new MemoryBank(classes, options.bankCapacity, options.width);
  }

  /**
   * Stores the source's class centres (eq 9) and its qualified negatives (eq 10).
   * @param features (N, channels, h, w). @param label (N, H, W). @param head the teacher's.
   */
  storeSource(features: Tensor, label: Tensor, head: ProjectionHead): void {
    tidy(() =>
      noGrad(() => {
        const z = head.call(pixelRows(features.detach()));
        const labels = pixelLabels(label, features.shape.slice(2) as [number, number]);
        const { centre, present } = classCentres(z, labels, this.classes, this.world);
        this.centres.enqueue(centre.unsqueeze(1), present.unsqueeze(1));
        this.#storeNegatives(sourceNegatives(labels, this.classes), (index) => gatherRows(z, index));
      }),
    );
  }

  /** Stores the target's qualified negatives (eq 11). @param head the teacher's. */
  storeTarget(view: TeacherView, head: ProjectionHead): void {
    tidy(() =>
      noGrad(() => {
        const candidates = targetNegatives(pixelRows(view.logits), this.options.rank);
        this.#storeNegatives(candidates, (index) => {
          const [classes, n] = index.shape as [number, number];
          const z = head.call(gatherRows(pixelRows(view.features), index).flatten(0, 1));
          return z.view([classes, n, -1]);
        });
      }),
    );
  }

  /** Adds a sample of the candidates (C, P) of all ranks; `rowsAt` gives z at positions (C, n). */
  #storeNegatives(candidates: Tensor, rowsAt: (index: Tensor) => Tensor): void {
    const { enqueue } = this.options;
    const sample = sampleCandidates(candidates, enqueue, this.generator, this.world);
    const { rows, valid } = gatherSample(sample, rowsAt(sample.index), enqueue, this.world);
    this.negatives.enqueue(rows, valid);
  }

  /** Prototypes z_c+ (eq 9): the normalized means of the queues of centres, (C, D). */
  prototypes(): Tensor {
    return tidy(() => normalizeRows(this.centres.mean()));
  }

  /**
   * L_c (eq 5) of the student's features of the mixed image, at pixels that came from the target; gradients flow to
   * the anchors alone.
   * @param features the student's, (N, channels, h, w). @param sourceMask (N, H, W), bool: pixels from the source.
   * @param head the student's.
   */
  loss(features: Tensor, sourceMask: Tensor, view: TeacherView, head: ProjectionHead): Tensor {
    return tidy(() => {
      const { anchorShare, anchors, negatives, temperature } = this.options;
      const { index, valid, rows } = noGrad(() => {
        const size = features.shape.slice(2) as [number, number];
        const fromTarget = pixelLabels(sourceMask, size).logicalNot();
        const candidates = anchorCandidates(pixelRows(view.logits).softmax(1), anchorShare, this.world);
        const ready = this.centres.filled.gt(0).logicalAnd(this.negatives.filled.gt(0)).unsqueeze(1);
        const usable = candidates.logicalAnd(fromTarget).logicalAnd(ready);
        const sample = sampleCandidates(usable, anchors, this.generator, this.world);
        const chosen = chosenByAll(sample, anchors, this.world);
        const drawn = this.negatives.draw(negatives, this.generator);
        return { index: sample.index, valid: chosen, rows: drawn };
      });
      const [classes, n] = index.shape as [number, number];
      const z = head.call(gatherRows(pixelRows(features), index).flatten(0, 1)).view([classes, n, -1]);
      return infoNce(z, valid, this.prototypes(), rows, temperature, this.world);
    });
  }

  get #banks(): [name: string, bank: MemoryBank][] {
    return [
      ['centres', this.centres],
      ['negatives', this.negatives],
    ];
  }

  /** The banks' tensors by name, for a checkpoint; the generator's state is saved beside them. */
  stateDict(): Map<string, Tensor> {
    return new Map(
      this.#banks.flatMap(([name, bank]) =>
        [...bank.stateDict()].map(([key, value]) => [`${name}.${key}`, value] as const),
      ),
    );
  }

  /** Copies what {@link stateDict} gave. @throws Error if names or shapes do not fit. */
  loadStateDict(state: ReadonlyMap<string, Tensor>): void {
    for (const [name, bank] of this.#banks) {
      const own = [...state].filter(([key]) => key.startsWith(`${name}.`));
      bank.loadStateDict(new Map(own.map(([key, value]) => [key.slice(name.length + 1), value])));
    }
  }

  dispose(): void {
    this.centres.dispose();
    this.negatives.dispose();
    this.generator.dispose();
  }
}

/** (P, D) rows at (C, n) positions: (C, n, D). */
function gatherRows(rows: Tensor, index: Tensor): Tensor {
  return rows.index([index]);
}
