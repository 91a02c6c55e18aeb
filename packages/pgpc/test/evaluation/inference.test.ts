// Inference by rows, windows, flips and scales, against the obvious computation over whole maps.

import type { RgbImage } from '@pgpc/datasets';
import { resizeWindow } from '@pgpc/datasets';
import { liveTensors, noGrad, ops, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  classify,
  type InferenceOptions,
  type Network,
  predictLabels,
} from '../../src/evaluation/inference.js';
import {
  averagedTiles,
  classifyRows,
  mirroredRows,
  resizedRows,
  tensorRows,
} from '../../src/evaluation/row-map.js';
import { normalize } from '../../src/pipeline/normalize.js';
import { windowStarts } from '../../src/windows.js';
import { difference, normal, randomSample, slowBilinear } from '../support/method.js';

const side = (max: number) => fc.integer({ min: 1, max });
const seeds = fc.integer({ min: 0, max: 1e6 });

describe('row maps', () => {
  test('rows of a resized map, of a resized resized map and of a mirror image, equal rows of the whole', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.tuple(side(9), side(9), side(20), side(20), side(40), side(40)),
        fc.tuple(fc.nat(1000), side(1000)),
        (seed, [h, w, midH, midW, height, width], [start, length]) =>
          tidy(() => {
            const map = normal([1, 2, h, w], seed);
            const maps = (map.squeeze(0).tolist() as number[][][]).map((channel) =>
              slowBilinear(slowBilinear(channel, midH, midW), height, width).map((row) => row.toReversed()),
            );
            const from = start % height;
            const to = from + 1 + (length % (height - from));
            const middle = resizedRows(tensorRows(map), { width: midW, height: midH });
            const rows = mirroredRows(resizedRows(middle, { width, height })).rows(from, to);
            expect(rows.shape).toEqual([1, 2, to - from, width]);
            const expected = maps.flatMap((channel) => channel.slice(from, to).flat());
            expect(difference(rows.toArray() as Float32Array, expected)).toBeLessThan(1e-5);
          }),
      ),
      { numRuns: 60 },
    );
  });

  test('averaged tiles are the mean, at every pixel, of the tiles that are there', () => {
    tidy(() => {
      const places = [
        { top: 0, left: 0 },
        { top: 0, left: 3 },
        { top: 1, left: 0 },
        { top: 1, left: 3 },
      ];
      const tiles = places.map((place, i) => ({ ...place, values: normal([1, 2, 4, 5], i) }));
      const rows = averagedTiles(
        tiles.map(({ values, ...place }) => ({ ...place, map: tensorRows(values) })),
        { width: 8, height: 5 },
      );
      const expected = [0, 1].flatMap((c) =>
        Array.from({ length: 40 }, (_, i) => {
          const [y, x] = [Math.floor(i / 8), i % 8];
          const seen = tiles.flatMap(({ top, left, values }) => {
            const row = (values.tolist() as number[][][][])[0]![c]![y - top];
            const value = row?.[x - left];
            return value === undefined ? [] : [value];
          });
          return seen.reduce((sum, value) => sum + value, 0) / seen.length;
        }),
      );
      expect(difference(rows.rows(0, 5).toArray() as Float32Array, expected)).toBeLessThan(1e-6);
      const last = expected.filter((_, i) => i % 40 >= 32);
      expect(difference(rows.rows(4, 5).toArray() as Float32Array, last)).toBeLessThan(1e-6);
    });
  });

  test('strips of a large map join without a seam', () => {
    tidy(() => {
      // 19 x 520 values a row: many strips, the last of them shorter.
      const logits = normal([1, 19, 67, 65], 1);
      const size = { width: 520, height: 533 };
      const { labels } = classifyRows([resizedRows(tensorRows(logits), size)]);
      const whole = ops.upsampleBilinear2d(logits, [533, 520], false).argmax(1).squeeze(0);
      expect(labels.dtype).toBe('uint8');
      expect(labels.shape).toEqual([533, 520]);
      expect(labels.ne(whole).sum().item()).toBeLessThan(5);
    });
  });
});

