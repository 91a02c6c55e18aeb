// Trainings as a program starts them: by a choice, told of in events, freed on every exit, with nothing on the terminal.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { writeStreetSynth } from '@pgpc/street-synth';
import { liveTensors } from '@pgpc/torch';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { main } from '../../src/cli/main.js';
import { methodLabel } from '../../src/config/method.js';
import { UsageError } from '../../src/config/usage-error.js';
import { evaluate } from '../../src/evaluation/evaluate-model.js';
import { predict } from '../../src/evaluation/predict.js';
import { loadModel } from '../../src/models/checkpoint.js';
import { shippedEncoder } from '../../src/models/weights/shipped.js';
import type { TrainingEvent } from '../../src/training/events.js';
import { repeatedTraining } from '../../src/training/repeat.js';
import { resolveTraining } from '../../src/training/resolve.js';
import { type RunTrainingOptions, resumeTraining, runTraining } from '../../src/training/run.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { differing } from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-run-'));
const out = join(folder, 'runs');
const [source, target] = [join(folder, 'data/gta5'), join(folder, 'data/cityscapes')];
afterAll(() => rmSync(folder, { recursive: true }));
beforeAll(async () => {
  const counts = { sourceTrain: 3, sourceVal: 1, targetTrain: 3, targetVal: 1 };
  await writeStreetSynth(join(folder, 'data'), { seed: 9, ...counts, width: 64 });
});

const choice = {
  source,
  target,
  crop: { width: 32, height: 32 },
  batch: 1,
  iterations: 3,
  workers: 0,
  device: 'cpu',
  set: { 'segmentor.channels': 16 },
};

/** Trains with what a test changes; the events are kept. */
async function train(name: string, options: RunTrainingOptions = {}) {
  const events: TrainingEvent[] = [];
  const result = await runTraining(await resolveTraining(choice), {
    out,
    name,
    device: 'cpu',
    memoryCheck: false,
    ...options,
    onEvent: (event) => {
      events.push(event);
      options.onEvent?.(event);
    },
  });
  return { result, events };
}

let before: number;
const terminal = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write'));
beforeEach(() => {
  before = liveTensors();
  for (const spy of terminal) spy.mockClear();
});
afterEach(() => {
  expect(liveTensors()).toBe(before);
  for (const spy of terminal) expect(spy).not.toHaveBeenCalled();
});

