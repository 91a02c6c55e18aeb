// Encoders and decoders put together: what fits, what is computed, what a description may say.

import { Generator, liveTensors, nn, noGrad, ops, type Tensor, tidy, zeros } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Learner } from '../../src/adaptation/learner.js';
import {
  backboneNames,
  headNames,
  type SegmentorConfig,
  segmentorConfig,
  segmentorFaults,
  segmentorSchema,
} from '../../src/config/segmentor.js';
import { DeeplabV3PlusHead } from '../../src/models/deeplabv3plus-head.js';
import { withoutInitialValues } from '../../src/models/initial-values.js';
import { createNetwork } from '../../src/models/networks.js';
import { fuseResized } from '../../src/models/segformer-head.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { normal } from '../support/method.js';

const config = segmentorConfig('mit_b0', 'daformer');

describe('fuseResized', () => {
  test('is the convolution of the concatenation of the resized maps, in values and gradients', () => {
    const map = fc.record({
      channels: fc.integer({ min: 1, max: 5 }),
      height: fc.integer({ min: 1, max: 9 }),
      width: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(
        fc.array(map, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 4 }),
        fc.boolean(),
        fc.nat(),
        (sizes, out, withBias, seed) =>
          tidy(() => {
            const maps = sizes.map(({ channels, height, width }, i) =>
              normal([2, channels, height, width], seed + i).requiresGrad_(),
            );
            const channels = sizes.map((size) => size.channels);
            const total = channels.reduce((sum, c) => sum + c, 0);
            const weight = normal([out, total, 1, 1], seed + 9);
            const bias = withBias ? normal([out], seed + 10) : null;
            const size = maps[0]!.shape.slice(2) as [number, number];
            const plain = ops.conv2d(
              ops.cat(
                maps.map((x) => nn.interpolate(x, size)),
                1,
              ),
              weight,
              bias,
            );
            const fused = fuseResized(maps, weight.splitWithSizes(channels, 1), bias);
            const gradients = (y: Tensor) => {
              y.sin().sum().backward();
              const result = maps.map((x) => x.grad!.clone());
              for (const x of maps) x.grad = null;
              return result;
            };
            expect(fused.shape).toEqual(plain.shape);
            expect(fused.sub(plain).abs().max().item()).toBeLessThan(1e-5);
            const wanted = gradients(plain);
            for (const [i, gradient] of gradients(fused).entries()) {
              expect(gradient.sub(wanted[i]!).abs().max().item()).toBeLessThan(1e-4);
            }
          }),
      ),
      { numRuns: 50 },
    );
  });
});

