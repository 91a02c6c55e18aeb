// The anchors as a list: only the present ones where counting them costs nothing, else all (C, M) places.

import { ops, type Tensor } from '@pgpc/torch';

/**
 * The anchors of all classes as one list of A rows, class by class. Most classes have fewer than M anchors. On the CPU the
 * list has only the anchors that are present: with the paper's share of 0.2, no more than a third of all places in a batch
 * of two crops of 256 x 256. On a GPU the host would have to wait for their number. There the list has all C M places, and
 * a place without an anchor has no weight in the loss.
 */
export class AnchorList {
  /** How many anchors a class may have: M. */
  readonly #places: number;
  /** Positions of the listed anchors among the C M places, rising; absent if all are listed. */
  readonly #taken: Tensor | undefined;
  /** How many listed anchors each class has; absent if each has M. */
  readonly #perClass: number[] | undefined;

  /**
   * @param valid (C, M), bool: which anchors are present.
   * @param all whether all places are listed; by default everywhere but on the CPU.
   */
  constructor(valid: Tensor, all: boolean = valid.device !== 'cpu') {
    this.#places = valid.shape[1]!;
    if (all) return;
    this.#taken = valid.flatten().nonzero().squeeze(1);
    this.#perClass = Array.from(valid.sum([1]).toArray(), Number);
  }

  /** What stands at the anchors' places: (C, M, ..) to (A, ..). */
  rows(places: Tensor): Tensor {
    const all = places.flatten(0, 1);
    return this.#taken ? all.index([this.#taken]) : all;
  }

  /** What the anchors' classes have: (C, ..) to (A, ..). */
  ofClass(values: Tensor): Tensor {
    if (this.#taken) {
      return values.index([this.#taken.div(this.#places, { roundingMode: 'floor' })]);
    }
    const [classes, ...rest] = values.shape;
    return values
      .unsqueeze(1)
      .expand([classes!, this.#places, ...rest])
      .flatten(0, 1);
  }

  /** The anchors times the rows of their class. @param z (A, D). @param rows (C, N, D). @returns (A, N). */
  products(z: Tensor, rows: Tensor): Tensor {
    if (!this.#perClass) {
      const width = z.shape[1]!;
      return z.view([-1, this.#places, width]).bmm(rows.transpose(1, 2)).flatten(0, 1);
    }
    const anchors = z.splitWithSizes(this.#perClass, 0);
    return ops.cat(anchors.map((own, c) => own.mm(rows.select(0, c).t())));
  }
}
