// `--json`: one document on standard output, however the command ends, and nothing else there.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { CommandIo } from '../../src/cli/io.js';
import { type Tell, withJson } from '../../src/cli/output/json.js';
import { UsageError } from '../../src/config/usage-error.js';
import { runMain, Sink } from '../support/command.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-json-'));
const inside = (...names: string[]) => join(folder, ...names);
afterAll(() => rmSync(folder, { recursive: true }));

const pgpc = (...args: string[]) => runMain(args);

describe('the document', () => {
  async function ending(
    file: string | undefined,
    act: (tell: Tell, stop: () => void, io: CommandIo) => void,
    other?: string,
  ) {
    const [stdout, stderr, controller] = [new Sink(), new Sink(), new AbortController()];
    const own = { stdout, stderr, signal: controller.signal, command: '', stage: () => {} };
    const run = async (io: CommandIo, tell: Tell) => act(tell, () => controller.abort(), io);
    const error = await withJson(file, own, run, other).catch((thrown: unknown) => thrown);
    return { error, out: stdout.text, err: stderr.text };
  }

  test('says that a command has finished, with what was told last, and null for no number', async () => {
    const { error, out, err } = await ending('-', (tell, _, { stdout }) => {
      stdout.write('a table\n');
      tell({ miou: 0.1 + 0.2, iou: [1, Number.NaN], left: 1 });
      tell({ left: undefined, runs: [] });
    });
    expect([error, err]).toEqual([undefined, 'a table\n']);
    expect(JSON.parse(out)).toEqual({ outcome: 'finished', miou: 0.1 + 0.2, iou: [1, null], runs: [] });
    expect(out.endsWith('}\n')).toBe(true);
  });

  test('says that it was stopped, whether it returns or throws, and that it failed, with why', async () => {
    expect(JSON.parse((await ending('-', (_, stop) => stop())).out)).toEqual({ outcome: 'stopped' });
    const thrown = await ending('-', (tell, stop, io) => {
      tell({ run: 'runs/a' });
      stop();
      io.signal.throwIfAborted();
    });
    expect(JSON.parse(thrown.out)).toEqual({ outcome: 'stopped', run: 'runs/a' });
    expect(thrown.error).toMatchObject({ name: 'AbortError' });
    const failed = await ending('-', (_, stop) => {
      stop();
      throw new Error('disk full');
    });
    expect(JSON.parse(failed.out)).toEqual({ outcome: 'failed', error: 'disk full' });
    expect(failed.error).toMatchObject({ message: 'disk full' });
  });

  test('is not there for wrong usage, and not where none is wanted', async () => {
    const wrong = await ending('-', () => {
      throw new UsageError('--set x: nothing has it');
    });
    expect([wrong.out, wrong.err]).toEqual(['', '']);
    const table = await ending(undefined, (_, __, { stdout }) => void stdout.write('a table\n'));
    expect([table.out, table.err]).toEqual(['a table\n', '']);
  });

  test('goes to a file beside the table, and leaves standard output to another file that is there', async () => {
    const file = inside('results.json');
    const act = (tell: Tell, _: () => void, { stdout }: CommandIo) => {
      tell({ left: 0 });
      stdout.write('a table\n');
    };
    expect((await ending(file, act)).out).toBe(`a table\nresults: ${file}\n`);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ outcome: 'finished', left: 0 });
    const { out, err } = await ending(file, act, '-');
    expect([out, err]).toEqual(['', `a table\nresults: ${file}\n`]);
  });
});

describe('of commands on data', () => {
  const args = '--seed 3 --size 64x32 --source-train 2 --source-val 0 --target-train 1 --target-val 1';
  const told = async (...line: string[]) => {
    const { code, out, err } = await pgpc(...line, '--json');
    expect({ code, err }).toMatchObject({ code: 0 });
    return JSON.parse(out);
  };

  test('data render, check, stats, cache and map', async () => {
    const rendered = await told('data', 'render', '--out', inside('data'), ...args.split(' '));
    expect(rendered).toEqual({ outcome: 'finished', folder: inside('data'), scenes: 4, written: 4 });
    const root = inside('data/gta5');
    const check = await told('data', 'check', root);
    expect(check).toMatchObject({ outcome: 'finished', root, format: 'gta5' });
    expect(check.splits[0]).toMatchObject({ images: 2, labels: 2, faults: [] });
    const stats = await told('data', 'stats', root);
    expect(stats).toMatchObject({ outcome: 'finished', root, format: 'gta5' });
    expect(stats.images).toHaveLength(2);
    const cached = await told('data', 'cache', root, '--out', inside('copy'));
    expect(cached).toMatchObject({ outcome: 'finished', root, folder: inside('copy'), leftOut: [] });
    expect(cached.splits.map(({ written, kept }: Record<string, number>) => [written, kept])).toEqual([
      [2, 0],
    ]);
    const file = inside('map.yaml');
    const map = await told('data', 'map', root, inside('data/cityscapes'), '--out', file);
    expect(map).toMatchObject({ outcome: 'finished', file, undecided: [] });
    expect(map.classes[0]).toMatchObject({ name: 'road' });
    const both = await pgpc('data', 'map', root, inside('data/cityscapes'), '--json');
    expect(both).toMatchObject({ code: 2, out: '', err: expect.stringContaining('give one of them a file') });
  }, 60_000);

  test('setup', async () => {
    const { outcome, parts } = await told('setup');
    expect([outcome, parts]).toEqual(['finished', [expect.stringContaining('libtorch'), expect.any(String)]]);
  }, 60_000);
});

test('a file that --json has taken from the arguments is named', async () => {
  const { code, err } = await pgpc('weights', 'inspect', '--json', 'mit_b0.pth');
  expect([code, err]).toEqual([
    2,
    "pgpc: missing required argument 'file': --json has taken 'mit_b0.pth' as the file to write; give --json last, or as --json=-\n",
  ]);
  expect(existsSync('mit_b0.pth')).toBe(false);
});

test('a reader that goes away ends neither the command nor its document', async () => {
  const bin = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
  const file = inside('unread.json');
  const child = spawn(process.execPath, [bin, 'data', 'check', inside('data/gta5'), '--json', file]);
  child.stdout.destroy();
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(code).toBe(0);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ outcome: 'finished' });
}, 30_000);
