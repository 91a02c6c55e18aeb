// The report: what it says, that it needs nothing else, and that no text breaks out of it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lineChart } from '../../src/report/chart.js';
import { duration, number, percent, points } from '../../src/report/format.js';
import { html } from '../../src/report/html.js';
import { writeReport } from '../../src/report/report.js';
import {
  fitAxis,
  isNoisy,
  linearAxis,
  logTicks,
  meanAndSpread,
  smooth,
  thin,
  ticks,
} from '../../src/report/series.js';
import { csvOf } from '../../src/training/logs/export.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { writeFakeRun } from '../support/fake-run.js';

let root: string;
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-report-'));
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

async function reportOf(run: RunDirectory): Promise<string> {
  return readFileSync(await writeReport(run.path), 'utf8');
}

/** The text of the page, tags and styles taken out, white space joined. */
function textOf(page: string): string {
  return page
    .replace(/<style>.*?<\/style>/s, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');
}

/** Names the first element that is closed wrongly, or nothing. */
function firstUnbalanced(page: string): string | undefined {
  const open: string[] = [];
  for (const [tag, closing, name, selfClosing] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
    if (selfClosing || ['meta', 'img'].includes(name!)) continue;
    if (!closing) open.push(name!);
    else if (open.pop() !== name) return tag;
  }
  return open.at(-1);
}

describe('of a finished run', () => {
  let run: RunDirectory;
  let page: string;
  beforeAll(async () => {
    run = await writeFakeRun(root, { name: 'finished' });
    page = await reportOf(run);
  });

  test('is one well-formed file that asks for nothing from outside', () => {
    expect(firstUnbalanced(page)).toBeUndefined();
    expect(page).not.toMatch(/<script|<link|@import|url\(|https?:|\son\w+=/);
    for (const [, source] of page.matchAll(/src="([^"]*)"/g))
      expect(source).toMatch(/^data:image\/png;base64,/);
    expect(page).toContain('prefers-color-scheme: dark');
  });

  test('has the results with gains over source-only, and the best adapted method in the first sentence', () => {
    const text = textOf(page);
    const [sourceOnly, selfTraining, pgpc, oracle] = run.results;
    expect(text).toContain(`Best adapted method on the target: PGPC, ${percent(pgpc!.miou)} % mIoU`);
    expect(text).toContain(`${((pgpc!.miou - sourceOnly!.miou) * 100).toFixed(1)} points above Source only`);
    for (const method of [selfTraining, pgpc]) {
      const gain = method!.miou - sourceOnly!.miou;
      const closed = Math.round((gain / (oracle!.miou - sourceOnly!.miou)) * 100);
      expect(text).toContain(
        `${percent(method!.miou)} ${points(gain)} ${closed} % ${percent(method!.accuracy)}`,
      );
    }
  });

  test('has the IoU of every class, bold where an adapted method is best, a dash where there is none', () => {
    const { results, info } = openRun(run.path);
    for (const [index, { name }] of info.classes.entries()) {
      const row = new RegExp(`</i>${name}</td>(.*?)</tr>`, 's').exec(page)![1]!;
      const cells = [...row.matchAll(/<td>(.*?)<\/td>/g)].map(([, cell]) => cell!);
      expect(cells.map((cell) => cell.replace(/<\/?strong>/g, ''))).toEqual(
        results.map(({ iou }) => percent(iou[index]!)),
      );
      const [selfTraining, pgpc] = [cells[1]!, cells[2]!].map((cell) => cell.startsWith('<strong>'));
      const difference = results[2]!.iou[index]! - results[1]!.iou[index]!;
      if (name === 'truck') expect(cells).toEqual(['–', '–', '–', '–']);
      else expect([selfTraining, pgpc]).toEqual([difference < 0, difference > 0]);
      expect(cells[0]).not.toContain('strong');
      expect(cells[3]).not.toContain('strong');
    }
  });

  test('has every picture, a legend of all classes, and the curves', () => {
    expect([...page.matchAll(/<img /g)]).toHaveLength(3 * 6 + 3 * 2);
    const legend = textOf(/<ul class="legend">.*?<\/ul>/s.exec(page)![0]);
    for (const { name } of run.info.classes) expect(legend).toContain(name);
    for (const title of [
      'Loss: source-only',
      'Loss: self-training',
      'Loss: pgpc',
      'Pseudo-label weight q',
      'Learning rate',
    ]) {
      expect(page).toContain(`<figcaption><strong>${title}</strong>`);
    }
  });

  test('says how to repeat the run', () => {
    const text = textOf(page);
    expect(page).toContain('<pre>pgpc demo --seed 1</pre>');
    for (const fact of [
      '0123456789abcdef',
      'libtorch 1.13.1',
      'contrast.tau 0.5',
      'contrast.temperature null',
      'model.channels 32, 64, 160, 256',
    ]) {
      expect(text).toContain(fact);
    }
  });
});

test('text of any kind stays text', async () => {
  const evil = '</title><script>alert("1")</script><img src=x onerror=\'alert(2)\'>&amp;';
  const run = RunDirectory.create(root, 'evil', {
    config: { [evil]: evil },
    seed: 1,
    versions: { [evil]: evil },
    title: evil,
    description: evil,
    command: evil,
    gitRevision: evil,
    classes: [{ name: evil, color: [1, 2, 3] }],
  });
  run.addResult({ name: evil, label: evil, miou: 0.5, iou: [0.5], accuracy: 0.5, seconds: 1 });
  run.log({ phase: evil, iteration: 1 }, { [`loss/${evil}`]: 1, [evil]: 2 });
  run.writePictureIndex({
    source: [],
    target: [{ id: evil, image: 'x.png', predictions: { [evil]: 'y.png' } }],
  });
  run.finish('failed', evil);
  const page = await reportOf(run);
  expect(page).not.toContain('<script');
  expect(page).not.toContain('<img');
  expect(firstUnbalanced(page)).toBeUndefined();
  expect(textOf(page).split('&lt;script&gt;').length).toBeGreaterThan(15);

  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', 'a', ';') }), (text) => {
      const markup = html`<b title="${text}">${text}</b>`.toString();
      const inside = markup.slice('<b title="'.length, -'</b>'.length).split('">');
      expect(inside).toHaveLength(2);
      for (const part of inside) {
        expect(part).not.toMatch(/[<>"']/);
        const back = part
          .replace(/&lt;/g, '<')
          .replace(/&gt;/g, '>')
          .replace(/&quot;/g, '"')
          .replace(/&#39;/g, "'");
        expect(back.replace(/&amp;/g, '&')).toBe(text);
      }
    }),
  );
});

test('metrics and methods may have the names of what every object has', async () => {
  const run = RunDirectory.create(root, 'named', { config: {}, seed: 1, versions: {} });
  const names = ['constructor', 'toString', 'valueOf'];
  for (const [i, name] of names.entries()) run.log({ phase: 'x', iteration: i + 1 }, { [name]: i });
  for (const name of names.slice(0, 2)) {
    run.addResult({
      name,
      label: name,
      miou: 0.5,
      iou: run.info.classes.map(() => 0.5),
      accuracy: 0.5,
      seconds: 1,
    });
  }
  const target = names.map((id) => ({ id, image: 'x.png', predictions: { toString: 'y.png' } }));
  run.writePictureIndex({
    source: [],
    target: [{ ...target[0]!, predictions: { constructor: 'y.png' } }, ...target.slice(1)],
  });
  const page = await reportOf(run);
  for (const name of names) expect(page).toContain(`<strong>${name}</strong>`);
  expect(textOf(page)).not.toMatch(/native code|NaN/);
  expect(csvOf(openRun(run.path).metrics)).toMatch(/^x,,2,[^,]*,,1,$/m);
});

test('a run that has only begun, and one that was stopped, say so', async () => {
  const run = RunDirectory.create(root, 'begun', { config: {}, seed: 1, versions: {} });
  expect(textOf(await reportOf(run))).toMatch(/begun.*had not ended.*No method has been evaluated yet/);
  run.finish('stopped');
  expect(textOf(await reportOf(run))).toContain('was stopped before its end');
});

test('several seeds give mean and standard deviation, and one entry in a chart', async () => {
  const run = await writeFakeRun(root, { name: 'seeds', seeds: [1, 2], samples: 0 });
  const { mean, spread } = meanAndSpread(
    run.results.filter(({ name }) => name === 'pgpc').map(({ miou }) => miou),
  );
  const page = await reportOf(run);
  expect(textOf(page)).toContain(`PGPC ${percent(mean)} ± ${percent(spread)}`);
  expect(textOf(page)).toContain('(mean over 2 seeds)');
  expect(page).toContain('<strong>Loss: pgpc, seed 2</strong>');
  const rate = /<strong>Learning rate<\/strong>.*?<\/figure>/s.exec(page)![0];
  expect([...rate.matchAll(/class="line"/g)]).toHaveLength(6);
  expect(textOf(rate).match(/pgpc/g)).toHaveLength(1);
});

test('equal methods are not bold', async () => {
  const run = RunDirectory.create(root, 'equal', { config: {}, seed: 1, versions: {} });
  const iou = Array.from({ length: 19 }, (_, index) => (index === 0 ? Number.NaN : 0.4));
  for (const name of ['a', 'b'])
    run.addResult({ name, label: name, miou: 0.4, iou, accuracy: 0.5, seconds: 1 });
  expect((await reportOf(run)).match(/<td><strong>/g)).toBeNull();
});

test('a worse method is reported as worse', async () => {
  const run = await writeFakeRun(root, {
    name: 'worse',
    samples: 0,
    methods: [
      ['source-only', 'Source only', 0.5],
      ['pgpc', 'PGPC', 0.3],
    ],
  });
  const page = await reportOf(run);
  expect(textOf(page)).toMatch(/PGPC, [\d.]+ % mIoU , [\d.]+ points below Source only/);
  expect(page).toMatch(/<td class="loss">−[\d.]+<\/td>/);
  expect(page).not.toContain('Gap to');
});

test('wide pictures are reduced, label maps to their own colours only; missing ones are named', async () => {
  const run = await writeFakeRun(root, { name: 'wide', samples: 1, width: 2000 });
  rmSync(path.join(run.path, 'pictures', 'target-0-truth.png'));
  const page = await reportOf(run);
  expect(textOf(page)).toContain('target-0-truth.png is missing');
  const palette = new Set(['0,0,0', ...run.info.classes.map(({ color }) => color.join(','))]);
  const images = [...page.matchAll(/src="data:image\/(\w+);base64,([^"]+)" alt="([^"]*)"/g)];
  expect(images).toHaveLength(7);
  for (const [, format, base64, caption] of images) {
    const { data, info } = await sharp(Buffer.from(base64!, 'base64'))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([768, 384]);
    const photo = caption === 'Source image' || caption!.startsWith('synth');
    expect(format).toBe(photo ? 'jpeg' : 'png');
    if (photo) continue;
    const colors = new Set<string>();
    for (let i = 0; i < data.length; i += 3) colors.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
    for (const color of colors) expect(palette).toContain(color);
  }
});

describe('charts', () => {
  test('values that are not finite leave a gap and are counted', () => {
    const ys = [1, 2, Number.NaN, 3, 4];
    const chart = lineChart('Loss', [
      { label: 'total', color: 'red', points: ys.map((y, x) => ({ x, y })) },
    ]).toString();
    const line = /class="line"[^>]* d="([^"]*)"/.exec(chart)![1]!;
    expect(line.match(/M/g)).toHaveLength(2);
    expect(line).not.toContain('NaN');
    expect(chart).toContain('1 value is not finite');
  });

  test('a curve over decades gets a logarithmic axis, others do not', () => {
    const decades = Array.from({ length: 40 }, (_, i) => 100 * 0.8 ** i);
    expect(fitAxis(decades, decades)).toMatchObject({ log: true });
    expect(fitAxis([1, 5], [1, 5])).toMatchObject({ log: false });
    expect(fitAxis([-1, 500], [-1, 500])).toMatchObject({ log: false });
  });

  test('an axis holds its values, between 0 and 1, at a handful of ticks in order', () => {
    const value = fc
      .double({ min: -1e6, max: 1e6, noNaN: true })
      .filter((y) => Math.abs(y) > 1e-30 || y === 0);
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 30 }), (values) => {
        const axis = fitAxis(values, values);
        for (const y of values) {
          expect(axis.at(y)).toBeGreaterThanOrEqual(-1e-6);
          expect(axis.at(y)).toBeLessThanOrEqual(1 + 1e-6);
        }
        expect(axis.ticks.length).toBeLessThan(10);
        expect([...axis.ticks].sort((a, b) => a - b)).toEqual([...axis.ticks]);
      }),
      { numRuns: 1000 },
    );
    expect(linearAxis(0, 1).ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(0, 400, 4)).toEqual([0, 100, 200, 300, 400]);
    expect(logTicks(0.05, 3)).toEqual([0.05, 0.1, 0.2, 0.5, 1, 2]);
  });

  test('smoothing keeps a constant, starts at the first value, and halves noise at least', () => {
    const constant = Array.from({ length: 50 }, (_, x) => ({ x, y: 3 }));
    for (const { y } of smooth(constant, 10)) expect(y).toBeCloseTo(3, 12);
    const saw = Array.from({ length: 200 }, (_, x) => ({ x, y: x % 2 }));
    const smoothed = smooth(saw, 10);
    expect(smoothed[0]).toEqual({ x: 0, y: 0 });
    for (const { y } of smoothed.slice(50)) expect(Math.abs(y - 0.5)).toBeLessThan(0.1);
    expect([isNoisy(saw), isNoisy(constant)]).toEqual([true, false]);
  });

  test('thinning keeps the extremes and the order', () => {
    const wave = Array.from({ length: 5000 }, (_, x) => ({
      x,
      y: x === 1234 ? 99 : x === 4321 ? -99 : Math.sin(x),
    }));
    const kept = thin(wave, 100);
    expect(kept.length).toBeLessThanOrEqual(200);
    expect(kept).toContainEqual({ x: 1234, y: 99 });
    expect(kept).toContainEqual({ x: 4321, y: -99 });
    const gap = wave.map(({ x, y }) => ({ x, y: x > 2000 && x < 2200 ? Number.NaN : y }));
    expect(thin(gap, 100).some(({ y }) => Number.isNaN(y))).toBe(true);
    const xs = kept.map(({ x }) => x);
    expect([...xs].sort((a, b) => a - b)).toEqual(xs);
  });
});

test('numbers are written as documented', () => {
  expect([0.4567, 0, Number.NaN].map(percent)).toEqual(['45.7', '0.0', '–']);
  expect([0.031, -0.02, 0.0004, Number.NaN].map(points)).toEqual(['+3.1', '−2.0', '0.0', '–']);
  expect([9.24, 9.96, 90, 3599.6, 7260, 86_399, 100_000].map(duration)).toEqual([
    '9.2s',
    '10s',
    '1m 30s',
    '1h 0m',
    '2h 1m',
    '1d 0h',
    '1d 4h',
  ]);
  expect([0.000062, 0.8312, 40000, 0, -3, Number.NaN, 123.456].map(number)).toEqual([
    '6.2e-5',
    '0.831',
    '40,000',
    '0',
    '-3',
    'NaN',
    '123',
  ]);
});
