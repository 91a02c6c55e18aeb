// The benchmarks against PyTorch: their common parts, and that both sides still compute the same.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const folder = path.resolve(import.meta.dirname, '../../../../bench');
const lib = await import(path.join(folder, 'lib.mjs'));

function pythonWithTorch(): string | undefined {
  try {
    return lib.findPython('');
  } catch {
    return undefined;
  }
}

describe('lib', () => {
  test('the median is the middle of the sorted values', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 }), (values) => {
        const sorted = values.toSorted((a, b) => a - b);
        const half = Math.floor(values.length / 2);
        const slow = values.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
        expect(lib.median(values)).toBe(slow);
      }),
    );
  });

  test('a ratio compares the two of each round: what slows both down does not change it', () => {
    expect(lib.ratioOf([2, 20, 200], [4, 40, 400])).toBe(0.5);
    expect(lib.ratioOf([1, 9, 2], [1, 1, 1])).toBe(2);
  });

  test('sides take turns in alternating order, after a warm-up', async () => {
    const seen: string[] = [];
    await lib.takeTurns(['a', 'b'], { rounds: 3, warmUp: 1 }, async (side: string, round: number) => {
      seen.push(`${side}${round}`);
    });
    expect(seen.join(' ')).toBe('b-1 a-1 a0 b0 b1 a1 a2 b2');
  });

  test('a table in Markdown', () => {
    expect(lib.markdown(['', 'ms'], [['step', 3]])).toBe('|  | ms |\n| --- | ---: |\n| step | 3 |');
  });

  test('an interpreter without PyTorch is named, with what to do', () => {
    expect(() => lib.findPython('no-such-python')).toThrow(
      /^no-such-python cannot import torch: install PyTorch .* with --python$/,
    );
  });
});

// Memory and libraries of a process are read from /proc.
describe.skipIf(pythonWithTorch() === undefined || !existsSync('/proc'))('against PyTorch', () => {
  test('the steps have the same losses, and are timed on both sides', () => {
    const results = mkdtempSync(path.join(tmpdir(), 'pgpc-bench-'));
    const args = '--size 64 --channels 16 --rounds 1 --threads 1 --methods pgpc'.split(' ');
    const run = spawnSync(process.execPath, [path.join(folder, 'step.mjs'), ...args, '--results', results], {
      encoding: 'utf8',
    });
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
    const { equality, methods, software } = JSON.parse(readFileSync(path.join(results, 'step.json'), 'utf8'));
    rmSync(results, { recursive: true });
    expect(equality).toHaveLength(15);
    const of = (loss: string) => equality.filter((row: { loss: string }) => row.loss === loss);
    for (const loss of ['source', 'featureDistance', 'target', 'contrast', 'q']) {
      // The last of three steps, in which every loss is there to differ.
      expect(of(loss)[2].pytorch).toBeGreaterThan(0);
      for (const { difference } of of(loss)) expect(difference).toBeLessThan(loss === 'q' ? 1e-3 : 1e-4);
    }
    expect(methods.map(({ method }: { method: string }) => method)).toEqual(['pgpc']);
    for (const { pgpcMs, pytorchMs, ratio, pgpcPeakMiB, pytorchPeakMiB } of methods) {
      // Of one round, the ratio is that of the two times.
      expect(ratio).toBeCloseTo(pgpcMs / pytorchMs, 9);
      expect(Math.min(pgpcMs, pytorchMs, pgpcPeakMiB, pytorchPeakMiB)).toBeGreaterThan(1);
    }
    expect(software.pgpc.libraries.join()).toMatch(/libtorch_cpu/);
  }, 60_000);

  test('the GPU benchmark runs on the CPU, and continues without a side that fails', () => {
    const results = mkdtempSync(path.join(tmpdir(), 'pgpc-bench-'));
    const args = ['--device', 'cpu', '--precision', 'float32', '--compile', 'blocks', '--compile-limit', '1'];
    const small =
      '--backbone mit_b0 --size 64 --channels 16 --rounds 1 --steps-per-round 1 --threads 1'.split(' ');
    const run = spawnSync(
      process.execPath,
      [
        path.join(folder, 'gpu.mjs'),
        ...[...args, ...small, '--methods', 'pgpc', '--without-peer', 'self-training,pgpc-plus'],
        ...['--results', results],
      ],
      { encoding: 'utf8' },
    );
    expect(run.status, run.stderr).toBe(0);
    const { sides, equality, costs, failures } = JSON.parse(
      readFileSync(path.join(results, 'gpu-on-cpu.json'), 'utf8'),
    );
    rmSync(results, { recursive: true });
    expect(equality.float32).toHaveLength(15);
    type Side = Record<'of' | 'name' | 'method', string>;
    expect(sides.map(({ of, name, method }: Side) => `${of}, ${name}, ${method}`)).toEqual([
      'pgpc, CUDA graphs, pgpc',
      'PyTorch, eager, pgpc',
      'pgpc, CUDA graphs, self-training',
      'pgpc, CUDA graphs, pgpc-plus',
      'pgpc, no graphs, pgpc',
      'PyTorch, eager, channels last, pgpc',
    ]);
    for (const { ms, toEager, method } of sides) {
      expect(ms).toBeGreaterThan(0);
      if (method === 'pgpc') expect(toEager).toBeGreaterThan(0);
      else expect(toEager).toBeUndefined();
    }
    const [paper, plain, plus] = [0, 2, 3].map((side) => sides[side].ms);
    expect(costs.map(({ method, over }: Record<string, string>) => `${method} / ${over}`)).toEqual([
      'pgpc / self-training',
      'pgpc-plus / self-training',
    ]);
    // Of one round, a ratio is that of the two times.
    expect(costs[0].ratio).toBeCloseTo(paper / plain, 9);
    expect(costs[1].ratio).toBeCloseTo(plus / plain, 9);
    // Nothing is compiled within a second.
    expect(failures.map(({ side }: { side: string }) => side)).toContain('PyTorch, compile, blocks, pgpc');
  }, 120_000);

  test.each([
    ['step.mjs', '--methods', 'pgcp', '--methods are some of source-only, self-training, daformer, pgpc'],
    ['step.mjs', '--device', 'gpu', '--device is one of cpu, cuda, not gpu'],
    [
      'gpu.mjs',
      '--methods',
      'pgpc-plus',
      '--methods are some of source-only, self-training, daformer, pgpc with',
    ],
    ['gpu.mjs', '--without-peer', 'pgpc', '--without-peer pgpc: it is one of --methods already'],
    ['gpu.mjs', '--compile', 'max', '--compile is one of default, reduce-overhead, blocks, none, not max'],
    ['all.mjs', '--threads', '0', '--threads is a whole number from 1, not 0'],
    ['all.mjs', '--only', 'steps', '--only takes step, step-b5, forward, loader, evaluate, call'],
  ])('%s %s %s is refused', (script, flag, value, message) => {
    const run = spawnSync(process.execPath, [path.join(folder, script), flag, value], { encoding: 'utf8' });
    expect(run.status).toBe(1);
    expect(run.stderr).toContain(message);
  });
});
