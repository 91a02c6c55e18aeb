// `pgpc compare` from the command line to the page and the numbers that it writes.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { writeFakeRun } from '../support/fake-run.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-compare-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function compare(...args: string[]) {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, callback) {
        text[name] += chunk.toString();
        callback();
      },
    });
  const { signal } = new AbortController();
  const code = await main(['compare', ...args], { stdout: sink('out'), stderr: sink('err'), signal });
  return { code, ...text };
}

const classes = (...names: string[]) =>
  names.map((name, i) => ({ name, color: [i, 0, 0] as [number, number, number] }));

function writeRun(
  root: string,
  name: string,
  config: Record<string, unknown>,
  of: ReturnType<typeof classes>,
  iou?: number[],
) {
  const run = RunDirectory.create(join(folder, root), name, { config, seed: 1, versions: {}, classes: of });
  for (const iteration of [10, 20]) run.log({ phase: 'pgpc', iteration }, { 'loss/total': iteration / 10 });
  const known = iou?.filter((value) => !Number.isNaN(value));
  const miou = (known ?? []).reduce((sum, value) => sum + value, 0) / (known?.length ?? 1);
  if (iou) run.addResult({ name: 'pgpc', label: 'PGPC', miou, iou, accuracy: 0.5, seconds: 1 });
  run.finish('finished');
  return run.path;
}

describe('pgpc compare', () => {
  const html = join(folder, 'page.html');

  test('sets runs side by side, by the names of their classes', async () => {
    const a = writeRun('runs', 'a', { lr: 1, crop: { width: 8 } }, classes('road', 'sky', 'car'), [
      0.5,
      Number.NaN,
      0.25,
    ]);
    const b = writeRun(
      'runs',
      'b',
      { lr: 2, crop: { width: 8 }, rank: 3 },
      classes('sky', 'road', 'bus'),
      [1, 0.75, 0],
    );
    const json = join(folder, 'numbers.json');
    const { code, out, err } = await compare(a, b, '--html', html, '--json', json);
    expect([code, err]).toEqual([0, '']);
    const rows = out.split('\n').map((line) => line.trim().split(/ {2,}/));
    expect(rows.slice(0, 8).filter(([name]) => !name!.startsWith('-'))).toEqual([
      ['IoU, %', 'a', 'b', '±'],
      ['road', '50.0', '75.0', '+25.0'],
      ['sky', '–', '100.0', '–'],
      ['car', '25.0', '–', '–'],
      ['bus', '–', '0.0', '–'],
      ['mIoU', '37.5', '58.3', '+20.8'],
      ['pixel accuracy', '50.0', '50.0', '0.0'],
    ]);
    expect(rows).toContainEqual(['lr', '1', '2']);
    expect(rows).toContainEqual(['rank', '–', '3']);
    expect(out).not.toMatch(/crop/);
    const numbers = JSON.parse(readFileSync(json, 'utf8'));
    expect(numbers).toMatchObject({
      classes: ['road', 'sky', 'car', 'bus'],
      results: [
        { label: 'a', iou: [0.5, null, 0.25, null] },
        { label: 'b', iou: [0.75, 1, null, 0], difference: { iou: [0.25, null, null, null] } },
      ],
      configuration: [
        { option: 'lr', values: ['1', '2'] },
        { option: 'rank', values: [null, '3'] },
      ],
    });
    const text = readFileSync(html, 'utf8');
    for (const part of ['<title>a, b</title>', '+25.0', 'loss/total', '<td>rank</td>'])
      expect(text).toContain(part);
    // Nothing is asked of the network.
    expect(text).not.toMatch(/(src|href)="(?!data:)/);
  });

  test('takes runs of several methods, of one name, and without a result', async () => {
    const many = (await writeFakeRun(folder, { name: 'many', samples: 0, seeds: [1, 2] })).path;
    const one = writeRun('runs', 'c', {}, classes('road'));
    const same = writeRun('others', 'c', {}, classes('road'), [1]);
    const { code, out } = await compare(many, one, same, '--html', html, '--json', '-');
    expect(code).toBe(0);
    const { runs, results } = JSON.parse(out);
    expect(runs.map(({ label }: { label: string }) => label)).toEqual(['many', one, same]);
    expect(results).toHaveLength(4 * 2 + 1);
    expect(results[1].label).toBe('many: Self-training, seed 1');
    const { out: table } = await compare(one, same, '--html', html);
    expect(table).toContain(`without a result on labels: ${one}\n`);
    expect(table).toContain('the same configuration in all runs');
  });

  test('needs two runs, which are there', async () => {
    const a = join(folder, 'runs/a');
    for (const [args, code, message] of [
      [[a], 2, /compare needs two runs or more/],
      [[a, join(folder, 'none')], 2, /there is no such folder/],
      [[a, folder], 1, /is no run directory: it has no run\.json/],
      [[a, a, '--html', '-', '--json', '-'], 2, /cannot both be standard output/],
    ] as const) {
      const found = await compare(...args);
      expect([found.code, found.err]).toEqual([code, expect.stringMatching(message)]);
    }
  });
});