describe('a training', () => {
  test('runs to its scores, and tells what it does in order', async () => {
    const { result, events } = await train('whole');
    const run = openRun(join(out, 'whole'));
    expect(result).toMatchObject({ outcome: 'finished', run: join(out, 'whole') });
    expect(result.result).toEqual(run.results[0]);
    expect(result.best).toMatchObject({ score: 'information', iteration: 3 });
    expect(run.info).toMatchObject({ status: 'finished', seed: 1 });
    expect(events[0]).toEqual({ kind: 'run', directory: join(out, 'whole') });
    const kinds = events
      .map(({ kind }) => kind)
      .filter((kind) => !['data', 'stage', 'warning'].includes(kind));
    const steps = ['step', 'step', 'log', 'step', 'score', 'score', 'score', 'checkpoint'];
    expect(kinds).toEqual(['run', 'description', 'weights', 'begin', ...steps, 'end', 'evaluate']);
    const { scores, confusion } = await evaluate({ checkpoint: result.checkpoint!, target, device: 'cpu' });
    expect(scores.miou).toBe(result.result!.miou);
    expect(run.results[0]!.confusion).toEqual(confusion);
    const [worst] = run.pictures!.worst!;
    expect(worst).toMatchObject({ method: 'pgpc', images: [{ miou: scores.miou }] });
    const kept = readdirSync(join(out, 'whole/pictures'));
    for (const { image, truth, prediction } of worst!.images)
      expect(kept).toEqual(expect.arrayContaining([image, truth, prediction]));
  }, 60_000);

  test('a trained network is not taken for the ImageNet encoder that the feature distance holds to', async () => {
    const whole = join(out, 'whole/checkpoints/pgpc/model.safetensors');
    const take = (weights: string, more = {}) => resolveTraining({ ...choice, ...more, weights });
    await expect(take(whole)).rejects.toThrow(
      `--weights ${whole}: a whole trained network (mit_b0 with daformer, 19 classes), and the feature distance would hold to it as if it were ImageNet's: start from all of it with --init ${whole}, or take its encoder without`,
    );
    await expect(take(join(out, 'whole'))).rejects.toThrow(`--init ${join(out, 'whole')}, or take`);
    const encoder = join(folder, 'encoder.safetensors');
    await main(['weights', 'convert', whole, '--encoder', '--out', encoder], {
      stdout: new Writable({ write: (_, __, done) => done() }),
    });
    await expect(take(encoder)).rejects.toThrow(
      'the encoder of a trained network (mit_b0 with daformer, 19 classes)',
    );
    const { experiment, phase } = await take(whole, { set: { 'method.featureDistance': null } });
    expect(methodLabel(phase, experiment.method)).toBe('pgpc without its feature distance');
    const plain = await take(whole, { method: 'self-training' });
    expect(methodLabel(plain.phase, plain.experiment.method)).toBe('self-training');
    // What is said of a run that was trained so.
    expect(openRun(join(out, 'whole')).results[0]!.label).toBe('pgpc without its feature distance');
  });

  test('stops at a whole step, and resumes to what it would have become', async () => {
    const controller = new AbortController();
    // Logs for other tools change nothing of what is computed.
    const log = ['csv', 'tensorboard'] as const;
    const { result } = await train('stopped', {
      log,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === 'step' && event.done === 2) controller.abort();
      },
    });
    expect(result).toMatchObject({ outcome: 'stopped', result: undefined });
    expect(openRun(result.run!).info.status).toBe('stopped');
    const resumed = await resumeTraining(result.run!, { device: 'cpu', log });
    expect(resumed.outcome).toBe('finished');
    const table = readFileSync(join(result.run!, 'metrics.csv'), 'utf8').trim().split('\n');
    expect(table.length).toBe(1 + openRun(result.run!).metrics.length);
    // One of before it was stopped, and one of after, which has the numbers and the pictures of the last step.
    const files = readdirSync(join(result.run!, 'tensorboard')).map((name) =>
      readFileSync(join(result.run!, 'tensorboard', name), 'latin1'),
    );
    expect(files).toHaveLength(2);
    for (const tag of ['image', 'prediction', 'pseudo-label']) {
      expect(files.some((text) => text.includes(`target 1/${tag}`))).toBe(true);
    }
    for (const tag of ['loss/total', 'unlabelled/information', 'memory/process', 'result/miou', 'iou/road']) {
      expect(files.some((text) => text.includes(tag))).toBe(true);
    }
    using whole = loadModel(join(out, 'whole'));
    using stopped = loadModel(join(out, 'stopped'));
    expect(differing(stopped, whole)).toEqual([]);
    expect(stopped.about).toEqual({ ...whole.about, run: 'stopped' });
    expect(whole.about).toMatchObject({ run: 'whole', method: 'pgpc' });
  }, 120_000);

  test('that fails in a step, in its start or after its end says so in the run directory', async () => {
    const failing = (kind: TrainingEvent['kind']) => ({
      onEvent: (event: TrainingEvent) => {
        if (event.kind === kind) throw new Error(`no ${kind}`);
      },
    });
    for (const kind of ['begin', 'step', 'checkpoint', 'end'] as const) {
      await expect(train(kind, failing(kind))).rejects.toThrow(`no ${kind}`);
      expect(openRun(join(out, kind)).info).toMatchObject({ status: 'failed', error: `no ${kind}` });
    }
    const weights = join(folder, 'weights.pth');
    writeFileSync(weights, 'none');
    await expect(train('weights', { weights })).rejects.toThrow(/weights\.pth/);
    expect(openRun(join(out, 'weights')).info.status).toBe('failed');
    // Before there is a run directory.
    await expect(train('early', failing('description'))).rejects.toThrow('no description');
    expect(existsSync(join(out, 'early'))).toBe(false);
    await expect(resumeTraining(join(out, 'weights'), { device: 'cpu' })).rejects.toThrow(
      /has no checkpoint yet, so there is nothing to resume; start it anew/,
    );
  }, 60_000);

  test('that is stopped in its evaluation, or before its first step, throws the reason', async () => {
    const controller = new AbortController();
    const stopped = train('late', {
      signal: controller.signal,
      onEvent: ({ kind }) => kind === 'end' && controller.abort(),
    });
    await expect(stopped).rejects.toThrow(controller.signal.reason);
    expect(openRun(join(out, 'late')).info.status).toBe('stopped');
    await expect(train('never', { signal: AbortSignal.abort() })).rejects.toThrow(/aborted/);
    expect(existsSync(join(out, 'never'))).toBe(false);
  }, 60_000);
});

