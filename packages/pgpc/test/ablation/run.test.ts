// `pgpc ablate` and `pgpc sweep` as a user runs them, on the same rendered streets: the built command line, stopped and resumed.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { readResult } from '../../src/ablation/results.js';

const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-ablate-run-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** @param stopAt Ctrl-C comes when this has been said. */
async function ablate(
  stopAt?: string,
  ...more: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let until = stopAt;
  const args =
    'ablate methods --quick --seeds 1 --source-steps 10 --steps 10 --cells self-training --no-checkpoints';
  const child = spawn(process.execPath, [program, ...args.split(' '), ...more], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    output.stdout += data;
  });
  child.stderr.on('data', (data) => {
    output.stderr += data;
    if (until !== undefined && output.stderr.includes(until)) {
      child.kill('SIGINT');
      // The second would end it at once.
      until = undefined;
    }
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, ...output };
}

test('stops on Ctrl-C, resumes to the end, and then has nothing to do', async () => {
  const stopped = await ablate('seed1/source  10/10');
  expect(stopped.code).toBe(130);
  expect(stopped.stdout).toContain('resume with: pgpc ablate methods --quick --seeds 1');
  const seed = join(folder, 'runs/ablations/seed1');
  const runs = readdirSync(seed);
  const source = runs.find((name) => name.startsWith('source-'));
  expect(readdirSync(join(seed, source!)).sort()).toEqual([
    'metrics.jsonl',
    'model.safetensors',
    'result.json',
  ]);
  // The next may have begun, and then has its state.
  const begun = runs.filter((name) => name !== source);
  for (const name of begun) expect(readdirSync(join(seed, name))).not.toContain('result.json');

  const finished = await ablate();
  expect(finished).toMatchObject({ code: 0 });
  expect(finished.stderr).not.toContain('seed1/source');
  const run = readdirSync(seed).find((name) => name.startsWith('self-training-'))!;
  expect(readdirSync(join(seed, run)).sort()).toEqual(['metrics.jsonl', 'result.json']);
  const { scores } = readResult(join(seed, run))!;
  expect(scores!.miou).toBeGreaterThan(0);
  expect(finished.stdout).toMatch(new RegExp(`^self-training +1 +${(100 * scores!.miou).toFixed(1)} `, 'm'));

  const again = await ablate(undefined, '--json');
  expect(again.stderr).toContain('Methods: 1 run, 1 of them finished before');
  expect(JSON.parse(again.stdout)).toMatchObject({
    ...{ outcome: 'finished', sweep: 'methods', runs: 0, left: 0, failures: [] },
    rows: [{ cell: 'self-training', seeds: [{ seed: 1, miou: scores!.miou, iou: expect.any(Array) }] }],
  });
  expect(again.stderr).not.toContain('seed1/');
  const table = readFileSync(join(folder, 'runs/ablations/methods/table.md'), 'utf8');
  expect(table).toContain('Not run yet: source only; self-training + FDA');
}, 180_000);

test('pgpc sweep trains the combinations, and afterwards only what is new', () => {
  const sweep = (values: string, ...more: string[]) =>
    spawnSync(
      process.execPath,
      [
        program,
        ...'sweep --quick --seeds 1 --source-steps 10 --steps 10 --no-checkpoints --method self-training'.split(
          ' ',
        ),
        '--set',
        `method.selfTraining.alpha=${values}`,
        ...['--out', 'runs/sweeps'],
        ...more,
      ],
      { cwd: folder, encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } },
    );
  const first = sweep('0.9,0.99');
  expect([first.status, first.stdout]).toEqual([
    0,
    expect.stringMatching(/^alpha = 0\.9 +1 +\d.*\nalpha = 0\.99 +1 +\d+\.\d +[+−]?\d+\.\d/m),
  ]);
  expect(first.stdout).toContain('to alpha = 0.9');
  expect(first.stderr).toContain('seed1/source');
  const table = join(folder, 'runs/sweeps/self-training-alpha');
  expect(readdirSync(table)).toContain('index.html');
  const more = sweep('0.9,0.99,0.5', '--json');
  expect(more.status).toBe(0);
  expect(more.stderr).toContain('self-training by alpha: 3 runs, 2 of them finished before');
  const { outcome, folder: place, rows } = JSON.parse(more.stdout);
  expect([outcome, place]).toEqual(['finished', 'runs/sweeps/self-training-alpha']);
  expect(rows.map(({ label }: { label: string }) => label)).toEqual(
    ['0.9', '0.99', '0.5'].map((alpha) => `alpha = ${alpha}`),
  );
  expect(more.stderr).toContain('seed1/self-training-alpha-alpha-0.5');
  expect(more.stderr).not.toContain('seed1/source');
  expect(readFileSync(join(table, 'table.md'), 'utf8')).toMatch(/^\| alpha = 0\.5 \| 1 \|/m);
}, 360_000);
