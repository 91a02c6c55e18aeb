// Steps that are not finite: found, named with their files, and skipped as if they had not been done.

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keep, noGrad, type Tensor, tidy, zeros } from '@pgpc/torch';
import { afterAll, expect, test } from 'vitest';
import type { StepLosses } from '../../src/adaptation/losses.js';
import type { Experiment } from '../../src/config/experiment.js';
import type { MethodName } from '../../src/config/method.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { FiniteSteps } from '../../src/training/finite-steps.js';
import { type LogEntry, type SkippedStep, Trainer } from '../../src/training/trainer.js';
import { memoryDataset, randomSample, tinyContrast, tinyExperiment } from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-finite-'));
afterAll(() => rmSync(folder, { recursive: true }));

const stores = [1, 5].map(
  (first) =>
    new PixelStore(memoryDataset([0, 1, 2, 3, 4, 5, 6, 7].map((i) => randomSample(40, 40, 8 * first + i)))),
);
const data = { source: stores[0]!, target: stores[1]!, workers: 0 };

function experiment(method: MethodName, overrides: Partial<Experiment> = {}): Experiment {
  const contrast = { ...tinyContrast, warmup: 0 };
  return tinyExperiment(method, { contrast }, { iterations: 4, ...overrides });
}

/** Puts a NaN into one pixel of the batches of some steps, from 1. @returns the ids in each batch. */
function spoil(trainer: Trainer, steps: readonly number[], image: 'sourceImage' | 'targetImage'): string[][] {
  const { loader } = trainer;
  const next = loader.next.bind(loader);
  const ids: string[][] = [];
  loader.next = async () => {
    const batch = await next();
    const { source, target } = loader.drawn!;
    const step = ids.push([...source, ...(target ?? [])].map(({ image }) => image));
    if (steps.includes(step))
      tidy(() => noGrad(() => batch[image]!.view([-1]).select(0, 7).fill_(Number.NaN)));
    return batch;
  };
  return ids;
}

/** All that a checkpoint has of a training, tensors as digests. */
function contents({ step, optimizer, loader }: Trainer): Record<string, unknown> {
  const plain = (tensors: Iterable<[string, Tensor]>) =>
    [...tensors].map(([name, value]) => [name, createHash('sha1').update(value.toArray()).digest('hex')]);
  return {
    parts: [...step.parts.state()].map(([name, part]) => [name, plain(part.stateDict())]),
    optimizer: plain(optimizer.stateDict().tensors),
    settings: optimizer.stateDict().settings,
    generators: [...step.parts.generators()].map(([name, generator]) => [name, generator.getState()]),
    augment: step.parts.augmentRng.getState(),
    loader: loader.getState(),
  };
}

/** A copy of all that a step is to leave alone. @returns what puts it back. */
function copy({ step, optimizer }: Trainer): () => void {
  const clones = (tensors: ReadonlyMap<string, Tensor>) =>
    new Map([...tensors].map(([name, value]) => [name, value.clone()]));
  const parts = [...step.parts.state()].map(([name, part]) => [name, clones(part.stateDict())] as const);
  const tensors = clones(optimizer.stateDict().tensors);
  return () => {
    for (const [name, state] of parts) step.parts.state().get(name)!.loadStateDict(state);
    optimizer.loadStateDict({ tensors, settings: optimizer.stateDict().settings });
    step.execution.weightsChanged();
  };
}

test.each([
  ['pgpc', 'targetImage', {}],
  ['pgpc-plus', 'sourceImage', { precision: 'bfloat16' }],
] as const)(
  'steps of %s with a NaN in the %s are as if they had not been done %o',
  async (method, image, other) => {
    const broken = [1, 3];
    const skipping = new Trainer(experiment(method, { ...other, skipNotFinite: 2 }), data);
    spoil(skipping, broken, image);
    const skipped: SkippedStep[] = [];
    // Losses are read at the end alone: until then the host knows of nothing.
    const onSkipped = (step: SkippedStep) => skipped.push(step);
    expect(await skipping.run({ logEvery: 100, onSkipped })).toBe('finished');
    expect(skipped.map(({ iteration }) => iteration)).toEqual(broken);

    const slow = new Trainer(experiment(method, other), data);
    spoil(slow, broken, image);
    let putBack = copy(slow);
    const onStep = (done: number) => {
      if (broken.includes(done)) putBack();
      else putBack = copy(slow);
    };
    await expect(slow.run({ logEvery: 100, onStep })).rejects.toThrow('NaN at step 1: ');
    expect(slow.iteration).toBe(4);
    expect(contents(skipping)).toEqual(contents(slow));
    await skipping.dispose();
    await slow.dispose();
  },
);

