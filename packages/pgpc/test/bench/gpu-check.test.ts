// The prepared run for a GPU, without one: its plan, its refusal, and what it makes of parts that fail or have no time.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const script = path.resolve(import.meta.dirname, '../../../../bench/gpu-check.mjs');
const repository = path.resolve(script, '../..');
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-gpu-check-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Where no program is found, a GPU's driver neither. */
const nowhere = '/nonexistent';

function check(args: string[], search = nowhere) {
  const out = path.join(folder, 'out');
  const env = { ...process.env, PATH: search };
  return spawnSync(process.execPath, [script, '--out', out, ...args], { encoding: 'utf8', env });
}

/** Parts of a plan with their limits, and the commands under each. */
function planOf(stdout: string) {
  return [...stdout.matchAll(/^# (\w+), up to (\d+) s\n((?:[^#\n].*\n)+)/gm)].map(
    ([, name, limit, commands]) => ({ name, limit: Number(limit), commands: commands!.trim().split('\n') }),
  );
}

const sum = (numbers: number[]) => numbers.reduce((total, one) => total + one, 0);

test('the plan has all parts within eight minutes, and runs nothing', () => {
  const { status, stdout, stderr } = check(['--dry']);
  expect([status, stderr]).toEqual([0, '']);
  const plan = planOf(stdout);
  expect(plan.map(({ name }) => name)).toEqual(['device', 'tests', 'step', 'evidence']);
  const total = sum(plan.map(({ limit }) => limit));
  expect(total).toBeLessThan(8 * 60);
  expect(total).toBeGreaterThan(7.5 * 60);
  const [device, tests, step, evidence] = plan.map(({ commands }) => commands);
  expect(device![0]).toBe('node scripts/setup.mjs');
  const files = tests![0]!.match(/packages\/\S+\.test\.ts/g)!;
  for (const file of files) {
    // Each has tests under a title by which they are chosen.
    expect(readFileSync(path.join(repository, file), 'utf8')).toMatch(
      /describe.runIf\(.*['"]on (a GPU|'cuda')/,
    );
  }
  // What they say of their own time ends before the limit does.
  const budget = Number(/--budget (\d+)/.exec(step![0]!)![1]);
  expect(budget).toBeLessThan(plan[2]!.limit);
  const ofSweep = Number(/--minutes ([\d.]+)/.exec(evidence![0]!)![1]);
  expect(60 * ofSweep).toBeLessThan(plan[3]!.limit);
  expect(evidence![0]).toContain('ablate evidence --scale large --device cuda --jobs ');
  expect(evidence![0]).toContain(' --seeds 3 --cells source-only,self-training,pgpc,pgpc-plus,oracle ');
  expect(existsSync(path.join(folder, 'out'))).toBe(false);
});

test.each([
  ['2.5', ['device', 'tests']],
  ['5', ['device', 'tests', 'step']],
  ['9', ['device', 'tests', 'step', 'evidence']],
])('of %s minutes it uses no more', (minutes, names) => {
  const { stdout } = check(['--dry', '--minutes', minutes]);
  const plan = planOf(stdout);
  expect(plan.map(({ name }) => name)).toEqual(names);
  expect(sum(plan.map(({ limit }) => limit))).toBeLessThan(60 * Number(minutes));
  for (const [, name] of stdout.matchAll(/^# (\w+), skipped: less than the \d+ s that it needs are left$/gm))
    expect(names).not.toContain(name);
  expect(stdout.match(/^# \w+, (up to|skipped)/gm)).toHaveLength(4);
});

test('a part by itself has all the time, which the sweep puts into longer trainings', () => {
  const steps = ['5', '8'].map((minutes) => {
    const [evidence, ...others] = planOf(check(['--dry', '--only', 'evidence', '--minutes', minutes]).stdout);
    expect(others).toEqual([]);
    return Number(/ --steps (\d+)/.exec(evidence!.commands[0]!)![1]);
  });
  expect(steps[0]).toBeLessThan(steps[1]!);
  // Of eight minutes all that the results of before have.
  expect(steps[1]).toBe(1000);
});

test('without a GPU it says so in one line', () => {
  const { status, stdout, stderr } = check([]);
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/^gpu-check: nvidia-smi finds no NVIDIA GPU here.*\n$/);
  expect(existsSync(path.join(folder, 'out'))).toBe(false);
});

test('a part that fails is named with its reason, one without time is skipped, and both have a file', () => {
  const driver = path.join(folder, 'nvidia-smi');
  writeFileSync(driver, '#!/bin/sh\necho "Some GPU, 1.2, 3 MiB"\n');
  chmodSync(driver, 0o755);
  const args = ['--only', 'step,evidence', '--minutes', '2.6', '--python', 'no-such-python'];
  const { status, stdout } = check(args, folder);
  expect(status).toBe(1);
  const rows = stdout.trim().split('\n').slice(2);
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatch(/^\| step \| failed \| \d+ \| .*no-such-python cannot import torch/);
  expect(rows[1]).toMatch(/^\| evidence \| skipped \| 0 \| less than the 160 s that it needs are left \|$/);
  const out = path.join(folder, 'out');
  for (const [name, outcome] of [
    ['step', 'failed'],
    ['evidence', 'skipped'],
  ]) {
    expect(JSON.parse(readFileSync(path.join(out, `${name}.json`), 'utf8')).outcome).toBe(outcome);
  }
  expect(readFileSync(path.join(out, 'gpu-check.md'), 'utf8')).toBe(stdout);
});

test.each([
  [['--only', 'steps'], '--only takes device, tests, step, evidence with commas between, not steps'],
  [['--minutes', '0'], '--minutes is a number above 0, up to 1440, not 0'],
])('%s is refused', (args, message) => {
  const { status, stderr } = check(args);
  expect(status).toBe(1);
  expect(stderr).toContain(message);
});