describe('the confidence', () => {
  test('is the softmax of the most likely class, and over several maps their mean', () => {
    tidy(() => {
      const size = { width: 300, height: 260 };
      const [a, b] = [normal([1, 5, 9, 7], 1), normal([1, 5, 13, 11], 2)] as const;
      const maps = [a, b].map((logits) => resizedRows(tensorRows(logits), size));
      const views = [a, b].map((logits) =>
        ops.upsampleBilinear2d(logits, [size.height, size.width], false).softmax(1),
      );
      for (const [some, expected] of [
        [maps.slice(0, 1), views[0]!],
        [maps, views[0]!.add(views[1]!).div(2)],
      ] as const) {
        const { labels, confidence } = classifyRows(some, true);
        expect([confidence!.dtype, confidence!.shape]).toEqual(['float32', [260, 300]]);
        expect(
          confidence!
            .sub(expected.amax([1]).squeeze(0))
            .abs()
            .max()
            .item(),
        ).toBeLessThan(1e-5);
        // It is of the class that is given.
        const own = expected.gather(1, labels.to('int64').view([1, 1, 260, 300])).flatten();
        expect(confidence!.flatten().sub(own).abs().max().item()).toBeLessThan(1e-5);
      }
      expect(classifyRows(maps).confidence).toBeUndefined();
    });
  });

  test('and the class are the same for images that go through the network together', () => {
    tidy(() => {
      const network = linearNetwork(4);
      const images = [1, 2, 3].map((seed) => randomSample(33, 21, seed).image);
      const options = { scales: [0.5, 1], flip: true };
      const together = classify(network, images, options, true);
      for (const [i, image] of images.entries()) {
        const [alone] = classify(network, [image], options, true);
        expect(together[i]!.labels.ne(alone!.labels).sum().item()).toBeLessThan(3);
        expect(together[i]!.confidence!.sub(alone!.confidence!).abs().max().item()).toBeLessThan(1e-5);
      }
      expect(() => classify(network, [images[0]!, randomSample(20, 21, 1).image])).toThrow(
        new RangeError('images that go through the network together must be of one size'),
      );
    });
  });
});

test('windows start every stride and the last ends at the border', () => {
  expect(windowStarts(10, 4, 3)).toEqual([0, 3, 6]);
  expect(windowStarts(11, 4, 3)).toEqual([0, 3, 6, 7]);
  expect(windowStarts(3, 4, 3)).toEqual([0]);
  expect(windowStarts(2048, 1024, 512)).toEqual([0, 512, 1024]);
  fc.assert(
    fc.property(side(60), side(30), side(30), (length, window, step) => {
      const stride = Math.min(step, window);
      const starts = windowStarts(length, window, stride);
      const covered = Array.from({ length }, (_, x) => starts.some((s) => s <= x && x < s + window));
      expect(covered).not.toContain(false);
      expect(starts.at(-1)).toBe(Math.max(0, length - window));
      // One window fewer would not do.
      expect((starts.length - 2) * stride + window).toBeLessThan(starts.length > 1 ? length : window + 1);
    }),
  );
});

/** A network of one linear map a patch, at stride 2, that also counts what it is asked. */
function linearNetwork(classes: number) {
  const weight = normal([classes, 3, 3, 3], 5);
  const batches: number[] = [];
  return {
    batches,
    call: (image: Tensor) => {
      batches.push(image.shape[0]!);
      return { logits: ops.conv2d(image, weight, null, [2, 2], [1, 1]) };
    },
  };
}

