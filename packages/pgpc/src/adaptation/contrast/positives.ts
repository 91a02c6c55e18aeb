// Positives: a prototype of each class, made from the centres of its pixels (eq 9), or single pixels of the class.

import { alone, arange, type Tensor, tidy, type World } from '@pgpc/torch';
import type { ContrastSettings, Domain } from '../../config/contrast.js';
import { type CentreStore, type Centres, createCentreStore } from './centres.js';
import { MemoryBank } from './memory-bank.js';
import type { ProjectedPixels } from './projected-pixels.js';
import { normalizeRows } from './projection-head.js';
import { type Draws, drawnFor, type Sample, storeSample } from './sampling.js';

/**
 * The mean feature of every class in the batch (eq 9).
 * @param z (P, D), unit rows. @param label (P), int64 in 0 .. C - 1 or 255.
 * @param world the ranks that share the batch.
 */
export function classCentres(z: Tensor, label: Tensor, classes: number, world: World = alone): Centres {
  return memberCentres(z, classMembers(label, classes), world);
}

/** The mean feature of every class's members. @param z (P, D). @param members (C, P), bool. */
function memberCentres(z: Tensor, members: Tensor, world: World): Centres {
  const weights = members.to('float32');
  const count = world.sum(weights.sum([1]));
  return { centre: world.sum(weights.matmul(z)).div(count.clampMin(1).unsqueeze(1)), present: count.gt(0) };
}

/** (C, P), bool: which pixels have the class as label. A pixel without a class belongs to none. */
export function classMembers(label: Tensor, classes: number): Tensor {
  return arange(classes, { device: label.device }).unsqueeze(1).eq(label);
}

/** What anchors are drawn to, with the store of it. */
export interface Positives {
  /** The store, under its name in a checkpoint. */
  readonly store: { readonly name: string; readonly module: CentreStore | MemoryBank };
  /** Takes in the pixels of one domain in one step. @param members (C, P), bool: each class's pixels. */
  add(domain: Domain, pixels: ProjectedPixels, members: Tensor): void;
  /** z_c+ of the anchors: (C, D), or (C, M, D) with one an anchor. */
  draw(anchors: Sample): Tensor;
}

/** z_c+ of eq 9, one row a class: (C, D), unit rows; zeros for a class without positives. */
export function prototypesOf({ store }: Positives): Tensor {
  return tidy(() => normalizeRows(store.module.mean()));
}

/** (C), bool: which classes have positives yet. */
export function knownClasses({ store }: Positives): Tensor {
  return tidy(() => store.module.filled.gt(0));
}

/** z_c+ is the normalised mean of the class's centres (eq 9). */
export class PrototypePositives implements Positives {
  readonly store: { readonly name: string; readonly module: CentreStore };

  constructor(
    classes: number,
    settings: ContrastSettings,
    readonly draws: Draws,
  ) {
    this.store = { name: 'centres', module: createCentreStore(classes, settings) };
  }

  add(domain: Domain, pixels: ProjectedPixels, members: Tensor): void {
    this.store.module.add(domain, memberCentres(pixels.all(), members, this.draws.world));
  }

  draw(): Tensor {
    return prototypesOf(this);
  }
}

/** z_cm+ is a pixel of the class, drawn for each anchor from a bank of them. */
export class PixelPositives implements Positives {
  readonly store: { readonly name: string; readonly module: MemoryBank };

  constructor(
    classes: number,
    readonly settings: ContrastSettings,
    readonly draws: Draws,
  ) {
    const bank = new MemoryBank(classes, settings.bankCapacity, settings.width);
    this.store = { name: 'positives', module: bank };
  }

  add(_: Domain, pixels: ProjectedPixels, members: Tensor): void {
    storeSample(this.store.module, members, pixels, this.settings.enqueue, this.draws);
  }

  draw(anchors: Sample): Tensor {
    const { generator, world } = this.draws;
    return drawnFor(anchors, this.store.module.draw(anchors.total, generator), world);
  }
}
