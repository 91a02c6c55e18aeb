// The run directory: creation, crash safety, resuming, and what the reader accepts and refuses.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { gitRevision } from '../../src/training/run-directory/origin.js';
import { type RunDescription, RunDirectory } from '../../src/training/run-directory/run-directory.js';
import type { MethodResult, PictureIndex } from '../../src/training/run-directory/schema.js';

const DESCRIPTION: RunDescription = {
  config: { iterations: 10, contrast: { tau: 0.5 } },
  seed: 3,
  versions: { pgpc: '0.1.0', libtorch: '1.13.1' },
  gitRevision: 'abc',
};

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'pgpc-runs-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function result(name: string, level = 0.5, seed?: number): MethodResult {
  const iou = Array.from({ length: 19 }, () => level);
  return {
    name,
    label: name.toUpperCase(),
    ...(seed === undefined ? {} : { seed }),
    miou: level,
    iou,
    accuracy: level,
    seconds: 1,
  };
}

describe('create', () => {
  test('writes run.json with all that identifies the run', () => {
    const before = Date.now();
    const run = RunDirectory.create(root, 'first', { ...DESCRIPTION, command: 'pgpc demo' });
    expect(run.path).toBe(path.join(root, 'first'));
    const { info, metrics, results, pictures } = openRun(run.path);
    expect(info).toMatchObject({
      name: 'first',
      config: DESCRIPTION.config,
      seed: 3,
      gitRevision: 'abc',
      command: 'pgpc demo',
      status: 'running',
      versions: { pgpc: '0.1.0', libtorch: '1.13.1', node: process.versions.node },
    });
    expect(Date.parse(info.started)).toBeGreaterThanOrEqual(before);
    expect(info.classes.map(({ name }) => name).slice(0, 3)).toEqual(['road', 'sidewalk', 'building']);
    expect(info.classes).toHaveLength(19);
    expect([metrics, results, pictures]).toEqual([[], [], undefined]);
  });

  test('refuses a name that is taken, and leaves that run as it is', () => {
    RunDirectory.create(root, 'taken', DESCRIPTION).addResult(result('pgpc'));
    expect(() => RunDirectory.create(root, 'taken', DESCRIPTION)).toThrow(
      /taken exists and is not empty: choose/,
    );
    expect(openRun(path.join(root, 'taken')).results).toHaveLength(1);
  });

  test('takes an empty folder', () => {
    mkdirSync(path.join(root, 'empty'));
    expect(RunDirectory.create(root, 'empty', DESCRIPTION).name).toBe('empty');
  });

  test('unique numbers the names', () => {
    const names = [1, 2, 3].map(() => RunDirectory.create(root, 'run', DESCRIPTION, { unique: true }).name);
    expect(names).toEqual(['run', 'run-2', 'run-3']);
    expect(openRun(path.join(root, 'run-3')).info.name).toBe('run-3');
  });

  test('overwrite empties a run, but nothing else', () => {
    RunDirectory.create(root, 'run', DESCRIPTION).addResult(result('pgpc'));
    RunDirectory.create(root, 'run', DESCRIPTION, { overwrite: true });
    expect(openRun(path.join(root, 'run')).results).toEqual([]);

    mkdirSync(path.join(root, 'thesis'));
    writeFileSync(path.join(root, 'thesis', 'chapter'), 'one');
    expect(() => RunDirectory.create(root, 'thesis', DESCRIPTION, { overwrite: true })).toThrow(
      /holds no run/,
    );
    expect(readFileSync(path.join(root, 'thesis', 'chapter'), 'utf8')).toBe('one');
  });

  test('never leaves the root folder, whatever the name', () => {
    const inner = path.join(root, 'inner');
    for (const name of ['', '.', '..', '../out', 'a/b', '/abs', '-flag', 'a\0b', 'a\nb', 'x'.repeat(101)]) {
      expect(() => RunDirectory.create(inner, name, DESCRIPTION), JSON.stringify(name)).toThrow(/run name/);
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 8 }), (name) => {
        let made: RunDirectory;
        try {
          made = RunDirectory.create(inner, name, DESCRIPTION, { unique: true });
        } catch (error) {
          expect((error as Error).message).toMatch(/^run name/);
          return;
        }
        expect(path.dirname(path.resolve(made.path))).toBe(inner);
      }),
      { numRuns: 200 },
    );
    expect(readdirSync(root)).toEqual(existsSync(inner) ? ['inner'] : []);
  });
});

