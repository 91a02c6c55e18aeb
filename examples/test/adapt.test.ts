// The examples that train and predict, as a user runs them, on rendered streets.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-examples-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What an example prints. */
function run(name: string, ...args: string[]): string {
  const program = fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  return stdout;
}

test('a network is adapted from one folder to another, and labels images', async () => {
  const counts = { sourceTrain: 4, sourceVal: 1, targetTrain: 4, targetVal: 2 };
  await writeStreetSynth(join(folder, 'data'), { seed: 3, ...counts });
  const [source, target] = [join(folder, 'data/gta5'), join(folder, 'data/cityscapes')];
  const trained = run('adapt-two-folders', source, target, '2');
  expect(trained).toMatch(/^step 2: loss [\d.]+\nruns\/pgpc: mIoU on the target 0\.\d+\n$/);
  const predicted = run('predict', 'runs/pgpc/checkpoints/pgpc', join(target, 'leftImg8bit/val'));
  const shares = predicted.trim().split('\n');
  const sum = shares.reduce((total, line) => total + Number(/: ([\d.]+) %$/.exec(line)![1]), 0);
  expect(sum).toBeCloseTo(100, 0);
  expect(existsSync(join(folder, 'predicted'))).toBe(true);
}, 120_000);
