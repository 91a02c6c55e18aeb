// The rules of the long training: they see a leak and a slow-down, and no noise.

import path from 'node:path';
import { expect, test } from 'vitest';

const { slope, verdicts } = await import(path.resolve(import.meta.dirname, '../../../../bench/trend.mjs'));

const TOTAL = 1000;
const every = (steps: number) => Array.from({ length: TOTAL / steps }, (_, i) => (i + 1) * steps);

/** A run that stays as it was, but for what `change` makes of it, and others' work that doubles every fourth time. */
function run(change: { sample?: (done: number) => object; cpu?: (done: number) => number } = {}) {
  const { sample = () => ({}), cpu = () => 1 } = change;
  const noise = (done: number, of: number) => ((done / of) % 4 === 1 ? 2 : 1);
  const MIB = 2 ** 20;
  return {
    samples: every(10).map((done) => ({
      ...{
        done,
        rss: 400 * MIB + (done % 70) * 1e5,
        heap: 20 * MIB,
        external: 4 * MIB,
        tensorBytes: 50 * MIB,
      },
      ...{ tensors: 900, descriptors: 25, threads: 12 },
      ...sample(done),
    })),
    steps: every(1).map((done) => ({ done, cpuMs: 90 * cpu(done) * noise(done, 1) })),
    checkpoints: every(20).map((done) => ({ done, cpuMs: 900 * cpu(done) * noise(done, 20) })),
  };
}

const broken = (given: ReturnType<typeof run>) =>
  verdicts(given, TOTAL)
    .filter(({ kept }: { kept: boolean }) => !kept)
    .map(({ what }: { what: string }) => what);

test('the slope passes over a third of wild values', () => {
  const x = every(10);
  const y = x.map((value, i) => (i % 4 === 0 ? 1e9 : 3 * value + 5));
  expect(slope(x, y)).toBeCloseTo(3, 6);
});

test('noise and a warm-up break no rule', () => {
  expect(broken(run())).toEqual([]);
  // libvips' threads, which come and go.
  const pool = run({ sample: (done) => ({ threads: done > 900 && done % 40 === 0 ? 21 : 13 + (done % 3) }) });
  expect(broken(pool)).toEqual([]);
  const early = run({ sample: (done) => (done <= 200 ? { rss: 1e8, tensors: 5, threads: 2 } : {}) });
  expect(broken(early)).toEqual([]);
});

test.each([
  ['rss', { rss: 4e8, perStep: 30_000 }],
  ['heap', { heap: 2e7, perStep: 2000 }],
  ['external', { external: 4e6, perStep: 500 }],
  ['tensorBytes', { tensorBytes: 5e7, perStep: 1000 }],
])('%s that grows by a little every step is a leak', (what, { perStep, ...from }) => {
  const [start] = Object.values(from) as [number];
  expect(broken(run({ sample: (done) => ({ [what]: start + perStep * done }) }))).toEqual([what]);
});

test.each(['tensors', 'descriptors', 'threads'])('one more of %s at the end is a leak', (what) => {
  expect(broken(run({ sample: (done) => ({ [what]: done > 800 ? 31 : 30 }) }))).toEqual([what]);
});

test('steps and checkpoints that take longer at the end are told', () => {
  expect(broken(run({ cpu: (done) => 1 + done / 5000 }))).toEqual(['steps']);
  expect(broken(run({ cpu: (done) => 1 + done / 1000 }))).toEqual(['steps', 'checkpoints']);
});

test('a run that is too short for the rules is refused', () => {
  const { samples, steps } = run();
  expect(() => verdicts({ samples, steps, checkpoints: [{ done: TOTAL, cpuMs: 1 }] }, TOTAL)).toThrow(
    '1000 steps are too few: a fifth of them has no sample, or no checkpoint',
  );
});
