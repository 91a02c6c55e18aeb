// Threads: who does what, how errors come back, and how they end.
import { afterEach, expect, it, vi } from 'vitest';
import { DatasetError } from '../src/errors.js';
import { compiledProgram, ThreadPool } from '../src/threads.js';

interface Task {
  wait?: number;
  bytes?: number;
  fail?: string;
}

const program = new URL('./support/thread-program.mjs', import.meta.url);
const pools: ThreadPool<Task, { threadId: number; pixels: Uint8Array }>[] = [];
afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.dispose())));

function poolOf(count: number, file = program) {
  const pool = new ThreadPool<Task, { threadId: number; pixels: Uint8Array }>(file, count);
  pools.push(pool);
  return pool;
}

it('starts a thread when all others are busy, and no more than allowed', async () => {
  const pool = poolOf(2);
  const { threadId } = await pool.run({});
  expect((await pool.run({})).threadId).toBe(threadId);
  const all = await Promise.all(Array.from({ length: 6 }, () => pool.run({ wait: 5, bytes: 3 })));
  expect(new Set(all.map((result) => result.threadId)).size).toBe(2);
  expect(all.map(({ pixels }) => [...pixels])).toEqual(Array(6).fill([0, 0, 0]));
});

it('gives back errors with their message, and what a DatasetError says of its file', async () => {
  const pool = poolOf(1);
  await expect(pool.run({ fail: 'out of range' })).rejects.toThrow('out of range');
  const error = await pool.run({ fail: 'dataset' }).catch((reason) => reason);
  expect(error).toBeInstanceOf(DatasetError);
  expect([error.message, error.kind, error.file]).toEqual(['a.png: damaged', 'undecodable', 'a.png']);
  expect((await pool.run({ bytes: 1 })).pixels).toHaveLength(1);
});

it('finishes what it was given when it is disposed', async () => {
  const pool = poolOf(2);
  const running = Array.from({ length: 5 }, () => pool.run({ wait: 10 }));
  await pool.dispose();
  expect(await Promise.all(running)).toHaveLength(5);
});

it('replaces a thread that ends: its tasks are done, but for one that ends the next as well, and all are counted', async () => {
  const pool = poolOf(1);
  const { threadId } = await pool.run({});
  expect(pool.lost).toBeUndefined();
  const results = await Promise.allSettled([
    pool.run({ bytes: 1 }),
    pool.run({ fail: 'exit' }),
    pool.run({ bytes: 2 }),
    pool.run({ fail: 'dataset' }),
  ]);
  const seen = results.map((result) =>
    result.status === 'fulfilled' ? result.value.pixels.length : result.reason.message,
  );
  const ended = expect.stringMatching(/^a thread of .*thread-program\.mjs has ended, with exit code 3$/);
  expect(seen).toEqual([1, ended, 2, 'a.png: damaged']);
  expect(pool.lost).toEqual({ count: 2, last: expect.objectContaining({ message: ended }) });
  // The pool has threads as before.
  expect((await pool.run({})).threadId).not.toBe(threadId);
  expect(pool.lost!.count).toBe(2);
});

it('counts a thread that ends while it waits for tasks', async () => {
  const pool = poolOf(1);
  await expect(pool.run({ fail: 'exit later' })).rejects.toThrow('exit later');
  await vi.waitUntil(() => pool.lost?.count === 1, { timeout: 10_000 });
  expect((await pool.run({ bytes: 3 })).pixels).toHaveLength(3);
});

it('fails the tasks of a program that cannot start', async () => {
  const pool = poolOf(2, new URL('./none.mjs', program));
  await expect(Promise.all([pool.run({}), pool.run({})])).rejects.toThrow('none.mjs');
});

it('finds the compiled program of a source', () => {
  const url = (file: string) => `file:///home/src/packages/a/${file}`;
  expect(compiledProgram(url('src/b/c.ts'), './d.js').href).toBe(url('dist/b/d.js'));
  expect(compiledProgram(url('dist/b/c.js'), './d.js').href).toBe(url('dist/b/d.js'));
});
