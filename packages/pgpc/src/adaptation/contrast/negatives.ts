// Negatives: for every class, the pixels that are certainly not of it (eq 10, 11), or the other classes' prototypes.

import { ops, type Tensor, tidy } from '@pgpc/torch';
import type { ContrastSettings } from '../../config/contrast.js';
import type { AnchorList } from './anchor-list.js';
import { otherClassScores, ownScores } from './info-nce.js';
import { MemoryBank } from './memory-bank.js';
import { classMembers, knownClasses, type Positives, prototypesOf } from './positives.js';
import type { ProjectedPixels } from './projected-pixels.js';
import { type Draws, drawnFor, type Sample, storeSample } from './sampling.js';

/**
 * Which classes are among a pixel's r most likely ones: O_i(c) < r, where O_i(c) is the rank of class c, 0 for the most
 * likely. Of classes that are equally likely either all are or none. (P, C) to (C, P), bool.
 */
export function mostLikelyClasses(probabilities: Tensor, r: number): Tensor {
  const k = Math.min(r, probabilities.shape[1]!);
  const least = (probabilities.topk(k, 1) as [Tensor, Tensor])[0].narrow(1, k - 1, 1);
  return probabilities.ge(least).t();
}

/**
 * Source pixels qualified as negatives of c: their label is another class (eq 10).
 * @param label (P), int64 in 0 .. C - 1 or 255. A pixel without a class serves no class.
 * @returns (C, P), bool.
 */
export function sourceNegatives(label: Tensor, classes: number): Tensor {
  return classMembers(label, classes).logicalNot().logicalAnd(label.lt(classes));
}

/**
 * U2PL's hard negatives (Wang et al. 2022, arXiv 2203.03884): the qualified source pixels that are most easily taken for c,
 * with c among their r most likely classes, O_i(c) < r.
 * @param probabilities (P, C), or scores in the same order. @returns (C, P), bool.
 */
export function hardSourceNegatives(label: Tensor, probabilities: Tensor, r: number): Tensor {
  const qualified = sourceNegatives(label, probabilities.shape[1]!);
  return qualified.logicalAnd(mostLikelyClasses(probabilities, r));
}

/**
 * Target pixels qualified as negatives of c: c is not among their r most likely classes, O_i(c) >= r (eq 11). A pixel that
 * hesitates between a few classes still serves all the others.
 * @param probabilities (P, C), the teacher's. @returns (C, P), bool.
 */
export function targetNegatives(probabilities: Tensor, r: number): Tensor {
  return mostLikelyClasses(probabilities, r).logicalNot();
}

/** What anchors are pushed from, with the store of it. */
export interface Negatives {
  /** The store, under its name in a checkpoint; absent where the positives' store suffices. */
  readonly store?: { readonly name: string; readonly module: MemoryBank };
  /**
   * Takes in the pixels of one domain in one step, where pixels are kept.
   * @param candidates (C, P), bool. @param label gives the class of each pixel that is a candidate, (P), int64.
   */
  add?(pixels: ProjectedPixels, candidates: Tensor, label: () => Tensor): void;
  /** (C), bool: which classes have any. */
  ready(): Tensor;
  /** z_cm . z_cn- of the listed anchors' features z (A, D): (A, N). */
  scores(z: Tensor, anchors: Sample, list: AnchorList): Tensor;
}

/**
 * How likely each row is drawn as a hard negative, by class similarity (ReCo, Liu et al. 2022, arXiv 2104.04465): the
 * class k of a negative of c is drawn in proportion to exp(z_c+ . z_k+ / tau), and then one of its rows. So the classes that
 * look most like c come most often, however many rows they have. A class without a prototype counts as unlike all others.
 * @param prototypes (C, D), unit rows. @param owner (C, K), int64: the class of each row.
 * @param written (C, K), bool: which rows are there. @returns (C, K), from 0; a class's sum is 1, or 0
 *   where it has no rows.
 */
export function similarityWeights(
  prototypes: Tensor,
  owner: Tensor,
  written: Tensor,
  temperature: number,
): Tensor {
  return tidy(() => {
    const similarity = prototypes.matmul(prototypes.t()).div(temperature);
    const there = written.to('float32');
    const rows = ops.zerosLike(similarity).scatterAdd(1, owner, there);
    // The shares of the classes that have rows: exp alone would overflow below a temperature of 0.012.
    const share = similarity.maskedFill(rows.eq(0), -1e30).softmax(1);
    return share.div(rows.clampMin(1)).gather(1, owner).mul(there);
  });
}

/** N pixels of other classes, drawn from a bank: for all anchors of a class together, or for each. */
export class PixelNegatives implements Negatives {
  readonly store: { readonly name: string; readonly module: MemoryBank };
  /** Whether each row ends with the number of its class, by which it is drawn. */
  readonly #labelled: boolean;

  constructor(
    readonly classes: number,
    readonly settings: ContrastSettings,
    readonly positives: Positives,
    readonly draws: Draws,
  ) {
    this.#labelled = settings.negativeSampling === 'class-similarity';
    const width = settings.width + (this.#labelled ? 1 : 0);
    this.store = { name: 'negatives', module: new MemoryBank(classes, settings.bankCapacity, width) };
  }

  add(pixels: ProjectedPixels, candidates: Tensor, label: () => Tensor): void {
    const labelled = (index: Tensor) =>
      ops.cat([pixels.at(index), label().index([index]).to('float32').unsqueeze(2)], 2);
    const rows = this.#labelled ? { at: labelled } : pixels;
    storeSample(this.store.module, candidates, rows, this.settings.enqueue, this.draws);
  }

  /** The features in rows of the bank, (.., D) or (.., D + 1). */
  #features(rows: Tensor): Tensor {
    return this.#labelled ? rows.narrow(rows.ndim - 1, 0, this.settings.width) : rows;
  }

  /** How likely each row is drawn; undefined: all alike. */
  #weights(): Tensor | undefined {
    if (!this.#labelled) return undefined;
    const bank = this.store.module;
    const owner = bank.rows.select(2, this.settings.width).to('int64');
    return similarityWeights(prototypesOf(this.positives), owner, bank.written(), this.settings.temperature);
  }

  ready(): Tensor {
    return this.store.module.filled.gt(0);
  }

  scores(z: Tensor, anchors: Sample, list: AnchorList): Tensor {
    const bank = this.store.module;
    const { negatives, perAnchorNegatives } = this.settings;
    const { generator, world } = this.draws;
    const weights = this.#weights();
    if (!perAnchorNegatives) {
      return list.products(z, this.#features(bank.draw(negatives, generator, weights)));
    }
    const slots = bank.drawSlots(anchors.total * negatives, generator, weights);
    const own = drawnFor(anchors, slots.view([this.classes, anchors.total, negatives]), world);
    return ownScores(z, this.#features(bank.rows), own, list);
  }
}

/** The prototypes of all other classes. */
export class PrototypeNegatives implements Negatives {
  constructor(readonly positives: Positives) {}

  /** A class has negatives if any other class has a prototype. */
  ready(): Tensor {
    const present = knownClasses(this.positives);
    return present.sum().sub(present.to('int64')).gt(0);
  }

  scores(z: Tensor, _: Sample, list: AnchorList): Tensor {
    return otherClassScores(z, prototypesOf(this.positives), knownClasses(this.positives), list);
  }
}
