// The network of two resolutions against its parts, put together by hand.

import { noGrad, type Tensor, tidy } from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hrda, multiResolutionFor } from '../../src/config/multi-resolution.js';
import {
  type SegmentorConfig,
  segmentorConfig,
  segmentorFaults,
  segmentorSchema,
} from '../../src/config/segmentor.js';
import {
  boxOf,
  contextImage,
  type MultiResolutionHead,
  type MultiResolutionOutput,
  placedInBox,
} from '../../src/models/multi-resolution.js';
import { Segmentor } from '../../src/models/segmentor.js';
import type { Box } from '../../src/windows.js';
import { matrix, normal, slowBilinear, tinySegmentor } from '../support/method.js';

const WINDOW = 32;
const config = {
  ...tinySegmentor,
  multiResolution: { detailCrop: { width: WINDOW, height: WINDOW }, detailWeight: 0.1 },
};

let network: Segmentor;
let image: Tensor;
beforeAll(() => {
  image = normal([1, 3, 64, 96], 1);
});
afterAll(() => image.dispose());

/** Has the tests of a block use one of this encoder. */
function useNetwork(backbone: SegmentorConfig['backbone']): void {
  beforeAll(() => {
    network = new Segmentor({ ...config, backbone }, 3).eval();
  });
  afterAll(() => network.dispose());
}

type Maps = number[][][];
const maps = (t: Tensor) => t.squeeze(0).tolist() as Maps;

/** c, a and the stages of the context, by the network's own parts. */
function context() {
  const stages = network.backbone.call(contextImage(image));
  const { features, logits } = network.decode(stages);
  const attention = (network.decodeHead as MultiResolutionHead).attention(stages);
  return { features: maps(features), logits: maps(logits), attention: maps(attention) };
}

/** Scores and features of one window alone. */
function detail(box: Box) {
  const { features, logits } = network.decode(
    network.backbone.call(boxOf(image, box, [64, 96]).contiguous()),
  );
  return { features: maps(features), logits: maps(logits) };
}

/** up(a) d + up((1 - a) c), channel by channel. */
function fuse(a: Maps, c: Maps, d: Maps): Maps {
  return c.map((channel, k) => {
    const gate = a[a.length === 1 ? 0 : k]!;
    const gated = channel.map((row, y) => row.map((value, x) => (1 - gate[y]![x]!) * value));
    const [up, rest] = [slowBilinear(gate, 16, 24), slowBilinear(gated, 16, 24)];
    return d[k]!.map((row, y) => row.map((value, x) => up[y]![x]! * value + rest[y]![x]!));
  });
}

const meanOf = (a: Maps): Maps => [
  a[0]!.map((row, y) => row.map((_, x) => a.reduce((sum, channel) => sum + channel[y]![x]!, 0) / a.length)),
];

function expectNear(actual: Tensor, expected: Maps): void {
  const [flat, wanted] = [maps(actual).flat(2), expected.flat(2)];
  expect(flat).toHaveLength(wanted.length);
  const worst = Math.max(...flat.map((value, i) => Math.abs(value - wanted[i]!)));
  expect(worst).toBeLessThan(2e-5);
}

const call = (box?: Box) => network.call(image, box) as MultiResolutionOutput;

