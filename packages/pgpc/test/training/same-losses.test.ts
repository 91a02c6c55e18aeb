// What every method computes, held to the bit: losses of 20 steps on one thread.
//
// Methods without contrast compute what the first release does, and so does PGPC up to the step in which the contrast sets
// in. From there on its numbers are others: the first release took the label of a source feature from the nearest pixel;
// now one class must have `minShare` of the pixels under it, or the feature is neither positive nor negative. A feature
// on the border of two classes is a bad example of either. These crops have no margins, so no rows are left out here.
//
// The suite compares the first 8 steps, in which the contrast has set in; `PGPC_STEPS=20 npx vitest run same-losses`
// compares all. `PGPC_RECORD=1` writes the numbers anew, which only a change of what is computed may need.

import { readFileSync, writeFileSync } from 'node:fs';
import { buildInfo, setNumThreads, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { denoisers } from '../../src/config/denoise.js';
import type { Experiment } from '../../src/config/experiment.js';
import { weightings } from '../../src/config/loss-weights.js';
import type { MethodName, MethodParts } from '../../src/config/method.js';
import { daformerRareClasses } from '../../src/config/rare-classes.js';
import { styles } from '../../src/config/style.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { classCounts } from '../../src/pipeline/rare-class-sampling.js';
import { Trainer } from '../../src/training/trainer.js';
import { CLASSES, memoryDataset, randomSample, tinyContrast, tinyExperiment } from '../support/method.js';
import { processorHere } from '../support/processor.js';

const FILE = new URL('same-losses.json', import.meta.url);
const STEPS = 20;
/** The contrast sets in at step 7. */
const COMPARED = Number(process.env.PGPC_STEPS ?? 8);

interface Recorded {
  /** Numbers hold to the bit where all of these are the same. */
  computedWith: { processor: string; instructions: string; libtorch: string };
  /** By method, then by name: one number a step. */
  losses: Record<string, Record<string, number[]>>;
}

type Case = [method: MethodName, parts?: MethodParts, overrides?: Partial<Experiment>];

const contrast = { ...tinyContrast, warmup: 0.3 };
const cases: Record<string, Case> = {
  'source-only': ['source-only'],
  'source-only, dcan': ['source-only', { style: styles.dcan }],
  'self-training': ['self-training'],
  'self-training, fda': ['self-training', { style: { ...styles.fda, beta: 0.1 } }],
  daformer: ['daformer'],
  pgpc: ['pgpc'],
  'pgpc, bfloat16': ['pgpc', {}, { precision: 'bfloat16' }],
  'pgpc, activation checkpointing': ['pgpc', {}, { activationCheckpointing: true }],
  'pgpc, dcan': ['pgpc', { style: styles.dcan }],
  'pgpc, denoised by prototypes': ['pgpc', { denoise: denoisers.prototypes }],
  'pgpc, labels denoised by prototypes, dcan': [
    'pgpc',
    { style: styles.dcan, denoise: { ...denoisers.prototypes, where: 'labels' } },
  ],
  'pgpc, denoised by agreement': ['pgpc', { denoise: denoisers.agreement }],
  'pgpc, weights by gradient norm': ['pgpc', { weighting: weightings['gradient-norm'] }],
  'pgpc, weights by uncertainty': ['pgpc', { weighting: weightings.uncertainty }],
  'self-training, weights by gradient norm': ['self-training', { weighting: weightings['gradient-norm'] }],
  'pgpc, pixel-to-pixel on the clean target': [
    'pgpc',
    { contrast: { ...contrast, type: 'pixel-to-pixel', anchorView: 'target', hardSource: true } },
  ],
  'pgpc, pixel-to-prototype, class entropy, momentum': [
    'pgpc',
    {
      contrast: {
        ...contrast,
        type: 'pixel-to-prototype',
        anchorSelection: 'class-entropy',
        anchorShareEnd: 0.8,
        prototypeKind: 'momentum',
        prototypeDomains: 'both',
      },
    },
  ],
  'pgpc, encoder features, anchors in both, class similarity, layer norm': [
    'pgpc',
    {
      contrast: {
        ...contrast,
        features: 'encoder',
        anchorDomains: 'both',
        negativeSampling: 'class-similarity',
        norm: 'layer',
      },
    },
  ],
};

function experiment([method, parts = {}, overrides = {}]: Case): Experiment {
  const rareClasses = { ...daformerRareClasses, temperature: 0.1 };
  const optimizer = { lr: 1e-4, headMultiplier: 3, weightDecay: 0.01 };
  const options = { iterations: STEPS, rareClasses, optimizer, ...overrides };
  return tinyExperiment(method, { contrast, ...parts }, options);
}

async function lossesOf(one: Case, steps: number): Promise<Record<string, number[]>> {
  const store = (seeds: number[]) =>
    new PixelStore(memoryDataset(seeds.map((seed) => randomSample(40, 40, seed))));
  const source = store([1, 2, 3, 4]);
  const data = { source, sourceStatistics: await classCounts(source, CLASSES), target: store([5, 6, 7, 8]) };
  const trainer = new Trainer(experiment(one), { ...data, workers: 0 });
  tidy(() => trainer.step.adoptStudent());
  const losses: Record<string, number[]> = {};
  const enough = new AbortController();
  try {
    await trainer.run({
      logEvery: 1,
      signal: enough.signal,
      onStep: (done) => done === steps && enough.abort(),
      onLog: ({ values }) => {
        for (const [name, value] of Object.entries(values)) losses[name] = [...(losses[name] ?? []), value];
      },
    });
  } finally {
    await trainer.dispose();
  }
  return losses;
}

setNumThreads(1);
const computedWith = { ...processorHere(), libtorch: buildInfo().libtorch };

if (process.env.PGPC_RECORD === '1') {
  const losses: Recorded['losses'] = {};
  for (const [name, one] of Object.entries(cases)) losses[name] = await lossesOf(one, STEPS);
  writeFileSync(FILE, `${JSON.stringify({ computedWith, losses } satisfies Recorded)}\n`);
}

const recorded = JSON.parse(readFileSync(FILE, 'utf8')) as Recorded;
const exact = JSON.stringify(recorded.computedWith) === JSON.stringify(computedWith);

describe(`losses of ${COMPARED} steps are the recorded ones ${exact ? 'to the bit' : 'within rounding'}`, () => {
  test('for as many methods as are recorded', () => {
    expect(Object.keys(cases)).toEqual(Object.keys(recorded.losses));
  });

  test.each(Object.keys(cases))('%s', async (name) => {
    const now = await lossesOf(cases[name]!, COMPARED);
    const before = recorded.losses[name]!;
    expect(Object.keys(now).sort()).toEqual(Object.keys(before).sort());
    for (const [loss, values] of Object.entries(before)) {
      expect(now[loss]).toHaveLength(COMPARED);
      for (const [i, value] of values.slice(0, COMPARED).entries()) {
        if (exact) expect(now[loss]![i], `${loss} of step ${i + 1}`).toBe(value);
        // Another processor adds up in another order, and a pixel at the threshold may tip.
        else expect(Math.abs(now[loss]![i]! - value)).toBeLessThan(0.02 * Math.max(1, Math.abs(value)));
      }
    }
  });
});
