// The pictures of several trainings in one run: whose, and of what seed.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Gallery } from '../../src/comparison/gallery.js';
import { writeReport } from '../../src/report/report.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { memoryDataset, randomSample } from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-gallery-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('says what seed the pictures of each method’s training and its worst images have', async () => {
  const data = memoryDataset([1, 2].map((seed) => randomSample(16, 8, seed)));
  const { classes } = data;
  const run = RunDirectory.create(folder, 'run', { config: {}, seed: 3, versions: {}, classes });
  const gallery = new Gallery(run, { source: data, target: data, labelled: true });
  await gallery.writeSamples();
  const pixel = Buffer.from(readFileSync(run.picturePath('target-0.png'))).toString('base64');
  const black = { width: 16, height: 8, data: new Uint8Array(128).fill(255) };
  const images = (method: string, iteration: number) =>
    data.samples.map(({ id }) => ({ id, pictures: { prediction: `of-${method}-${iteration}.png` } }));
  const scored = { miou: 0.5, iou: classes.map(() => 0.5), accuracy: 0.5 };
  for (const [method, iteration] of [
    ['late', 1500],
    ['early', 10],
    ['late', 3000],
    ['early', 20],
  ] as const) {
    await run.writeLabelPicture(`of-${method}-${iteration}.png`, black);
    gallery.addCheckpoint({ method, seed: 3, iteration, images: images(method, iteration) });
  }
  for (const seed of [3, 4]) {
    for (const name of ['early', 'late']) {
      const result = { ...scored, name, label: `method ${name}`, seed, seconds: 1 };
      run.addResult(result);
      const worst = { ...scored, id: `worst of seed ${seed}`, image: pixel, truth: pixel, prediction: pixel };
      await gallery.keepWorst(result, [worst]);
    }
  }
  run.finish('finished');
  const { pictures } = openRun(run.path);
  for (const { checkpoints } of pictures!.target) {
    expect(checkpoints!.map(({ method, seed, iteration }) => [method, seed, iteration])).toEqual([
      ['late', 3, 1500],
      ['late', 3, 3000],
      ['early', 3, 10],
      ['early', 3, 20],
    ]);
  }
  const page = readFileSync(await writeReport(run.path), 'utf8');
  const headings = [...page.matchAll(/<h[34]>(method [^<]*)<\/h[34]>/g)].map(([, text]) => text);
  const each = ['method early with seed 3', 'method late with seed 3'];
  expect(headings).toEqual([...each, ...each]);
  expect(page).not.toContain('worst of seed 4');
  // One group a method, the newest step chosen, and each picture at the step that it is of.
  const groups = page.split('<div class="way">').slice(1);
  expect(groups.map((group) => [...group.matchAll(/<label[^>]*>([^<]*)/g)].map(([, text]) => text))).toEqual([
    ['step 10', 'step 20'],
    ['step 1,500', 'step 3,000'],
  ]);
  for (const group of groups) expect(group).toMatch(/id="way-\d-0"><label.*\n.*id="way-\d-1" checked>/);
  expect(groups[1]).toMatch(/<figure class="at at-1"><img [^>]*alt="Prediction, step 1,500">/);
  expect(groups[1]).toMatch(/<figure class="at at-2"><img [^>]*alt="Prediction, step 3,000">/);
});