// Windows are no multiples of DINOv2's patches, so each is filled up by itself.
describe.each(['mit_b0', 'dinov2_vits14', 'dinov3_vits16', 'dinov3_convnext_tiny'] as const)(
  '%s',
  (backbone) => {
    useNetwork(backbone);

    test('in training the detail counts in its box, and elsewhere the context alone', () => {
      tidy(() =>
        noGrad(() => {
          const box = { top: 16, left: 40, height: WINDOW, width: WINDOW };
          const { logits, features, attention } = context();
          const own = detail(box);
          // The box on the grids of the context, 4 x 10 .. 8 x 14 ... of 8 x 12, and of the detail, twice as fine.
          const inside = (y: number, x: number, step: number) =>
            y >= 16 / step && y < 48 / step && x >= 40 / step && x < 72 / step;
          const masked = attention.map((channel) =>
            channel.map((row, y) => row.map((value, x) => (inside(y, x, 8) ? value : 0))),
          );
          const placed = (parts: Maps) =>
            parts.map((channel) =>
              Array.from({ length: 16 }, (_, y) =>
                Array.from({ length: 24 }, (_, x) => (inside(y, x, 4) ? channel[y - 4]![x - 10]! : 0)),
              ),
            );
          const output = call(box);
          expect(output.detail!.box).toEqual(box);
          expectNear(output.detail!.logits, own.logits);
          expectNear(output.scaleAttention, masked);
          expectNear(output.logits, fuse(masked, logits, placed(own.logits)));
          expectNear(output.features, fuse(meanOf(masked), features, placed(own.features)));
        }),
      );
    });

    test('in inference details are the average of windows that overlap by half', () => {
      tidy(() =>
        noGrad(() => {
          const { logits, features, attention } = context();
          const sum = (channels: number): Maps =>
            Array.from({ length: channels }, () => Array.from({ length: 16 }, () => Array(24).fill(0)));
          const [scores, seen, counts] = [sum(5), sum(16), sum(1)];
          for (const top of [0, 16, 32]) {
            for (const left of [0, 16, 32, 48, 64]) {
              const own = detail({ top, left, height: WINDOW, width: WINDOW });
              for (let y = 0; y < 8; y++) {
                for (let x = 0; x < 8; x++) {
                  const [to, at] = [top / 4 + y, left / 4 + x];
                  counts[0]![to]![at]! += 1;
                  for (const [k, channel] of own.logits.entries()) scores[k]![to]![at]! += channel[y]![x]!;
                  for (const [k, channel] of own.features.entries()) seen[k]![to]![at]! += channel[y]![x]!;
                }
              }
            }
          }
          const averaged = (total: Maps) =>
            total.map((channel) =>
              channel.map((row, y) => row.map((value, x) => value / counts[0]![y]![x]!)),
            );
          const output = call();
          expect(output.detail).toBeUndefined();
          expectNear(output.detailLogits, averaged(scores));
          expectNear(output.scaleAttention, attention);
          expectNear(output.logits, fuse(attention, logits, averaged(scores)));
          expectNear(output.features, fuse(meanOf(attention), features, averaged(seen)));
        }),
      );
    });
  },
);

test('an image that is smaller than a window is one window; sides of any length are filled up', () => {
  tidy(() =>
    noGrad(() => {
      const detailCrop = { width: 128, height: 128 };
      using large = new Segmentor(
        { ...config, multiResolution: { detailCrop, detailWeight: 0.1 } },
        3,
      ).eval();
      const small = normal([2, 3, 61, 58], 2);
      const full = small.constantPadNd([0, 6, 0, 3], 0);
      const [output, expected] = [large.call(small), large.call(full)] as MultiResolutionOutput[];
      expect(output!.logits.shape).toEqual([2, 5, 16, 16]);
      expect(output!.logits.equal(expected!.logits)).toBe(true);
      const whole = large.decode(large.backbone.call(full)).logits;
      expect(output!.detailLogits.equal(whole)).toBe(true);
      expect(large.predict(small).shape).toEqual([2, 5, 61, 58]);
    }),
  );
});

