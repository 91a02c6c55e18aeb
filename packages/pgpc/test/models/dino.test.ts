// DINOv2's and DINOv3's encoders: the authors' and HuggingFace's numbers and names, positions, images of any size.

import { readFileSync } from 'node:fs';
import {
  fromTypedArray,
  Generator,
  liveTensors,
  nn,
  noGrad,
  ops,
  sizeOf,
  type Tensor,
  tidy,
  zeros,
} from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { VitConfig } from '../../src/config/vit.js';
import { attend, attendPlainly } from '../../src/models/attention.js';
import { Convnext, type ConvnextConfig } from '../../src/models/convnext.js';
import { fitted, paddedTo } from '../../src/models/fit-image.js';
import { VisionTransformer } from '../../src/models/vit.js';
import { VitBackbone } from '../../src/models/vit-pyramid.js';
import { recognizeWeights } from '../../src/models/weights/formats.js';
import { expectGolden, filled, type Golden, goldenInput } from '../support/goldens.js';
import { normal } from '../support/method.js';

interface DinoCase extends Golden {
  name: string;
  form: string;
  network: VitConfig | ConvnextConfig;
  /** With the values where the authors compute them. */
  entries: [name: string, shape: number[], values?: number[]][];
}

const file = new URL('../goldens/dino.outputs.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: DinoCase[] };

function build(network: VitConfig | ConvnextConfig, generator: Generator): VisionTransformer | Convnext {
  if ('dims' in network) return new Convnext(network, generator);
  return new VisionTransformer({ ...network, layerScale: 1 }, generator);
}

const tensorsOf = ({ entries }: DinoCase): Map<string, Tensor> =>
  new Map(
    entries.map(([name, shape, values]) => [
      name,
      fromTypedArray(values ? Float32Array.from(values) : filled(name, shape), shape),
    ]),
  );

/** The names that HuggingFace's published DINOv2 files have; newer versions of its library rename them as they load. */
const published = (name: string) =>
  name
    .replace(/attention\.([qkv])_proj/, (_, which: string) => {
      return `attention.attention.${{ q: 'query', k: 'key', v: 'value' }[which]}`;
    })
    .replace('attention.o_proj', 'attention.output.dense');

function expectCase(one: DinoCase, rename: (name: string) => string = (name) => name): void {
  tidy(() => {
    using generator = new Generator(0);
    using network = build(one.network, generator);
    const entries = new Map([...tensorsOf(one)].map(([name, tensor]) => [rename(name), tensor]));
    const { format, tensors } = recognizeWeights(entries, {});
    expect(format).toBe(one.form);
    network.loadStateDict(
      new Map([...tensors].map(([name, tensor]) => [name.replace(/^backbone\./, ''), tensor])),
    );
    const maps = noGrad(() => network.call(goldenInput(one.input_shape)));
    for (const [i, output] of one.outputs.entries()) expectGolden(maps[i]!, output, 2e-5);
  });
}

describe('the numbers of the authors and of HuggingFace, from files of their names', () => {
  test.each(cases.map((one) => [one.form, one.name, one] as const))('%s, %s', (_, __, one) => {
    expectCase(one);
  });

  test.each(cases.filter(({ form }) => form === 'dinov2-huggingface').map((one) => [one.name, one] as const))(
    'as published: %s',
    (_, one) => expectCase(one, published),
  );

  test('of a gated network as published, with gate and value in one matrix', () => {
    const one = cases.find(({ form, name }) => form === 'dinov2-huggingface' && name === 'gated')!;
    tidy(() => {
      const apart = tensorsOf(one);
      const joined = new Map<string, Tensor>();
      for (const [name, tensor] of apart) {
        if (name.includes('up_proj')) continue;
        const up = apart.get(name.replace('gate_proj', 'up_proj'))!;
        const to = published(name).replace('gate_proj', 'weights_in').replace('down_proj', 'weights_out');
        joined.set(to, name.includes('gate_proj') ? ops.cat([tensor, up], 0) : tensor);
      }
      const [a, b] = [apart, joined].map((entries) => recognizeWeights(entries, {}).tensors);
      expect([...a!.keys()].sort()).toEqual([...b!.keys()].sort());
      for (const [name, tensor] of a!) expect(tensor.equal(b!.get(name)!), name).toBe(true);
    });
  });
});

test('attention by the operator that libtorch has is attention by its parts, in values and gradients', () => {
  tidy(() => {
    const parts = [1, 2, 3].map((seed) => normal([2, 3, 17, 8], seed).requiresGrad_());
    const [a, b] = [attend, attendPlainly].map((by) => {
      const mixed = by(parts[0]!, parts[1]!, parts[2]!);
      mixed.sin().sum().backward();
      const gradients = parts.map((part) => part.grad!.clone());
      for (const part of parts) part.grad = null;
      return [mixed, ...gradients];
    });
    for (const [i, tensor] of a!.entries()) expect(tensor.sub(b![i]!).abs().max().item()).toBeLessThan(1e-5);
  });
});

/** A map's bilinear value at a place in pixels, its border repeated. */
function slowSample(map: readonly (readonly number[])[], cell: number, y: number, x: number): number {
  const clamp = (at: number, count: number) => Math.min(Math.max(at, 0), count - 1);
  const [v, u] = [clamp(y / cell - 0.5, map.length), clamp(x / cell - 0.5, map[0]!.length)];
  const [top, left] = [Math.floor(v), Math.floor(u)];
  const at = (i: number, j: number) => map[clamp(i, map.length)]![clamp(j, map[0]!.length)]!;
  const row = (i: number) => at(i, left) * (1 - u + left) + at(i, left + 1) * (u - left);
  return row(top) * (1 - v + top) + row(top + 1) * (v - top);
}

test('a map of a padded image is brought to what lies in the image, position by position', () => {
  const side = fc.integer({ min: 1, max: 60 });
  fc.assert(
    fc.property(
      side,
      side,
      fc.constantFrom(2, 3.5, 7, 16),
      fc.constantFrom(4, 8),
      (height, width, cell, stride) =>
        tidy(() => {
          const shape = [1, 1, Math.ceil(height / cell), Math.ceil(width / cell)];
          const map = normal(shape, height);
          const result = fitted(map, cell, [height, width], stride);
          const [rows, columns] = sizeOf(result);
          expect([rows, columns]).toEqual([Math.ceil(height / stride), Math.ceil(width / stride)]);
          const flat = map.toArray() as Float32Array;
          const grid = Array.from({ length: shape[2]! }, (_, i) => [
            ...flat.subarray(i * shape[3]!, (i + 1) * shape[3]!),
          ]);
          const values = result.toArray() as Float32Array;
          for (let i = 0; i < rows; i++) {
            for (let j = 0; j < columns; j++) {
              const y = ((i + 0.5) * height) / rows;
              const x = ((j + 0.5) * width) / columns;
              expect(values[i * columns + j]).toBeCloseTo(slowSample(grid, cell, y, x), 4);
            }
          }
        }),
    ),
    { numRuns: 40 },
  );
});

test('padding adds zeros at the right and at the bottom, and nothing to whole patches', () => {
  tidy(() => {
    const image = normal([1, 3, 15, 28], 1);
    const padded = paddedTo(image, 14);
    expect(padded.shape).toEqual([1, 3, 28, 28]);
    expect(padded.narrow(2, 0, 15).equal(image)).toBe(true);
    expect(padded.narrow(2, 15, 13).abs().max().item()).toBe(0);
    expect(paddedTo(padded, 14)).toBe(padded);
  });
});

const tiny: VitConfig = {
  dim: 32,
  depth: 4,
  heads: 2,
  patch: 14,
  registers: 2,
  ffn: 'mlp',
  hidden: 64,
  eps: 1e-6,
  positions: { side: 3, offset: 0, antialias: true },
  layerScale: 1,
};
const rotary: VitConfig = { ...tiny, patch: 16, ffn: 'swiglu', positions: 'rotary' };

describe('the pyramid on a plain transformer', () => {
  test.each([
    ['learned positions', tiny],
    ['rotations', rotary],
  ])('gives strides 4 to 32 at any size, and gradients to every parameter: %s', (_, config) => {
    tidy(() => {
      using generator = new Generator(1);
      using backbone = new VitBackbone(config, generator);
      const maps = backbone.call(normal([2, 3, 37, 50], 2));
      expect(maps.map(({ shape }) => shape.slice(2))).toEqual([
        [10, 13],
        [5, 7],
        [3, 4],
        [2, 2],
      ]);
      expect(maps.map(({ shape }) => shape[1])).toEqual([...backbone.channels]);
      const loss = maps.map((map) => map.sin().mean()).reduce((a, b) => a.add(b));
      loss.backward();
      const without = [...backbone.namedParameters()].filter(
        ([, { grad }]) => !grad || grad.abs().max().item() === 0,
      );
      expect(without.map(([name]) => name)).toEqual([]);
    });
  });

  test('is trained the same with activation checkpointing', () => {
    tidy(() => {
      using generator = new Generator(1);
      for (const network of [
        new VitBackbone(rotary, generator),
        new Convnext({ dims: [4, 8, 12, 16], depths: [1, 1, 1, 1] }, generator),
      ]) {
        const image = normal([1, 3, 40, 33], 3);
        const loss = () =>
          network
            .call(image)
            .map((map) => map.sin().mean())
            .reduce((a, b) => a.add(b));
        const gradients = () =>
          [...network.namedParameters()].map(([name, { grad }]) => [name, grad!.clone()] as const);
        loss().backward();
        const plain = gradients();
        network.zeroGrad();
        const checkpoints = new nn.ActivationCheckpoints(network.checkpointable);
        checkpoints.record(() => checkpoints.backward(loss()));
        const again = new Map(gradients());
        for (const [name, gradient] of plain) {
          const size = Math.max(1, gradient.abs().max().item());
          expect(again.get(name)!.sub(gradient).abs().max().item() / size, name).toBeLessThan(1e-5);
        }
        network.dispose();
      }
    });
  });

  test('leaves no tensors behind but its maps', () => {
    const before = liveTensors();
    const image = zeros([1, 3, 30, 30]);
    const generator = new Generator(1);
    const backbone = new VitBackbone(rotary, generator);
    const maps = noGrad(() => backbone.call(image));
    backbone.dispose();
    generator.dispose();
    expect(liveTensors()).toBe(before + 1 + maps.length);
    for (const tensor of [image, ...maps]) tensor.dispose();
  });
});
