// What comes after a run: commands that a shell takes as they stand, and that the report shows where there is a network.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { nextSteps } from '../../src/report/next-steps.js';
import { writeReport } from '../../src/report/report.js';
import { writeFakeRun } from '../support/fake-run.js';

const commands = (run: string) => nextSteps(run).map(({ command }) => command);

test('names the run in each command, quoted where a shell needs it', () => {
  expect(commands('runs/adapt')).toEqual([
    'pgpc predict runs/adapt PHOTOS',
    'pgpc export onnx runs/adapt --out DIR',
    'pgpc try runs/adapt',
  ]);
  expect(commands("my runs/it's")[2]).toBe("pgpc try 'my runs/it'\\''s'");
});

test('is in the report of a run that has a network', async () => {
  const root = mkdtempSync(path.join(tmpdir(), 'pgpc-next-'));
  try {
    const run = await writeFakeRun(root, { samples: 0 });
    const report = async () => readFileSync(await writeReport(run.path), 'utf8');
    expect(await report()).not.toContain('What comes next');
    mkdirSync(path.join(run.path, 'checkpoints'));
    expect(await report()).toContain(`<code>pgpc try ${run.path}</code>`);
  } finally {
    rmSync(root, { recursive: true });
  }
});
