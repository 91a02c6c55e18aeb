// Rare class sampling: images with rare classes are drawn more often (DAFormer, arXiv 2111.14887, eq 5 and 6).

import type { RareClassOptions } from '../config/rare-classes.js';
import type { Rng } from '../random.js';
import type { PixelStore } from './pixels.js';

/** Pixels of every class in every image: counts[image][class], at the size of the label files. */
export async function classCounts(pixels: PixelStore, classes: number): Promise<number[][]> {
  const counts: number[][] = [];
  for (let i = 0; i < pixels.length; i++) {
    const { image, label } = pixels.dataset.samples[i]!;
    if (label === undefined) throw new Error(`${image} has no label, which rare class sampling needs`);
    const { data } = await pixels.readLabel(i);
    const row = new Array<number>(256).fill(0);
    for (let at = 0; at < data.length; at++) row[data[at]!]!++;
    counts.push(row.slice(0, classes));
  }
  return counts;
}

/** P(c) = softmax over c of (1 - f_c) / T, f_c the share of class c among all labelled pixels. */
export function classProbabilities(frequency: readonly number[], temperature: number): number[] {
  const scores = frequency.map((f) => (1 - f) / temperature);
  const top = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Draws a class, then an image that shows it. */
export class RareClassSampler {
  readonly probabilities: readonly number[];
  readonly #images: number[][];
  readonly #drawable: number[];

  /** @param counts of {@link classCounts}. @param imagePixels pixels of one image. @throws Error if no image qualifies. */
  constructor(
    counts: readonly (readonly number[])[],
    imagePixels: number,
    readonly options: RareClassOptions,
  ) {
    const classes = counts[0]?.length ?? 0;
    const total = Array.from({ length: classes }, (_, c) => counts.reduce((sum, row) => sum + row[c]!, 0));
    const all = total.reduce((sum, n) => sum + n, 0);
    const min = options.minImageShare * imagePixels;
    this.#images = total.map((_, c) => counts.flatMap((row, image) => (row[c]! > min ? [image] : [])));
    // A class that no image shows enough of cannot be drawn; the others share its probability.
    this.#drawable = this.#images.flatMap((images, c) => (images.length > 0 ? [c] : []));
    if (this.#drawable.length === 0) {
      throw new Error(`no source image shows any class on more than ${Math.round(min)} pixels`);
    }
    this.probabilities = classProbabilities(
      total.map((n) => n / all),
      options.temperature,
    );
  }

  draw(rng: Rng): { class: number; image: number } {
    const weights = this.#drawable.map((c) => this.probabilities[c]!);
    let left = rng.next() * weights.reduce((sum, weight) => sum + weight, 0);
    const at = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    const chosen = this.#drawable[at < 0 ? this.#drawable.length - 1 : at]!;
    const images = this.#images[chosen]!;
    return { class: chosen, image: images[rng.below(images.length)]! };
  }
}
