// Room on the disk for several trainings: what is asked for, and what is there already.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveTensors } from '@pgpc/torch';
import { afterAll, expect, test } from 'vitest';
import { streetSynthPreset } from '../../src/recipes/street-synth.js';
import { checkRoom, type TrainingFiles } from '../../src/training/disk.js';
import { savedBytesOf } from '../../src/training/saved-bytes.js';
import { SmallDisk } from '../support/full-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-disk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const MB = 1e6;
const training = (name: string, state: number, stay: TrainingFiles['stay']): TrainingFiles => ({
  ...{ folder: join(folder, name), state: state * MB, model: 10 * MB, stay },
});
/** What is asked for, in MB: a disk has room for that and not for 4 KiB less. */
function asked(trainings: readonly TrainingFiles[], atOnce: number): number {
  const check = (free: number) => {
    using _ = new SmallDisk(free);
    checkRoom(folder, { trainings, atOnce, shown: 2 * MB });
  };
  const error = (() => {
    try {
      check(0);
    } catch (thrown) {
      return String(thrown);
    }
    return '';
  })();
  const megabytes = Number(/needs? (\d+) MB more/.exec(error)![1]);
  check(Math.ceil((megabytes * MB) / 4096) * 4096);
  expect(() => check(megabytes * MB - 4096)).toThrow('are free');
  return megabytes;
}

test('asks for what stays of all, and for what the largest ones have besides while they are under way', () => {
  const kept = { states: 1, models: 1 };
  const three = [training('a', 100, kept), training('b', 300, kept), training('c', 200, kept)];
  const stay = 100 + 300 + 200 + 3 * 10;
  expect(asked(three, 1)).toBe(stay + 2 * 300 + 2);
  expect(asked(three, 2)).toBe(stay + 2 * 300 + 2 * 200 + 2);
  expect(asked(three, 8)).toBe(stay + 2 * 600 + 2);
  const gone = { states: 0, models: 0 };
  expect(asked([training('a', 100, gone), training('b', 300, { states: 0, models: 1 })], 1)).toBe(
    10 + 3 * 300 + 2,
  );
  const one = { ...training('a', 100, { states: 2, models: 2 }), best: join(folder, 'best') };
  expect(asked([one], 1)).toBe(3 * 100 + 2 * 10 + 2);
});

test('counts what is there of them as free, and says so', () => {
  const all = [training('d', 100, { states: 1, models: 1 }), training('e', 100, { states: 1, models: 1 })];
  const before = asked(all, 1);
  mkdirSync(join(folder, 'd'));
  writeFileSync(join(folder, 'd/training.safetensors'), Buffer.alloc(5 * MB));
  writeFileSync(join(folder, 'd/model.safetensors'), Buffer.alloc(2 * MB));
  writeFileSync(join(folder, 'd/other.safetensors'), Buffer.alloc(MB));
  expect(asked(all, 1)).toBe(before - 7);
  using _ = new SmallDisk(0);
  expect(() => checkRoom(folder, { trainings: all, atOnce: 1, shown: 2 * MB })).toThrow(
    /: the trainings need 415 MB more on this disk \(220 MB that stay of the checkpoints and models of 2 trainings, 200 MB besides while they are under way, up to 1 at once, 2 MB of pictures and metrics; 7 MB are there\), and 0 MB are free: free some, or choose another --out$/,
  );
});

test('looks at the disk of a folder that is not there yet', () => {
  using _ = new SmallDisk(0);
  const place = join(folder, 'not/yet/there');
  expect(() => checkRoom(place, { trainings: [], atOnce: 1, shown: MB })).toThrow(`${place}: `);
});

test('the sizes of a method are found without its data, and leave no tensor behind', () => {
  const { continuation } = streetSynthPreset({ scale: 'quick', seed: 1 });
  const before = liveTensors();
  for (const method of ['source-only', 'daformer', 'pgpc-plus'] as const) {
    const { state, model } = savedBytesOf(continuation(method));
    // Student, the optimizer's two means, and what the method has besides.
    expect(state).toBeGreaterThanOrEqual(3 * 0.99 * model);
  }
  expect(liveTensors()).toBe(before);
});