describe('Segmentor', () => {
  test.each([
    ['mit_b0', 'daformer', 256, 4, [4, 8, 16, 32]],
    ['mit_b0', 'segformer', 256, 4, [4, 8, 16, 32]],
    ['resnet101', 'deeplabv2', 2048, 8, [4, 8, 8, 8]],
    ['resnet101', 'deeplabv3plus-nobn', 512, 4, [4, 8, 8, 8]],
    ['hrnet_w48', 'hrnet', 720, 4, [4, 8, 16, 32]],
  ] as const)('%s with %s gives %i features at stride %i', (backbone, head, channels, stride, strides) => {
    const before = liveTensors();
    tidy(() => {
      const description = segmentorConfig(backbone, head, { classes: 5 });
      using segmentor = withoutInitialValues(() => new Segmentor(description, 0)).eval();
      expect(segmentor.featureChannels).toBe(channels);
      const [height, width] = [64, 96];
      const { features, logits, stages } = noGrad(() => segmentor.call(normal([2, 3, height, width], 1)));
      expect(features.shape).toEqual([2, channels, height / stride, width / stride]);
      expect(logits.shape).toEqual([2, 5, height / stride, width / stride]);
      expect(stages.map(({ shape }) => shape)).toEqual(
        strides.map((s, i) => [2, segmentor.backbone.channels[i], height / s, width / s]),
      );
      const parts = new Set([...segmentor.stateDict().keys()].map((name) => name.split('.')[0]));
      expect([...parts]).toEqual(['backbone', 'decode_head']);
    });
    expect(liveTensors()).toBe(before);
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

  test('takes the weights of another of its form, which is then the same network', () => {
    const description = segmentorConfig('mit_b0', 'segformer', { channels: 24, classes: 5 });
    tidy(() => {
      using a = new Segmentor(description, 1).eval();
      using b = new Segmentor(description, 2).eval();
      const image = normal([1, 3, 64, 64], 3);
      const logits = (net: Segmentor) => noGrad(() => net.call(image).logits);
      expect(logits(a).equal(logits(b))).toBe(false);
      b.loadStateDict(a.stateDict());
      expect(logits(a).equal(logits(b))).toBe(true);
    });
  });

  test('in training mode drops channels before the classifier, but not from the features', () => {
    tidy(() => {
      const description = segmentorConfig('mit_b0', 'segformer', { dropout: 0.5, dropPath: 0 });
      using segmentor = new Segmentor(description, 1);
      const image = normal([2, 3, 64, 64], 3);
      const [a, b] = noGrad(() => [segmentor.call(image), segmentor.call(image)]);
      expect(a!.features.equal(b!.features)).toBe(true);
      expect(a!.logits.equal(b!.logits)).toBe(false);
    });
  });

  test('with DeepLabV3+ and batch norm refuses to train on a single image', () => {
    const inChannels = [4, 8, 8, 8];
    const head = (norm: boolean) =>
      withoutInitialValues(
        () => new DeeplabV3PlusHead({ inChannels, classes: 5, dropout: 0, norm }, new Generator(0)),
      );
    tidy(() => {
      using withNorm = head(true);
      using without = head(false);
      const stages = inChannels.map((channels) => normal([1, channels, 8, 8], 1));
      expect(() => withNorm.call(stages)).toThrow('2 images a batch or more, not 1');
      expect(without.call(stages).logits.shape).toEqual([1, 5, 8, 8]);
      const pair = stages.map((stage) => ops.cat([stage, stage], 0));
      expect(withNorm.call(pair).logits.shape).toEqual([2, 5, 8, 8]);
      expect(withNorm.eval().call(stages).logits.shape).toEqual([1, 5, 8, 8]);
    });
  });

  test('its features fit the projection head of the contrast', () => {
    tidy(() => {
      const description = segmentorConfig('mit_b0', 'segformer', { channels: 24, classes: 5 });
      using learner = new Learner(description, 0, { width: 8, depth: 2 });
      const { features } = noGrad(() => learner.segmentor.call(normal([1, 3, 32, 32], 1)));
      const rows = features.permute([0, 2, 3, 1]).reshape([-1, 24]);
      expect(learner.projection!.call(rows).shape).toEqual([64, 8]);
    });
  });
});

describe('withoutInitialValues', () => {
  const weights = (build: () => Segmentor) => {
    using segmentor = build();
    const weight = segmentor.backbone.stateDict().get('block1.0.attn.q.weight')!;
    return weight.toArray() as Float32Array;
  };
  const spread = (values: Float32Array) =>
    Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);

  test('leaves out what an architecture draws, and only there', () => {
    const build = () => new Segmentor({ ...config, channels: 16 }, 0);
    const usual = weights(build);
    expect(spread(usual)).toBeCloseTo(0.02, 2);
    // PyTorch's own: uniform within 1 / sqrt(32).
    expect(spread(weights(() => withoutInitialValues(build)))).toBeCloseTo(1 / Math.sqrt(3 * 32), 2);
    expect(() =>
      withoutInitialValues(() => {
        throw new Error('no network');
      }),
    ).toThrow('no network');
    expect(weights(build)).toEqual(usual);
  });
});

describe('the description of a segmentor', () => {
  test('fits for every backbone with a head of its own, and is what a file may say', () => {
    const counts = backboneNames.map((backbone) => {
      const fitting = headNames.filter(
        (head) => segmentorFaults(segmentorConfig(backbone, head)).length === 0,
      );
      for (const head of fitting) {
        const description = segmentorConfig(backbone, head);
        expect(segmentorSchema.parse(description)).toEqual(description);
      }
      return fitting.length;
    });
    // MiT, ResNet, HRNet, plain transformers, ConvNeXt.
    expect(counts).toEqual([...Array(6).fill(2), 4, 1, ...Array(13).fill(3), ...Array(4).fill(2)]);
    expect(segmentorConfig('mit_b1', 'segformer').channels).toBe(256);
    expect(segmentorConfig('mit_b2', 'segformer').channels).toBe(768);
  });

  test('has the DAFormer head where it does not say', () => {
    const { head, ...old } = config;
    expect(segmentorSchema.parse(old)).toEqual({ ...old, head });
  });

  test.each([
    [
      { backbone: 'resnet101', head: 'daformer', dropPath: 0 },
      'daformer does not fit resnet101, which takes deeplabv2, deeplabv2-full, deeplabv3plus, deeplabv3plus-nobn',
    ],
    [{ backbone: 'mit_b5', head: 'hrnet', channels: 720, dropout: 0 }, 'hrnet fits hrnet_w48'],
    [
      { backbone: 'resnet101', head: 'deeplabv3plus', dropPath: 0 },
      'the features of deeplabv3plus have 512 channels, not 256',
    ],
    [
      { backbone: 'hrnet_w48', head: 'hrnet', channels: 720, dropPath: 0 },
      'hrnet drops no channels: dropout is 0, not 0.1',
    ],
    [
      { backbone: 'resnet101', head: 'deeplabv3plus', channels: 512 },
      'resnet101 has no stochastic depth: dropPath is 0, not 0.1',
    ],
  ] as const)('is refused for %j', (values, message) => {
    const wrong: SegmentorConfig = { ...config, ...values };
    expect(() => new Segmentor(wrong, 0)).toThrow(message);
    const parsed = segmentorSchema.safeParse(wrong);
    expect(parsed.error?.issues.map((issue) => issue.message).join()).toContain(message);
  });
});

test('attention in parts, where no gradient is asked for, is attention as a whole', () => {
  tidy(() => {
    const network = createNetwork('mit_b0', { seed: 3 });
    // Stage 1 has 768 tokens, more than one part; stage 2 has 192, fewer.
    const image = normal([1, 3, 96, 128], 4);
    const whole = network.call(image);
    const inParts = noGrad(() => network.call(image));
    for (const name of ['stage1', 'stage2', 'stage3', 'stage4']) {
      // Ten units in the last place of the largest value: how BLAS adds up depends on its build and on the threads.
      const most = 10 * 2 ** -23 * whole[name]!.abs().max().item();
      expect(inParts[name]!.sub(whole[name]!).abs().max().item()).toBeLessThan(most);
    }
    expect(whole.stage1!.requiresGrad).toBe(true);
  });
});