describe('gradients', () => {
  useNetwork('mit_b0');

  test('gradients reach the attention, and both passes of the one encoder', () => {
    tidy(() => {
      const box = { top: 0, left: 8, height: WINDOW, width: WINDOW };
      const gradients = (loss: (output: MultiResolutionOutput) => Tensor) => {
        network.zeroGrad();
        loss(call(box)).backward();
        return new Map(
          [...network.namedParameters()].map(([name, { grad }]) => [name, grad?.abs().sum().item() ?? 0]),
        );
      };
      const ofLoss = gradients(({ logits }) => logits.square().sum());
      // Over one key, which is all that so small a map has after its reduction, every query is the same.
      const untouched = [...ofLoss].flatMap(([name, size]) => (size === 0 ? [name] : []));
      expect(untouched.filter((name) => !/\.attn\.q\./.test(name))).toEqual([]);
      const ofDetail = gradients(({ detail }) => detail!.logits.square().sum());
      const ofContext = gradients(({ contextLogits }) => contextLogits.square().sum());
      for (const alone of [ofDetail, ofContext]) {
        expect(alone.get('backbone.patch_embed1.proj.weight')).toBeGreaterThan(0);
        expect(alone.get('decode_head.scale_attention.conv_seg.weight')).toBe(0);
      }
      // The contrast's features do not teach the attention.
      const ofFeatures = gradients(({ features }) => features.square().sum());
      expect(ofFeatures.get('decode_head.scale_attention.conv_seg.weight')).toBe(0);
      network.zeroGrad();
    });
  });
});

describe('boxes', () => {
  test('a map in its box is what was taken from it, and 0 elsewhere', () => {
    tidy(() => {
      const map = normal([2, 3, 16, 24], 5);
      const box = { top: 8, left: 64, height: 24, width: 32 };
      const part = boxOf(map, box, [64, 96]);
      expect(part.shape).toEqual([2, 3, 6, 8]);
      const placed = placedInBox(part, box, [64, 96], [16, 24]);
      const values = matrix(placed.select(0, 1).select(0, 2));
      const original = matrix(map.select(0, 1).select(0, 2));
      for (const [y, row] of values.entries()) {
        for (const [x, value] of row.entries()) {
          expect(value).toBe(y >= 2 && y < 8 && x >= 16 ? original[y]![x] : 0);
        }
      }
    });
  });
});

test('larger images are for windows as large as the training crop, by half', () => {
  const windowsOf = (options: object) => {
    using segmentor = new Segmentor(segmentorConfig('mit_b0', 'daformer', { channels: 16, ...options }), 1);
    return segmentor.ownWindows;
  };
  // The crops of HRDA's presets, and its authors' `test_cfg`.
  expect(windowsOf({ multiResolution: hrda })).toEqual({
    window: { width: 1024, height: 1024 },
    stride: { width: 512, height: 512 },
  });
  expect(windowsOf({ multiResolution: multiResolutionFor({ width: 128, height: 64 }) })).toEqual({
    window: { width: 128, height: 64 },
    stride: { width: 64, height: 32 },
  });
  expect(windowsOf({})).toBeUndefined();
});

describe('what does not go together is refused', () => {
  const two = (detailCrop: { width: number; height: number }) => ({
    multiResolution: { detailCrop, detailWeight: 0.1 },
  });

  test.each([
    [
      segmentorConfig('mit_b0', 'segformer', two({ width: 64, height: 64 })),
      /segformer works at one resolution/,
    ],
    [segmentorConfig('mit_b0', 'daformer', two({ width: 36, height: 64 })), /multiples of 8 .*36x64/],
    [segmentorConfig('resnet101', 'deeplabv2', two({ width: 64, height: 72 })), /multiples of 16 .*64x72/],
  ])('%j', (wrong, message) => {
    expect(segmentorFaults(wrong).map((fault) => fault.message)).toEqual([expect.stringMatching(message)]);
    expect(segmentorSchema.safeParse(wrong).success).toBe(false);
  });
});

test('DeepLabV2 has an attention of its own kind, at stride 8', () => {
  tidy(() =>
    noGrad(() => {
      const deep = segmentorConfig('resnet101', 'deeplabv2', {
        classes: 3,
        multiResolution: { detailCrop: { width: 32, height: 32 }, detailWeight: 0.1 },
      });
      using two = new Segmentor(deep, 0).eval();
      const output = two.call(normal([1, 3, 64, 64], 3), { top: 16, left: 0, height: 32, width: 32 });
      expect(output.logits.shape).toEqual([1, 3, 8, 8]);
      expect([...two.stateDict().keys()]).toContain('decode_head.scale_attention.aspp_modules.1.conv.weight');
    }),
  );
});
