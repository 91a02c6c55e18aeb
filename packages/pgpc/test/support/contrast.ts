// What the tests of the contrast's variants share: random inputs, and the slow versions of what is chosen and stored.

import { Generator, noGrad, rand, type Tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import type { PixelContrast, PixelView } from '../../src/adaptation/contrast/contrast.js';
import { ProjectionHead } from '../../src/adaptation/contrast/projection-head.js';
import {
  anchorSelections,
  type ContrastOptions,
  type ContrastSettings,
  contrastSettings,
  contrastTypes,
  domainChoices,
  negativeSamplings,
  type ProjectionNorm,
  projectionNorms,
  prototypeKinds,
} from '../../src/config/contrast.js';
import { pixelRows } from '../../src/pixels.js';
import { Rng } from '../../src/random.js';
import { dot, int64, matrix, mean, normal, randomLabels, tinyContrast } from './method.js';

export const C = 4;
const CHANNELS = 3;
export const WIDTH = 5;
const SIZE = [2, 3] as const;
/** Labels are so many times as fine as features. */
const FINE = 4;
export const PIXELS = 2 * SIZE[0] * SIZE[1];

/** Random choices of every switch, all else so large that only the draws from the banks are left to chance. */
export const variants: fc.Arbitrary<ContrastOptions> = fc
  .record({
    type: fc.constantFrom(...contrastTypes),
    anchorDomains: fc.constantFrom(...domainChoices),
    anchorSelection: fc.constantFrom(...anchorSelections),
    anchorShare: fc.constantFrom(0.2, 0.5, 1),
    anchorShareEnd: fc.constantFrom(0.3, 0.8),
    anchorThreshold: fc.constantFrom(0.5, 0.7),
    perAnchorNegatives: fc.boolean(),
    negativeDomains: fc.constantFrom(...domainChoices),
    negativeSampling: fc.constantFrom(...negativeSamplings),
    hardSource: fc.boolean(),
    minShare: fc.constantFrom(0, 0.3, 0.75, 1),
    rank: fc.constantFrom(1, 2, 3),
    prototypeDomains: fc.constantFrom(...domainChoices),
    prototypeKind: fc.constantFrom(...prototypeKinds),
    prototypeMomentum: fc.constantFrom(0, 0.4, 0.9),
    prototypeQueue: fc.constantFrom(1, 3),
    norm: fc.constantFrom(...projectionNorms),
  })
  .map(({ negativeSampling, ...chosen }) => ({
    ...tinyContrast,
    ...chosen,
    // Without a bank of pixels there is nothing to draw from.
    ...(chosen.type !== 'pixel-to-prototype' && { negativeSampling }),
    anchors: 2 * PIXELS,
    negatives: 3,
    bankCapacity: 6 * PIXELS,
    enqueue: PIXELS,
    temperature: 0.3,
    width: WIDTH,
  }));

export function headOf(seed: number, depth = 2, norm: ProjectionNorm = 'none'): ProjectionHead {
  using generator = new Generator(seed);
  return new ProjectionHead(CHANNELS, { width: WIDTH, depth, norm }, generator);
}

export const featureMap = (seed: number) => normal([2, CHANNELS, ...SIZE], seed);

const viewOf = (seed: number): PixelView => ({
  features: featureMap(seed),
  logits: tidy(() => normal([2, C, ...SIZE], seed + 1).mul(2)),
});

export const labelOf = (seed: number) => randomLabels(PIXELS, C, seed);

/** A label map at four times the decoder's resolution. */
export const labelMap = (label: readonly number[]) =>
  tidy(() =>
    int64(label, [2, ...SIZE])
      .repeatInterleave(FINE, 1)
      .repeatInterleave(FINE, 2),
  );

/** The labels under a feature, at four times its resolution. */
type Cell = readonly number[];

/** Labels under every feature: in some cells 3, 4, 5 or 9 of the 16 pixels are of another class, or of none. */
export function cellsOf(seed: number): Cell[] {
  const rng = new Rng(seed, 'cells');
  return labelOf(seed).map((label) => {
    const other = [...Array(C).keys(), 255][rng.below(C + 1)]!;
    const others = [0, 0, 3, 4, 5, 9][rng.below(6)]!;
    return rng.shuffle(Array.from({ length: FINE * FINE }, (_, i) => (i < others ? other : label)));
  });
}

/** The label map that has these labels under its features. */
export function cellMap(cells: readonly Cell[]): Tensor {
  const [height, width] = SIZE;
  const label = Array.from({ length: PIXELS * FINE * FINE }, (_, i) => {
    const x = i % (width * FINE);
    const row = Math.floor(i / (width * FINE));
    const [image, y] = [Math.floor(row / (height * FINE)), row % (height * FINE)];
    const cell = (image * height + Math.floor(y / FINE)) * width + Math.floor(x / FINE);
    return cells[cell]![(y % FINE) * FINE + (x % FINE)]!;
  });
  return int64(label, [2, height * FINE, width * FINE]);
}

/** The class that has at least a share of a cell's pixels, 255 where none has. */
export function slowPureLabel(cell: Cell, minShare: number): number {
  const counts = Array.from({ length: C }, (_, c) => cell.filter((label) => label === c).length);
  const most = Math.max(...counts);
  return most > 0 && most / cell.length >= minShare ? counts.indexOf(most) : 255;
}

/** One step's batch. */
export interface Seen {
  source: PixelView;
  cells: Cell[];
  target: PixelView;
}

export const seenAt = (seed: number): Seen => ({
  source: viewOf(seed),
  cells: cellsOf(seed),
  target: viewOf(seed + 50),
});

/** The random numbers in [0, 1) that a contrast's next loss will draw, one list a class. */
export function drawsAhead(contrast: PixelContrast) {
  const { anchors, negatives, type, perAnchorNegatives } = contrast.options;
  using generator = new Generator(0);
  generator.setState(contrast.generator.getState());
  const draw = (n: number) => matrix(rand([C, n], { generator }));
  const chosen = Math.min(anchors, PIXELS);
  return tidy(() => ({
    keys: draw(PIXELS),
    positives: type === 'pixel-to-pixel' ? draw(chosen) : [],
    negatives: type === 'pixel-to-prototype' ? [] : draw(perAnchorNegatives ? chosen * negatives : negatives),
  }));
}

/**
 * Which rows random numbers in [0, 1) choose, with replacement, for a class c: first a class k in proportion to
 * exp(z_c+ . z_k+ / tau) among the classes that have rows, then one of its rows.
 * @param owner the class of each row. @param prototypes zeros for a class without.
 */
export function similarSlots(
  numbers: readonly number[],
  owner: readonly number[],
  prototypes: readonly (readonly number[])[],
  c: number,
  temperature: number,
): number[] {
  const likely = prototypes.map((row, k) =>
    owner.includes(k) ? Math.exp(dot(prototypes[c]!, row) / temperature) : 0,
  );
  const all = likely.reduce((sum, x) => sum + x, 0);
  const probability = owner.map((k) => likely[k]! / all / owner.filter((other) => other === k).length);
  const upTo = probability.map((_, i) => probability.slice(0, i + 1).reduce((sum, x) => sum + x, 0));
  return numbers.map((x) => {
    // Next to a boundary rounding decides.
    fc.pre(upTo.every((bound) => Math.abs(x - bound) > 1e-5));
    return upTo.findIndex((bound) => bound > x);
  });
}

const projected = (map: Tensor, head: ProjectionHead) =>
  tidy(() => noGrad(() => matrix(head.call(pixelRows(map)))));

/** How many classes are more likely than c, pixel by pixel. */
const rankOf = (scores: readonly number[], c: number) => scores.filter((x) => x > scores[c]!).length;

/** The floor(share n)-th smallest of n values, the smallest where that is none. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.floor(share * sorted.length)) - 1]!;
}

/** Which pixels may be anchors, by the most likely class, -1 for the others. */
export function slowAnchors(
  probabilities: readonly (readonly number[])[],
  settings: Pick<ContrastSettings, 'anchorSelection' | 'anchorShare' | 'anchorThreshold'>,
): number[] {
  const { anchorSelection, anchorShare, anchorThreshold } = settings;
  const top = probabilities.map((row) => Math.max(...row));
  const label = probabilities.map((row, i) => row.indexOf(top[i]!));
  const h = probabilities.map((row) => -row.reduce((sum, x) => sum + (x > 0 ? x * Math.log(x) : 0), 0));
  const ofClass = (values: readonly number[], i: number) =>
    quantile(
      values.filter((_, j) => label[j] === label[i]),
      anchorShare,
    );
  // The probabilities are float32 and so are the values that are compared; ties are exact there, near here.
  const atMost = (x: number, bound: number) => x <= bound + 1e-6;
  const taken = {
    'global-entropy': (i: number) => atMost(h[i]!, quantile(h, anchorShare)),
    'class-entropy': (i: number) => atMost(h[i]!, ofClass(h, i)),
    'class-confidence': (i: number) =>
      atMost(
        -top[i]!,
        ofClass(
          top.map((x) => -x),
          i,
        ),
      ),
    threshold: (i: number) => top[i]! >= anchorThreshold,
    random: () => true,
  }[anchorSelection];
  return label.map((c, i) => (taken(i) ? c : -1));
}

/** What the banks ought to hold, by loops over pixels and classes. */
export class SlowStores {
  readonly settings: ContrastSettings;
  readonly positives: number[][][] = Array.from({ length: C }, () => []);
  /** Each row with its class at the end, where negatives are drawn by it. */
  readonly negatives: number[][][] = Array.from({ length: C }, () => []);
  /** Of each class the centres in order, with the step that they are of. */
  readonly centres: { row: number[]; step: number }[][] = Array.from({ length: C }, () => []);
  #steps = 0;

  constructor(options: ContrastOptions) {
    this.settings = contrastSettings(options);
  }

  /** Stores one step's batch as PixelContrast should. */
  step({ source, cells, target }: Seen, head: ProjectionHead, progress: number): void {
    const { settings } = this;
    const { rank, hardSource, minShare } = settings;
    const label = cells.map((cell) => slowPureLabel(cell, minShare));
    const anchorShare = settings.anchorShare + (settings.anchorShareEnd - settings.anchorShare) * progress;
    this.#steps++;
    const logits = matrix(pixelRows(source.logits));
    this.#add('source', projected(source.features, head), label, label, (i, c) => {
      const other = label[i] !== c && label[i] !== 255;
      return other && (!hardSource || rankOf(logits[i]!, c) < rank);
    });
    const p = matrix(pixelRows(target.logits).softmax(1));
    const anchors = slowAnchors(p, { ...settings, anchorShare });
    const top = p.map((row) => row.indexOf(Math.max(...row)));
    this.#add('target', projected(target.features, head), anchors, top, (i, c) => rankOf(p[i]!, c) >= rank);
  }

  #add(
    domain: 'source' | 'target',
    z: readonly number[][],
    members: readonly number[],
    owner: readonly number[],
    negative: (i: number, c: number) => boolean,
  ): void {
    const { type, prototypeDomains, negativeDomains, negativeSampling } = this.settings;
    const kept = negativeSampling === 'class-similarity' ? z.map((row, i) => [...row, owner[i]!]) : z;
    for (let c = 0; c < C; c++) {
      const own = z.filter((_, i) => members[i] === c);
      if (prototypeDomains === domain || prototypeDomains === 'both') {
        this.positives[c]!.push(...own);
        if (own.length > 0) {
          const row = own[0]!.map((_, d) => mean(own.map((each) => each[d]!)));
          this.centres[c]!.push({ row, step: this.#steps });
        }
      }
      if (type === 'pixel-to-prototype') continue;
      if (negativeDomains === domain || negativeDomains === 'both') {
        this.negatives[c]!.push(...kept.filter((_, i) => negative(i, c)));
      }
    }
  }

  /** z_c+, or undefined for a class that has none. */
  prototype(c: number): number[] | undefined {
    const { type, prototypeKind, prototypeQueue, prototypeMomentum: m } = this.settings;
    const all = this.centres[c]!;
    const average = (rows: readonly number[][]) =>
      rows.length > 0 ? rows[0]!.map((_, d) => mean(rows.map((row) => row[d]!))) : undefined;
    const ofCentres = {
      queue: () => average(all.slice(-prototypeQueue).map(({ row }) => row)),
      momentum: () =>
        all
          .map(({ row }) => row)
          .reduce<number[] | undefined>(
            (mean, row) => mean?.map((x, d) => m * x + (1 - m) * row[d]!) ?? row,
            undefined,
          ),
      batch: () => average(all.filter(({ step }) => step === this.#steps).map(({ row }) => row)),
    };
    const row = type === 'pixel-to-pixel' ? average(this.positives[c]!) : ofCentres[prototypeKind]();
    if (!row) return undefined;
    const length = Math.sqrt(dot(row, row));
    return row.map((x) => x / length);
  }
}
