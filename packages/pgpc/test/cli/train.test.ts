// `pgpc train` from its first line on: where runs go, what is refused before data is read, several seeds, and repeats.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { openRun } from '../../src/training/run-directory/open-run.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-train-'));
const out = join(folder, 'runs');
const roots = ['--source-root', join(folder, 'gta5'), '--target-root', join(folder, 'cityscapes')];
beforeAll(async () => {
  const counts = { sourceTrain: 1, sourceVal: 0, targetTrain: 1, targetVal: 1 };
  await writeStreetSynth(folder, { seed: 3, ...counts, width: 64 });
});
afterAll(() => rmSync(folder, { recursive: true }));

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    callback();
  }
}

async function train(...args: string[]) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const all = ['train', ...args, '--out', out, '--device', 'cpu', '--no-memory-check'];
  const code = await main(all, { stdout, stderr, signal: new AbortController().signal, env: {} });
  return { code, out: stdout.text, err: stderr.text };
}

const tiny = [
  ...['--method', 'source-only', '--crop', '32x32', '--batch', '1', '--iterations', '1', '--workers', '0'],
  ...['--set', 'segmentor.head=segformer', '--set', 'segmentor.channels=16'],
];

test('seeds take their folders first, and end with their mean and spread; a run is repeated from its directory', async () => {
  const seeds = await train(...roots, ...tiny, '--name', 'two', '--seed', '4', '--seeds', '2');
  expect(seeds).toMatchObject({ code: 0 });
  const [first, second] = ['two-seed4', 'two-seed5'].map((name) => join(out, name)) as [string, string];
  expect(seeds.out.split('\n').slice(0, 2)).toEqual([`run: ${first}`, `run: ${second}`]);
  expect(seeds.out).toMatch(/mean ± standard deviation of 2 seeds\n(.*\n)*mIoU +\d+\.\d ± \d+\.\d\n/);

  const repeated = await train('--config', join(first, 'run.json'), '--seed', '9', '--name', 'again');
  expect(repeated.err).not.toMatch(/^pgpc: /m);
  expect(repeated.out).toMatch(/^run: .*again\n/);
  const [before, after] = [openRun(first).info, openRun(join(out, 'again')).info];
  const config = structuredClone(before.config) as { experiment: { seed: number } };
  config.experiment.seed = 9;
  expect(after.config).toEqual(config);
}, 60_000);

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
    expect((await train(...nothing(), '--name', 'taken', '--seeds', '3')).err).toContain(
      'taken-seed2 exists',
    );
    expect(readdirSync(out)).toEqual(before);
  });

  test('data that cannot be trained on: the folder is given back, and a run to be replaced is kept', async () => {
    const failed = await train(...nothing(), '--name', 'empty');
    expect(failed).toMatchObject({ code: 1, out: `run: ${join(out, 'empty')}\n` });
    expect(existsSync(join(out, 'empty'))).toBe(false);
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
