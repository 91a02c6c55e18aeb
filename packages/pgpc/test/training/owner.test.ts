// A run directory has one owner: a process that lives keeps it, one that died does not.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { claimRun } from '../../src/training/run-directory/claim.js';
import { OWNER_FILE, own } from '../../src/training/run-directory/owner.js';

const root = mkdtempSync(join(tmpdir(), 'pgpc-owner-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'run-'));
  file = join(folder, OWNER_FILE);
});

const owner = (changes: Record<string, unknown>) =>
  writeFileSync(
    file,
    JSON.stringify({ host: hostname(), pid: 1, since: '2026-01-01T00:00:00.000Z', ...changes }),
  );

test('is named while it has the folder, and leaves nothing', () => {
  const mine = own(folder);
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ host: hostname(), pid: process.pid });
  mine.release();
  expect(readdirSync(folder)).toEqual([]);
});

test('a process that lives keeps it', async () => {
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  try {
    owner({ pid: other.pid });
    expect(() => own(folder)).toThrow(
      `${folder} is being written by process ${other.pid} since 2026-01-01T00:00:00.000Z: wait for its end, stop it, or choose another name`,
    );
    expect(() => claimRun(root, folder.split('/').at(-1)!, { overwrite: true })).toThrow(
      'is being written by',
    );
    expect(readdirSync(folder)).toEqual([OWNER_FILE]);
  } finally {
    other.kill('SIGKILL');
    await once(other, 'exit');
  }
  own(folder).release();
});

test('one with the number of a process that began later has died', () => {
  owner({ pid: process.ppid, began: '1' });
  own(folder).release();
  expect(existsSync(file)).toBe(false);
});

test.runIf(existsSync('/proc/self/stat'))(
  'one that has ended, and whose parent does not ask, has died',
  async () => {
    // The shell becomes a program that never waits for its child.
    const parent = spawn('sh', ['-c', 'sleep 0.5 & echo $!; exec sleep 60']);
    try {
      const pid = Number(String((await once(parent.stdout, 'data'))[0]));
      const state = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)![0];
      await expect.poll(state, { timeout: 10_000 }).toBe('Z');
      owner({ pid });
      own(folder).release();
      expect(existsSync(file)).toBe(false);
    } finally {
      parent.kill('SIGKILL');
    }
  },
);

test('one of another machine cannot be asked: it says which file to remove', () => {
  owner({ host: 'node-7' });
  expect(() => own(folder)).toThrow(`process 1 on node-7 since`);
  expect(() => own(folder)).toThrow(`remove ${file}`);
});

test('a file that a crash has cut off is nobody', () => {
  writeFileSync(file, '{"host": "n');
  own(folder).release();
});

test('of many processes that take a dead one’s place at once, one has it', async () => {
  owner({ pid: 2 ** 22 + 1 });
  const module = new URL('../../dist/training/run-directory/owner.js', import.meta.url).href;
  const program = `import { own } from ${JSON.stringify(module)};
    try { own(${JSON.stringify(folder)}); console.log('mine'); } catch { console.log('not'); }
    process.stdin.resume(); process.stdin.on('end', () => process.exit());`;
  const others = Array.from({ length: 6 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', program]),
  );
  const answers = await Promise.all(
    others.map(async ({ stdout }) => String(await once(stdout, 'data')).trim()),
  );
  for (const { stdin } of others) stdin.end();
  expect(answers.filter((answer) => answer === 'mine')).toEqual(['mine']);
});