test('it names the loss, the step and its files, and ends at the step that is one too many, also when resumed', async () => {
  const checkpoint = mkdtempSync(join(folder, 'checkpoint-'));
  const given = experiment('self-training', { skipNotFinite: 2 });
  const first = new Trainer(given, data);
  const ids = spoil(first, [1, 2, 3], 'sourceImage');
  const skipped: SkippedStep[] = [];
  const log: LogEntry[] = [];
  const options = {
    logEvery: 4,
    onSkipped: (step: SkippedStep) => skipped.push(step),
    onLog: (entry: LogEntry) => log.push(entry),
  };
  // A checkpoint is told of what no log has been told of yet.
  const onStep = (done: number) => {
    if (done !== 2) return;
    first.save(checkpoint);
    expect(skipped.length).toBe(2);
  };
  const end =
    /loss\/total is NaN at step 3: 2 such steps were skipped before.*--skip-not-finite 2.*training stops/;
  await expect(first.run({ ...options, onStep })).rejects.toThrow(end);
  for (const [i, { message }] of skipped.entries()) {
    expect(message).toMatch(
      new RegExp(`^loss/total is NaN: the step was skipped, number ${i + 1} of at most 2`),
    );
    expect(message.match(/image-\d/g)).toEqual(ids[i]);
    expect(message).toContain('label-');
  }
  expect(log.map(({ iteration, values }) => [iteration, values.skipped])).toEqual([[4, 3]]);

  const second = new Trainer(given, data);
  second.restore(checkpoint);
  expect(second.skipped).toBe(2);
  spoil(second, [1], 'sourceImage');
  await expect(second.run(options)).rejects.toThrow(end);
  // More of them may be allowed when it is resumed.
  const third = new Trainer({ ...given, skipNotFinite: 3 }, data);
  third.restore(checkpoint);
  spoil(third, [1], 'sourceImage');
  expect(await third.run(options)).toBe('finished');
  for (const trainer of [first, second, third]) await trainer.dispose();
});

test('a gradient that is not finite is found and undone; the steps beside it, and a training without any, stay', async () => {
  const trainer = new Trainer(experiment('pgpc', { iterations: 1, skipNotFinite: 1 }), data);
  const mayNot = new Trainer(experiment('pgpc', { iterations: 1 }), data);
  await trainer.run();
  await mayNot.run();
  expect(trainer.skipped).toBe(0);
  const before = contents(trainer);
  expect(before).toEqual(contents(mayNot));
  const steps = new FiniteSteps(trainer.step, trainer.optimizer, true);
  const losses = tidy(() => ({ total: keep(zeros([])) })) as unknown as StepLosses;
  const drawn = trainer.loader.drawn!;
  const [name, param] = [...trainer.learner.namedParameters()].findLast(([, { grad }]) => grad !== null)!;
  const gradient = param.grad!.view([-1]).select(0, 0);
  for (const [step, value] of [1, Number.NaN, 2, Number.NEGATIVE_INFINITY].entries()) {
    steps.begin();
    noGrad(() => {
      gradient.fill_(value);
      if (!Number.isFinite(value)) param.fill_(3);
    });
    steps.end(step, losses, drawn);
  }
  expect(steps.take()).toEqual([
    { iteration: 1, drawn, what: `the gradient of ${name} is NaN` },
    { iteration: 3, drawn, what: `the gradient of ${name} is Infinity` },
  ]);
  expect(steps.take()).toEqual([]);
  expect(contents(trainer)).toEqual(before);
  losses.total.dispose();
  steps.dispose();
  await trainer.dispose();
  await mayNot.dispose();
});
