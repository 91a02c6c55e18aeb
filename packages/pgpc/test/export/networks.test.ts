// Every network of docs/networks.md as an ONNX file: ONNX Runtime gives what libtorch gives, at sizes that were not traced.
// PGPC_ALL_NETWORKS=1 includes the heads that differ from another in no operator.

import { nn, noGrad, ops, type Tensor, tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { type BackboneName, type HeadName, segmentorConfig } from '../../src/config/segmentor.js';
import { networkInput, predictLabels } from '../../src/evaluation/inference.js';
import { asItSees } from '../../src/export/by-windows.js';
import { type ScoringNetwork, toOnnx } from '../../src/export/onnx.js';
import { withoutInitialValues } from '../../src/models/initial-values.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { fill } from '../support/goldens.js';
import { compared } from '../support/onnx.js';
import { picture } from '../support/tried-run.js';

const made = (backbone: BackboneName, head: HeadName) =>
  fill(withoutInitialValues(() => new Segmentor(segmentorConfig(backbone, head), 0))).eval();

/** None that was traced. */
const SHAPES = [[2, 3, 70, 101]];

/** Heads that another has all operators of: their networks of 40 million weights are exported on request alone. */
const ON_REQUEST: readonly HeadName[] = ['deeplabv2-full', 'deeplabv3plus-nobn'];

describe.each([
  ['mit_b0', 'daformer'],
  ['mit_b0', 'segformer'],
  ['resnet101', 'deeplabv2'],
  ['resnet101', 'deeplabv2-full'],
  ['resnet101', 'deeplabv3plus'],
  ['resnet101', 'deeplabv3plus-nobn'],
  ['hrnet_w48', 'hrnet'],
] as const)('%s with %s', (backbone, head) => {
  test.skipIf(process.env.PGPC_ALL_NETWORKS === undefined && ON_REQUEST.includes(head))(
    'is the same at any batch and size',
    { timeout: 300_000 },
    async () => {
      using network = made(backbone, head);
      const { bytes, input, output } = toOnnx(network);
      expect([input, output]).toEqual([
        ['batch', 3, 'height', 'width'],
        ['batch', 19, 'logits_height', 'logits_width'],
      ]);
      const { maxError, equal, most } = await compared(bytes, network, SHAPES);
      expect(most).toBeGreaterThan(0.01);
      expect(maxError).toBeLessThan(Math.min(1e-3, 1e-4 * most));
      expect(equal).toBeGreaterThanOrEqual(0.999);
    },
  );
});

describe('two resolutions', () => {
  const multiResolution = { detailCrop: { width: 64, height: 64 }, detailWeight: 0.1 };
  const two = () => {
    const config = segmentorConfig('mit_b0', 'daformer', { channels: 32, multiResolution });
    return fill(withoutInitialValues(() => new Segmentor(config, 0))).eval();
  };

  test('are the same at the one size that they are exported for, by windows', async () => {
    using network = two();
    const { bytes, fixedBecause } = toOnnx(network, { size: { batch: 1, height: 90, width: 128 } });
    expect(fixedBecause).toBe('the windows of its details follow from the size of the image');
    const { maxError, equal, most } = await compared(bytes, network, [[1, 3, 90, 128]]);
    expect(most).toBeGreaterThan(0.01);
    expect(maxError).toBeLessThan(Math.min(1e-3, 1e-4 * most));
    expect(equal).toBeGreaterThanOrEqual(0.999);
  });

  test('see a larger image by the windows of their training, as predict does', async () => {
    using network = two();
    const size = { width: 213, height: 150 };
    const seen = asItSees(network, size);
    const { bytes, input, output } = toOnnx(seen, { size: { batch: 1, ...size } });
    expect([input, output]).toEqual([
      [1, 3, 150, 213],
      [1, 19, 150, 213],
    ]);
    const { maxError, equal, most } = await compared(bytes, seen, [[1, 3, 150, 213]]);
    expect(most).toBeGreaterThan(0.01);
    expect(maxError).toBeLessThan(Math.min(1e-3, 1e-4 * most));
    expect(equal).toBeGreaterThanOrEqual(0.999);
    tidy(() => {
      const image = picture(213, 150);
      const theirs = predictLabels(network, image).to('int64');
      const labelsOf = (of: ScoringNetwork) => {
        const { logits } = noGrad(() => of.call(networkInput(image, size, 'cpu')));
        return nn.interpolate(logits, [150, 213]).argmax(1).squeeze(0);
      };
      const same = (of: ScoringNetwork) => ops.eq(labelsOf(of), theirs).to('float32').mean().item();
      expect(same(seen)).toBeGreaterThan(0.999);
      expect(same(network)).toBeLessThan(0.99);
    });
  });

  test.each([
    ['as large as a window', { width: 128, height: 90 }],
    ['any', undefined],
  ])('see an image at once where it is %s', (_, size) => {
    using network = two();
    expect(asItSees(network, size)).toBe(network);
  });

  test('are refused without a size', () => {
    using network = two();
    expect(() => toOnnx(network)).toThrow(
      /the windows of its details .* give the one that it is for \(--size\)/,
    );
  });
});

test.each([
  ['dinov2_vits14', 'daformer'],
  ['dinov2_vits14_reg', 'linear'],
  ['dinov3_vits16plus', 'segformer'],
  ['dinov3_convnext_tiny', 'segformer'],
] as const)(
  '%s with %s is the same at the size that it is exported for',
  { timeout: 300_000 },
  async (backbone, head) => {
    using network = made(backbone, head);
    expect(() => toOnnx(network)).toThrow(/cannot be exported for all sizes.*--size/);
    const { bytes } = toOnnx(network, { size: { batch: 1, height: 45, width: 66 } });
    const { maxError, equal, most } = await compared(bytes, network, [[1, 3, 45, 66]]);
    expect(most).toBeGreaterThan(0.01);
    expect(maxError).toBeLessThan(Math.min(1e-3, 1e-4 * most));
    expect(equal).toBeGreaterThanOrEqual(0.99);
  },
);

describe('mit_b0 with daformer', () => {
  test('of more than 512 tokens, whose attention libtorch 1.13 cuts in parts', async () => {
    using network = made('mit_b0', 'daformer');
    const { maxError, equal } = await compared(toOnnx(network).bytes, network, [[1, 3, 160, 128]]);
    expect([maxError < 1e-4, equal >= 0.999]).toEqual([true, true]);
  });

  test('of one size has no shapes to compute', async () => {
    using network = made('mit_b0', 'daformer');
    const any = toOnnx(network);
    const fixed = toOnnx(network, { size: { batch: 1, height: 70, width: 90 } });
    expect([fixed.input, fixed.output]).toEqual([
      [1, 3, 70, 90],
      [1, 19, 18, 23],
    ]);
    expect(fixed.nodes).toBeLessThan(any.nodes);
    expect(Buffer.from(any.bytes).includes('Shape')).toBe(true);
    expect(Buffer.from(fixed.bytes).includes('/Shape')).toBe(false);
    const { maxError } = await compared(fixed.bytes, network, [[1, 3, 70, 90]]);
    expect(maxError).toBeLessThan(1e-4);
  });

  test('normalises RGB in 0 .. 255 where it is asked to', async () => {
    using network = made('mit_b0', 'daformer');
    const { bytes } = toOnnx(network, { foldPreprocessing: true });
    // What normalisation makes of these is the image again.
    const channels = (values: readonly number[]) => tensor([values.map((value) => [[value]])]);
    const raw = (image: Tensor) =>
      tidy(() => image.mul(channels([58.395, 57.12, 57.375])).add(channels([123.675, 116.28, 103.53])));
    const { maxError } = await compared(bytes, network, SHAPES, raw);
    expect(maxError).toBeLessThan(1e-4);
  });

  test.each([
    ['float16', 0.51, 0.995],
    ['int8', 0.3, 0.95],
  ] as const)('with weights in %s', async (weights, share, least) => {
    using network = made('mit_b0', 'daformer');
    const plain = toOnnx(network).bytes.length;
    const { bytes } = toOnnx(network, { weights });
    expect(bytes.length / plain).toBeLessThan(share);
    const { maxError, equal, most } = await compared(bytes, network, SHAPES);
    // Not what float32 has: the weights are rounded.
    expect(maxError).toBeGreaterThan(1e-6);
    expect(maxError).toBeLessThan(0.1 * most);
    expect(equal).toBeGreaterThanOrEqual(least);
  });
});
