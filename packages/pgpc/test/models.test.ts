// Networks against the reference implementation's numbers (goldens/) and their own contracts.

import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import {
  fromTypedArray,
  Generator,
  liveTensors,
  type nn,
  noGrad,
  type Tensor,
  tidy,
  zeros,
} from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { MixTransformer, mitConfigs } from '../src/models/mit.js';
import { Segmentor, type SegmentorConfig } from '../src/models/segmentor.js';

interface Golden {
  input_shape: number[];
  outputs: {
    name: string;
    shape: number[];
    mean: number;
    std: number;
    indices: number[];
    values: number[];
  }[];
}

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`goldens/${name}.json`, import.meta.url), 'utf8'));

/** The pseudo-random sequence that the goldens are filled by; float64 throughout. */
function noise(name: string, length: number): Float64Array {
  const h = crc32(Buffer.from(name));
  return Float64Array.from({ length }, (_, i) => {
    const s = Math.sin((i % 65536) * 12.9898 + (h % 10007) * 78.233) * 43758.5453;
    return s - Math.floor(s) - 0.5;
  });
}

function filled(name: string, shape: readonly number[]): Float64Array {
  const v = noise(
    name,
    shape.reduce((a, b) => a * b, 1),
  );
  const norm = shape.length === 1;
  if (name.endsWith('running_var') || (norm && name.endsWith('weight'))) return v.map((x) => 1 + 0.2 * x);
  if (name.endsWith('running_mean') || (norm && name.endsWith('bias'))) return v.map((x) => 0.1 * x);
  if (name.endsWith('num_batches_tracked')) return v.fill(0);
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  return v.map((x) => x * Math.sqrt(3 / fanIn));
}

function fill(module: nn.AnyModule): void {
  tidy(() =>
    noGrad(() => {
      for (const [name, value] of module.stateDict()) {
        value.copy_(fromTypedArray(filled(name, value.shape), value.shape));
      }
    }),
  );
}

function goldenInput(shape: number[]): Tensor {
  const length = shape.reduce((a, b) => a * b, 1);
  const x = Float32Array.from({ length }, (_, i) => 1.5 * Math.sin(0.01 * i) + 0.5 * Math.cos(0.0037 * i));
  return fromTypedArray(x, shape);
}

function expectGolden(output: Tensor, golden: Golden['outputs'][number], tolerance: number): void {
  expect(output.shape).toEqual(golden.shape);
  const flat = output.toArray() as Float32Array;
  const error = Math.max(...golden.indices.map((index, k) => Math.abs(flat[index]! - golden.values[k]!)));
  expect(error).toBeLessThan(tolerance);
  const mean = flat.reduce((sum, v) => sum + v, 0) / flat.length;
  expect(Math.abs(mean - golden.mean)).toBeLessThan(tolerance);
}

const config: SegmentorConfig = {
  backbone: 'mit_b0',
  channels: 256,
  classes: 19,
  dropout: 0.1,
  dropPath: 0.1,
};

test('the fill rule gives the values that the goldens state', () => {
  const v = noise('patch_embed1.proj.weight', 4);
  const stated = [0.414298593, -0.314937054, 0.320354333, -0.0376823814];
  for (const [i, value] of stated.entries()) expect(v[i]).toBeCloseTo(value, 8);
});

describe('MiT-B0', () => {
  test('has the reference names and shapes', () => {
    using net = new MixTransformer(mitConfigs.mit_b0, new Generator(0));
    const own = new Map([...net.stateDict()].map(([name, { shape }]) => [name, [...shape]]));
    const manifest: { name: string; shape: number[] }[] = read('mit_b0.manifest');
    expect(own).toEqual(new Map(manifest.map(({ name, shape }) => [name, shape])));
  });

  test('computes what the reference computes, to 2e-5', () => {
    using net = new MixTransformer(mitConfigs.mit_b0, new Generator(0)).eval();
    fill(net);
    const golden: Golden = read('mit_b0.outputs');
    const stages = noGrad(() => net.call(goldenInput(golden.input_shape)));
    for (const [i, stage] of stages.entries()) expectGolden(stage, golden.outputs[i]!, 2e-5);
  });

  test.each([
    ['mit_b0', 3_319_392],
    ['mit_b1', 13_151_424],
    ['mit_b2', 24_196_288],
  ] as const)('%s has %i parameters', (name, count) => {
    using net = new MixTransformer(mitConfigs[name], new Generator(0));
    expect(net.parameters().reduce((sum, { numel }) => sum + numel, 0)).toBe(count);
  });
});

describe('DAFormer on MiT-B0', () => {
  test('has the reference names, shapes and parameter count', () => {
    using net = new Segmentor(config, 0);
    const own = new Map([...net.stateDict()].map(([name, { shape }]) => [name, [...shape]]));
    const manifest: { name: string; shape: number[] }[] = read('daformer_mitb0.manifest');
    expect(own).toEqual(new Map(manifest.map(({ name, shape }) => [name, shape])));
    expect(net.parameters().reduce((sum, { numel }) => sum + numel, 0)).toBe(6_900_595);
  });

  test('computes what the reference computes, to 1e-6', () => {
    using net = new Segmentor(config, 0).eval();
    fill(net);
    const golden: Golden = read('daformer_mitb0.outputs');
    const { logits } = noGrad(() => net.call(goldenInput(golden.input_shape)));
    expectGolden(logits, golden.outputs[0]!, 1e-6);
  });

  test('predicts at the size of the image and leaves nothing behind', () => {
    using net = new Segmentor({ ...config, channels: 16 }, 0).eval();
    const before = liveTensors();
    noGrad(() => {
      using image = zeros([1, 3, 72, 96]);
      using logits = net.predict(image);
      expect(logits.shape).toEqual([1, 19, 72, 96]);
    });
    expect(liveTensors()).toBe(before);
  });
});
