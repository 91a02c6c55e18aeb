// A first-in-first-out queue of features for every class, all in one tensor, with pointers on the device.

import { arange, type Generator, nn, noGrad, ops, rand, type Tensor, tidy, zeros } from '@pgpc/torch';

/** Rows of unit length, or any other width, kept for every class. Part of a checkpoint through its buffers. */
export class MemoryBank extends nn.StateModule {
  /** (C, K, D): the queues as rings. */
  readonly rows: Tensor;
  /** (C), int64: where the next row goes. */
  readonly next: Tensor;
  /** (C), int64: how many rows have been written, at most K; they are the first ones of the ring. */
  readonly filled: Tensor;

  /** @param capacity K, rows a class. */
  constructor(
    readonly classes: number,
    readonly capacity: number,
    width: number,
  ) {
    super();
    this.rows = this.buffer(zeros([classes, capacity, width]));
    this.next = this.buffer(zeros([classes], { dtype: 'int64' }));
    this.filled = this.buffer(zeros([classes], { dtype: 'int64' }));
  }

  /**
   * Appends to every class's queue its valid rows; the oldest give way.
   * @param rows (C, n, D), n at most K. @param valid (C, n), bool, the valid ones first.
   */
  enqueue(rows: Tensor, valid: Tensor): void {
    const n = rows.shape[1]!;
    if (n > this.capacity) {
      throw new RangeError(`${n} rows at once do not fit a memory bank of ${this.capacity} a class`);
    }
    noGrad(() =>
      tidy(() => {
        const count = valid.sum([1]);
        const slot = this.next
          .unsqueeze(1)
          .add(arange(n, { device: this.next.device }))
          .remainder(this.capacity);
        const owner = this.#owners(slot);
        // Invalid rows write back what is there, so that no count has to be read from the device.
        const kept = this.rows.index([owner, slot]);
        this.rows.indexPut_([owner, slot], ops.where(valid.unsqueeze(2), rows, kept));
        this.next.add_(count).remainder_(this.capacity);
        this.filled.add_(count).clampMax_(this.capacity);
      }),
    );
  }

  /**
   * n rows of every class's queue, drawn with replacement: (C, n, D). A class without rows gives rows of
   * zeros; `filled` tells which.
   * @param weights (C, K), from 0: how likely each row is, next to the others of its class; left out: all alike.
   */
  draw(n: number, generator: Generator, weights?: Tensor): Tensor {
    return tidy(() => {
      const slot = this.drawSlots(n, generator, weights);
      return this.rows.index([this.#owners(slot), slot]);
    });
  }

  /** The places in `rows` of n rows drawn so, instead of the rows: (C, n), int64, 0 for a class without rows. */
  drawSlots(n: number, generator: Generator, weights?: Tensor): Tensor {
    return tidy(() => {
      const at = rand([this.classes, n], { generator, device: this.filled.device });
      const last = this.filled.unsqueeze(1).sub(1).clampMin(0);
      if (!weights) return at.mul(this.filled.unsqueeze(1)).to('int64').minimum(last);
      // The row whose share of the sum the random number falls into.
      const sums = weights.mul(this.written()).cumsum(1);
      const total = sums.narrow(1, this.capacity - 1, 1);
      return ops.searchsorted(sums, at.mul(total), { right: true }).minimum(last);
    });
  }

  /**
   * Up to n rows of every class's queue, evenly spread over its places, for people to look at. Waits for the device.
   * @returns rows (R, D), and the class of each, (R), int64.
   */
  spread(n: number): { rows: Tensor; owner: Tensor } {
    return tidy(() => {
      const i = arange(n, { device: this.filled.device }).unsqueeze(0);
      const filled = this.filled.unsqueeze(1);
      const slot = ops.where(filled.lt(n), i, i.mul(filled).div(n, { roundingMode: 'floor' }));
      const there = i.lt(filled);
      const owner = this.#owners(slot).index([there]);
      return { rows: this.rows.index([owner, slot.index([there])]), owner };
    });
  }

  /** The n rows of every class's queue that were written last, the newest first: (C, n, D); zeros where there are fewer. */
  newest(n: number): Tensor {
    return tidy(() => {
      const back = arange(Math.min(n, this.capacity), { device: this.next.device }).add(1);
      const slot = this.next.unsqueeze(1).sub(back).remainder(this.capacity);
      return this.rows.index([this.#owners(slot), slot]);
    });
  }

  /** (C, K), bool: which places have been written. */
  written(): Tensor {
    return arange(this.capacity, { device: this.filled.device }).unsqueeze(0).lt(this.filled.unsqueeze(1));
  }

  /** The class that each of (C, n) slots is of, in their shape. */
  #owners(slot: Tensor): Tensor {
    return arange(this.classes, { device: slot.device }).unsqueeze(1).expandAs(slot);
  }

  /** The mean of every class's queue: (C, D), zeros for a class without rows. */
  mean(): Tensor {
    // Rows not yet written are zeros and add nothing.
    return tidy(() => this.rows.sum([1]).div(this.filled.clampMin(1).unsqueeze(1)));
  }
}
