// Weights in several files: read by their index, refused one by one.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { liveTensors, tensor, tidy } from '../../src/index.js';
import { indexWeights, loadWeights, saveSafetensors } from '../../src/serialize/index.js';

const root = mkdtempSync(join(tmpdir(), 'shards-'));
const folder = join(root, 'hub');
const at = (name: string) => join(folder, name);
const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
const index = at('model.safetensors.index.json');
const writeIndex = (map: Record<string, unknown>) =>
  writeFileSync(index, JSON.stringify({ metadata: { total_size: 12 }, weight_map: map }));

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  tidy(() => {
    saveSafetensors(at(first), { a: tensor([1]), b: tensor([2]) }, { format: 'pt' });
    saveSafetensors(at(second), { c: tensor([3]) });
  });
  writeIndex({ a: first, c: second, b: first });
});
afterAll(() => rmSync(root, { recursive: true }));

it('are read as one, in the order of the index, all or what is asked for', () => {
  const before = liveTensors();
  tidy(() => {
    const { tensors, metadata } = loadWeights(index);
    expect([...tensors].map(([name, value]) => [name, value.item()]).sort()).toEqual([
      ...[
        ['a', 1],
        ['b', 2],
        ['c', 3],
      ],
    ]);
    expect({ ...metadata }).toEqual({ format: 'pt' });
    const { entries, read } = indexWeights(index);
    expect([...entries.keys()]).toEqual(['a', 'c', 'b']);
    expect([...read(['c'])].map(([name, value]) => [name, value.item()])).toEqual([['c', 3]]);
  });
  expect(liveTensors()).toBe(before);
});

it('name a shard that is missing, and a tensor that is not where the index has it', () => {
  rmSync(at(second));
  expect(() => loadWeights(index)).toThrow(`${index}: 1 of its 2 shards is missing: ${second}`);
  writeIndex({ a: first, z: first });
  expect(() => loadWeights(index)).toThrow(`tensor "z" is not in ${first}`);
});

it('refuse an index that is none, or that reaches out of its folder', () => {
  writeFileSync(index, '{"a": 1}');
  expect(() => loadWeights(index)).toThrow('no index of shards: it has no weight_map');
  writeFileSync(index, '{');
  expect(() => loadWeights(index)).toThrow('cannot be read as an index of shards');
  for (const name of ['../secret.safetensors', '/etc/passwd', 'a\\b', '..', 7]) {
    writeIndex({ a: name });
    expect(() => loadWeights(index)).toThrow('is no file name beside the index');
  }
});

it('one alone is refused, with the index if it is there', () => {
  expect(() => loadWeights(at(first))).toThrow(
    `${at(first)}: one of 2 shards, not the whole of the weights; name the index, ${index}, or its folder`,
  );
  rmSync(index);
  expect(() => loadWeights(at(first))).toThrow('its index, model.safetensors.index.json, is not beside it');
  tidy(() => saveSafetensors(at('model-00001-of-00001.safetensors'), { a: tensor([1]) }));
  tidy(() => expect(loadWeights(at('model-00001-of-00001.safetensors')).tensors.size).toBe(1));
});
