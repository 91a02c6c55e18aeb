// What the tests of layers and optimizers share: reference values, comparison, finite differences.

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { Generator, grad, noGrad, randn, type Tensor, tensor, tidy } from '../../src/index.js';

/** A tensor as the scripts in test/reference write it. */
export interface Dumped {
  shape: number[];
  data: number[];
  /** Where it is not of floats. */
  dtype?: 'int64' | 'bool';
}

export function readReference<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../reference/${name}`, import.meta.url), 'utf8')) as T;
}

export function load(
  { shape, data, dtype: own }: Dumped,
  dtype: 'float32' | 'int64' | 'bool' = own ?? 'float32',
): Tensor {
  return tidy(() => tensor(data, { dtype }).view(shape));
}

export function loadAll(named: Record<string, Dumped>): Map<string, Tensor> {
  return new Map(Object.entries(named).map(([name, dumped]) => [name, load(dumped)]));
}

/** Largest difference is at most `tolerance` times the largest expected magnitude (or times 1 below that). */
export function expectClose(actual: Tensor | null, expected: Dumped, what: string, tolerance = 1e-6): void {
  if (!actual) throw new Error(`${what}: there is no tensor`);
  expect(actual.shape, `${what}: shape`).toEqual(expected.shape);
  const scale = expected.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  const values = actual.toArray();
  // Math.max gives NaN for a NaN, and NaN passes no comparison.
  const worst = Math.max(0, ...expected.data.map((value, index) => Math.abs(Number(values[index]) - value)));
  expect(worst, `${what}: largest error at a scale of ${scale}`).toBeLessThanOrEqual(tolerance * scale);
}

/**
 * Compares autograd with central differences, for every element of every input.
 * @param fn computes a tensor from the inputs, the same at every call
 * @param inputs contiguous float64 leaves that require gradients
 * @returns the largest relative error (absolute below magnitude 1)
 */
export function gradcheck(fn: () => Tensor, inputs: readonly Tensor[], eps = 1e-6): number {
  return tidy(() => {
    const y = fn();
    // Random weights on the outputs, for a loss whose gradient no symmetry makes zero.
    const weights = randn([...y.shape], { dtype: 'float64', generator: new Generator(7) });
    const loss = () => fn().mul(weights).sum();
    const gradients = grad(loss(), inputs);
    let worst = 0;
    for (const [position, input] of inputs.entries()) {
      const values = input.toSharedArray() as Float64Array;
      const analytic = gradients[position]!.toArray();
      for (let index = 0; index < values.length; index++) {
        const value = values[index]!;
        const at = (x: number) => {
          values[index] = x;
          return tidy(() => noGrad(() => loss().item()));
        };
        const numeric = (at(value + eps) - at(value - eps)) / (2 * eps);
        values[index] = value;
        worst = Math.max(worst, Math.abs(numeric - Number(analytic[index])) / Math.max(1, Math.abs(numeric)));
      }
    }
    return worst;
  });
}
