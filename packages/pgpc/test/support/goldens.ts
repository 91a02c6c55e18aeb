// The rule that makes the goldens' weights and inputs, and the comparison of outputs with them.

import { readFileSync } from 'node:fs';
import { crc32, gunzipSync } from 'node:zlib';
import { fromTypedArray, type nn, type Tensor, tidy } from '@pgpc/torch';
import { expect } from 'vitest';

export interface GoldenOutput {
  name: string;
  /** (B, D, h, w), of logits (B, C, h, w). */
  shape: number[];
  mean: number;
  /** The 16 values at these places of the flat output. */
  indices: number[];
  values: number[];
}

export interface Golden {
  input_shape: number[];
  outputs: GoldenOutput[];
}

/** Names and shapes of a state dict, in their order. */
export type Manifest = [name: string, shape: number[]][];

const bytes = (name: string) => readFileSync(new URL(`../goldens/${name}`, import.meta.url));
const json = (name: string) => JSON.parse(bytes(name).toString());

/** Of the official implementation. */
export const officialGolden = (name: string): Golden => json(`${name}.outputs.json`);

/** Of our own PyTorch implementation, by the networks' names. */
export const peerGoldens = (): Map<string, Golden> =>
  new Map(
    json('networks.outputs.json').networks.map((entry: Golden & { name: string }) => [entry.name, entry]),
  );

/** Of all networks that have one, by their names. */
export function manifests(): Map<string, Manifest> {
  const packed = JSON.parse(gunzipSync(bytes('manifests.json.gz')).toString());
  const plain = ['mit_b0', 'daformer_mitb0'].map((network): [string, Manifest] => {
    const entries: { name: string; shape: number[] }[] = json(`${network}.manifest.json`);
    return [network, entries.map(({ name, shape }) => [name, shape])];
  });
  return new Map([...plain, ...(Object.entries(packed) as [string, Manifest][])]);
}

const PERIOD = 65536;
const sizeOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** One period of the pseudo-random sequence of an entry's name; float64 throughout. */
export function noise(name: string, length: number): Float64Array {
  const h = crc32(Buffer.from(name));
  return Float64Array.from({ length: Math.min(length, PERIOD) }, (_, i) => {
    const s = Math.sin(i * 12.9898 + (h % 10007) * 78.233) * 43758.5453;
    return s - Math.floor(s) - 0.5;
  });
}

export function filled(name: string, shape: readonly number[]): Float32Array {
  const v = noise(name, sizeOf(shape));
  const vector = shape.length === 1;
  const value = (): Float64Array => {
    if (name.endsWith('running_var') || (vector && name.endsWith('weight'))) return v.map((x) => 1 + 0.2 * x);
    if (name.endsWith('running_mean') || (vector && name.endsWith('bias'))) return v.map((x) => 0.1 * x);
    if (name.endsWith('num_batches_tracked')) return v.fill(0);
    if (/(gamma|lambda1)$/.test(name)) return v.map((x) => 0.1 + 0.02 * x);
    if (/(tokens?|pos_embed|position_embeddings)$/.test(name)) return v.map((x) => 0.04 * x);
    const scale = Math.sqrt(3 / sizeOf(shape.slice(1)));
    return v.map((x) => x * scale);
  };
  const values = new Float32Array(sizeOf(shape));
  values.set(value());
  for (let i = PERIOD; i < values.length; i += PERIOD) values.copyWithin(i, 0, PERIOD);
  return values;
}

/** Loads what the rule gives for each name of the module's state dict. */
export function fill<M extends nn.StateModule>(module: M): M {
  tidy(() => {
    const entries = [...module.stateDict()].map(
      ([name, { shape }]) => [name, fromTypedArray(filled(name, shape), shape)] as const,
    );
    module.loadStateDict(new Map(entries));
  });
  return module;
}

export function goldenInput(shape: number[]): Tensor {
  const length = sizeOf(shape);
  const x = Float32Array.from({ length }, (_, i) => 1.5 * Math.sin(0.01 * i) + 0.5 * Math.cos(0.0037 * i));
  return fromTypedArray(x, shape);
}

export function expectGolden(output: Tensor, golden: GoldenOutput, tolerance: number): void {
  expect(output.shape).toEqual(golden.shape);
  const flat = output.toArray() as Float32Array;
  const error = Math.max(...golden.indices.map((index, k) => Math.abs(flat[index]! - golden.values[k]!)));
  expect(error, `${golden.name} at the listed indices`).toBeLessThan(tolerance);
  const mean = flat.reduce((sum, v) => sum + v, 0) / flat.length;
  expect(Math.abs(mean - golden.mean), `mean of ${golden.name}`).toBeLessThan(tolerance);
}
