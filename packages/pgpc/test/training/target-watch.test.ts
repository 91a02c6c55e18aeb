import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SegmentationDataset } from '@pgpc/datasets';
import { liveTensors, loadSafetensors, tidy } from '@pgpc/torch';
import sharp from 'sharp';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contrastView } from '../../src/adaptation/contrast-view.js';
import { Learner } from '../../src/adaptation/learner.js';
import type { AdaptationStep } from '../../src/adaptation/step.js';
import { evaluateSegmentor, toLabelMap } from '../../src/evaluation/evaluate.js';
import { networkInput, predictLabels } from '../../src/evaluation/inference.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { coloured } from '../../src/training/run-directory/pictures.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { picturesIn } from '../../src/training/run-directory/schema.js';
import { TargetWatch } from '../../src/training/target-watch.js';
import {
  memoryDataset,
  randomSample,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
} from '../support/method.js';

const samples = [1, 2, 3, 4, 5].map((seed) => randomSample(40, 32, seed));
const validation = memoryDataset(samples);
const target = memoryDataset(samples.map(({ image }) => ({ image })));
let folder: string;
let run: RunDirectory;
let student: Learner;
let teacher: Learner;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pgpc-watch-'));
  run = RunDirectory.create(folder, 'run', {
    config: {},
    seed: 1,
    versions: {},
    classes: validation.classes,
  });
  student = new Learner(tinySegmentor, 1);
  teacher = new Learner(tinySegmentor, 2);
});
afterEach(() => {
  student.dispose();
  teacher.dispose();
  rmSync(folder, { recursive: true });
});

const step = (withTeacher = true) =>
  ({
    student,
    parts: { teacher: withTeacher ? { network: teacher } : undefined },
  }) as unknown as AdaptationStep;
/** The images at `indices` of a data set, under the names that they have there. */
const subset = (dataset: SegmentationDataset, indices: readonly number[]): SegmentationDataset => ({
  ...dataset,
  samples: indices.map((index) => dataset.samples[index]!),
  readImage: (i) => dataset.readImage(indices[i]!),
  readLabel: (i) => dataset.readLabel(indices[i]!),
});
const picture = (file: string) =>
  sharp(join(run.path, 'pictures', file))
    .removeAlpha()
    .raw()
    .toBuffer();

test('shows four images with their truth, what student and teacher make of them, and scores the student', async () => {
  const watch = await TargetWatch.open(run, { target, validation, size: undefined, every: 500 });
  const before = liveTensors();
  const logged = await watch.checkpoint(500, step());
  await watch.close();
  expect(liveTensors()).toBe(before);
  const { pictures } = openRun(run.path);
  expect(pictures!.target).toHaveLength(4);
  for (const sample of pictures!.target) {
    expect(sample.truth).toBeDefined();
    const [one] = sample.checkpoints!;
    expect(one!.iteration).toBe(500);
    expect(Object.keys(one!.pictures)).toEqual(['prediction', 'right', 'pseudo-label', 'confidence']);
    for (const file of Object.values(one!.pictures))
      expect(existsSync(join(run.path, 'pictures', file))).toBe(true);
  }
  const { scores } = await evaluateSegmentor(student.segmentor, validation);
  const byClass = validation.classes.flatMap(({ name }, i) =>
    Number.isNaN(scores.iou[i]) ? [] : [[`val/iou/${name}`, scores.iou[i]]],
  );
  expect(byClass.length).toBeGreaterThan(2);
  expect(logged).toEqual({ 'val/miou': scores.miou, ...Object.fromEntries(byClass) });
});

test('where the prediction is wrong is black, where the label does not say white', async () => {
  const watch = await TargetWatch.open(run, { target, validation, size: undefined, every: 500 });
  await watch.checkpoint(500, step());
  await watch.close();
  const index = validation.samples.findIndex(({ id }) => id === openRun(run.path).pictures!.target[0]!.id);
  const { image, label } = samples[index]!;
  student.segmentor.eval();
  using prediction = predictLabels(student.segmentor, image);
  const expected = [...(prediction.toArray() as Uint8Array)].map((c, i) =>
    label.data[i] === 255 || label.data[i] === c ? 255 : 0,
  );
  const bytes = await picture(openRun(run.path).pictures!.target[0]!.checkpoints![0]!.pictures.right!);
  expect([...bytes].filter((_, i) => i % 3 === 0)).toEqual(expected);
  expect(new Set(expected).size).toBe(2);
});

test('the modes of the networks stay as they were', async () => {
  student.segmentor.train(true);
  const watch = await TargetWatch.open(run, { target, validation, size: undefined, every: 500 });
  await watch.checkpoint(500, step());
  await watch.close();
  expect(student.segmentor.training).toBe(true);
});

test('of a target without labels and a method without a teacher it shows the predictions alone', async () => {
  const watch = await TargetWatch.open(run, { target, validation: undefined, size: undefined, every: 500 });
  expect(await watch.checkpoint(500, step(false))).toEqual({});
  await watch.close();
  for (const sample of openRun(run.path).pictures!.target) {
    expect(sample.truth).toBeUndefined();
    expect(Object.keys(sample.checkpoints![0]!.pictures)).toEqual(['prediction']);
  }
});

