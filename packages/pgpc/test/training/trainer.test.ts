// The training loop and its checkpoints: what is saved and restored trains on as if it had never stopped.

import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveTensors, noGrad, saveSafetensors } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { Learner } from '../../src/adaptation/learner.js';
import { type Experiment, parseExperiment } from '../../src/config/experiment.js';
import { type MethodName, methodConfig } from '../../src/config/method.js';
import { daformerRareClasses } from '../../src/config/rare-classes.js';
import { loadSegmentor, MODEL_FILE } from '../../src/models/checkpoint.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { classCounts } from '../../src/pipeline/rare-class-sampling.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { CHECKPOINT_FILE, PREVIOUS_FILE } from '../../src/training/checkpoint-names.js';
import { buildOptimizer } from '../../src/training/optimizer.js';
import { type LogEntry, Trainer, type TrainingData } from '../../src/training/trainer.js';
import {
  CLASSES,
  differing,
  type MemorySample,
  memoryDataset,
  randomSample,
  tinyContrast,
  tinyExperiment,
  tinySegmentor,
} from '../support/method.js';

const ITERATIONS = 5;

function experiment(method: MethodName, overrides: Partial<Experiment> = {}): Experiment {
  const contrast = { ...tinyContrast, warmup: 0.3 };
  const rareClasses = { ...daformerRareClasses, temperature: 0.1 };
  return tinyExperiment(method, { contrast }, { iterations: ITERATIONS, rareClasses, ...overrides });
}

const COLOURS = [
  [230, 20, 20],
  [20, 230, 20],
  [20, 20, 230],
  [230, 230, 20],
  [20, 230, 230],
];

/** Images in which each class has a colour of its own, under noise; `light` is the share of its strength. */
function coloured(seed: number, light: number): Required<MemorySample> {
  const { image, label } = randomSample(40, 40, seed);
  const data = image.data.map((noise, i) => {
    const colour = COLOURS[label.data[Math.floor(i / 3)]!] ?? [128, 128, 128];
    return light * colour[i % 3]! + noise / 10;
  });
  return { image: { ...image, data }, label };
}

const source = new PixelStore(memoryDataset([1, 2, 3, 4].map((seed) => coloured(seed, 1))));
const target = new PixelStore(memoryDataset([5, 6, 7, 8].map((seed) => coloured(seed, 0.7))));
const data: TrainingData = { source, sourceStatistics: await classCounts(source, CLASSES), target };

