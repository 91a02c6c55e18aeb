// Sweeps as data: settings, the runs they take, the numbers of their tables, their pictures.

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { sweepNames } from '../../src/ablation/names.js';
import { writeSweep } from '../../src/ablation/page.js';
import { classesPicture, miouPicture } from '../../src/ablation/pictures.js';
import { type PlanOptions, plan } from '../../src/ablation/plan.js';
import type { RunResult } from '../../src/ablation/results.js';
import { type Sweep, sweeps } from '../../src/ablation/sweeps.js';
import {
  csv,
  markdown,
  minorityClasses,
  rowsOf,
  type SweepTable,
  textCells,
} from '../../src/ablation/table.js';
import { denoisers } from '../../src/config/denoise.js';
import type { SegmentorConfig } from '../../src/config/segmentor.js';
import { withSettings } from '../../src/config/settings.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { shippedEncoder } from '../../src/models/weights/shipped.js';
import { scaleNames, streetSynthPreset } from '../../src/recipes/street-synth.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-ablate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const preset = streetSynthPreset({ scale: 'quick', seed: 1 });

describe('settings of an experiment', () => {
  const experiment = preset.continuation('pgpc');

  test('change the keys they name and no others', () => {
    const changed = withSettings(experiment, { 'method.contrast.rank': 3, 'optimizer.weightDecay': 0 });
    expect(changed).toEqual({
      ...experiment,
      method: { ...experiment.method, contrast: { ...experiment.method.contrast!, rank: 3 } },
      optimizer: { ...experiment.optimizer, weightDecay: 0 },
    });
    expect(experiment.method.contrast!.rank).toBe(4);
  });

  test('take the words of a field in any spelling', () => {
    const changes = { 'segmentor.backbone': 'MiT-B1', 'method.contrast.type': 'pixel_to_pixel' };
    const { segmentor, method } = withSettings(experiment, changes);
    expect([segmentor.backbone, method.contrast!.type]).toEqual(['mit_b1', 'pixel-to-pixel']);
    expect(() => withSettings(experiment, { 'segmentor.backbone': 'mit-b9' })).toThrow(/mit_b0/);
  });

  test('put in a part, and leave one out', () => {
    const style = { kind: 'fda', beta: 0.05 };
    expect(withSettings(experiment, { 'method.style': style }).method.style).toEqual(style);
    expect(withSettings(experiment, { 'method.contrast': null }).method).not.toHaveProperty('contrast');
    const both = { 'method.style': style, 'method.style.beta': 0.1 };
    expect(withSettings(experiment, both).method.style).toEqual({ ...style, beta: 0.1 });
  });

  test.each([
    [
      { 'method.contrast.rnk': 3 },
      /setting method\.contrast\.rnk: method\.contrast has no 'rnk' \(did you mean 'rank'\?\); it has weight, /,
    ],
    [
      { rank: 3 },
      /an experiment has no 'rank' \(did you mean 'segmentor\.adapter\.rank' or 'method\.contrast\.rank'\?\)/,
    ],
    [
      { 'method.style.bta': 0.1 },
      /method\.style has no 'bta' \(did you mean 'beta'\?\); it has kind, beta, image, features/,
    ],
    [{ 'iterations.more': 3 }, /iterations is one value, without keys/],
    [
      { 'method.style.beta': 0.1 },
      /this experiment has no method\.style; choose a method that has it, or set all of/,
    ],
    [{ 'method.contrast.rank': 'x' }, /expected number, received string[\s\S]*at method\.contrast\.rank/],
    [{ 'method.contrast.bankCapacity': 1 }, /bankCapacity must be at least enqueue/],
    [{ 'method.selfTraining': null }, /contrast needs selfTraining/],
    [{ 'constructor.name': 'x' }, /an experiment has no 'constructor'/],
  ])('refuse %j', (settings, message) => {
    expect(() => withSettings(experiment, settings)).toThrow(message);
  });
});

