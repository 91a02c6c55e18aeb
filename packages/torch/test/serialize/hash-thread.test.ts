// The sum of a file that grows: as of one that is hashed when it is whole.

import { createHash } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { checkSafetensors, ops, saveSafetensors } from '../../src/index.js';
import { FollowingHash } from '../../src/serialize/hash-thread.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-hash-'));
const file = join(folder, 'file');
afterAll(() => rmSync(folder, { recursive: true }));

const whole = () => createHash('sha256').update(readFileSync(file)).digest('hex');

/** Writes parts of the given sizes, and gives the sum that a thread takes meanwhile. */
function sumWhileWriting(sizes: readonly number[], patience?: number): string {
  const fd = openSync(file, 'w+');
  try {
    using hash = new FollowingHash(fd, patience);
    sizes.forEach((size, i) => {
      const bytes = Buffer.alloc(size, i + 1);
      writeSync(fd, bytes);
      hash.wrote(bytes);
    });
    return hash.digest();
  } finally {
    closeSync(fd);
  }
}

test('it is the sum of the whole file, whatever parts it was written in', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3_000_000 }), { maxLength: 12 }), (sizes) => {
      expect(sumWhileWriting(sizes)).toBe(whole());
    }),
    { numRuns: 30 },
  );
});

test('a thread that does not come to it is not waited for', () => {
  const other = openSync(file, 'w+');
  // Until this one ends, the thread follows it.
  const blocking = new FollowingHash(other);
  expect(sumWhileWriting([5_000_000, 1], 200)).toBe(whole());
  blocking[Symbol.dispose]();
  closeSync(other);
  expect(sumWhileWriting([10])).toBe(whole());
});

test('a file that ends before what was said to be in it has no sum', () => {
  const fd = openSync(file, 'w+');
  using hash = new FollowingHash(fd, 200);
  hash.wrote(new Uint8Array(10));
  expect(() => hash.digest()).toThrow(/ends at byte 0, not 10/);
  closeSync(fd);
});

test('a large file with a checksum is whole, and damaged where a byte is another or missing', () => {
  const path = join(folder, 'large.safetensors');
  const tensors = { big: ops.arange(9_000_000), small: ops.ones([3]) };
  saveSafetensors(path, tensors, {}, { checksum: true });
  expect(checkSafetensors(path)).toBe(true);
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from([77]), 0, 1, 30_000_000);
  expect(checkSafetensors(path)).toBe(false);
  closeSync(fd);
  saveSafetensors(path, tensors, {}, { checksum: true });
  expect(checkSafetensors(path)).toBe(true);
  truncateSync(path, 36_000_000);
  expect(checkSafetensors(path)).toBe(false);
});