describe('a choice', () => {
  test('resolves to what the command line trains', async () => {
    let said = '';
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        said += chunk;
        done();
      },
    });
    const args = [
      ...['train', '--source-root', source, '--target-root', target, '--crop', '32x32', '--batch', '1'],
      ...['--iterations', '1', '--workers', '0', '--device', 'cpu', '--no-memory-check'],
      ...[
        '--out',
        out,
        '--name',
        'by-flags',
        '--style',
        'fda',
        '--set',
        'method.contrast.anchors=8',
        '--set',
        'segmentor.channels=16',
      ],
    ];
    const { signal } = new AbortController();
    expect(await main(args, { stdout: sink, stderr: sink, signal })).toBe(0);
    expect(said).toContain(
      `start: ${shippedEncoder.description}; --weights none starts from random values\n`,
    );
    expect(said).toContain('this is pgpc without its feature distance: there are no weights of ImageNet');
    const set = { ...choice.set, 'method.contrast.anchors': 8 };
    const config = await resolveTraining({ ...choice, iterations: 1, style: 'fda', set });
    expect(openRun(join(out, 'by-flags')).info.config).toEqual(JSON.parse(JSON.stringify(config)));
  }, 60_000);

  test('starts MiT-B0 from the encoder of this package, where nothing else is chosen', async () => {
    const shipped = { weights: 'street-synth' };
    const init = join(out, 'whole/checkpoints/pgpc/model.safetensors');
    const paper = { preset: 'gta5-cityscapes', network: 'mit-b0' } as const;
    for (const [given, start] of [
      [{}, shipped],
      [{ weights: 'street-synth' }, shipped],
      [{ method: 'daformer' }, shipped],
      [{ network: 'mit-b0' }, shipped],
      [{ weights: 'none' }, undefined],
      [{ network: 'mit-b1' }, undefined],
      [{ network: 'mit-b1', weights: 'none' }, undefined],
      [{ set: { 'segmentor.backbone': 'mit_b1' } }, undefined],
      [{ network: 'mit-b1', set: { 'segmentor.backbone': 'mit_b0' } }, shipped],
      [paper, undefined],
      [{ ...paper, weights: 'street-synth' }, shipped],
      [{ init }, { init }],
    ] as const) {
      const config = await resolveTraining({ ...choice, ...given });
      expect(config.start, JSON.stringify(given)).toEqual(start);
      expect(config.experiment.method.featureDistance).toBeUndefined();
    }
    const distance = { weight: 0.005, classes: [11], minShare: 0.75 };
    const refused = (given: object) => resolveTraining({ ...choice, ...given });
    await expect(refused({ set: { 'method.featureDistance': distance } })).rejects.toThrow(
      '--weights street-synth: the encoder of a trained network (mit_b0 with daformer, 19 classes, on street-synth), and the feature distance',
    );
  });

  test('of the encoder of this package is recorded and repeated by its name', async () => {
    const whole = join(out, 'whole');
    const { config } = openRun(whole).info;
    expect(config).toMatchObject({ start: { weights: 'street-synth' } });
    expect(JSON.stringify(config)).not.toContain(shippedEncoder.file);
    expect((await repeatedTraining(whole)).start).toEqual({ weights: 'street-synth' });
    expect((await repeatedTraining(whole, { weights: 'none' })).start).toBeUndefined();
    const random = await train('random', { weights: 'none' });
    expect(random.events.some(({ kind }) => kind === 'weights')).toBe(false);
    expect(openRun(join(out, 'random')).info.config).not.toHaveProperty('start');
    expect((await repeatedTraining(join(out, 'random'))).start).toBeUndefined();
    const again = await repeatedTraining(join(out, 'random'), { weights: 'street-synth' });
    expect(again.start).toEqual({ weights: 'street-synth' });
    using started = loadModel(whole);
    using scratch = loadModel(join(out, 'random'));
    expect([started.about?.licence, scratch.about?.licence]).toEqual(['MIT', undefined]);
    expect(differing(started, scratch).some((name) => name.startsWith('backbone.'))).toBe(true);
  }, 60_000);

  test('that does not go together is refused', async () => {
    const refused = async (given: object) =>
      await resolveTraining({ ...choice, ...given }).catch((error: unknown) => error);
    for (const [given, message] of [
      [{ method: 'source-only', denoise: 'prototypes' }, /source-only has no pseudo-labels to clean/],
      [{ method: 'pgcp' }, /must be one of source-only, .* \(did you mean 'pgpc'\?\)/],
      [{ iterations: 0 }, /iterations/],
      [
        { weights: 'street-synth', network: 'mit-b1' },
        /--weights street-synth: an encoder of mit_b0, and the network's is mit_b1/,
      ],
      [{ weights: 'street-synth', allowPartial: true }, /--allow-partial goes with --weights <file>/],
      [{ weights: 'none', allowPartial: true }, /--allow-partial goes with --weights <file>/],
      [
        { preset: 'gta5-cityscapes', source: { root: source, format: 'synthia' } },
        /is in the layout of gta5/,
      ],
    ] as const) {
      const error = await refused(given);
      expect(error).toBeInstanceOf(UsageError);
      expect(String(error)).toMatch(message);
    }
  });
});