describe('sweeps', () => {
  const options = (more: Partial<PlanOptions> = {}): PlanOptions => ({
    out: join(folder, 'out'),
    scale: 'quick',
    seeds: [1],
    set: {},
    ...more,
  });
  const keys = (name: (typeof sweepNames)[number], more: Partial<PlanOptions> = {}) =>
    new Map(plan(sweeps[name], options(more)).map((run) => [run.cell?.name ?? '(source)', run.key]));

  test.each(sweepNames)('%s is valid at every scale, and its cells are different experiments', (name) => {
    const { cells, reference } = sweeps[name];
    expect(cells.map((cell) => cell.name)).toContain(reference);
    for (const scale of scaleNames) {
      const runs = plan(sweeps[name], options({ scale, seeds: [1, 7] }));
      expect(runs).toHaveLength(2 * (1 + cells.length));
      expect(new Set(runs.map(({ key }) => key)).size).toBe(runs.length);
      expect(new Set(runs.map(({ folder: path }) => path)).size).toBe(runs.length);
    }
    for (const cell of cells) expect(cell.name).toMatch(/^[a-z0-9.-]+$/);
  });

  test('have the values of the tables', () => {
    const contrast = (name: (typeof sweepNames)[number]) =>
      plan(sweeps[name], options()).flatMap(({ cell, experiment }) =>
        cell ? [experiment.method.contrast!] : [],
      );
    expect(contrast('rank').map(({ rank }) => rank)).toEqual([2, 3, 4, 5, 6, 7, 8]);
    expect(contrast('bank-size').map(({ bankCapacity }) => bankCapacity)).toEqual([
      100, 300, 1000, 3000, 10_000,
    ]);
    expect(contrast('warm-up').map(({ warmup }) => warmup)).toEqual([0, 1 / 8, 1 / 2]);
    const weights = plan(sweeps.lambda, options()).flatMap(({ cell, experiment: { method } }) =>
      cell ? [[method.selfTraining!.weight, method.contrast!.weight]] : [],
    );
    expect(weights).toEqual([0.3, 1, 3].flatMap((t) => [0.03, 0.1, 0.3].map((c) => [t, c])));
  });

  test('share the run of an experiment that they have in common, and the source', () => {
    const pgpc = keys('methods').get('pgpc');
    const source = keys('methods').get('(source)');
    expect(keys('rank').get('r4')).toBe(pgpc);
    expect(keys('contrast-type').get('hybrid')).toBe(pgpc);
    expect(keys('lambda').get('t1-c0.1')).toBe(pgpc);
    expect(plan(sweeps.rank, options()).find(({ key }) => key === pgpc)!.name).toBe('pgpc');
    for (const name of sweepNames) expect(keys(name).get('(source)')).toBe(source);
  });

  test('give a run another key where anything that it depends on differs', () => {
    const plain = keys('methods').get('pgpc');
    for (const more of [
      { seeds: [2] },
      { steps: 20 },
      { sourceSteps: 20 },
      { scale: 'demo' },
      { precision: 'bfloat16' },
      { set: { 'method.contrast.rank': 5 } },
    ] as const) {
      expect(keys('methods', more).get('pgpc')).not.toBe(plain);
    }
    expect(keys('methods', { steps: 20 }).get('(source)')).toBe(keys('methods').get('(source)'));
  });

  test('take settings where a cell has the part; settings of the network reach the source and the oracle', () => {
    const rank = keys('methods', { set: { 'method.contrast.rank': 5 } });
    const plain = keys('methods');
    for (const name of plain.keys()) {
      expect(rank.get(name) === plain.get(name), name).toBe(!name.startsWith('pgpc'));
    }
    // A part as a whole: cells without a teacher cannot have it.
    const denoise = keys('methods', {
      set: { 'method.denoise': { ...denoisers.prototypes, where: 'labels' } },
    });
    for (const name of ['(source)', 'source-only', 'oracle', 'pgpc-denoise']) {
      expect(denoise.get(name), name).toBe(plain.get(name));
    }
    expect(denoise.get('pgpc')).toBe(plain.get('pgpc-denoise'));
    expect(denoise.get('pgpc-dcan')).toBe(plain.get('pgpc-dcan-denoise'));
    const batch = keys('methods', { set: { batch: 3 } });
    for (const name of plain.keys()) expect(batch.get(name)).not.toBe(plain.get(name));
    const lr = keys('methods', { set: { 'optimizer.lr': 1e-4 } });
    expect([lr.get('(source)'), lr.get('oracle')]).toEqual([plain.get('(source)'), plain.get('oracle')]);
    expect(() => plan(sweeps.rank, options({ set: { 'method.featureDistance.weight': 1 } }))).toThrow(
      'setting method.featureDistance.weight: no cell of rank has this part',
    );
    expect(() => plan(sweeps.rank, options({ set: { 'method.contrast.rnk': 1 } }))).toThrow(
      "did you mean 'rank'",
    );
  });

  test('take a change that does not fit a cell of another table with which they may share runs', () => {
    const multiResolution = { detailCrop: { width: 64, height: 64 }, detailWeight: 0.1 };
    const set = { 'segmentor.multiResolution': multiResolution };
    const runs = plan(sweeps.masked, options({ set }));
    expect(runs.every(({ experiment }) => experiment.segmentor.multiResolution?.detailWeight === 0.1)).toBe(
      true,
    );
    expect(() => plan(sweeps.methods, options({ set }))).toThrow('dcan aligns the maps of one resolution');
  });

  // What is on disk stays valid: a change of one of these trains everything anew, and CHANGELOG.md has to say so.
  test.each([
    [
      'evidence',
      { seeds: [1], scale: 'quick' },
      'source-b6fdb9d3e7b2 source-only-82c03492fe15 self-training-24d57f3ea873 ' +
        'evidence-self-training-longer-693413765109 pgpc-70a50741791a evidence-batch-contrast-0085c069c462 ' +
        'evidence-pgpc-plus-1a98c3cf7a74 evidence-pgpc-plus-dcan-denoise-3bd9ff6deef8 oracle-e342fae3f4bf',
    ],
    [
      'rank',
      { seeds: [1], scale: 'quick' },
      'source-b6fdb9d3e7b2 rank-r2-290cd013e9d0 rank-r3-44fbaecf0108 pgpc-70a50741791a rank-r5-ef9057579ce5 ' +
        'rank-r6-9b51311e9cc8 rank-r7-c30732453ce6 rank-r8-5407913de36d',
    ],
    [
      'methods',
      { seeds: [7], scale: 'demo', precision: 'bfloat16', set: { batch: 3 }, steps: 20 },
      'source-a4a869efc854 source-only-0cbf523a913c self-training-747261cc47ec self-training-fda-fe329d1db5c6 ' +
        'self-training-dcan-49ce8e704713 pgpc-588eda73ce77 pgpc-fda-f7663ac96bd9 pgpc-dcan-c7b493e5747f ' +
        'pgpc-denoise-c901eccbe0ca pgpc-dcan-denoise-ee02b4e6d22b oracle-dc768801f94e',
    ],
    [
      'methods',
      {
        seeds: [7],
        scale: 'quick',
        own: { digest: 'd', classes: 3, oracle: true },
        set: { batch: 3 },
        steps: 20,
      },
      'source-b06cb46614c3 source-only-fb572c715eb6 self-training-3ff4ccd1746d self-training-fda-9a775e05299f ' +
        'self-training-dcan-0300d9805d8d pgpc-7ecc41dade86 pgpc-fda-2393b9fb5680 pgpc-dcan-f93c139a477c ' +
        'pgpc-denoise-33f2b3c8bb72 pgpc-dcan-denoise-dd02bbf070f9 oracle-9908c62df360',
    ],
  ] as const)('%s has its runs in the folders that it had before, %j', (name, more, folders) => {
    const runs = plan(sweeps[name], options({ weights: 'none', ...more }));
    expect(runs.map((run) => basename(run.folder)).join(' ')).toBe(folders);
  });

  test('large', () => {
    const runs = plan(sweeps.methods, options({ scale: 'large', precision: 'bfloat16', seeds: [1, 2] }));
    expect(runs.map(({ seed, cell }) => `${seed} ${cell?.name ?? 'source'}`)).toEqual(
      [1, 2].flatMap((seed) =>
        ['source', ...sweeps.methods.cells.map(({ name }) => name)].map((name) => `${seed} ${name}`),
      ),
    );
    for (const { experiment, cell } of runs) {
      expect(experiment).toMatchObject({
        segmentor: { backbone: 'mit_b2', head: 'daformer', channels: 256 },
        batch: 2,
        crop: { width: 256, height: 256 },
        iterations: cell ? (cell.method === 'oracle' ? 9000 : 3000) : 6000,
        precision: 'bfloat16',
      });
      const { contrast } = experiment.method;
      if (contrast)
        expect(contrast).toMatchObject({ bankCapacity: 5000, warmup: 0.1, width: 256, anchors: 256 });
    }
    expect(streetSynthPreset({ scale: 'large', seed: 1 }).data).toEqual({
      seed: 1,
      sourceTrain: 1200,
      sourceVal: 20,
      targetTrain: 1200,
      targetVal: 200,
      width: 512,
    });
  });

  test('start from given networks, known by their contents', () => {
    const start = join(folder, 'start');
    const write = (seed: number, config: SegmentorConfig, weights: number) => {
      using network = new Segmentor(config, weights);
      saveSegmentor(join(start, `seed${seed}`, 'model.safetensors'), network);
    };
    for (const seed of [1, 2]) {
      mkdirSync(join(start, `seed${seed}`), { recursive: true });
      write(seed, preset.pretraining.segmentor, seed);
    }
    const runs = plan(sweeps.rank, options({ start, seeds: [1, 2] }));
    expect(runs.some(({ cell }) => cell === undefined)).toBe(false);
    expect(runs[0]).toMatchObject({ start: join(start, 'seed1'), after: undefined });
    const before = runs.map(({ key }) => key);
    write(1, preset.pretraining.segmentor, 9);
    const after = plan(sweeps.rank, options({ start, seeds: [1, 2] })).map(({ key }) => key);
    expect(after.map((key, i) => key === before[i])).toEqual(runs.map(({ seed }) => seed === 2));
    write(1, { ...preset.pretraining.segmentor, channels: 8 }, 1);
    expect(() => plan(sweeps.rank, options({ start }))).toThrow(
      /has channels 8, the sweep's network 16: give another --start, or --set segmentor\.channels=8$/,
    );
    expect(() => plan(sweeps.rank, options({ start, seeds: [3] }))).toThrow(
      /seed3.model\.safetensors is missing: --start/,
    );
  });

  test('start source and oracle from the encoder of this package, or from what is given', () => {
    const runs = plan(sweeps.methods, options());
    for (const { cell, start, weights, startKey, after } of runs) {
      if (cell === undefined || cell.method === 'oracle') {
        expect([start, weights]).toEqual([undefined, 'street-synth']);
        expect(startKey).toMatch(/^encoder [0-9a-f]{64}$/);
      } else expect([start, weights, startKey]).toEqual([runs[0]!.folder, undefined, after!.key]);
    }
    const random = plan(sweeps.methods, options({ weights: 'none' }));
    expect(random.map(({ key }, i) => key === runs[i]!.key)).not.toContain(true);
    for (const { cell, weights, startKey } of random) {
      expect(weights).toBeUndefined();
      if (cell?.method === 'oracle') expect(startKey).toBeUndefined();
    }
    const wider = { set: { 'segmentor.backbone': 'mit_b1' } };
    for (const more of [{ scale: 'large' } as const, wider]) {
      expect(keys('methods', more)).toEqual(keys('methods', { ...more, weights: 'none' }));
      expect(() => plan(sweeps.methods, options({ ...more, weights: 'street-synth' }))).toThrow(
        /an encoder of mit_b0/,
      );
    }
  });

  test('train longer where the cell says so, and are else the same', () => {
    const runs = plan(sweeps.evidence, options({ steps: 100 }));
    const of = (name: string) => runs.find(({ cell }) => cell?.name === name)!.experiment;
    const [short, long] = [of('self-training'), of('self-training-longer')];
    expect([short.iterations, long.iterations]).toEqual([100, 110]);
    expect({ ...long, iterations: 100, schedule: short.schedule }).toEqual(short);
  });

  test('know an encoder by its contents', () => {
    const weights = join(folder, 'encoder.safetensors');
    copyFileSync(shippedEncoder.file, weights);
    expect(keys('rank', { weights })).toEqual(keys('rank'));
    writeFileSync(weights, 'other');
    const other = keys('rank', { weights });
    for (const [name, key] of keys('rank')) expect(other.get(name), name).not.toBe(key);
    const index = join(folder, 'shards/model.safetensors.index.json');
    mkdirSync(join(folder, 'shards'));
    writeFileSync(index, JSON.stringify({ weight_map: { a: '1.safetensors', b: '2.safetensors' } }));
    const shards = (...texts: string[]) => {
      for (const [i, text] of texts.entries())
        writeFileSync(join(folder, `shards/${i + 1}.safetensors`), text);
      return keys('rank', { weights: join(folder, 'shards') }).get('r4');
    };
    expect(shards('a', 'b')).toBe(shards('a', 'b'));
    expect(shards('a', 'b')).not.toBe(shards('a', 'c'));
  });
});

