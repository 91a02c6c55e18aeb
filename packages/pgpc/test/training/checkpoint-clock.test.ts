// When checkpoints are due, by a clock that the test turns.

import { expect, test } from 'vitest';
import { CheckpointClock } from '../../src/training/checkpoint-clock.js';

test('a checkpoint is due every 500 steps, at the end, and ten minutes after the last', () => {
  let minutes = 0;
  const clock = new CheckpointClock(undefined, undefined, () => minutes * 60_000);
  expect(clock.due(1, 2000)).toBeUndefined();
  expect(clock.due(500, 2000)).toBe('steps');
  expect(clock.due(1700, 1700)).toBe('steps');
  minutes = 9.9;
  expect(clock.due(2, 2000)).toBeUndefined();
  minutes = 10;
  expect(clock.due(3, 2000)).toBe('time');
  // It is due until it is written.
  expect(clock.due(4, 2000)).toBe('time');
  clock.saved();
  expect(clock.due(5, 2000)).toBeUndefined();
  minutes = 20;
  expect(clock.due(1000, 2000)).toBe('steps');
});
