// The tutorial's commands, in its order, as a shell runs them: fewer images and steps, and nothing else changed.

import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
const page = readFileSync(join(root, 'docs/tutorial.md'), 'utf8');
const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block]) =>
  block!.trim().split('\n'),
);
const folder = mkdtempSync(join(tmpdir(), 'pgpc-tutorial-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What makes a command short. */
const SHORTER: Readonly<Record<string, string>> = {
  'data render': '--source-train 8 --source-val 0 --target-train 6 --target-val 2',
  adapt: '--source-steps 10 --steps 10 --crop 64',
};

const words = (command: string) => command.split(/\s+/);
const shell = async (command: string) => {
  const key = Object.keys(SHORTER).find((name) => command.startsWith(`npx pgpc ${name}`));
  const line = key ? `${command} ${SHORTER[key]}` : command;
  const env = { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}`, OMP_NUM_THREADS: '1' };
  return promisify(execFile)('bash', ['-c', line], { cwd: folder, env });
};

beforeAll(() => {
  // `npx pgpc` is this checkout's.
  mkdirSync(join(folder, 'bin'));
  const npx = `#!/bin/sh\nshift\nexec "${process.execPath}" "${join(root, 'packages/pgpc/bin/pgpc.js')}" "$@"\n`;
  writeFileSync(join(folder, 'bin/npx'), npx);
  chmodSync(join(folder, 'bin/npx'), 0o755);
});

describe('the tutorial', () => {
  test('has ten commands or fewer, all of them ours', () => {
    expect(commands.length).toBeGreaterThan(4);
    expect(commands.length).toBeLessThanOrEqual(10);
    for (const command of commands) expect(words(command).slice(0, 2)).toEqual(['npx', 'pgpc']);
  });

  test('with the README it has fewer than 1,800 words; the README has at most 600', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8').trim().split(/\s+/).length;
    expect(readme).toBeLessThanOrEqual(600);
    expect(readme + page.trim().split(/\s+/).length).toBeLessThan(1800);
  });

  test('leads from two folders to predictions and a checked ONNX file', async () => {
    for (const command of commands.filter((line) => !line.startsWith('npx pgpc try'))) await shell(command);
    expect(readFileSync(join(folder, 'pgpc.yaml'), 'utf8')).toContain('source-root: data/streets/gta5');
    for (const file of [
      'runs/adapt/report.html',
      'predicted/predictions.jsonl',
      'onnx/model.onnx',
      'onnx/config.json',
    ]) {
      expect(existsSync(join(folder, file))).toBe(true);
    }
  }, 300_000);

  test('shows the file of options as it is written', () => {
    const shown = /^```yaml\n([\s\S]*?)^```/m.exec(page)![1]!;
    expect(readFileSync(join(folder, 'pgpc.yaml'), 'utf8')).toContain(shown);
  });
});