const sweep: Sweep = {
  name: 'sweep',
  title: 'A sweep',
  description: 'Of three cells.',
  reference: 'b',
  cells: [
    { name: 'a', label: 'with a "quote", a comma', method: 'pgpc', settings: {} },
    { name: 'b', label: 'b | bar', method: 'pgpc', settings: {} },
    { name: 'c', label: 'c', method: 'pgpc', settings: {} },
  ],
};
const classes = ['road', 'traffic light', 'rider', 'train'];
const minority = [2, 3];

function resultOf(seed: number, miou: number, accuracy: number, iou: number[]): RunResult {
  const scores = {
    miou,
    iou,
    accuracy,
    classAccuracy: iou,
    meanAccuracy: accuracy,
    frequencyWeightedIou: miou,
  };
  return { key: 'k', name: 'n', seed, experiment: {}, onTarget: false, seconds: 1, scores };
}

function tableOf(results: Readonly<Record<string, RunResult[]>>): SweepTable {
  const rows = rowsOf(sweep, ({ name }) => results[name] ?? [], minority);
  return { sweep, classes, minority, rows, setting: 'Somewhere.', command: 'pgpc ablate a' };
}

/** Mean and sample standard deviation, step by step. */
function slow(values: readonly number[]): [mean: number, spread: number] {
  let sum = 0;
  let n = 0;
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    sum += value;
    n++;
  }
  let squares = 0;
  for (const value of values) if (!Number.isNaN(value)) squares += (value - sum / n) * (value - sum / n);
  return [sum / n, n > 1 ? Math.sqrt(squares / (n - 1)) : Number.NaN];
}

