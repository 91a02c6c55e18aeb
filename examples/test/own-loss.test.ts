// The example's method is trained by name from the command line, its options shown, validated and saved with the run.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, expect, test } from 'vitest';

const example = (file: string) => fileURLToPath(new URL(`../${file}`, import.meta.url));
const PGPC = fileURLToPath(new URL('../../packages/pgpc/bin/pgpc.js', import.meta.url));
const PLUGIN = ['--plugin', example('dist/own-loss.js')];
const folder = mkdtempSync(join(tmpdir(), 'pgpc-own-loss-'));
afterAll(() => rmSync(folder, { recursive: true }));

function pgpc(...args: string[]) {
  const env = { ...process.env, OMP_NUM_THREADS: '1' };
  return spawnSync(process.execPath, [PGPC, 'train', ...args], { encoding: 'utf8', env });
}

test('is under 40 lines', () => {
  expect(readFileSync(example('own-loss.ts'), 'utf8').trim().split('\n').length).toBeLessThan(40);
});

test('shows its options in the help', () => {
  const { stdout } = pgpc(...PLUGIN, '--help');
  expect(stdout).toContain('method.parts.certain.weight (0.01): weight of the entropy');
  expect(stdout.replace(/\s+/g, ' ')).toMatch(/what to train: source-only, .*pgpc.*, own \(default/);
});

test('trains by its name, and resumes with what registers it', { timeout: 120_000 }, async () => {
  const data = join(folder, 'data');
  const counts = { sourceTrain: 2, sourceVal: 1, targetTrain: 2, targetVal: 1 };
  await writeStreetSynth(data, { seed: 3, ...counts, width: 64 });
  const roots = ['--source-root', join(data, 'gta5'), '--target-root', join(data, 'cityscapes')];
  const small = ['--crop', '32x32', '--iterations', '2', '--workers', '0', '--device', 'cpu'];
  const run = ['--out', join(folder, 'runs'), '--method', 'own', ...roots, ...small, ...PLUGIN];

  const refused = pgpc(...run, '--set', 'method.parts.certain.threshold=2', '--no-memory-check');
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('parts.certain.threshold')]);

  // The memory check's own process loads the plugin, too.
  const trained = pgpc(...run, '--set', 'method.parts.certain.weight=0.5');
  expect([trained.status, trained.stderr]).toEqual([0, expect.stringContaining('memory: a step takes')]);
  const directory = join(folder, 'runs/own');
  const metrics = readFileSync(join(directory, 'metrics.jsonl'), 'utf8');
  expect(JSON.parse(metrics.split('\n')[0]!)['loss/certain']).toBeGreaterThan(0);

  const resumed = pgpc('--resume', directory, '--device', 'cpu');
  expect([resumed.status, resumed.stderr]).toEqual([0, expect.anything()]);
});
