// `pgpc adapt` as a user runs it, on a labelled target and on a folder of photos.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { type AdaptEvent, type AdaptOptions, adapt, prepare } from '../../src/comparison/adapt.js';
import type { Experiment } from '../../src/config/experiment.js';
import { scores } from '../../src/evaluation/scores.js';
import { loadModel } from '../../src/models/checkpoint.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { savedBytesOf } from '../../src/training/saved-bytes.js';
import { SmallDisk } from '../support/full-disk.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-adapt-'));
const data = join(folder, 'data');
const source = join(data, 'gta5');
const photos = join(folder, 'photos');
const out = join(folder, 'runs');
const short = ['--source-steps', '10', '--steps', '10', '--crop', '64', '--out', out];

async function pgpc(...args: string[]) {
  const said = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof said) =>
    ({ write: (text: string) => (said[name] += text), isTTY: false }) as unknown as NodeJS.WritableStream;
  const code = await main(args, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...said };
}

beforeAll(async () => {
  const scenes = { sourceTrain: 8, sourceVal: 0, targetTrain: 6, targetVal: 2 };
  await writeStreetSynth(data, { seed: 4, ...scenes, width: 160, height: 80 });
  cpSync(join(data, 'cityscapes/leftImg8bit/train/synth'), photos, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('on a target with labels to score on', () => {
  const args = ['--source-root', source, '--target-root', join(data, 'cityscapes')];
  let outcome: Awaited<ReturnType<typeof pgpc>>;
  beforeAll(async () => {
    const methods = ['--methods', 'self-training,source-only'];
    outcome = await pgpc(
      'adapt',
      ...args,
      ...short,
      ...methods,
      '--name',
      'scored',
      '--json',
      join(folder, 'a.json'),
    );
  }, 240_000);

  test('prints one table, with the source network first', () => {
    expect(outcome).toMatchObject({ code: 0 });
    const { results, info, metrics, pictures } = openRun(join(out, 'scored'));
    expect(results.map(({ name }) => name)).toEqual(['source', 'self-training', 'source-only']);
    expect(info.status).toBe('finished');
    expect(pictures!.worst!.map(({ method }) => method).toSorted()).toEqual(
      results.map(({ name }) => name).toSorted(),
    );
    for (const { name, confusion, miou } of results) {
      expect(scores(confusion!).miou).toBeCloseTo(miou, 12);
      const scored = metrics.filter(({ phase, values }) => phase === name && 'val/miou' in values);
      expect(scored.map(({ iteration }) => iteration)).toEqual([3, 6, 9, 10]);
      // All images are the few that are scored on the way.
      expect(scored.at(-1)!.values['val/miou']).toBe(miou);
    }
    const means = results.map(({ miou }) => (100 * miou).toFixed(1));
    expect(outcome.stdout).toMatch(new RegExp(`mIoU\\s+${means.join('\\s+')}\n`));
    expect(outcome.stdout).toContain('the trainings take');
  });

  test('gives a program the same, as the run directory has it', () => {
    const told = JSON.parse(readFileSync(join(folder, 'a.json'), 'utf8'));
    const run = join(out, 'scored');
    expect(told).toEqual({
      ...{ outcome: 'finished', run, report: join(run, 'report.html') },
      classes: openRun(run).info.classes.map(({ name }) => name),
      results: JSON.parse(readFileSync(join(run, 'results.json'), 'utf8')),
      next: expect.arrayContaining([
        { command: expect.stringContaining('pgpc predict'), gives: expect.any(String) },
      ]),
    });
  });

  test('says what was chosen because nothing else was', () => {
    expect(outcome.stderr).toContain(
      'target: images are brought within 128x128 (--target-scale sets another size)',
    );
  });

  test('the room that was asked for is what its files take', () => {
    const run = join(out, 'scored');
    const { experiments } = openRun(run).info.config as { experiments: Record<string, Experiment> };
    for (const [name, experiment] of Object.entries(experiments)) {
      const { state, model } = savedBytesOf(experiment);
      const size = (file: string) => statSync(join(run, 'checkpoints', name, file)).size;
      // But for headers.
      for (const [file, bytes] of [
        ['training.safetensors', state],
        ['model.safetensors', model],
      ] as const) {
        expect(size(file)).toBeGreaterThan(bytes);
        expect(size(file)).toBeLessThan(bytes + 200_000);
      }
    }
  });

  test('the run is known by its first method, at the size that it was trained at', () => {
    using model = loadModel(join(out, 'scored'));
    expect(model.about).toMatchObject({ inputSize: { width: 128, height: 128 } });
    const first = readFileSync(join(out, 'scored/checkpoints/self-training/model.safetensors'));
    expect(first.length).toBeGreaterThan(0);
  });

  test('the report shows the truth beside every prediction', () => {
    const report = readFileSync(join(out, 'scored/report.html'), 'utf8');
    for (const caption of ['Truth', 'source network', 'self-training', 'source-only']) {
      expect(report).toContain(`<figcaption>${caption}</figcaption>`);
    }
  });
});

test('a disk without room for all trainings is refused before the first, with what is needed and what is free', async () => {
  const { code, stderr } = await (async () => {
    using _ = new SmallDisk(10_000_000);
    return await pgpc(
      'adapt',
      ...['--source-root', source, '--target-root', join(data, 'cityscapes')],
      ...short,
      ...['--methods', 'source-only', '--seeds', '2', '--name', 'small'],
    );
  })();
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /small: the trainings need \d+ MB more on this disk \(\d+ MB that stay of the checkpoints and models of 4 trainings, \d+ MB besides while they are under way, up to \d+ at once, \d+ MB of pictures and metrics\), and 10 MB are free/,
  );
  expect(existsSync(join(out, 'small/metrics.jsonl'))).toBe(false);
  expect(openRun(join(out, 'small')).info.status).toBe('failed');
}, 120_000);

test('a run that was stopped is resumed inside of a training, to the same networks; with other options it is refused', async () => {
  const place = join(out, 'stopped');
  const options = (more: Partial<AdaptOptions> = {}): AdaptOptions => ({
    source: { root: source },
    target: { root: join(data, 'cityscapes') },
    methods: ['self-training', 'source-only'],
    sourceSteps: 10,
    steps: 10,
    crop: 64,
    set: {},
    skipBad: false,
    seed: 1,
    seeds: 1,
    name: 'stopped',
    overwrite: false,
    out,
    device: 'cpu',
    ...more,
  });
  const stop = new AbortController();
  const stopped = adapt(options(), {
    signal: stop.signal,
    onEvent: (event) => {
      if (event.kind === 'run' && event.name === 'self-training' && event.event.kind === 'step') stop.abort();
    },
  });
  await expect(stopped).rejects.toThrow('abort');
  expect(openRun(place).info.status).toBe('stopped');
  const { signal } = new AbortController();
  const resume = (more: Partial<AdaptOptions>, onEvent: (event: AdaptEvent) => void = () => {}) =>
    adapt(options({ resume: place, ...more }), { signal, onEvent });
  await expect(resume({ steps: 20 })).rejects.toThrow('was started with other options (experiments differ)');
  const remarks: string[] = [];
  await resume({}, (event) => {
    if (event.kind === 'run' && event.event.kind === 'remark') remarks.push(event.event.message);
  });
  expect(remarks[0]).toBe('source: resumes from step 10');
  expect(remarks[1]).toMatch(/^(self-training|source-only): resumes from step \d/);
  const [before, after] = [openRun(join(out, 'scored')), openRun(place)];
  expect(after.info.status).toBe('finished');
  const timeless = ({ results }: typeof before) => results.map(({ seconds: _, ...scores }) => scores);
  expect(timeless(after)).toEqual(timeless(before));
  const lines = ({ metrics }: typeof before) =>
    metrics.map(({ phase, iteration, values }) => JSON.stringify([phase, iteration, values])).sort();
  expect(lines(after)).toEqual(lines(before));
  // Trainings end in another order.
  const wayOf = ({ pictures }: typeof before) =>
    pictures!.target.map(({ checkpoints }) => checkpoints!.map((one) => JSON.stringify(one)).sort());
  expect(wayOf(after)).toEqual(wayOf(before));
  for (const file of ['target-0-source-10-right.png', 'target-0-self-training-9-pseudo-label.png']) {
    const [one, other] = ['scored', 'stopped'].map((run) => readFileSync(join(out, run, 'pictures', file)));
    expect([file, one!.equals(other!)]).toEqual([file, true]);
  }
  for (const name of ['source', 'self-training', 'source-only']) {
    const [one, other] = ['scored', 'stopped'].map((run) =>
      readFileSync(join(out, run, 'checkpoints', name, 'model.safetensors')),
    );
    expect([name, one!.equals(other!)]).toEqual([name, true]);
  }
  await expect(resume({})).rejects.toThrow('stopped is finished: there is nothing to resume');
}, 240_000);

describe('on photos alone', () => {
  test('adapts, says that nothing is scored, and shows what is predicted', async () => {
    const args = ['--source-root', source, '--target-root', photos, '--methods', 'self-training'];
    const { code, stderr, stdout } = await pgpc('adapt', ...args, ...short, '--name', 'photos', '--json');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toContain('warning: nothing is scored: ');
    expect(stdout).not.toContain('mIoU');
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'finished', run: join(out, 'photos'), results: [] });
    const { pictures } = openRun(join(out, 'photos'));
    expect(pictures!.target).toHaveLength(4);
    for (const { truth, predictions, checkpoints } of pictures!.target) {
      const last = checkpoints!.filter(({ method }) => method === 'self-training').at(-1)!;
      expect(last.iteration).toBe(10);
      expect(Object.keys(last.pictures)).toEqual(['prediction', 'pseudo-label', 'confidence']);
      expect(truth).toBeUndefined();
      expect(Object.keys(predictions)).toEqual(['source', 'self-training']);
      for (const file of Object.values(predictions)) {
        expect(existsSync(join(out, 'photos/pictures', file))).toBe(true);
      }
    }
  }, 240_000);
});