describe('the table', () => {
  const fraction = fc.double({ min: 0, max: 1, noNaN: true });
  const maybe = fc.oneof({ weight: 4, arbitrary: fraction }, fc.constant(Number.NaN));
  const runs = fc
    .uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 })
    .chain((seeds) =>
      fc.tuple(
        ...seeds.map((seed) =>
          fc
            .tuple(fraction, fraction, fc.array(maybe, { minLength: 4, maxLength: 4 }))
            .map(([miou, accuracy, iou]) => resultOf(seed, miou, accuracy, iou)),
        ),
      ),
    ) as fc.Arbitrary<RunResult[]>;

  test('has means, deviations and differences paired by seed', () => {
    fc.assert(
      fc.property(fc.record({ a: runs, b: runs, c: runs }), (results) => {
        const { rows } = tableOf(results);
        const ended = sweep.cells.filter(({ name }) => results[name as 'a'].length > 0);
        expect(rows.map(({ cell }) => cell)).toEqual(ended);
        const close = ({ mean, spread }: { mean: number; spread: number }, values: readonly number[]) => {
          const [slowMean, slowSpread] = slow(values);
          for (const [fast, expected] of [
            [mean, slowMean],
            [spread, slowSpread],
          ] as const) {
            if (Number.isNaN(expected)) expect(fast).toBeNaN();
            else expect(fast).toBeCloseTo(expected, 12);
          }
        };
        for (const row of rows) {
          const own = results[row.cell.name as 'a'].map(({ seed, scores }) => ({ seed, ...scores! }));
          close(
            row.miou,
            own.map(({ miou }) => miou),
          );
          close(
            row.accuracy,
            own.map(({ accuracy }) => accuracy),
          );
          for (const c of classes.keys())
            close(
              row.iou[c]!,
              own.map(({ iou }) => iou[c]!),
            );
          close(
            row.minority,
            own.map(({ iou }) => slow([iou[2]!, iou[3]!])[0]),
          );
          close(
            row.majority,
            own.map(({ iou }) => slow([iou[0]!, iou[1]!])[0]),
          );
          if (row.cell.name === 'b') {
            expect(row.difference).toBeUndefined();
            continue;
          }
          const differences: number[] = [];
          for (const { seed, miou } of own) {
            for (const other of results.b)
              if (other.seed === seed) differences.push(miou - other.scores!.miou);
          }
          close(row.difference!, differences);
          expect(row.difference!.seeds).toBe(differences.length);
          expect(row.difference2).toBeUndefined();
        }
      }),
    );
  });

  test('calls those classes minorities that have less than 1 % of the labelled pixels', () => {
    // Of 1000 pixels: 900, 10, 9 and 81.
    expect(
      minorityClasses([
        [500, 10, 0, 50],
        [400, 0, 9, 31],
      ]),
    ).toEqual([2]);
  });

  test('has the 95 % interval of paired differences, to two references', () => {
    const at = (...values: number[]) =>
      values.map((miou, i) => resultOf(i + 1, miou, 0.5, [0.4, 0.2, 0.1, 0]));
    const results = { a: at(0.31, 0.42, 0.53), b: at(0.3, 0.4, 0.5), c: at(0.2, 0.3, 0.4) };
    const two = { ...sweep, reference2: 'c' };
    const [row] = rowsOf(two, ({ name }) => results[name as 'a'], minority);
    // Differences of 1, 2 and 3 points: mean 2, deviation 1, and t = 4.303 with two degrees of freedom.
    expect(row!.difference!.half).toBeCloseTo((0.01 * 4.303) / Math.sqrt(3), 6);
    expect(row!.difference2!.mean).toBeCloseTo(0.12, 12);
    const table = { sweep: two, classes, minority, rows: [row!], setting: '', command: '' };
    expect(textCells(table).header).toContain('to c');
    expect(textCells(table).rows[0]).toContain('+2.0 (−0.5 to +4.5)');
    expect(textCells(table).rows[0]).toContain('+12.0 (+9.5 to +14.5)');
  });

  const results = {
    a: [resultOf(1, 0.2, 0.5, [0.4, 0.2, Number.NaN, 0]), resultOf(2, 0.3, 0.6, [0.5, 0.3, 0.2, 0])],
    b: [resultOf(1, 0.25, 0.5, [0.4, 0.2, 0.1, 0])],
  };

  test('as Markdown has a row for each cell, and says what has not run', () => {
    const text = markdown(tableOf(results));
    expect(text).toContain(
      '|  | seeds | mIoU | to b \\| bar | minority classes | other classes | pixel accuracy |\n' +
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n' +
        '| with a "quote", a comma | 2 | 25.0 ± 7.1 | −5.0 | 5.0 ± 7.1 | 35.0 ± 7.1 | 55.0 ± 7.1 |\n' +
        '| b \\| bar | 1 | 25.0 |  | 5.0 | 30.0 | 50.0 |\n',
    );
    expect(text).toContain('less than 1 % of the labelled pixels');
    expect(text).toContain(': rider, train.');
    expect(text).toContain('Not run yet: c.');
  });

  test('as CSV is read back field by field', () => {
    const [header, ...lines] = csv(tableOf(results)).trimEnd().split('\n').map(fieldsOf);
    const rows = lines.map((line) => Object.fromEntries(header!.map((name, i) => [name, line[i]])));
    expect(lines.every((line) => line.length === header!.length)).toBe(true);
    expect(rows[0]).toMatchObject({
      cell: 'a',
      label: 'with a "quote", a comma',
      seeds: '2',
      miou_mean: '0.25',
      miou_sd: '0.070711',
      difference_mean: '-0.05',
      difference_sd: '',
      difference_seeds: '1',
      iou_traffic_light_mean: '0.25',
      iou_rider_mean: '0.2',
      iou_rider_sd: '',
    });
    expect(rows[1]).toMatchObject({ label: 'b | bar', difference_mean: '', difference_seeds: '' });
  });
});

