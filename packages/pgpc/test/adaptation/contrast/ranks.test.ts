// The contrast's variants on the ranks of a world, each with a part of the batch, against one process with all of it.

import { alone, grad, keep, ops, type Tensor, tidy, type World } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PixelContrast, type PixelView } from '../../../src/adaptation/contrast/contrast.js';
import type { ContrastOptions } from '../../../src/config/contrast.js';
import {
  C,
  cellMap,
  cellsOf,
  drawsAhead,
  featureMap,
  headOf,
  labelMap,
  labelOf,
  PIXELS,
  seenAt,
  similarSlots,
  variants,
  WIDTH,
} from '../../support/contrast.js';
import { difference, matrix } from '../../support/method.js';

/** Thrown where a rank would wait for the others. */
class Waiting extends Error {}

/**
 * What every rank's program returns, in one process: collectives wait for all ranks, so the programs are run anew for
 * each of them, with the results of those before.
 */
function onRanks<T>(size: number, program: (world: World) => T): T[] {
  const results: Tensor[] = [];
  for (;;) {
    const asked: { kind: 'sum' | 'gather'; axis: number; x: Tensor }[] = [];
    const ended = Array.from({ length: size }, (_, rank) => {
      let call = 0;
      const collective = (kind: 'sum' | 'gather', x: Tensor, axis = 0): Tensor => {
        const known = results[call++];
        if (known) return known.clone();
        // Longer than the tidy scopes that the throw ends.
        asked.push({ kind, axis, x: keep(x.detach()) });
        throw new Waiting();
      };
      const world: World = {
        rank,
        size,
        sum: (x) => collective('sum', x),
        mean: (x) => collective('sum', x).div(size),
        gather: (x, axis) => collective('gather', x, axis),
        part: (x, axis = 0) => x.narrow(axis, (rank * x.shape[axis]!) / size, x.shape[axis]! / size),
      };
      try {
        return { value: program(world) };
      } catch (error) {
        if (error instanceof Waiting) return undefined;
        throw error;
      }
    });
    if (asked.length === 0) return ended.map((each) => each!.value);
    // A rank that asked for nothing, or for something else, would have waited for ever.
    expect(asked.map(({ kind, axis }) => [kind, axis])).toEqual(
      Array(size).fill([asked[0]!.kind, asked[0]!.axis]),
    );
    const tensors = asked.map(({ x }) => x);
    results.push(
      asked[0]!.kind === 'sum' ? tensors.reduce((a, b) => a.add(b)) : ops.cat(tensors, asked[0]!.axis),
    );
  }
}

/** Leaves out what rounding would decide: a random number next to the boundary of two rows. */
function withoutNearDraws(contrast: PixelContrast): void {
  const { negativeSampling, temperature } = contrast.options;
  if (negativeSampling === 'uniform') return;
  const { rows, filled } = contrast.negatives.store!.module;
  const counts = filled.tolist() as number[];
  const owners = (rows.select(2, WIDTH).tolist() as number[][]).map((own, c) => own.slice(0, counts[c]));
  const prototypes = matrix(contrast.prototypes());
  for (const [c, numbers] of drawsAhead(contrast).negatives.entries()) {
    if (counts[c]! > 0) similarSlots(numbers, owners[c]!, prototypes, c, temperature);
  }
}

/** Two steps and the losses on a rank's images; `tidy` is left to the caller, since it may end half-way. */
function train(options: ContrastOptions, onTarget: boolean, seed: number, world: World) {
  const part = (x: Tensor) => world.part(x, 0);
  const viewPart = ({ features, logits }: PixelView) => ({ features: part(features), logits: part(logits) });
  const head = headOf(seed, 2, options.norm);
  const contrast = new PixelContrast(C, options, seed, world);
  for (const step of [0, 1]) {
    const { source, cells, target } = seenAt(seed + 10 * step);
    contrast.storeSource(viewPart(source), part(cellMap(cells)), head);
    contrast.storeTarget(viewPart(target), head, step / 2);
  }
  const maps = [featureMap(seed + 5), featureMap(seed + 7)].map((map) => map.requiresGrad_()) as [
    Tensor,
    Tensor,
  ];
  const mask = part(labelMap(labelOf(seed + 6)).eq(0));
  const { target } = seenAt(seed + 20);
  const sourceMask = onTarget ? undefined : mask;
  if (world === alone) withoutNearDraws(contrast);
  const ofSource = contrast.sourceLoss(part(maps[1]), part(cellMap(cellsOf(seed + 8))), head);
  if (world === alone) withoutNearDraws(contrast);
  const ofTarget = contrast.loss(part(maps[0]), sourceMask, viewPart(target), head, 1);
  // Of unlike weights, so that neither can stand in for the other.
  const loss = ofTarget.add(ofSource.mul(2));
  const gradients = grad(loss, [...maps, ...head.parameters()]).map((gradient) => gradient!.toArray());
  return {
    loss: loss.item(),
    gradients,
    state: [...contrast.stateDict().values()].map((value) => value.toArray()),
    random: contrast.generator.getState(),
  };
}

test('two ranks store, draw and learn what one process does', () => {
  fc.assert(
    fc.property(
      variants,
      // All pixels, or few of many.
      fc.constantFrom({}, { anchors: 2, enqueue: 3, bankCapacity: 8 }, { anchors: PIXELS / 2 + 1 }),
      fc.boolean(),
      fc.integer({ min: 0, max: 1e6 }),
      (variant, sizes, onTarget, seed) => {
        const options = { ...variant, ...sizes };
        const one = tidy(() => train(options, onTarget, seed, alone));
        const ranks = tidy(() => onRanks(2, (world) => train(options, onTarget, seed, world)));
        const mean = (values: number[]) => (values[0]! + values[1]!) / 2;
        expect(mean(ranks.map(({ loss }) => loss))).toBeCloseTo(one.loss, 4);
        for (const [i, gradient] of one.gradients.entries()) {
          const halves = ranks.map(({ gradients }) => Array.from(gradients[i]!, Number));
          expect(
            difference(
              halves[0]!.map((x, j) => mean([x, halves[1]![j]!])),
              gradient as Float32Array,
            ),
          ).toBeLessThan(2e-4);
        }
        for (const { state, random } of ranks) {
          expect(random).toEqual(one.random);
          for (const [i, value] of state.entries()) {
            expect(difference(value as Float32Array, one.state[i] as Float32Array)).toBeLessThan(1e-5);
          }
        }
      },
    ),
    { numRuns: 16 },
  );
});