describe('metrics', () => {
  test('come back as they were logged, NaN and infinities as NaN', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    run.log({ phase: 'source', iteration: 1 }, { 'loss/total': 0.5, lr: 6e-5 });
    run.log({ phase: 'source', iteration: 2 }, { 'loss/total': Number.NaN, q: Number.POSITIVE_INFINITY });
    run.log({ phase: 'pgpc', seed: 7, iteration: 1 }, { 'loss/contrast': 3 });
    const { metrics } = openRun(run.path);
    expect(metrics.map(({ wall: _, ...rest }) => rest)).toEqual([
      { phase: 'source', iteration: 1, values: { 'loss/total': 0.5, lr: 6e-5 } },
      { phase: 'source', iteration: 2, values: { 'loss/total': Number.NaN, q: Number.NaN } },
      { phase: 'pgpc', seed: 7, iteration: 1, values: { 'loss/contrast': 3 } },
    ]);
    const walls = metrics.map(({ wall }) => wall);
    expect([...walls].sort((a, b) => a - b)).toEqual(walls);
  });

  test('any finite numbers survive exactly', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    const written: Record<string, number>[] = [];
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.stringMatching(/^[a-z]+\/[a-z]+$/),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
        ),
        (values) => {
          // JSON has no minus zero.
          const plain = Object.fromEntries(
            Object.entries(values).map(([name, value]) => [name, value === 0 ? 0 : value]),
          );
          run.log({ phase: 'p', iteration: written.length }, plain);
          written.push(plain);
        },
      ),
      { numRuns: 100 },
    );
    expect(openRun(run.path).metrics.map(({ values }) => ({ ...values }))).toEqual(written);
  });

  test('refuse what is no count or no number', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    expect(() => run.log({ phase: 'p', iteration: 0.5 }, {})).toThrow(/iteration 0.5 is not/);
    expect(() => run.log({ phase: 'p', iteration: 1 }, { lr: '1' as unknown as number })).toThrow(
      /'lr' is a string/,
    );
    expect(() => run.log({ phase: 'p', iteration: 1 }, { wall: 1 })).toThrow(
      /'wall' is the name of a fixed field/,
    );
    expect(openRun(run.path).metrics).toEqual([]);
  });

  test('a file cut off at any byte gives the lines before the cut', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    for (let iteration = 1; iteration <= 3; iteration++)
      run.log({ phase: 'größe', iteration }, { lr: iteration });
    const file = path.join(run.path, 'metrics.jsonl');
    const bytes = readFileSync(file);
    for (let length = 0; length <= bytes.length; length++) {
      writeFileSync(file, bytes.subarray(0, length));
      const whole = bytes.subarray(0, length).filter((byte) => byte === 10).length;
      expect(openRun(run.path).metrics.map(({ iteration }) => iteration)).toEqual([1, 2, 3].slice(0, whole));
    }
  });

  test('a broken line in the middle is an error that names it', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    const file = path.join(run.path, 'metrics.jsonl');
    run.log({ phase: 'p', iteration: 1 }, {});
    appendFileSync(file, '{"phase": "p", \n');
    expect(() => openRun(run.path)).toThrow(/metrics\.jsonl:2 is not JSON/);
    writeFileSync(file, '{"phase":"p","iteration":1,"wall":0,"lr":"fast"}\n');
    expect(() => openRun(run.path)).toThrow(/metrics\.jsonl:1: lr: .*number/);
  });
});

describe('resume', () => {
  test('supersedes what was logged beyond the checkpoint, and resumes time and status', () => {
    const first = RunDirectory.create(root, 'run', DESCRIPTION);
    for (const iteration of [10, 20, 30]) first.log({ phase: 'p', iteration }, { lr: iteration });
    first.log({ phase: 'q', iteration: 99 }, { lr: 1 });
    first.addResult(result('source-only'));
    first.finish('failed', 'out of memory');
    const file = path.join(first.path, 'metrics.jsonl');
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/"wall":[\d.]+/g, '"wall":100'));
    appendFileSync(file, '{"phase":"p","iter');

    const second = RunDirectory.resume(first.path);
    expect(openRun(first.path).info).toMatchObject({ status: 'running', resumed: [expect.any(String)] });
    expect(openRun(first.path).info.error).toBeUndefined();
    second.log({ phase: 'p', iteration: 20 }, { lr: -20 });
    second.log({ phase: 'p', iteration: 25 }, { lr: -25 });
    second.addResult(result('pgpc'));
    second.finish('finished');

    const { metrics, results, info } = openRun(first.path);
    expect(metrics.map(({ phase, iteration, values }) => [phase, iteration, values.lr])).toEqual([
      ['p', 10, 10],
      ['p', 20, -20],
      ['p', 25, -25],
      ['q', 99, 1],
    ]);
    expect(metrics[2]!.wall).toBeGreaterThanOrEqual(100);
    expect(results.map(({ name }) => name)).toEqual(['source-only', 'pgpc']);
    expect(info.status).toBe('finished');
    expect(info.finished).toBeDefined();
  });

  test('records of one iteration are joined', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    run.log({ phase: 'p', iteration: 10 }, { lr: 1 });
    run.log({ phase: 'p', iteration: 10 }, { 'val/miou': 0.4 });
    expect(openRun(run.path).metrics.map(({ values }) => ({ ...values }))).toEqual([
      { lr: 1, 'val/miou': 0.4 },
    ]);
  });
});