/** The fields of one line of CSV, letter by letter. */
function fieldsOf(line: string): string[] {
  const fields = [''];
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i]!;
    if (quoted && letter === '"' && line[i + 1] === '"') {
      fields[fields.length - 1] += '"';
      i++;
    } else if (letter === '"') quoted = !quoted;
    else if (letter === ',' && !quoted) fields.push('');
    else fields[fields.length - 1] += letter;
  }
  return fields;
}

describe('the pictures', () => {
  const oracle: Sweep = {
    ...sweep,
    cells: [...sweep.cells, { name: 'o', label: 'oracle', method: 'oracle', settings: {} }],
  };
  const results: Record<string, RunResult[]> = {
    a: [resultOf(1, 0.2, 0.5, [0.4, 0.2, 0.1, 0]), resultOf(2, 0.3, 0.6, [0.5, 0.3, 0.2, 0])],
    b: [resultOf(1, 0.25, 0.5, [0.4, 0.2, 0.1, 0])],
    o: [resultOf(1, 0.9, 0.9, [0.9, 0.9, 0.9, 0.9])],
  };
  const rows = rowsOf(oracle, ({ name }) => results[name] ?? [], minority);
  const table: SweepTable = { sweep: oracle, classes, minority, rows, setting: '', command: '' };

  test('place every mean and seed by its value', () => {
    const svg = miouPicture(table).toString();
    const numbers = (pattern: RegExp) => [...svg.matchAll(pattern)].map(([, x]) => Number(x));
    const ticks = [...svg.matchAll(/text-anchor="middle" x="([\d.]+)" y="\d+">([\d.]+)</g)];
    const [[, x0, v0], [, x1, v1]] = [ticks[0]!, ticks.at(-1)!] as unknown as [string[], string[]];
    const valueAt = (x: number) =>
      Number(v0) + ((x - Number(x0)) / (Number(x1) - Number(x0))) * (Number(v1) - Number(v0));
    const means = numbers(/class="sweep-mean" cx="([\d.]+)"/g).map(valueAt);
    const seeds = numbers(/class="sweep-seed" cx="([\d.]+)"/g).map(valueAt);
    for (const [i, value] of [25, 25].entries()) expect(means[i]).toBeCloseTo(value, 1);
    for (const [i, value] of [20, 30, 25].entries()) expect(seeds[i]).toBeCloseTo(value, 1);
    expect(seeds).toHaveLength(3);
    // The oracle is beyond the axis of the others, and says so.
    expect(means).toHaveLength(2);
    expect(svg).toContain('90.0 →');
    expect(svg).toContain('with a &quot;quote&quot;, a comma');
  });

  test('have no number that is none, and tables without runs have no pictures', () => {
    expect(classesPicture(table).toString()).not.toMatch(/NaN|Infinity|undefined/);
    const empty = join(folder, 'empty');
    writeSweep(empty, { ...table, rows: [] });
    expect(() => miouPicture({ ...table, rows: [] })).not.toThrow();
    expect(rowsOf(oracle, () => [], minority)).toEqual([]);
  });
});