describe('with two resolutions and masked images', () => {
  const args = [
    '--source-root',
    source,
    '--target-root',
    join(data, 'cityscapes'),
    '--multi-resolution',
    'hrda',
  ];

  test('trains every method so, and evaluates by windows', async () => {
    const named = ['--methods', 'pgpc-plus,source-only', '--masked-consistency', 'mic', '--name', 'hrda'];
    const { code, stderr } = await pgpc('adapt', ...args, ...short, ...named);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { info, results } = openRun(join(out, 'hrda'));
    const { experiments } = info.config as { experiments: Record<string, Experiment> };
    expect(Object.keys(experiments)).toEqual(['source', 'pgpc-plus', 'source-only']);
    for (const { segmentor, crop } of Object.values(experiments)) {
      expect(crop).toMatchObject({ width: 64, height: 64 });
      expect(segmentor.multiResolution).toEqual({ detailCrop: { width: 32, height: 32 }, detailWeight: 0.1 });
    }
    const masked = Object.values(experiments).map(({ method }) => method.maskedConsistency?.ratio);
    expect(masked).toEqual([undefined, 0.7, undefined]);
    expect(results.map(({ miou }) => Number.isFinite(miou))).toEqual([true, true, true]);
  }, 240_000);

  test.each([
    ['hrda', 256, 512],
    ['none', 128, 256],
  ] as const)(
    '%s: crops of %i, images within %i, unless another size is given',
    async (multiResolution, crop, side) => {
      const remarks: string[] = [];
      const options = {
        ...{ source, target: photos, methods: ['pgpc-plus'], multiResolution, set: {}, skipBad: false },
        ...{ seed: 1, seeds: 1, device: 'cpu', out, overwrite: false },
      } satisfies AdaptOptions;
      const { presetOf } = await prepare(options, {
        signal: new AbortController().signal,
        onEvent: (event) => event.kind === 'remark' && remarks.push(event.text),
      });
      expect(presetOf(1).pretraining.crop).toMatchObject({ width: crop, height: crop });
      expect(remarks[0]).toContain(`within ${side}x${side}`);
    },
  );
});

