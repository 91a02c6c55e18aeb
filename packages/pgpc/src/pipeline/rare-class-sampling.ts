// Rare class sampling: images with rare classes are drawn more often (DAFormer, arXiv 2111.14887, eq 5 and 6).

import type { ClassStatistics } from '@pgpc/datasets';
import type { RareClassOptions } from '../config/rare-classes.js';
import type { Rng } from '../random.js';
import type { PixelStore } from './pixels.js';

/** What rare class sampling needs of the source: for each image its pixels of every class, and its size. */
export type ImageClasses = Pick<ClassStatistics, 'counts' | 'sizes'>;

/** Counts from decoded labels, for images that are not files; of files, `classStatistics` counts and remembers. */
export async function classCounts(pixels: PixelStore, classes: number): Promise<ImageClasses> {
  const counts: number[][] = [];
  const sizes: [width: number, height: number][] = [];
  for (let i = 0; i < pixels.length; i++) {
    const { image, label } = pixels.dataset.samples[i]!;
    if (label === undefined) throw new Error(`${image} has no label, which rare class sampling needs`);
    const { data, width, height } = await pixels.readLabel(i);
    const row = new Array<number>(256).fill(0);
    for (let at = 0; at < data.length; at++) row[data[at]!]!++;
    counts.push(row.slice(0, classes));
    sizes.push([width, height]);
  }
  return { counts, sizes };
}

/** P(c) = softmax over c of (1 - f_c) / T, f_c the share of class c among all labelled pixels. */
export function classProbabilities(frequency: readonly number[], temperature: number): number[] {
  const scores = frequency.map((f) => (1 - f) / temperature);
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** What of a class rare class sampling sees. */
export interface RareClass {
  /** f_c, the share of all labelled pixels; 0 where nothing is labelled. */
  readonly frequency: number;
  /** Images that it can be drawn from: each shows it on more than `minImageShare` of the image's own pixels. */
  readonly images: readonly number[];
  /** P(c), before the classes that no image can be drawn for give theirs to the others. */
  readonly probability: number;
  /** How often it is drawn: 0 for a class without images. */
  readonly drawn: number;
}

/** Rare class sampling's view of every class, which statistics show and training draws by. */
export function rareClasses(
  { counts, sizes }: ImageClasses,
  { minImageShare, temperature }: Pick<RareClassOptions, 'minImageShare' | 'temperature'>,
): RareClass[] {
  const classes = counts[0]?.length ?? 0;
  const total = Array.from({ length: classes }, (_, c) => counts.reduce((sum, row) => sum + row[c]!, 0));
  const all = total.reduce((sum, n) => sum + n, 0);
  const least = sizes.map(([width, height]) => minImageShare * (width * height));
  const images = total.map((_, c) =>
    counts.flatMap((row, image) => (row[c]! > least[image]! ? [image] : [])),
  );
  const frequencies = total.map((n) => (all === 0 ? 0 : n / all));
  const probabilities = classProbabilities(frequencies, temperature);
  const drawable = probabilities.reduce((sum, p, c) => (images[c]!.length > 0 ? sum + p : sum), 0);
  return total.map((_, c) => ({
    frequency: frequencies[c]!,
    images: images[c]!,
    probability: probabilities[c]!,
    drawn: images[c]!.length > 0 ? probabilities[c]! / drawable : 0,
  }));
}

/** Draws a class, then an image that shows it. */
export class RareClassSampler {
  readonly classes: readonly RareClass[];
  readonly #drawable: number[];

  /** @throws Error if no image shows enough of any class */
  constructor(
    statistics: ImageClasses,
    readonly options: RareClassOptions,
  ) {
    this.classes = rareClasses(statistics, options);
    // A class that no image shows enough of cannot be drawn; the others share its probability.
    this.#drawable = this.classes.flatMap(({ images }, c) => (images.length > 0 ? [c] : []));
    if (this.#drawable.length === 0) {
      const share = +(100 * options.minImageShare).toPrecision(2);
      throw new Error(`no source image shows any class on more than ${share} % of its pixels`);
    }
  }

  draw(rng: Rng): { class: number; image: number } {
    const weights = this.#drawable.map((c) => this.classes[c]!.probability);
    let left = rng.next() * weights.reduce((sum, weight) => sum + weight, 0);
    const at = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    const chosen = this.#drawable[at < 0 ? this.#drawable.length - 1 : at]!;
    const { images } = this.classes[chosen]!;
    return { class: chosen, image: images[rng.below(images.length)]! };
  }
}
