// Nothing that a caller passes may end the process: random calls of every operator, in a process of their own.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { guards } from '../../src/argument-guards.js';
import { liveTensors, ops, randn, Tensor, TorchError, tidy } from '../../src/index.js';
import { native } from '../../src/native.js';
import { unsafeOperators } from '../../src/unsafe-ops.js';

const built = existsSync(new URL('../../dist/index.js', import.meta.url));

/** A long search: PGPC_FUZZ=100000 PGPC_SEED=7 npx vitest run torch/test/fuzz */
const { PGPC_FUZZ = '3000', PGPC_SEED = '1' } = process.env;
const forever = 12 * 3600_000;

/** Runs search.mjs. @returns its counts */
function search(...flags: string[]): Record<string, number> {
  expect(built, 'the packages are built: run `npx tsc -b`').toBe(true);
  const program = fileURLToPath(new URL('search.mjs', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...flags], { encoding: 'utf8' });
  expect(status, stdout + stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, number>;
}

test(
  `${PGPC_FUZZ} generated calls leave the process alive`,
  () => {
    const count = search('--calls', PGPC_FUZZ, '--seed', PGPC_SEED);
    expect(count.calls).toBeGreaterThan(0.98 * Number(PGPC_FUZZ));
    expect(count.returned).toBeGreaterThan(0.3 * count.calls!);
    expect(count.backward).toBeGreaterThan(50);
    expect(count).toMatchObject({ deaths: 0, live: 0 });
  },
  forever,
);

test('the calls that were found to end it, or to hang, do neither', () => {
  const file = fileURLToPath(new URL('findings.json', import.meta.url));
  const count = search('--replay', file);
  expect(count.calls).toBeGreaterThan(0);
  expect(count).toMatchObject({ deaths: 0, live: 0 });
});

/** A form with a tensor for the result, which is looked at in each of them. */
function writesToOutput(operator: string): boolean {
  const [name, form] = operator.split('.');
  const overload = native.lookup(name!)?.find((one) => one.overload === form);
  return overload?.arguments.some(({ written, keywordOnly }) => written && keywordOnly) ?? false;
}

test('each operator that was found is closed, or its arguments are looked at', () => {
  const file = new URL('findings.json', import.meta.url);
  const findings = JSON.parse(readFileSync(file, 'utf8')) as { operator: string }[];
  const open = findings
    .filter(({ operator }) => !writesToOutput(operator))
    .map(({ operator }) => operator.split('.')[0]!)
    .filter((name) => !unsafeOperators.has(name) && !guards.has(name));
  expect(open).toEqual([]);
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
