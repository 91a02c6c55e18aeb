// The bookkeeping of recorded parts, with a stand-in for CUDA graphs that runs the work again at every replay.

import { liveTensors, noGrad, type Tensor, tensor, tidy } from '@pgpc/torch';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { eager, GraphedStages, type Tensors } from '../../src/adaptation/execution/stages.js';

const graphs = vi.hoisted(() => ({ made: [] as { after: unknown; replays: number; freed: boolean }[] }));

vi.mock('@pgpc/torch', async (original) => {
  const torch = await original<typeof import('@pgpc/torch')>();
  class CudaGraph {
    replays = 0;
    freed = false;

    constructor(
      readonly work: () => Tensors,
      readonly result: Tensors,
      readonly after: unknown,
    ) {
      graphs.made.push(this);
    }

    static record(work: () => Tensors, after?: unknown) {
      const result = work();
      return { graph: new CudaGraph(work, result, after), result };
    }

    replay(): void {
      this.replays++;
      torch.tidy(() =>
        torch.noGrad(() => {
          for (const [name, value] of Object.entries(this.work())) {
            if (value) this.result[name]!.copy_(value);
          }
        }),
      );
    }

    dispose(): void {
      this.freed = true;
    }
  }
  return { ...torch, CudaGraph };
});

beforeEach(() => {
  graphs.made.length = 0;
});

/** Two parts; the second reads what the first gave. */
function step(stages: typeof eager, kind: string, value: number, calls: string[] = []): number {
  return tidy(() => {
    stages.begin(kind);
    const { doubled } = stages.run('first', { x: tensor([value]), none: undefined }, ({ x }) => {
      calls.push('first');
      return { doubled: x.mul(2), none: undefined };
    });
    const { sum } = stages.run('second', { doubled }, ({ doubled }) => {
      calls.push('second');
      return { sum: doubled.add(1) };
    });
    return sum.item();
  });
}

describe('parts that are recorded', () => {
  test('run by themselves for three steps, are recorded in the fourth, and then only replayed', () => {
    const stages = new GraphedStages();
    const seen: number[][] = [];
    for (let i = 1; i <= 6; i++) {
      const calls: string[] = [];
      expect(step(stages, 'a', i, calls)).toBe(2 * i + 1);
      seen.push([calls.length, graphs.made.length]);
    }
    // The stand-in runs the work once to record it, and once a replay.
    expect(seen.slice(0, 4)).toEqual([
      [2, 0],
      [2, 0],
      [2, 0],
      [4, 2],
    ]);
    expect(graphs.made.map(({ replays }) => replays)).toEqual([3, 3]);
    expect(graphs.made[0]!.after).toBeUndefined();
    expect(graphs.made[1]!.after).toBe(graphs.made[0]);
    stages.dispose();
  });

  test('are recorded anew for steps of another kind, and the old ones freed', () => {
    const stages = new GraphedStages();
    for (let i = 0; i < 5; i++) step(stages, 'a', i);
    for (let i = 0; i < 3; i++) expect(step(stages, 'b', i)).toBe(2 * i + 1);
    expect(graphs.made.map(({ freed }) => freed)).toEqual([true, true]);
    expect(step(stages, 'b', 7)).toBe(15);
    expect(graphs.made).toHaveLength(4);
    expect(graphs.made[2]!.after).toBeUndefined();
    stages.dispose();
    expect(graphs.made.every(({ freed }) => freed)).toBe(true);
  });

  test('what they give is not the program’s to keep, and nothing is left behind', () => {
    const before = liveTensors();
    const stages = new GraphedStages();
    const results: Tensor[] = [];
    for (let i = 1; i <= 6; i++) {
      stages.begin('a');
      const x = tensor([i]);
      const { y } = stages.run('part', { x }, (given) => ({ y: given.x.mul(10) }));
      results.push(y);
      x.dispose();
    }
    // The results of recorded steps all show what the last replay computed.
    expect(results.map((y) => y.item())).toEqual([10, 20, 30, 60, 60, 60]);
    for (const result of results) result.dispose();
    stages.dispose();
    expect(liveTensors()).toBe(before);
  });

  test('inputs are copied without a part in any graph of gradients', () => {
    const stages = new GraphedStages();
    tidy(() => {
      const weight = tensor([2], { requiresGrad: true });
      for (let i = 0; i < 6; i++) {
        stages.begin('a');
        const { loss } = stages.run('part', { x: weight.mul(3) }, ({ x }) => ({
          loss: noGrad(() => x.mul(1)),
        }));
        expect([loss.item(), loss.requiresGrad]).toEqual([6, false]);
      }
    });
    stages.dispose();
  });
});

test('without recording, each part is a tidy scope', () => {
  const before = liveTensors();
  expect(step(eager, 'a', 4)).toBe(9);
  expect(liveTensors()).toBe(before);
});
