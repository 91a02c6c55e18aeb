// What a report says of a run's weak points: the confusion matrix, the worst images, and every class over the training.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { liveTensors, ops, type Tensor } from '@pgpc/torch';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EvaluatedNetwork, toLabelMap } from '../../src/evaluation/evaluate.js';
import { predictLabels } from '../../src/evaluation/inference.js';
import { scores } from '../../src/evaluation/scores.js';
import { writeReport } from '../../src/report/report.js';
import { STYLE } from '../../src/report/style.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { evaluateOnTarget, keepWorst, resultOf } from '../../src/training/worst-images.js';
import { CLASSES, memoryDataset, normal, randomSample } from '../support/method.js';

const SHOWN = 20;
const COLORS = [
  [10, 20, 30],
  [200, 20, 30],
  [10, 200, 30],
] as const;

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-weak-points-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

function runOf(name: string, classes: number): RunDirectory {
  return RunDirectory.create(root, name, {
    config: {},
    seed: 1,
    versions: {},
    classes: Array.from({ length: classes }, (_, i) => ({
      name: `class ${i}`,
      color: [...COLORS[i % COLORS.length]!],
    })),
  });
}

function addConfused(run: RunDirectory, name: string, confusion: number[][], seed?: number): void {
  run.addResult({
    ...resultOf({ name, label: name, seconds: 1 }, { scores: scores(confusion), confusion }),
    ...(seed !== undefined && { seed }),
  });
}

const reportOf = async (run: RunDirectory) => readFileSync(await writeReport(run.path), 'utf8');

/** The cells of every row of the first table of a class. */
function rowsOf(page: string, table: string): string[][] {
  const body = new RegExp(`<table class="${table}".*?<tbody>(.*?)</tbody>`, 's').exec(page)![1]!;
  return [...body.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) =>
      cell!.replace(/<[^>]*>/g, '').replace('&lt;', '<'),
    ),
  );
}

test('the confusion matrix has every row in percent of its truth, over all seeds', async () => {
  const run = runOf('confused', 4);
  const first = [
    [60, 20, 0, 0],
    [0, 0, 0, 0],
    [499, 0, 0, 1],
    [0, 0, 10, 10],
  ];
  const second = [
    [20, 0, 0, 0],
    [0, 0, 0, 0],
    [500, 0, 0, 0],
    [0, 0, 0, 20],
  ];
  addConfused(run, 'pgpc', first, 1);
  addConfused(run, 'pgpc', second, 2);
  const page = await reportOf(run);
  // 1140 pixels: 100, 0, 1000 and 40 of them.
  expect(rowsOf(page, 'confusion')).toEqual([
    ['class 0', '80', '20', '', '', '9'],
    ['class 1', 'no pixel in the truth', '0'],
    ['class 2', '100', '', '', '<1', '88'],
    ['class 3', '', '', '25', '75', '4'],
  ]);
  expect(page).toContain(
    `Largest mistakes of pgpc, % of a class's pixels: class 2 as class 0 (100 %), class 3 as class 2 (25 %), class 0 as class 1 (20 %).`,
  );
  const heads = [.../<table class="confusion".*?<\/thead>/s.exec(page)![0].matchAll(/<th scope="col">/g)];
  expect(heads).toHaveLength(1 + 4 + 1);
  expect(page.match(/<th scope="row">/g)).toHaveLength(4);
});

test('of many classes the largest mistakes are listed in place of the matrix', async () => {
  const run = runOf('many', 41);
  const confusion = Array.from({ length: 41 }, (_, i) =>
    Array.from({ length: 41 }, (_, j) =>
      i === j ? 60 : j === (i + 1) % 41 ? 30 : j === (i + 2) % 41 ? 10 : 0,
    ),
  );
  addConfused(run, 'pgpc', confusion);
  const page = await reportOf(run);
  expect(page).not.toContain('table class="confusion"');
  const rows = rowsOf(page, 'mistakes');
  expect(rows).toHaveLength(41);
  expect(rows[40]).toEqual(['class 40', '2', '60', 'class 0 30, class 1 10']);
});

test('numbers are read on every colour of the matrix, light and dark', () => {
  for (const [ink, panel, heat] of ['light', 'dark'].map((_, scheme) =>
    ['ink', 'panel', 'heat'].map((name) => {
      const found = [...STYLE.toString().matchAll(new RegExp(`--${name}: #(\\w{6})`, 'g'))][scheme]![1]!;
      return [0, 2, 4].map((at) => Number.parseInt(found.slice(at, at + 2), 16));
    }),
  )) {
    for (let share = 0; share <= 1; share += 0.05) {
      const mixed = heat!.map((channel, i) => share * channel + (1 - share) * panel![i]!);
      expect(contrast(ink!, mixed)).toBeGreaterThan(4.5);
    }
  }
});

