// Which file a path of a model means: a file, a checkpoint folder, a run directory.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { locateModel } from '../../src/models/locate.js';

const root = mkdtempSync(join(tmpdir(), 'pgpc-locate-'));
afterAll(() => rmSync(root, { recursive: true }));
const at = (...parts: string[]) => join(root, ...parts);

function write(path: string, text = ''): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}

function run(name: string, config: object, ...checkpoints: string[]): string {
  write(at(name, 'run.json'), JSON.stringify({ config }));
  for (const checkpoint of checkpoints) write(at(name, 'checkpoints', checkpoint, 'model.safetensors'));
  return at(name);
}
const model = (name: string, checkpoint: string) => at(name, 'checkpoints', checkpoint, 'model.safetensors');

test('a file is itself, and of a folder the weights in it are taken', () => {
  const file = write(at('any.pth'));
  expect(locateModel(file)).toBe(file);
  const own = write(at('checkpoint', 'model.safetensors'));
  write(at('checkpoint', 'training.safetensors'));
  expect(locateModel(at('checkpoint'))).toBe(own);
});

test('of a run directory the last checkpoint, or the best', () => {
  const mine = run('mine', { phase: 'pgpc' }, 'pgpc', 'best', 'other');
  expect(locateModel(mine)).toBe(model('mine', 'pgpc'));
  expect(locateModel(mine, { best: true })).toBe(model('mine', 'best'));
  // A run of before its training had a name, with one checkpoint.
  expect(locateModel(run('old', {}, 'daformer', 'best'))).toBe(model('old', 'daformer'));
});

test('what is not one checkpoint is refused with what there is', () => {
  const demo = run('demo', {}, 'pgpc', 'source-only');
  expect(() => locateModel(demo)).toThrow(
    `${demo}: this run has several checkpoints; name one of ${at('demo', 'checkpoints', 'pgpc')}, ${at('demo', 'checkpoints', 'source-only')}`,
  );
  expect(() => locateModel(demo, { best: true })).toThrow(
    /has kept no best checkpoint; it has .*pgpc, .*source-only$/,
  );
  expect(() => locateModel(run('new', { phase: 'pgpc' }))).toThrow('new: this run has no checkpoint yet');
  expect(() => locateModel(at('any.pth'), { best: true })).toThrow(
    'chosen within a run directory, and this is none',
  );
  expect(() => locateModel(at('none'))).toThrow('none: there is no such file or folder');
  mkdirSync(at('runs'));
  run('runs/a', { phase: 'pgpc' }, 'pgpc');
  expect(() => locateModel(at('runs'))).toThrow(
    `neither a run directory nor a folder with model.safetensors; it has runs: ${at('runs', 'a')}`,
  );
  write(at('torn', 'run.json'), '{');
  expect(() => locateModel(at('torn'))).toThrow('torn/run.json: cannot be read');
});
