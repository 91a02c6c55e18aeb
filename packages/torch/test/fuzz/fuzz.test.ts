// Nothing that a caller passes may end the process: random calls of every operator, in a process of their own.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { liveTensors, ops, randn, Tensor, TorchError, tidy } from '../../src/index.js';
import { native } from '../../src/native.js';
import { unsafeOperators } from '../../src/unsafe-ops.js';

const built = existsSync(new URL('../../dist/index.js', import.meta.url));

test('4,000 random calls leave the process alive, and every refusal is an error that names the operator', () => {
  expect(built, 'the packages are built: run `npx tsc -b`').toBe(true);
  const fuzz = fileURLToPath(new URL('fuzz.mjs', import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, [fuzz, '--calls', '4000', '--seed', '1'], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  expect(stdout).toContain('"deaths":0');
  expect(status).toBe(0);
  const count = JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, number>;
  expect(count.calls).toBe(4000);
  expect(count.returned).toBeGreaterThan(500);
  expect(count.backward).toBeGreaterThan(50);
  expect(count.live).toBe(0);
});

test('operators that would end it are closed, and say why', () => {
  const x = randn([2]);
  const known = new Set(native.operatorNames().map(([name]) => name));
  // Versions of libtorch differ in a few.
  const here = [...unsafeOperators].filter(([name]) => known.has(name));
  expect(here.length).toBeGreaterThan(0.8 * unsafeOperators.size);
  for (const [name, fault] of here) {
    expect(() => ops.call(name, x)).toThrow(`${name} is closed, since it could end the process: ${fault}`);
  }
  expect(() => ops.set_(x, x)).toThrow(TypeError);
});

test('arguments of any kind, anywhere', () => {
  const x = randn([2, 3]);
  const anything = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
    fc.constant(x),
    fc.constant([x, x]),
  );
  const names = [
    'add',
    'cat',
    'sum',
    'view',
    'conv2d',
    'where',
    'to',
    'empty',
    'einsum',
    'index',
    'pad',
  ] as const;
  const before = liveTensors();
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.array(anything, { maxLength: 5 }), (name, args) => {
      tidy(() => {
        try {
          (ops[name] as (...args: unknown[]) => unknown)(...args);
        } catch (error) {
          expect(error instanceof TypeError || error instanceof TorchError, String(error)).toBe(true);
          expect((error as Error).message).toMatch(new RegExp(`^aten::${name}`));
        }
      });
      expect(liveTensors()).toBe(before);
    }),
    { numRuns: 3000 },
  );
  expect(x).toBeInstanceOf(Tensor);
});