describe('results', () => {
  test('keep NaN for absent classes, and replace results of the same method and seed only', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    const iou = [Number.NaN, ...Array.from({ length: 18 }, () => 0.25)];
    run.addResult({ ...result('pgpc', 0.25), iou });
    expect(openRun(run.path).results).toEqual([{ ...result('pgpc', 0.25), iou }]);
    run.addResult(result('pgpc', 0.75));
    run.addResult(result('pgpc', 0.5, 1));
    expect(openRun(run.path).results.map(({ seed, miou }) => [seed, miou])).toEqual([
      [undefined, 0.75],
      [1, 0.5],
    ]);
    expect(readdirSync(run.path).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('refuse percentages and a wrong number of classes', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    expect(() => run.addResult({ ...result('pgpc'), miou: 52 })).toThrow(/result of 'pgpc': miou/);
    expect(() => run.addResult({ ...result('pgpc'), iou: [0.5] })).toThrow(
      /has 1 IoU values, the run has 19/,
    );
    expect(openRun(run.path).results).toEqual([]);
  });
});

describe('pictures', () => {
  test('labels are drawn in the colours of the classes', async () => {
    const classes = [
      { name: 'a', color: [10, 20, 30] },
      { name: 'b', color: [200, 100, 50] },
    ] as const;
    const run = RunDirectory.create(root, 'run', { ...DESCRIPTION, classes });
    await run.writeLabelPicture('labels.png', { width: 3, height: 1, data: new Uint8Array([1, 0, 255]) });
    const { data, info } = await sharp(path.join(run.path, 'pictures', 'labels.png'))
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([info.width, info.height, info.channels]).toEqual([3, 1, 3]);
    expect([...data]).toEqual([200, 100, 50, 10, 20, 30, 0, 0, 0]);
  });

  test('the index comes back, and cannot point out of its folder', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    const index = {
      source: [{ image: 's.png', label: 's-label.png' }],
      target: [{ id: 'x', image: 't.png', truth: 't-truth.png', predictions: { pgpc: 't-pgpc.png' } }],
    };
    run.writePictureIndex(index);
    expect(openRun(run.path).pictures).toEqual(index);
    expect(() =>
      run.writePictureIndex({ source: [{ image: '../run.json', label: 'x' }], target: [] }),
    ).toThrow(/picture index: source\.0\.image: must be a file name/);
  });

  test('the index is the same file whatever came first, as in a run that is resumed after its evaluation', () => {
    const run = RunDirectory.create(root, 'run', DESCRIPTION);
    const checkpoints = [{ iteration: 4, prototypes: 'prototypes-4.safetensors' }];
    const contrast = { checkpoints, memory: 'memory-4.safetensors' };
    const worst = [{ method: 'pgpc', images: [] }];
    const bytesOf = (index: PictureIndex) => {
      run.writePictureIndex(index);
      return readFileSync(path.join(run.path, 'pictures/index.json'), 'utf8');
    };
    const first = bytesOf({ source: [], target: [], contrast, worst });
    // What is read back has the contrast's files last, and a new checkpoint replaces them where they are.
    expect(bytesOf(openRun(run.path).pictures!)).toBe(first);
    expect(bytesOf({ worst, contrast, target: [], source: [] })).toBe(first);
  });
});

test('checkpoint folders are made for every phase', () => {
  const run = RunDirectory.create(root, 'run', DESCRIPTION);
  expect(existsSync(run.checkpointDirectory('pgpc'))).toBe(true);
  expect(() => run.checkpointDirectory('../pgpc')).toThrow(/phase '\.\.\/pgpc'/);
});

test('a folder without run.json, or with a broken one, is refused by name', () => {
  expect(() => openRun(root)).toThrow(/is no run directory: it has no run\.json/);
  const run = RunDirectory.create(root, 'run', DESCRIPTION);
  const file = path.join(run.path, 'run.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"running"', '"sleeping"'));
  expect(() => openRun(run.path)).toThrow(/run\.json: status: /);
});

test('the git revision says whether files differ from it', () => {
  expect(gitRevision(root)).toBeUndefined();
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8' });
  git('init', '-q');
  writeFileSync(path.join(root, 'file'), 'one');
  git('add', 'file');
  git('-c', 'user.name=Test', '-c', 'user.email=test@example.org', 'commit', '-q', '-m', 'one');
  const revision = git('rev-parse', 'HEAD').trim();
  expect(gitRevision(root)).toBe(revision);
  writeFileSync(path.join(root, 'file'), 'two');
  expect(gitRevision(root)).toBe(`${revision}-dirty`);
});
