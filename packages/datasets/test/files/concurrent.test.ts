// Work on many files at once: each once, never too many at a time, and an end after a failure.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forEachConcurrently } from '../../src/files/concurrent.js';

describe('work on many files', () => {
  it('does each item once, never more at a time than allowed, and counts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.scheduler(),
        async (count, concurrency, scheduler) => {
          const items = Array.from({ length: count }, (_, i) => i);
          const seen: number[] = [];
          const progress: number[] = [];
          let running = 0;
          let most = 0;
          const action = scheduler.scheduleFunction(async (item: number) => {
            seen.push(item);
          });
          const all = forEachConcurrently(
            items,
            async (item) => {
              most = Math.max(most, ++running);
              await action(item);
              running--;
            },
            { concurrency, onProgress: (done) => progress.push(done) },
          );
          await scheduler.waitFor(all);
          expect(seen.sort((a, b) => a - b)).toEqual(items);
          expect(most).toBe(Math.min(concurrency, count));
          expect(progress).toEqual(items.map((i) => i + 1));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('starts nothing more after a failure or an abort', async () => {
    const started: number[] = [];
    const run = (signal?: AbortSignal) =>
      forEachConcurrently(
        [0, 1, 2, 3, 4],
        async (item) => {
          started.push(item);
          if (item === 1) throw new Error('one');
        },
        { concurrency: 1, signal },
      );
    await expect(run()).rejects.toThrow('one');
    expect(started).toEqual([0, 1]);
    await expect(run(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
    expect(started).toEqual([0, 1]);
  });
});
