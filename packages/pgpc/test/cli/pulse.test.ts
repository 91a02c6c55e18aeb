// Signs of life while a command is silent, and what is said of its time; with clocks that the test turns.

import { describe, expect, test } from 'vitest';
import { forecast, isLong } from '../../src/cli/output/forecast.js';
import { Pace } from '../../src/cli/output/pace.js';
import { beat, noteEnd, noteWrite, PULSE_STATE } from '../../src/cli/output/pulse-beat.js';

/** What is written in so many milliseconds after a word, by beats of a quarter of a second. */
function silence(live: boolean, ms: number, { start = 0, columns = 80, bar = false } = {}) {
  const state = new Int32Array(PULSE_STATE);
  noteWrite(state, start);
  const written: { at: number; text: string }[] = [];
  for (let at = 0; at <= ms; at += 250) {
    beat({ line: 'pgpc  train: evaluate', bar, columns, live, state, now: start + at }, (text) =>
      written.push({ at, text }),
    );
  }
  return { state, written };
}

describe('a silent command', () => {
  test('moves its line on a terminal every second, within its width', () => {
    const { written, state } = silence(true, 3600);
    expect(written.map(({ at }) => at)).toEqual([1000, 2000, 3000]);
    expect(written[0]!.text).toBe('\rpgpc  train: evaluate  (1s)\x1b[K');
    // The line is cleared before anything else is written, once.
    expect(noteWrite(state, 4000)).toBe(true);
    expect(noteWrite(state, 4000)).toBe(false);
    for (const { text } of silence(true, 90_000, { columns: 20 }).written) {
      expect(text.replace('\r', '').replace('\x1b[K', '').length).toBeLessThan(20);
    }
  });

  test('writes a line to a log before ten seconds have passed, with the time since the last word', () => {
    const { written } = silence(false, 11_000);
    expect(written).toEqual([
      { at: 5000, text: 'pgpc  train: evaluate  (5s)\n' },
      { at: 10_000, text: 'pgpc  train: evaluate  (10s)\n' },
    ]);
    // Times are kept modulo 2^31.
    expect(silence(false, 11_000, { start: 2 ** 31 - 3000 }).written).toEqual(written);
  });

  test('repeats a bar in a log only where the bar, which has nine seconds, is late', () => {
    expect(silence(false, 9250, { bar: true }).written).toEqual([]);
    expect(silence(false, 19_750, { bar: true }).written.map(({ at }) => at)).toEqual([9500, 19_000]);
    expect(silence(true, 1000, { bar: true }).written).toHaveLength(1);
  });

  test('says nothing after its end, or where another process does', () => {
    const { state } = silence(false, 0);
    const written: string[] = [];
    const later = { bar: false, columns: 80, live: false, state, now: 60_000 };
    beat({ ...later, line: '' }, (text) => written.push(text));
    noteEnd(state);
    beat({ ...later, line: 'pgpc' }, (text) => written.push(text));
    expect(written).toEqual([]);
  });
});

describe('a forecast', () => {
  test('says how long, where, and what to try where it is days', () => {
    expect(forecast(40_000, 43, 'cpu')).toBe(
      '40,000 steps take about 20 days on this CPU, at 43 s a step; try --iterations 2000 or a smaller --crop',
    );
    expect(forecast(40_000, 0.5, 'cuda:0')).toBe(
      '40,000 steps take about 6 hours on cuda:0, at 2 steps a second',
    );
    expect(forecast(2000, 3600, 'cpu')).toMatch(/83 days.*; try a smaller --crop or a smaller --network$/);
    expect(forecast(10, 1, 'cpu')).toMatch(/^10 steps take less than a minute/);
    expect(forecast(1, 1, 'cpu')).toMatch(/^1 step takes less/);
    expect(forecast(100, 1, 'cpu')).toContain('about 2 minutes');
    expect([isLong(100, 1), isLong(100_000, 1)]).toEqual([false, true]);
  });

  test('counts the checkpoints and the evaluation to come, by what the last took', () => {
    let seconds = 0;
    const forecast = { every: 500, scored: 16, evaluated: 80 };
    const begin = { kind: 'begin', phase: 'pgpc', iteration: 0, iterations: 1000, forecast } as const;
    const pace = new Pace(begin, () => 1000 * seconds);
    let judged: number | undefined;
    for (let done = 1; done <= 20; done++) {
      seconds += 2;
      judged = pace.step(done);
      if (done < 20) expect(judged).toBeUndefined();
      if (done === 10) {
        seconds += 30;
        pace.checkpoint(false);
      }
    }
    // Checkpoints are no steps.
    expect(judged).toBe(2);
    // Nothing was scored yet: an image takes a share of a step.
    expect(pace.ahead(20, 2)).toBeCloseTo((2 * 16 + 80) * 0.2 * 2);
    pace.step(500);
    seconds += 32;
    pace.checkpoint(true);
    expect(pace.ahead(500, 2)).toBe(32 + 80 * 2);
    expect(pace.ahead(1000, 2)).toBe(80 * 2);
  });
});