const folder = mkdtempSync(join(tmpdir(), 'pgpc-trainer-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a source in which no class can be drawn is refused before there are tensors', () => {
  const before = liveTensors();
  const nothing = {
    ...data,
    sourceStatistics: {
      ...data.sourceStatistics!,
      counts: data.sourceStatistics!.counts.map((row) => row.map(() => 0)),
    },
  };
  expect(() => new Trainer(experiment('pgpc'), nothing)).toThrow('no source image shows any class');
  expect(liveTensors()).toBe(before);
});

describe('a run', () => {
  test.each(['source-only', 'pgpc'] as const)(
    'of %s that is stopped, saved and restored ends where one in one go does, bit for bit',
    async (method) => {
      const checkpoint = mkdtempSync(join(folder, 'checkpoint-'));
      const log: LogEntry[] = [];
      const onLog = (entry: LogEntry) => log.push(entry);
      const whole = new Trainer(experiment(method), data);
      expect(await whole.run({ logEvery: 1, onLog })).toBe('finished');
      const expected = log.splice(0);
      expect(expected.map(({ iteration }) => iteration)).toEqual([1, 2, 3, 4, 5]);

      const first = new Trainer(experiment(method), data);
      const stop = new AbortController();
      const onStep = (done: number) => {
        if (done === 2) stop.abort();
      };
      expect(await first.run({ signal: stop.signal, logEvery: 1, onLog, onStep })).toBe('stopped');
      expect(first.iteration).toBe(2);
      first.save(checkpoint);
      expect(readdirSync(checkpoint).sort()).toEqual([MODEL_FILE, CHECKPOINT_FILE].sort());
      const model = loadSegmentor(join(checkpoint, MODEL_FILE));
      expect(differing(model, first.learner.segmentor)).toEqual([]);
      model.dispose();

      const second = new Trainer(experiment(method), data);
      second.restore(checkpoint);
      expect(second.iteration).toBe(2);
      expect(differing(second.learner, first.learner)).toEqual([]);
      expect(await second.run({ logEvery: 1, onLog })).toBe('finished');
      expect(log).toEqual(expected);
      // Saving changed nothing either, for the run that trains on.
      expect(await first.run()).toBe('finished');

      for (const other of [first, second]) {
        expect(differing(other.learner, whole.learner)).toEqual([]);
        if (method === 'pgpc') {
          expect(differing(other.step.parts.teacher!.network, whole.step.parts.teacher!.network)).toEqual([]);
          for (const [i, { module }] of other.step.parts.contrast!.stores.entries()) {
            expect(differing(module, whole.step.parts.contrast!.stores[i]!.module)).toEqual([]);
          }
        }
        expect(other.optimizer.stateDict().settings).toEqual(whole.optimizer.stateDict().settings);
        expect(other.loader.getState()).toEqual(whole.loader.getState());
        await other.dispose();
      }
      await whole.dispose();
    },
  );

  test('ends at the first loss that is not finite, before anybody is told of the step', async () => {
    const trainer = new Trainer(experiment('self-training'), data);
    const log: LogEntry[] = [];
    const steps: number[] = [];
    const spoil = (done: number) => {
      steps.push(done);
      if (done === 2) noGrad(() => trainer.learner.parameters()[0]!.fill_(Number.NaN));
    };
    const run = trainer.run({ logEvery: 1, onLog: (entry) => log.push(entry), onStep: spoil });
    await expect(run).rejects.toThrow(/loss\/total is NaN at step 3: .*smaller learning rate/);
    expect(steps).toEqual([1, 2]);
    expect(log.map(({ iteration }) => iteration)).toEqual([1, 2, 3]);
    await trainer.dispose();
  });

  test('saves no weight that is not finite over what it saved before', async () => {
    const trainer = new Trainer(experiment('self-training'), data);
    const checkpoint = mkdtempSync(join(folder, 'finite-'));
    trainer.save(checkpoint);
    const saved = () => [CHECKPOINT_FILE, MODEL_FILE].map((name) => readFileSync(join(checkpoint, name)));
    const before = saved();
    const weights = [...trainer.learner.stateDict()].filter(([, { dtype }]) => dtype === 'float32');
    const [name, weight] = weights.at(-1)!;
    noGrad(() => weight.view([-1]).select(0, 0).fill_(Number.POSITIVE_INFINITY));
    expect(() => trainer.save(checkpoint)).toThrow(`the weight ${name} is not finite at step 0`);
    for (const [i, bytes] of saved().entries()) expect(bytes.equals(before[i]!)).toBe(true);
    await trainer.dispose();
  });

  test('logs what the method has, and the rate of the schedule', async () => {
    const log: LogEntry[] = [];
    const steps: number[] = [];
    const trainer = new Trainer(experiment('pgpc'), data);
    await trainer.run({ logEvery: 2, onLog: (entry) => log.push(entry), onStep: (done) => steps.push(done) });
    expect(steps).toEqual([1, 2, 3, 4, 5]);
    expect(log.map(({ iteration }) => iteration)).toEqual([2, 4, 5]);
    // The rate of the step that was done last, t = iteration - 1: poly decay, and warm-up while t < 2.
    const rates = [1e-3 * (1 - 1 / 5) * (1 - (1 / 2) * 0.9), 1e-3 * (1 - 3 / 5), 1e-3 * (1 - 4 / 5)];
    for (const [i, { values }] of log.entries()) {
      expect(Object.keys(values).sort()).toEqual([
        'loss/contrast',
        'loss/feature-distance',
        'loss/source',
        'loss/target',
        'loss/total',
        'lr',
        'q',
      ]);
      expect(Object.values(values).every(Number.isFinite)).toBe(true);
      expect(values.lr).toBeCloseTo(rates[i]!, 12);
      expect(values.q! >= 0 && values.q! <= 1).toBe(true);
      // Warm-up of the contrast: 0.3 of 5 steps, so from the third step on.
      expect(values['loss/contrast']! > 0).toBe(i > 0);
    }
    const last = trainer.optimizer.groups.map(({ name, lr }) => [name, lr / rates[2]!]);
    expect(Object.fromEntries(last)).toEqual({
      encoder: expect.closeTo(1, 9),
      'encoder norms': expect.closeTo(1, 9),
      head: expect.closeTo(3, 9),
    });
    // A run that is over has nothing left to do.
    expect(await trainer.run()).toBe('finished');
    expect(trainer.iteration).toBe(ITERATIONS);
    await trainer.dispose();
  });

  test('learns, and frees what it used', async () => {
    const before = liveTensors();
    const log: number[] = [];
    const given = experiment('source-only', {
      iterations: 24,
      optimizer: { lr: 3e-3, headMultiplier: 10, weightDecay: 0.01 },
    });
    const trainer = new Trainer(given, data);
    await trainer.run({ logEvery: 1, onLog: ({ values }) => log.push(values['loss/source']!) });
    const average = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
    expect(average(log.slice(-5))).toBeLessThan(0.7 * average(log.slice(0, 5)));
    await trainer.dispose();
    // Not more than before; there may be fewer, where the collector found some that other tests left.
    expect(liveTensors()).toBeLessThanOrEqual(before);
  });

  test('stops before its first step at a signal that was given before', async () => {
    const trainer = new Trainer(experiment('source-only'), data);
    expect(await trainer.run({ signal: AbortSignal.abort() })).toBe('stopped');
    expect(trainer.iteration).toBe(0);
    await trainer.dispose();
  });
});

describe('a checkpoint', () => {
  test('is refused where it does not belong, and nothing changes', async () => {
    const checkpoint = mkdtempSync(join(folder, 'checkpoint-'));
    const trainer = new Trainer(experiment('source-only'), data);
    trainer.save(checkpoint);
    const other = new Trainer(experiment('source-only', { seed: 7 }), data);
    expect(() => other.restore(checkpoint)).toThrow('belongs to another experiment');
    expect(differing(other.learner, trainer.learner)).not.toEqual([]);

    const foreign = mkdtempSync(join(folder, 'foreign-'));
    cpSync(join(checkpoint, MODEL_FILE), join(foreign, CHECKPOINT_FILE));
    expect(() => trainer.restore(foreign)).toThrow('is no training checkpoint of this version');
    expect(existsSync(join(foreign, MODEL_FILE))).toBe(false);
    saveSafetensors(join(foreign, CHECKPOINT_FILE), trainer.learner.stateDict(), {});
    expect(() => trainer.restore(foreign)).toThrow(join(foreign, CHECKPOINT_FILE));
    await trainer.dispose();
    await other.dispose();
  });

  test('is replaced as a whole by the next', async () => {
    const checkpoint = mkdtempSync(join(folder, 'checkpoint-'));
    const trainer = new Trainer(experiment('source-only', { iterations: 1 }), data);
    trainer.save(checkpoint);
    await trainer.run();
    trainer.save(checkpoint);
    expect(readdirSync(checkpoint).sort()).toEqual([MODEL_FILE, CHECKPOINT_FILE, PREVIOUS_FILE].sort());
    const again = new Trainer(experiment('source-only', { iterations: 1 }), data);
    again.restore(checkpoint);
    expect(again.iteration).toBe(1);
    expect(differing(again.learner, trainer.learner)).toEqual([]);
    await trainer.dispose();
    await again.dispose();
  });
});

test('parameter groups go by name: encoder, its norms without decay, and the head faster', () => {
  const learner = new Learner(tinySegmentor, 0, { width: 4, depth: 2 });
  const optimizer = buildOptimizer(learner, { lr: 0.1, headMultiplier: 10, weightDecay: 0.5 });
  const settings = new Map(
    optimizer.groups.flatMap(({ params, lr, weightDecay }) =>
      params.map((parameter) => [parameter, [lr, weightDecay]] as const),
    ),
  );
  const named = learner.namedParameters();
  expect(settings.size).toBe(named.size);
  const counts = { head: 0, norms: 0, encoder: 0 };
  for (const [name, parameter] of named) {
    const [lr, weightDecay] = settings.get(parameter)!;
    // DAFormer's keys: `head` x 10 with decay kept, else `norm` without decay.
    if (name.startsWith('segmentor.decode_head.') || name.startsWith('projection.')) {
      counts.head++;
      expect([name, lr, weightDecay]).toEqual([name, 1, 0.5]);
    } else if (name.includes('norm')) {
      counts.norms++;
      expect([name, lr, weightDecay]).toEqual([name, 0.1, 0]);
    } else {
      counts.encoder++;
      expect([name, lr, weightDecay]).toEqual([name, 0.1, 0.5]);
    }
  }
  // Norms of MiT-B0: one an embedding, one a stage, two a block and one a reduced attention; weight and bias each.
  expect(counts.norms).toBe(2 * (4 + 4 + 2 * 8 + 6));
  expect(counts.head).toBe(2 + 8 + 3 * 8 + 4);
  optimizer.dispose();
  learner.dispose();
});

describe('an experiment', () => {
  test('needs the data that its method uses', () => {
    expect(() => new Trainer(experiment('pgpc'), { ...data, target: undefined })).toThrow(
      'self-training needs target images',
    );
    expect(() => new Trainer(experiment('source-only'), { source })).toThrow(
      'rare class sampling needs the class counts of the source',
    );
  });

  test('is refused with the names of the keys that are wrong', () => {
    const given = experiment('pgpc');
    const wrong = { ...given, batch: 0, crop: { ...given.crop, flip: 1.5 }, iteration: 3 };
    for (const message of ['at batch', 'at crop.flip', '"iteration"']) {
      expect(() => parseExperiment(wrong)).toThrow(message);
    }
  });

  test('survives JSON, and the recipe of DAFormer is one', () => {
    for (const given of [
      experiment('pgpc'),
      daformerRecipe({ method: methodConfig('pgpc') }),
      daformerRecipe({ method: {} }),
    ]) {
      expect(parseExperiment(JSON.parse(JSON.stringify(given)))).toEqual(given);
    }
  });
});