/** The definition, over whole maps: mmsegmentation's `inference` and `aug_test`. */
function slowLabels(
  network: { call(image: Tensor): { logits: Tensor } },
  image: RgbImage,
  views: readonly { width: number; height: number; flip: boolean }[],
  slide: InferenceOptions['slide'],
): { best: number[]; margin: number[] } {
  const { width, height } = image;
  const whole = (size: { width: number; height: number }) => ({
    top: 0,
    left: 0,
    width: size.width,
    height: size.height,
  });
  const resize = (map: Tensor, h: number, w: number) => ops.upsampleBilinear2d(map, [h, w], false);
  return tidy(() =>
    noGrad(() => {
      const probabilities = views.map(({ flip, ...size }) => {
        const bytes = resizeWindow(image, whole(image), image, size, whole(size), false);
        let input = normalize(
          tensor([...bytes])
            .view([1, 3, size.height, size.width])
            .div(255),
        );
        if (flip) input = input.flip([3]);
        let logits: Tensor;
        if (slide) {
          const [h, w] = [
            Math.min(slide.window.height, size.height),
            Math.min(slide.window.width, size.width),
          ];
          let sum: Tensor | undefined;
          let count: Tensor | undefined;
          for (let y = 0; ; y += slide.stride.height) {
            const top = Math.min(y, size.height - h);
            for (let x = 0; ; x += slide.stride.width) {
              const left = Math.min(x, size.width - w);
              const own = resize(network.call(input.narrow(2, top, h).narrow(3, left, w)).logits, h, w);
              const padding = [left, size.width - w - left, top, size.height - h - top];
              const placed = own.constantPadNd(padding, 0);
              const one = own.onesLike().constantPadNd(padding, 0);
              sum = sum ? sum.add(placed) : placed;
              count = count ? count.add(one) : one;
              if (left === size.width - w) break;
            }
            if (top === size.height - h) break;
          }
          logits = sum!.div(count!);
        } else logits = resize(network.call(input).logits, size.height, size.width);
        const probability = resize(logits, height, width).softmax(1);
        return flip ? probability.flip([3]) : probability;
      });
      const total = probabilities.reduce((sum, next) => sum.add(next));
      const [values, index] = total.topk(2, 1) as unknown as [Tensor, Tensor];
      const [first, second] = values.squeeze(0).unbind(0) as [Tensor, Tensor];
      return {
        best: index.select(1, 0).flatten().tolist() as number[],
        margin: first.sub(second).flatten().tolist() as number[],
      };
    }),
  );
}

