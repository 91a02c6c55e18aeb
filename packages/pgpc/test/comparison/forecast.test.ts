// When trainings side by side are going to end: against a run of the same jobs in lanes, on a clock of its own.

import { setNumThreads } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { forecastSeconds, makespan } from '../../src/comparison/forecast.js';
import { streetSynthPreset } from '../../src/recipes/street-synth.js';
import { inLanes, type Job } from '../../src/training/parallel-runs.js';

/** Runs jobs with {@link inLanes}; the clock jumps to the next end whenever all that runs is waiting. */
async function slowMakespan(jobs: readonly Job[], lanes: number, lengths: ReadonlyMap<string, number>) {
  let now = 0;
  const ends: { at: number; end: () => void }[] = [];
  const run = (job: Job) =>
    new Promise<boolean>((resolve) => {
      ends.push({ at: now + lengths.get(job.name)!, end: () => resolve(true) });
    });
  let over = false;
  const all = inLanes(jobs, lanes, new AbortController().signal, run).then(() => {
    over = true;
  });
  while (!over) {
    await new Promise((resolve) => setImmediate(resolve));
    ends.sort((a, b) => a.at - b.at);
    const next = ends.shift();
    if (!next) continue;
    now = next.at;
    next.end();
  }
  await all;
  return now;
}

describe('makespan', () => {
  test('is what the same jobs take in lanes', async () => {
    const length = fc.integer({ min: 1, max: 50 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ length, after: fc.option(fc.nat(5)) }), { minLength: 1, maxLength: 7 }),
        fc.integer({ min: 1, max: 4 }),
        async (chosen, lanes) => {
          // Lengths differ, so that no two jobs end at once; each waits for an earlier one at most.
          const jobs = chosen.map(({ after }, i) => ({
            name: String(i),
            after: after !== null && after < i ? String(after) : undefined,
          }));
          const lengths = new Map(chosen.map(({ length }, i) => [String(i), length + 2 ** -(i + 1)]));
          const fast = makespan(jobs, lanes, (name) => lengths.get(name)!);
          expect(fast).toBeCloseTo(await slowMakespan(jobs, lanes, lengths), 9);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('refuses a job that waits for none of the others', () => {
    expect(() => makespan([{ name: 'a', after: 'b' }], 2, () => 1)).toThrow('a waits for b');
  });
});

setNumThreads(1);

test('the forecast counts the steps of every method at its own pace', () => {
  const { continuation } = streetSynthPreset({ scale: 'quick', seed: 1 });
  const job = (name: string, iterations: number) => ({
    name,
    experiment: { ...continuation('source-only'), iterations },
  });
  const seconds = (...jobs: ReturnType<typeof job>[]) => forecastSeconds(jobs, 1, 'cpu');
  const [one, many] = [seconds(job('a', 100)), seconds(job('a', 1000), job('b', 1000))];
  expect(one).toBeGreaterThan(0.1);
  expect(many / one).toBeGreaterThan(8);
  expect(many / one).toBeLessThan(50);
});