test('two resolutions and masked images: chosen by name, trained, evaluated, and refused for images that are too small', async () => {
  const both = { ...choice, multiResolution: 'hrda', maskedConsistency: 'mic', method: 'pgpc-plus' } as const;
  const small = await resolveTraining(both);
  expect(small.experiment.segmentor.multiResolution!.detailCrop).toEqual({ width: 16, height: 16 });
  await expect(runTraining(small, { out, name: 'too-small', device: 'cpu' })).rejects.toThrow(/58/);

  const data = join(folder, 'larger');
  const counts = { sourceTrain: 2, sourceVal: 1, targetTrain: 2, targetVal: 1 };
  await writeStreetSynth(data, { seed: 9, ...counts, width: 128 });
  const roots = { source: join(data, 'gta5'), target: join(data, 'cityscapes') };
  const crop = { width: 64, height: 64 };
  const config = await resolveTraining({ ...both, ...roots, crop, iterations: 2 });
  await runTraining(config, { out, name: 'both', device: 'cpu', memoryCheck: false });
  using model = loadModel(join(out, 'both'));
  expect(model.config.multiResolution!.detailCrop).toEqual({ width: 32, height: 32 });
  const { metrics, results } = openRun(join(out, 'both'));
  expect(results).toHaveLength(1);
  expect(Object.keys(metrics.at(-1)!.values)).toContain('loss/masked');
});

test('a model keeps the names of its classes, and predicts in their colours', async () => {
  const checkpoint = join(out, 'whole/checkpoints/pgpc');
  {
    using model = loadModel(checkpoint);
    expect(model.classInfo!.map(({ name }) => name)).toEqual(
      openRun(join(out, 'whole')).info.classes.map(({ name }) => name),
    );
  }
  const images = join(target, 'leftImg8bit/val');
  const { lines, classes } = await predict({
    checkpoint,
    images,
    out: join(folder, 'labels'),
    device: 'cpu',
  });
  expect(lines).toHaveLength(1);
  expect(existsSync(join(folder, 'labels', lines[0]!.pictures.labels!))).toBe(true);
  expect(classes[0]!.name).toBe('road');
});
