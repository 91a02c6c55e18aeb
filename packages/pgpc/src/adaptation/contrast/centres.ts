// Where the centres of a class's pixels become its prototype (eq 9): a queue of them, a running mean, or this step's.

import { nn, noGrad, ops, type Tensor, tidy, zeros } from '@pgpc/torch';
import type { ContrastSettings, Domain, PrototypeKind } from '../../config/contrast.js';
import { MemoryBank } from './memory-bank.js';

/** The centres of the pixels of one domain in one step. */
export interface Centres {
  /** (C, D): the mean of z over the class's pixels; zeros for an absent class. */
  centre: Tensor;
  /** (C), bool: which classes have pixels. */
  present: Tensor;
}

/** Keeps centres; its buffers are part of a checkpoint. */
export interface CentreStore extends nn.StateModule {
  /** (C), int64: how many centres the class's mean is made of, 0 where there is none. */
  readonly filled: Tensor;
  add(domain: Domain, centres: Centres): void;
  /** (C, D), not normalised; zeros for a class without centres. */
  mean(): Tensor;
}

/** The mean of a first-in-first-out queue of centres, each from one domain in one step (eq 9). */
class CentreQueue extends MemoryBank implements CentreStore {
  add(_: Domain, { centre, present }: Centres): void {
    this.enqueue(centre.unsqueeze(1), present.unsqueeze(1));
  }
}

/** The running mean of centres: m times itself plus 1 - m times the new centre. The first centre is taken whole. */
class RunningCentres extends nn.StateModule implements CentreStore {
  /** (C, D) */
  readonly rows: Tensor;
  readonly filled: Tensor;

  /** @param momentum m, in [0, 1). */
  constructor(
    classes: number,
    width: number,
    readonly momentum: number,
  ) {
    super();
    this.rows = this.buffer(zeros([classes, width]));
    this.filled = this.buffer(zeros([classes], { dtype: 'int64' }));
  }

  add(_: Domain, { centre, present }: Centres): void {
    noGrad(() =>
      tidy(() => {
        const moved = this.rows.mul(this.momentum).add(centre.mul(1 - this.momentum));
        const next = ops.where(this.filled.gt(0).unsqueeze(1), moved, centre);
        this.rows.copy_(ops.where(present.unsqueeze(1), next, this.rows));
        this.filled.add_(present);
      }),
    );
  }

  mean(): Tensor {
    return this.rows.clone();
  }
}

/** Only this step's centres: each domain's replace the ones of the step before. */
class BatchCentres extends nn.StateModule implements CentreStore {
  /** (2, C, D): the source's, the target's. */
  readonly rows: Tensor;
  /** (2, C), int64: 1 where the class has pixels. */
  readonly present: Tensor;

  constructor(classes: number, width: number) {
    super();
    this.rows = this.buffer(zeros([2, classes, width]));
    this.present = this.buffer(zeros([2, classes], { dtype: 'int64' }));
  }

  get filled(): Tensor {
    return this.present.sum([0]);
  }

  add(domain: Domain, { centre, present }: Centres): void {
    noGrad(() =>
      tidy(() => {
        const place = domain === 'source' ? 0 : 1;
        this.rows.select(0, place).copy_(centre);
        this.present.select(0, place).copy_(present);
      }),
    );
  }

  mean(): Tensor {
    return tidy(() => this.rows.sum([0]).div(this.filled.clampMin(1).unsqueeze(1)));
  }
}

type Create = (classes: number, settings: ContrastSettings) => CentreStore;

const stores: Readonly<Record<PrototypeKind, Create>> = {
  queue: (classes, { prototypeQueue, width }) => new CentreQueue(classes, prototypeQueue, width),
  momentum: (classes, { prototypeMomentum, width }) => new RunningCentres(classes, width, prototypeMomentum),
  batch: (classes, { width }) => new BatchCentres(classes, width),
};

export function createCentreStore(classes: number, settings: ContrastSettings): CentreStore {
  return stores[settings.prototypeKind](classes, settings);
}