describe('predictLabels', () => {
  const network = linearNetwork(4);

  function expectSame(labels: Tensor, { best, margin }: ReturnType<typeof slowLabels>): void {
    const found = labels.flatten().tolist() as number[];
    // Where two classes tie to a rounding, either may win.
    const wrong = found.filter((value, i) => value !== best[i] && margin[i]! > 1e-5);
    expect(wrong).toHaveLength(0);
    expect(new Set(best).size).toBeGreaterThan(1);
  }

  test('equals the definition for any size, window, stride, scales, with and without flip', () => {
    const windows = fc.record({
      window: fc.record({ width: fc.integer({ min: 4, max: 24 }), height: fc.integer({ min: 4, max: 24 }) }),
      share: fc.double({ min: 0.2, max: 1, noNaN: true }),
      batch: side(5),
    });
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 12, max: 40 }),
        fc.integer({ min: 12, max: 40 }),
        fc.option(windows, { nil: undefined }),
        fc.boolean(),
        fc.constantFrom([1], [0.5, 1], [1.25]),
        (seed, width, height, windowing, flip, scales) =>
          tidy(() => {
            const { image } = randomSample(width, height, seed);
            const slide = windowing && {
              window: windowing.window,
              stride: {
                width: Math.ceil(windowing.window.width * windowing.share),
                height: Math.ceil(windowing.window.height * windowing.share),
              },
              batch: windowing.batch,
            };
            const views = scales.flatMap((scale) => {
              // The size within the scaled bounds that keeps the ratio, as mmcv rounds it.
              const bounds = [Math.floor(width * scale), Math.floor(height * scale)].sort((a, b) => a - b);
              const factor = Math.min(
                bounds[1]! / Math.max(width, height),
                bounds[0]! / Math.min(width, height),
              );
              const size = {
                width: Math.floor(width * factor + 0.5),
                height: Math.floor(height * factor + 0.5),
              };
              return flip
                ? [
                    { ...size, flip: false },
                    { ...size, flip: true },
                  ]
                : [{ ...size, flip: false }];
            });
            const labels = predictLabels(network, image, { flip, scales, slide });
            expectSame(labels, slowLabels(network, image, views, slide));
          }),
      ),
      { numRuns: 40 },
    );
  });

  test('brings the image within the bounds of `size`, up or down, and labels at the size of the image', () => {
    tidy(() => {
      const { image } = randomSample(48, 24, 3);
      const options = { size: { width: 32, height: 16 } };
      expectSame(
        predictLabels(network, image, options),
        slowLabels(network, image, [{ width: 32, height: 16, flip: false }], undefined),
      );
      // The longer side bounds the longer one, whichever they are.
      expectSame(
        predictLabels(network, image, {
          size: { width: 96, height: 500 },
          scales: [0.5, 1],
        }),
        slowLabels(
          network,
          image,
          [
            { width: 96, height: 48, flip: false },
            { width: 192, height: 96, flip: false },
          ],
          undefined,
        ),
      );
    });
  });

  test('runs as many windows a pass as it is told', () => {
    network.batches.length = 0;
    const { image } = randomSample(40, 24, 4);
    const window = { width: 16, height: 16 };
    tidy(() => predictLabels(network, image, { slide: { window, stride: window, batch: 4 } }));
    expect(network.batches).toEqual([4, 2]);
  });

  test('takes the windows that a network is for, unless it is told of others, or of none', () => {
    const { image } = randomSample(40, 24, 4);
    const ownWindows = { window: { width: 16, height: 16 }, stride: { width: 8, height: 8 } };
    const windowed = { call: (input: Tensor) => network.call(input), ownWindows };
    const labels = (of: Network, options?: InferenceOptions) =>
      tidy(() => predictLabels(of, image, options).tolist());
    const [whole, slid] = [labels(network), labels(network, { slide: ownWindows })];
    expect(slid).not.toEqual(whole);
    expect(labels(windowed)).toEqual(slid);
    expect(labels(windowed, { slide: false })).toEqual(whole);
    const others = { window: { width: 20, height: 20 }, stride: { width: 20, height: 20 } };
    expect(labels(windowed, { slide: others })).toEqual(labels(network, { slide: others }));
  });

  test('refuses options that fit nothing, before the network runs, and leaks nothing', () => {
    network.batches.length = 0;
    const { image } = randomSample(16, 16, 1);
    const window = { width: 8, height: 8 };
    const before = liveTensors();
    const refused = (options: InferenceOptions, message: string) =>
      expect(() => predictLabels(network, image, options)).toThrow(new RangeError(message));
    refused({ scales: [] }, 'scales must be one or more positive numbers, not []');
    refused({ scales: [1, 0] }, 'scales must be one or more positive numbers, not [1,0]');
    refused(
      { slide: { window, stride: { width: 8, height: 9 } } },
      "the stride's height must be from 1 to the window's 8, not 9: pixels between windows would have no class",
    );
    refused(
      { slide: { window: { width: 0, height: 8 }, stride: window } },
      "the window's width must be a positive whole number, not 0",
    );
    refused(
      { slide: { window, stride: window, batch: 0 } },
      'the windows of a pass must be a positive whole number, not 0',
    );
    expect(network.batches).toEqual([]);
    predictLabels(network, image, {
      flip: true,
      scales: [1, 2],
      slide: { window, stride: window },
    }).dispose();
    expect(liveTensors()).toBe(before);
  });
});
