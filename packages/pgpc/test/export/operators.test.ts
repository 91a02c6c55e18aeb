// Operators one by one against libtorch, and what cannot be exported: by name, with its module.

import { arange, Generator, nn, ops, randn, sizeOf, type Tensor } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GraphWriter } from '../../src/export/graph.js';
import { type ScoringNetwork, toOnnx } from '../../src/export/onnx.js';
import { encodeModel } from '../../src/export/onnx-schema.js';
import { emitStep, OPSET } from '../../src/export/operators.js';
import { ChangingSizeError } from '../../src/export/sizes.js';
import { Value } from '../../src/export/values.js';
import { compared } from '../support/onnx.js';

class Part extends nn.Module {
  constructor(readonly compute: (x: Tensor) => Tensor) {
    super();
  }

  forward(x: Tensor): Tensor {
    return this.compute(x);
  }
}

/** A network of one function and of layers with weights. */
class Small extends nn.Module<[image: Tensor], { logits: Tensor }> {
  readonly part: Part;
  readonly layers: nn.ModuleList<nn.Module>;

  constructor(compute: (x: Tensor) => Tensor, layers: nn.Module[]) {
    super();
    this.part = new Part(compute);
    this.layers = new nn.ModuleList(layers);
  }

  forward(image: Tensor): { logits: Tensor } {
    return { logits: this.part.call(image) };
  }
}

const network = (compute: (x: Tensor) => Tensor, ...layers: nn.Module[]) => new Small(compute, layers).eval();

const SHAPES = [
  [1, 3, 40, 64],
  [2, 3, 57, 71],
];

async function errorOf(made: ScoringNetwork, shapes = SHAPES): Promise<number> {
  return (await compared(toOnnx(made).bytes, made, shapes)).maxError;
}

const generator = new Generator(3);
const conv = (stride: number, to = 3) => new nn.Conv2d(3, to, 3, { stride, padding: 1, generator });

describe('operators give what libtorch gives', () => {
  test.each([true, false])('resizing, align corners %s, to more and to less', async (alignCorners) => {
    const [halved, quartered] = [conv(2), conv(4)];
    const both = network(
      (x) => {
        const [half, quarter] = [halved.call(x), quartered.call(x)];
        const up = nn.interpolate(quarter, sizeOf(half), { alignCorners });
        return up.add(nn.interpolate(x, sizeOf(half), { alignCorners })).add(half);
      },
      halved,
      quartered,
    );
    // Places of up to 71 have steps of 8e-6 in float32, and neighbouring pixels differ by up to 7; another rule of
    // resizing gives errors above 0.1.
    expect(await errorOf(both)).toBeLessThan(6e-5);
  });

  test('padding, parts of an axis, transposed convolutions, gates', async () => {
    const enlarging = new nn.ConvTranspose2d(3, 6, 2, { stride: 2, generator });
    const mixed = network((x) => {
      const [value, gate] = enlarging.call(x.constantPadNd([1, 2, 0, 3], 0)).chunk(2, 1) as [Tensor, Tensor];
      const [first, second] = value.mul(gate.silu()).splitWithSizes([1, 2], 1) as [Tensor, Tensor];
      return second.narrow(-1, 2, 5).addcmul(first.neg().narrow(-1, 0, 5), second.narrow(-1, 1, 5));
    }, enlarging);
    const { bytes } = toOnnx(mixed, { size: { batch: 2, height: 7, width: 9 } });
    expect((await compared(bytes, mixed, [[2, 3, 7, 9]])).maxError).toBeLessThan(1e-5);
  });

  test('pooling', async () => {
    const pool = new nn.MaxPool2d(3, { stride: 2, padding: 1 });
    const whole = new nn.AdaptiveAvgPool2d(1);
    const pooled = network(
      (x) => {
        const map = pool.call(x);
        return map.add(whole.call(map).expand([-1, -1, ...sizeOf(map)]));
      },
      pool,
      whole,
    );
    expect(await errorOf(pooled)).toBeLessThan(1e-5);
  });

  test('tokens: linear layers with and without bias, norm, GELU, softmax', async () => {
    const [patches, one, two] = [conv(8, 12), new nn.Linear(12, 8), new nn.Linear(8, 12, { bias: false })];
    const norm = new nn.LayerNorm(12, { eps: 1e-3 });
    const tokens = network(
      (x) => {
        const map = patches.call(x);
        const [height, width] = sizeOf(map);
        const inner = norm.call(map.flatten(2).transpose(1, 2));
        const out = two.call(ops.gelu(one.call(inner))).softmax(-1);
        return out.view([x.shape[0]!, height, width, 12]).permute([0, 3, 1, 2]);
      },
      patches,
      one,
      two,
      norm,
    );
    expect(await errorOf(tokens)).toBeLessThan(1e-6);
  });

  test('convolutions of any geometry', async () => {
    const geometry = fc.record({
      kernel: fc.integer({ min: 1, max: 4 }),
      stride: fc.integer({ min: 1, max: 3 }),
      padding: fc.integer({ min: 0, max: 2 }),
      dilation: fc.integer({ min: 1, max: 3 }),
      groups: fc.constantFrom(1, 3),
      bias: fc.boolean(),
      to: fc.constantFrom(3, 6),
    });
    const holds = async ({ kernel, to, ...options }: { kernel: number; to: number; stride: number }) => {
      const layer = new nn.Conv2d(3, to, kernel, { ...options, generator });
      const made = network((x) => layer.call(x), layer);
      return (await errorOf(made)) < 1e-5;
    };
    await fc.assert(fc.asyncProperty(geometry, holds), { numRuns: 25 });
  });

  test("libtorch 2's attention", async () => {
    const shape = [2, 3, 10, 16];
    const x = new Value(0, 'float32', shape);
    const out = new Value(1, 'float32', shape);
    const graph = new GraphWriter('float32', undefined);
    graph.bind(x, 'pixel_values');
    const args = new Map(['query', 'key', 'value'].map((key) => [key, x]));
    emitStep({ name: 'aten::scaled_dot_product_attention', module: '', args, results: [out] }, graph);
    const last = {
      opType: 'Identity',
      name: 'last',
      input: [graph.name(out)],
      output: ['logits'],
      attributes: {},
    };
    const bytes = encodeModel({
      producer: 'test',
      producerVersion: '',
      opset: OPSET,
      name: 'attention',
      nodes: [...graph.nodes, last],
      constants: graph.constants,
      inputs: [{ name: 'pixel_values', type: 'float32', dims: shape }],
      outputs: [{ name: 'logits', type: 'float32', dims: shape }],
      metadata: {},
    });
    const slow = network((q) => q.matmul(q.transpose(-2, -1)).div(Math.sqrt(16)).softmax(-1).matmul(q));
    expect((await compared(bytes, slow, [shape])).maxError).toBeLessThan(1e-6);
  });
});