/** WCAG 2.1's contrast ratio of two sRGB colours. */
function contrast(a: readonly number[], b: readonly number[]): number {
  const luminance = (color: readonly number[]) => {
    const [r, g, bl] = color.map((c) =>
      c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * bl!;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

test('every class that was scored has a chart with its last value, a lone point a dot', async () => {
  const run = runOf('curves', 3);
  run.log(
    { phase: 'pgpc', iteration: 10 },
    { 'val/miou': 0.2, 'val/iou/class 0': 0.25, 'val/iou/class 2': 0.5 },
  );
  run.log({ phase: 'pgpc', iteration: 20 }, { 'val/miou': 0.3, 'val/iou/class 0': 0.75 });
  const page = await reportOf(run);
  const charts = [
    .../<div class="class-curves">(.*?)<\/div>/s.exec(page)![1]!.matchAll(/<figure>(.*?)<\/figure>/gs),
  ];
  expect(charts).toHaveLength(2);
  expect(charts[0]![1]).toContain('>75.0</b>');
  expect(charts[0]![1]).toContain('aria-label="IoU of class 0, %: pgpc: 25.0 at step 10, 75.0 at step 20"');
  expect(charts[0]![1]).toContain('class="dot"');
  expect(charts[0]![1]).toMatch(/class="line"[^>]* d="M50 74h0L98 26"/);
  expect(charts[1]![1]).toMatch(/class="line"[^>]* d="M50 50h0"/);
  expect(page).toContain('Not in the truth of these images: class 1.');
  // In a chart of its own each, and not among the other metrics once more.
  expect(page).not.toContain('<strong>IoU of class 0');
});

/** Scores each pixel by its three values alone, in no time. */
const linear = (weight: Tensor): EvaluatedNetwork => ({
  config: { classes: CLASSES },
  training: false,
  train: () => {},
  eval: () => {},
  call: (image) => ({ logits: ops.conv2d(image, weight) }),
});

test('a training keeps the worst twenty images, small, and the report shows them in order', async () => {
  const samples = Array.from({ length: SHOWN + 2 }, (_, i) => randomSample(32, 32, i + 1));
  samples[5] = randomSample(360, 32, 6);
  const dataset = memoryDataset(samples);
  using weight = normal([CLASSES, 3, 1, 1], 1);
  const network = linear(weight);
  const before = liveTensors();
  const evaluation = await evaluateOnTarget(network, dataset, {});
  expect(liveTensors()).toBe(before);

  // Each image by itself, pixel by pixel.
  const alone = samples.map(({ image, label }, i) => {
    using prediction = predictLabels(network, image);
    const guess = toLabelMap(prediction).data;
    const matrix = dataset.classes.map((_, is) =>
      dataset.classes.map((_, taken) => guess.filter((g, p) => g === taken && label.data[p] === is).length),
    );
    return { id: String(i), miou: scores(matrix).miou };
  });
  alone.sort((a, b) => a.miou - b.miou);
  expect(evaluation.worst.map(({ miou }) => miou)).toEqual(alone.slice(0, SHOWN).map(({ miou }) => miou));

  const run = RunDirectory.create(root, 'worst', {
    config: {},
    seed: 1,
    versions: {},
    classes: dataset.classes,
  });
  const index = { source: [], target: [] };
  const result = resultOf({ name: 'pgpc', label: 'pgpc', seconds: 1 }, evaluation);
  run.addResult(result);
  await keepWorst(run, index, result, evaluation.worst);
  await keepWorst(run, index, result, evaluation.worst);
  const { worst } = openRun(run.path).pictures!;
  expect(worst).toHaveLength(1);
  expect(worst![0]!.images.map(({ id }) => id)).toEqual(evaluation.worst.map(({ id }) => id));
  for (const { id, image, truth } of worst![0]!.images) {
    const { width, height } = samples[Number(id)]!.image;
    const expected = width > 320 ? [320, 28] : [width, height];
    for (const [file, format] of [
      [image, 'jpeg'],
      [truth, 'png'],
    ] as const) {
      const about = await sharp(path.join(run.path, 'pictures', file)).metadata();
      expect([about.width, about.height, about.format]).toEqual([...expected, format]);
    }
  }

  rmSync(path.join(run.path, 'pictures', worst![0]!.images[3]!.truth));
  const page = await reportOf(run);
  const list = /<ol class="worst">(.*?)<\/ol>/s.exec(page)![1]!;
  expect([...list.matchAll(/<h3>(\d+)\. (\d+)<\/h3>/g)].map(([, place, id]) => [Number(place), id])).toEqual(
    evaluation.worst.map(({ id }, i) => [i + 1, id]),
  );
  expect([...list.matchAll(/<img src="data:image\/jpeg/g)]).toHaveLength(SHOWN);
  expect([...list.matchAll(/<img src="data:image\/png/g)]).toHaveLength(2 * SHOWN - 1);
  expect(list).toContain(`${worst![0]!.images[3]!.truth} is missing`);
});

test('the worst images add little to a report, even where they are noise of any size', async () => {
  const noise = memoryDataset([randomSample(330, 250, 1)]);
  using weight = normal([CLASSES, 3, 1, 1], 1);
  const { worst } = await evaluateOnTarget(linear(weight), noise, {});
  const characters = worst.reduce(
    (sum, { image, truth, prediction }) => sum + image.length + truth.length + prediction.length,
    0,
  );
  // Random pixels are the worst that JPEG can meet.
  expect((SHOWN / worst.length) * characters).toBeLessThan(3e6);
});
