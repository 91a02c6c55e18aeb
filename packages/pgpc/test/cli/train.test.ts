// `pgpc train` from its first line on: where runs go, what is refused before data is read, several seeds, and repeats.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { showTraining } from '../../src/cli/output/training.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { runMain, Sink } from '../support/command.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-train-'));
const out = join(folder, 'runs');
const roots = ['--source-root', join(folder, 'gta5'), '--target-root', join(folder, 'cityscapes')];
beforeAll(async () => {
  const counts = { sourceTrain: 1, sourceVal: 0, targetTrain: 1, targetVal: 1 };
  await writeStreetSynth(folder, { seed: 3, ...counts, width: 64 });
});
afterAll(() => rmSync(folder, { recursive: true }));

async function train(...args: string[]) {
  return runMain(['train', ...args, '--out', out, '--device', 'cpu', '--no-memory-check']);
}

const tiny = [
  ...['--method', 'source-only', '--crop', '32x32', '--batch', '1', '--iterations', '1', '--workers', '0'],
  ...['--set', 'segmentor.head=segformer', '--set', 'segmentor.channels=16'],
];

test('seeds take their folders first, and end with their mean and spread; a run is repeated from its directory', async () => {
  const json = join(folder, 'two.json');
  const seeds = await train(
    ...roots,
    ...tiny,
    '--name',
    'two',
    '--seed',
    '4',
    '--seeds',
    '2',
    '--json',
    json,
  );
  expect(seeds).toMatchObject({ code: 0 });
  const [first, second] = ['two-seed4', 'two-seed5'].map((name) => join(out, name)) as [string, string];
  expect(seeds.out.split('\n').slice(0, 2)).toEqual([`run: ${first}`, `run: ${second}`]);
  const told = JSON.parse(readFileSync(json, 'utf8'));
  const results = [first, second].map((run) => JSON.parse(readFileSync(join(run, 'results.json'), 'utf8')));
  expect(told).toMatchObject({
    outcome: 'finished',
    runs: [first, second].map((run, i) => ({
      ...{ run, seed: 4 + i, outcome: 'finished', report: join(run, 'report.html'), results: results[i] },
      checkpoint: join(run, 'checkpoints/source-only'),
    })),
    overSeeds: { seeds: 2, miou: { mean: (results[0][0].miou + results[1][0].miou) / 2 } },
  });
  expect(seeds.out).toMatch(/mean ± standard deviation of 2 seeds\n(.*\n)*mIoU +\d+\.\d ± \d+\.\d\n/);

  const repeated = await train(
    '--config',
    join(first, 'run.json'),
    '--seed',
    '9',
    '--name',
    'again',
    '--json',
  );
  expect(repeated.err).not.toMatch(/^pgpc: /m);
  expect(repeated.err).toMatch(/^run: .*again\n/);
  expect(JSON.parse(repeated.out)).toMatchObject({
    outcome: 'finished',
    runs: [{ run: join(out, 'again'), seed: 9 }],
  });
  const [before, after] = [openRun(first).info, openRun(join(out, 'again')).info];
  const config = structuredClone(before.config) as { experiment: { seed: number } };
  config.experiment.seed = 9;
  expect(after.config).toEqual(config);
}, 60_000);

test('a run that fails is told of as its directory has it, and not one that it was to replace', async () => {
  const run = RunDirectory.create(out, 'broken', { config: {}, seed: 3, versions: {} });
  const told: object[] = [];
  const [stdout, stderr] = [new Sink(), new Sink()];
  const io = { stdout, stderr, signal: new AbortController().signal, command: '', stage: () => {} };
  const failing = (message: string) =>
    showTraining(
      io,
      (facts) => told.push(facts),
      async (onEvent) => {
        onEvent({ kind: 'run', directory: run.path });
        throw new Error(message);
      },
    );
  run.finish('failed', 'loss is not finite');
  await expect(failing('too little memory')).rejects.toThrow('too little memory');
  expect(told).toEqual([]);
  await expect(failing('loss is not finite')).rejects.toThrow('loss is not finite');
  const report = join(run.path, 'report.html');
  expect(told).toMatchObject([{ run: run.path, seed: 3, outcome: 'failed', report, results: [] }]);
  expect(existsSync(report)).toBe(true);
});

describe('is refused before data is read', () => {
  // Not even a layout is told from it.
  const nothing = () => {
    mkdirSync(join(folder, 'nothing'), { recursive: true });
    return ['--source-root', join(folder, 'nothing'), '--target-root', join(folder, 'nothing')];
  };

  test('a name that is taken, also by a later seed, and nothing is left behind', async () => {
    mkdirSync(join(out, 'taken-seed2'), { recursive: true });
    writeFileSync(join(out, 'taken-seed2/file'), '');
    const before = readdirSync(out);
    expect(await train(...nothing(), '--name', 'taken-seed2')).toMatchObject({
      code: 1,
      out: '',
      err: `pgpc: ${join(out, 'taken-seed2')} exists and is not empty: choose another name, or overwrite it\n`,
    });
    const seeds = await train(...nothing(), '--name', 'taken', '--seeds', '3', '--json');
    expect(seeds.err).toContain('taken-seed2 exists');
    expect(JSON.parse(seeds.out)).toMatchObject({
      outcome: 'failed',
      error: expect.stringContaining('exists'),
    });
    expect(readdirSync(out)).toEqual(before);
  });

  test('data that cannot be trained on: the folder is given back, and a run to be replaced is kept', async () => {
    const failed = await train(...nothing(), '--name', 'empty');
    expect(failed).toMatchObject({ code: 1, out: `run: ${join(out, 'empty')}\n` });
    expect(existsSync(join(out, 'empty'))).toBe(false);
    const told = await train(...nothing(), '--name', 'empty', '--json');
    const { outcome, error, ...more } = JSON.parse(told.out);
    expect([told.code, outcome, more]).toEqual([1, 'failed', {}]);
    expect(told.err).toContain(`pgpc: ${error}\n`);
    mkdirSync(join(out, 'kept'), { recursive: true });
    writeFileSync(join(out, 'kept/run.json'), '{}');
    expect(await train(...nothing(), '--name', 'kept', '--overwrite')).toMatchObject({ code: 1 });
    expect(readdirSync(join(out, 'kept'))).toEqual(['run.json']);
  });

  test('what a repeated run has already', async () => {
    const { code, err } = await train('--config', folder, '--method', 'pgpc', '--crop', '64x64');
    expect([code, err]).toEqual([
      2,
      'pgpc: --config takes this from the run: leave out --method, --crop, or change it with --set\n',
    ]);
    expect((await train('--config', folder)).err).toContain('is no run directory');
    const ranks = await train(...nothing(), '--seeds', '2', '--nproc', '2');
    expect(ranks).toMatchObject({ code: 2, err: expect.stringContaining('--seeds trains in one process') });
  });
});
