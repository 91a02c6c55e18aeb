// A run that 0.1.0 saved resumes and evaluates. It is one of PGPC, and its losses are 0.1.0's but for what the contrast has
// learned to leave out since: features between classes (`minShare`).

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, constants } from 'node:zlib';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, expect, test } from 'vitest';
import { repeatedTraining } from '../../src/training/repeat.js';
import { processorHere } from '../support/processor.js';

const PGPC = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const SAVED = fileURLToPath(new URL('../fixtures/saved-run', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-saved-run-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Expected {
  processor: string;
  instructions: string;
  metrics: Record<string, unknown>[];
  evaluation: Record<string, unknown>;
}

/** Numbers are the same to the bit on the processor that they were recorded on, and elsewhere to 2 %. */
function expectSame(actual: unknown, expected: unknown, exact: boolean): void {
  if (exact) expect(actual).toEqual(expected);
  else if (typeof expected === 'number') {
    expect(Math.abs((actual as number) - expected)).toBeLessThan(0.02 * Math.max(1, Math.abs(expected)));
  } else if (typeof expected === 'object' && expected !== null) {
    for (const [key, value] of Object.entries(expected)) {
      expectSame((actual as Record<string, unknown>)[key], value, exact);
    }
  } else expect(actual).toBe(expected);
}

test('a saved run is repeated from random weights, as it was trained', async () => {
  expect(await repeatedTraining(SAVED)).not.toHaveProperty('start');
});

test('a saved run resumes and evaluates as it did', { timeout: 240_000 }, async () => {
  const { metrics, evaluation, ...computedOn } = JSON.parse(
    readFileSync(join(SAVED, 'expected.json'), 'utf8'),
  ) as Expected;
  const exact = JSON.stringify(computedOn) === JSON.stringify(processorHere());
  const counts = { sourceTrain: 6, sourceVal: 1, targetTrain: 6, targetVal: 2 };
  await writeStreetSynth(join(folder, 'data'), { seed: 5, ...counts, width: 128 });
  const run = join(folder, 'runs/saved-before');
  const checkpoint = join(run, 'checkpoints/pgpc');
  cpSync(SAVED, run, { recursive: true });
  const packed = readFileSync(join(checkpoint, 'training.safetensors.br'));
  const params = { [constants.BROTLI_DECODER_PARAM_LARGE_WINDOW]: 1 };
  writeFileSync(join(checkpoint, 'training.safetensors'), brotliDecompressSync(packed, { params }));

  const pgpc = (...args: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [PGPC, ...args, '--device', 'cpu'], {
      cwd: folder,
      env: { ...process.env, OMP_NUM_THREADS: '1' },
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, expect.anything()]);
  };
  pgpc('train', '--resume', run, '--allow-changed');
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const resumed = logged.filter(({ iteration }) => (iteration as number) > 10);
  expectSame(
    // The score on labels at checkpoints and the memory are younger than the run.
    resumed.map((record) =>
      Object.fromEntries(Object.entries(record).filter(([name]) => !/^(wall$|val\/|memory\/)/.test(name))),
    ),
    metrics,
    exact,
  );

  const json = join(folder, 'eval.json');
  const data = join(folder, 'data/cityscapes');
  pgpc('eval', '--checkpoint', checkpoint, '--target-root', data, '--json', json, '--boundary');
  const { miou, accuracy, boundaryMiou, classes } = JSON.parse(readFileSync(json, 'utf8'));
  expectSame({ miou, accuracy, boundaryMiou, classes }, evaluation, exact);
});
