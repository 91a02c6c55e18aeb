// `pgpc ablate` as a user runs it: the built command line, stopped and resumed.

import { spawn } from 'node:child_process';
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
  const [source, ...others] = readdirSync(seed);
  expect(readdirSync(join(seed, source!)).sort()).toEqual([
    'metrics.jsonl',
    'model.safetensors',
    'result.json',
  ]);
  expect(others).toEqual([]);

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
