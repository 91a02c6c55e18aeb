// The contrast's options: defaults, what is refused, and that configurations from before the switches stay as they are.

import { expect, test } from 'vitest';
import { contrastSchema, contrastSettings, pgpcContrast } from '../../../src/config/contrast.js';

/** The numbers alone, as methods were written before there was anything to choose. */
const numbers = {
  weight: 0.1,
  warmup: 0.5,
  anchorShare: 0.2,
  anchors: 256,
  negatives: 512,
  rank: 4,
  bankCapacity: 5000,
  enqueue: 64,
  prototypeQueue: 100,
  temperature: 0.5,
  width: 256,
  depth: 2,
};

test("what is left out is the paper's choice", () => {
  const settings = contrastSettings(numbers);
  expect(settings).toEqual(contrastSettings(pgpcContrast));
  expect(settings).toEqual({
    ...numbers,
    type: 'hybrid',
    anchorSelection: 'global-entropy',
    anchorShareEnd: 0.2,
    anchorThreshold: 0.968,
    anchorView: 'mixed',
    anchorDomains: 'target',
    features: 'decoder',
    perAnchorNegatives: false,
    negativeDomains: 'both',
    negativeSampling: 'uniform',
    hardSource: false,
    minShare: 0.75,
    prototypeDomains: 'source',
    prototypeKind: 'queue',
    prototypeMomentum: 0.99,
    norm: 'none',
  });
  expect(contrastSettings({ ...numbers, type: undefined, anchorShareEnd: 0.8 })).toMatchObject({
    type: 'hybrid',
    anchorShareEnd: 0.8,
  });
});

test('a checkpoint of a configuration without switches fits the same configuration', () => {
  expect(JSON.stringify(contrastSchema.parse(numbers))).toBe(JSON.stringify(numbers));
});

test.each([
  [{ type: 'pixel' }, '"hybrid"|"pixel-to-pixel"|"pixel-to-prototype"'],
  [
    { anchorSelection: 'entropy' },
    '"global-entropy"|"class-entropy"|"class-confidence"|"threshold"|"random"',
  ],
  [{ anchorView: 'clean' }, '"mixed"|"target"'],
  [{ negativeDomains: 'none' }, '"source"|"target"|"both"'],
  [{ prototypeDomains: 'none' }, '"source"|"target"|"both"'],
  [{ prototypeKind: 'mean' }, '"queue"|"momentum"|"batch"'],
  [{ prototypeMomentum: 1 }, 'expected number to be <1'],
  [{ anchorShareEnd: 0 }, 'expected number to be >0'],
  [{ anchorThreshold: 1.1 }, 'expected number to be <=1'],
  [{ perAnchorNegatives: 'yes' }, 'expected boolean'],
  [{ features: 'stages' }, '"decoder"|"encoder"'],
  [{ anchorDomains: 'all' }, '"source"|"target"|"both"'],
  [{ negativeSampling: 'hard' }, '"uniform"|"class-similarity"'],
  [{ norm: 'batch' }, '"none"|"layer"'],
  [{ minShare: 1.1 }, 'expected number to be <=1'],
  [
    { anchorDomains: 'source', anchorView: 'target' },
    'anchorView target is of no use without anchors in the target: see anchorDomains',
  ],
  [
    { type: 'pixel-to-prototype', negativeSampling: 'class-similarity' },
    'negativeSampling draws from a bank of pixels, which the type pixel-to-prototype does not have',
  ],
])('refuses %j', (wrong, message) => {
  expect(() => contrastSchema.parse({ ...numbers, ...wrong })).toThrow(message.replaceAll('"', '\\"'));
});

test.each([
  { anchorDomains: 'both', anchorView: 'target' },
  { anchorDomains: 'source', anchorView: 'mixed' },
  { type: 'pixel-to-prototype', negativeSampling: 'uniform' },
  { type: 'pixel-to-pixel', negativeSampling: 'class-similarity' },
])('takes %j', (chosen) => {
  expect(contrastSchema.parse({ ...numbers, ...chosen })).toEqual({ ...numbers, ...chosen });
});