test('of many checkpoints a few stay, evenly spread, and the newest; a resumed run adds to them', async () => {
  let watch = await TargetWatch.open(run, { target, validation: undefined, size: undefined, every: 500 });
  for (let i = 1; i <= 12; i++) await watch.checkpoint(500 * i, step(false));
  await watch.close();
  watch = await TargetWatch.open(run, { target, validation: undefined, size: undefined, every: 500 });
  for (let i = 13; i <= 20; i++) await watch.checkpoint(500 * i, step(false));
  await watch.close();
  const kept = openRun(run.path).pictures!.target[0]!.checkpoints!.map(({ iteration }) => iteration);
  expect(kept.length).toBeLessThanOrEqual(6);
  expect(kept.at(-1)).toBe(10_000);
  expect(kept).toEqual(kept.toSorted((a, b) => a - b));
  const gaps = kept.slice(1, -1).map((iteration, i) => iteration - kept[i]!);
  expect(new Set(gaps).size).toBe(1);
  const files = readdirSync(join(run.path, 'pictures'));
  expect(new Set(files)).toEqual(picturesIn(openRun(run.path).pictures!).add('index.json'));
});

test('a resumed run whose validation images are others draws each beside its own picture', async () => {
  await (await TargetWatch.open(run, { target, validation, size: undefined, every: 500 })).close();
  const before = openRun(run.path).pictures!.target.map(({ id }) => id);
  const fewer = { target, validation: subset(validation, [2, 3, 4]), size: undefined, every: 500 };
  const watch = await TargetWatch.open(run, fewer);
  await watch.checkpoint(500, step(false));
  await watch.close();
  const { target: rows } = openRun(run.path).pictures!;
  expect(rows.slice(0, before.length).map(({ id }) => id)).toEqual(before);
  student.segmentor.eval();
  for (const { id, checkpoints = [] } of rows) {
    for (const { pictures } of checkpoints) {
      const { image } = samples[validation.samples.findIndex((sample) => sample.id === id)]!;
      using prediction = predictLabels(student.segmentor, image);
      expect(await picture(pictures.prediction!)).toEqual(
        Buffer.from(coloured(toLabelMap(prediction), run.info.classes).data),
      );
    }
  }
});

test('of a method with contrast it shows what that chooses from and stores; no damage to it blocks a resume', async () => {
  const { step, dispose } = tinyStep({ selfTraining: tinySelfTraining, contrast: tinyContrast }, 2000);
  const batch = tinyBatch(1);
  step.run(batch, 0);
  for (const one of Object.values(batch)) one.dispose();
  let watch = await TargetWatch.open(run, { target, validation: undefined, size: undefined, every: 500 });
  const before = liveTensors();
  await watch.checkpoint(500, step);
  await watch.checkpoint(1000, step);
  await watch.close();
  expect(liveTensors()).toBe(before);

  const { pictures } = openRun(run.path);
  const [first] = pictures!.target;
  const { pictures: kinds } = first!.checkpoints!.at(-1)!;
  expect(Object.keys(kinds)).toEqual([
    ...['prediction', 'pseudo-label', 'confidence'],
    ...['entropy', 'anchors', 'negatives'],
  ]);
  const seen = tidy(() => {
    const { network } = step.parts.teacher!;
    network.segmentor.eval();
    const image = samples[target.samples.findIndex(({ id }) => id === first!.id)]!.image;
    const view = contrastView(step, networkInput(image, image, 'cpu'), 1000)!;
    network.segmentor.train();
    return {
      anchors: toLabelMap(view.anchors!),
      entropy: view.entropy.tolist() as number[][],
      negatives: view.negatives!.tolist() as boolean[][][],
    };
  });
  expect(await picture(kinds.anchors!)).toEqual(Buffer.from(coloured(seen.anchors, run.info.classes).data));
  const grey = seen.entropy.flat().flatMap((level) => Array(3).fill(Math.round(255 * level)));
  expect([...(await picture(kinds.entropy!))].filter((level, i) => Math.abs(level - grey[i]!) > 1)).toEqual(
    [],
  );
  // 5 masks of 8 rows and 10 columns, three beside one another.
  const { data, info } = await sharp(join(run.path, 'pictures', kinds.negatives!))
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect([info.width, info.height, info.channels]).toEqual([30, 16, 1]);
  for (const [c, mask] of seen.negatives.entries()) {
    const [top, left] = [8 * Math.floor(c / 3), 10 * (c % 3)];
    const set = mask.map((row, y) => row.map((_, x) => data[(top + y) * 30 + left + x] === 255));
    expect(set).toEqual(mask);
  }

  const { checkpoints, memory } = pictures!.contrast!;
  expect(checkpoints.map(({ iteration }) => iteration)).toEqual([500, 1000]);
  const path = (file: string) => join(run.path, 'pictures', file);
  tidy(() => {
    const { tensors } = loadSafetensors(path(checkpoints[1]!.prototypes));
    const contrast = step.parts.contrast!;
    expect(tensors.get('prototypes')!.eq(contrast.prototypes()).all().item()).toBe(1);
    expect(tensors.get('known')!.tolist()).toEqual(contrast.known().to('uint8').tolist());
    const banks = loadSafetensors(path(memory)).tensors;
    expect([...banks.keys()].sort()).toEqual(['centres', 'centres.owner', 'negatives', 'negatives.owner']);
    // All that the banks hold: it is less than what a file may have.
    const { filled } = contrast.negatives.store!.module;
    expect(banks.get('negatives')!.shape).toEqual([filled.sum().item(), tinyContrast.width]);
  });

  for (const file of [memory, checkpoints[0]!.prototypes]) truncateSync(path(file), 5);
  rmSync(path(checkpoints[1]!.prototypes));
  watch = await TargetWatch.open(run, { target, validation: undefined, size: undefined, every: 500 });
  await watch.checkpoint(1500, step);
  await watch.close();
  const after = openRun(run.path).pictures!;
  expect(after.contrast!.checkpoints.map(({ iteration }) => iteration)).toEqual([500, 1000, 1500]);
  expect(statSync(path(after.contrast!.memory)).size).toBeGreaterThan(5);
  const files = readdirSync(join(run.path, 'pictures'));
  expect(files.filter((file) => file.startsWith('memory-'))).toEqual([after.contrast!.memory]);
  dispose();
});
