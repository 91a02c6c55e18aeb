// Run directories, checkpoints and model files that say what they must not are refused, and the file is named.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readAbout } from '../src/models/about.js';
import { readHuggingFaceFiles } from '../src/models/weights/huggingface-files.js';
import { savedBeside, savedState } from '../src/training/checkpoint-texts.js';
import { readRecord } from '../src/training/data-record.js';
import { openRun } from '../src/training/run-directory/open-run.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-hostile-'));
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

describe('a run directory', () => {
  test('whose configuration is nested without end is refused by the name of its file', () => {
    const deep = `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`;
    put('run.json', `{"name":"a","config":${deep}}`);
    expect(() => openRun(folder)).toThrow(/run\.json is not JSON: .*deeper than 100 levels/);
  });

  test('whose record of data is no JSON is refused by the name of its file', () => {
    put('data.json', '{"version":1,');
    expect(() => readRecord(folder)).toThrow(/data\.json is not JSON/);
  });
});

describe('the texts of a training checkpoint', () => {
  const state = {
    iteration: 3,
    optimizer: { groups: [{ name: 'a', size: 1, lr: 0.1, weightDecay: 0 }], steps: [3] },
    augment: [1, -2, 3, 4],
    loader: [1, 2, 3, 2 ** 32 - 1],
  };

  test('are read as they are, and what older ones lack is filled in', () => {
    expect(savedState('x', { state: JSON.stringify(state) })).toEqual({ ...state, skipped: 0 });
    expect(savedBeside('x', {})).toEqual({});
  });

  test.each([
    ['missing', {}, /a\.safetensors .* its state is missing/],
    ['cut', { state: '{' }, /a\.safetensors .* its state is no JSON/],
    ['null', { state: 'null' }, /a\.safetensors .* its state is not valid/],
    ['of another kind', { state: JSON.stringify({ ...state, loader: 7 }) }, /state is not valid: loader/],
  ])('are refused by name where they are %s', (_, texts, why) => {
    expect(() => savedState('a.safetensors', texts as Record<string, string>)).toThrow(why);
  });
});

describe('what a model says of itself', () => {
  test.each([
    ['classes', 'x', /m: its classes are no JSON/],
    ['classes', '[{"name":"a"}]', /m: its classes are not valid: 0\.trainId/],
    ['classes', '[{"name":"a","trainId":1,"labelId":0,"color":[0,0,0],"kind":"stuff"}]', /count from 0/],
    ['classes', '[{"name":"a","trainId":0,"labelId":0,"color":[0,0,999],"kind":"stuff"}]', /0\.color\.2/],
    ['input_size', '-1x5', /m: its input_size "-1x5" is no WxH/],
    ['input_size', '1e9x1e9', /m: its input_size/],
    ['range', '5:1', /m: its range "5:1" is no LOW:HIGH/],
    ['range', 'a', /m: its range/],
  ])('is refused by name: %s %s', (key, text, why) => {
    expect(() => readAbout('m', { [key]: text })).toThrow(why);
  });

  test('beside it is refused by name where it is of other kinds', () => {
    const weights = put('a.safetensors', '');
    for (const text of [
      '{"pgpc":{"input_size":5}}',
      '{"id2label":{"0":{}}}',
      '5',
      '{"pgpc":{"classes":[1]}}',
    ]) {
      const file = put('config.json', text);
      expect(() => readHuggingFaceFiles(weights)).toThrow(file);
    }
    put('config.json', '{"id2label":{"0":"road","1":"car"},"pgpc":{"input_size":"64x32"}}');
    expect(readHuggingFaceFiles(weights)).toMatchObject({
      names: ['road', 'car'],
      own: { input_size: '64x32' },
    });
  });
});