describe('refuses, before it trains and without leaving a run behind', () => {
  const roots = ['--source-root', source, '--target-root', photos];
  test.each([
    ['a root that is missing', ['--source-root', source], '--target-root is missing'],
    [
      'a method that there is not',
      [...roots, '--methods', 'pgpc,self-trainig'],
      "did you mean 'self-training'",
    ],
    ['a method named twice', [...roots, '--methods', 'pgpc,pgpc'], '--methods names pgpc twice'],
    [
      'a setting that nothing has',
      [...roots, '--methods', 'source-only', '--set', 'method.contrast.rank=2'],
      '--set method.contrast.rank',
    ],
    [
      'masked images where nothing has a teacher',
      [...roots, '--methods', 'source-only', '--masked-consistency', 'mic'],
      '--masked-consistency mic: source-only has no teacher',
    ],
  ])('%s', async (_, args, message) => {
    const { code, stderr } = await pgpc('adapt', ...args, '--out', join(out, 'refused'));
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(existsSync(join(out, 'refused/adapt'))).toBe(false);
  });

  test('crops that two resolutions do not take', async () => {
    const crop = ['--multi-resolution', 'hrda', '--crop', '100'];
    const { code, stderr } = await pgpc('adapt', ...roots, ...crop, '--out', join(out, 'refused'));
    expect(code).toBe(1);
    expect(stderr).toContain('sides that are multiples of 8, not 100x100');
    expect(existsSync(join(out, 'refused/adapt'))).toBe(false);
  });

  test('a setting that there is not, before the data is read', async () => {
    const set = ['--set', 'method.contrst.rank=2'];
    const { code, stderr } = await pgpc('adapt', ...roots, ...set, '--out', join(out, 'refused'));
    expect(code).toBe(1);
    expect(stderr).toContain("did you mean 'contrast'");
    expect(stderr).not.toContain('images are brought within');
  });

  test('bad files, by name', async () => {
    const bad = join(folder, 'bad');
    cpSync(photos, bad, { recursive: true });
    writeFileSync(join(bad, 'broken.png'), 'no image');
    const { code, stderr } = await pgpc(
      'adapt',
      '--source-root',
      source,
      '--target-root',
      bad,
      '--out',
      join(out, 'refused'),
    );
    expect(code).toBe(1);
    expect(stderr).toContain('broken.png');
    expect(stderr).toContain('--skip-bad');
    expect(existsSync(join(out, 'refused/adapt'))).toBe(false);
  });
});