describe('in place', () => {
  test('is a new value, whoever else reads the old one before', async () => {
    const layer = conv(1);
    const made = network((x) => {
      const y = layer.call(x);
      const before = y.mul(2);
      return y.relu_().add_(before);
    }, layer);
    expect(await errorOf(made)).toBeLessThan(1e-5);
  });

  test('is refused where another view of the memory is read afterwards', () => {
    const made = network((x) => {
      const y = x.mul(2);
      const seen = y.transpose(2, 3);
      y.relu_();
      return seen.contiguous();
    });
    expect(() => toOnnx(made)).toThrow(/aten::contiguous in 'part' reads a tensor whose memory another view/);
  });
});

describe('what has no counterpart is named', () => {
  test.each<[what: string, (x: Tensor) => Tensor, RegExp]>([
    ['operator', (x) => x.sin(), /aten::sin in 'part' has no counterpart/],
    [
      'value of an argument',
      (x) => x.add(x, { alpha: 2 }),
      /aten::add\.Tensor in 'part': alpha 2 is not mapped/,
    ],
    ['pooling to a grid', (x) => ops.adaptiveAvgPool2d(x, [2, 2]), /outputSize \[2,2\] is not mapped/],
    ['dtype', (x) => x.to('float64'), /aten::to\.dtype in 'part': dtype "float64" is not mapped/],
    ['network without input', () => randn([1, 3, 4, 4]), /does not depend on its input/],
  ])('%s', (_, compute, message) => {
    expect(() => toOnnx(network(compute))).toThrow(message);
  });

  test('unless the output does not need it', async () => {
    const made = network((x) => {
      x.sin();
      return x.mul(2);
    });
    expect(await errorOf(made)).toBe(0);
  });
});

describe('a network of one size', () => {
  const position = network((x) => x.add(arange(x.shape[3]!, { dtype: 'float32' })));

  test('is refused for any, with the reason', () => {
    expect(() => toOnnx(position)).toThrow(ChangingSizeError);
    expect(() => toOnnx(position)).toThrow(
      /aten::add\.Tensor in 'part': other is a constant that changes.*--size/,
    );
  });

  test('is exported for one, with the reason', async () => {
    const { bytes, input, fixedBecause } = toOnnx(position, { size: { batch: 1, height: 20, width: 30 } });
    expect(input).toEqual([1, 3, 20, 30]);
    expect(fixedBecause).toMatch(/constant that changes with the size/);
    expect((await compared(bytes, position, [[1, 3, 20, 30]])).maxError).toBe(0);
  });

  test('also where it calls other operators at other sizes', () => {
    const odd = network((x) => (x.shape[2]! % 2 === 1 ? x.relu() : x.mul(2).relu()));
    expect(() => toOnnx(odd)).toThrow(ChangingSizeError);
  });
});
