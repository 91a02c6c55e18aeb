// The data pipeline: random numbers, resizing, crops, rare class sampling, batches; against loops over pixels.

import { createHash } from 'node:crypto';
import { resizeWindow, scaledSize, scaleLabel, sourceRect } from '@pgpc/datasets';
import { liveTensors, type Tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RGB_MEAN, RGB_STD } from '../../src/config/normalisation.js';
import { daformerRareClasses } from '../../src/config/rare-classes.js';
import { disposeBatch } from '../../src/pipeline/batch.js';
import { wholeImage } from '../../src/pipeline/crop.js';
import { DecodePool } from '../../src/pipeline/decode-pool.js';
import { BatchLoader, type LoaderOptions } from '../../src/pipeline/loader.js';
import { denormalize, normalize } from '../../src/pipeline/normalize.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { classCounts, classProbabilities, RareClassSampler } from '../../src/pipeline/rare-class-sampling.js';
import { type CropOptions, cropLabel, drawWindow, type Window } from '../../src/pipeline/window.js';
import { Rng } from '../../src/random.js';
import {
  CLASSES,
  difference,
  memoryDataset,
  randomSample,
  slowBilinear,
  uniform,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });

describe('Rng', () => {
  test('resumes from a saved state, also in another generator', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.integer({ min: 0, max: 50 }), (seed, skip) => {
        const a = new Rng(seed, 'data');
        for (let i = 0; i < skip; i++) a.next();
        const state = a.getState();
        const expected = Array.from({ length: 20 }, () => a.next());
        const b = new Rng(0, 'other');
        b.setState(JSON.parse(JSON.stringify(state)));
        expect(Array.from({ length: 20 }, () => b.next())).toEqual(expected);
      }),
      runs(30),
    );
  });

  test('is uniform on [0, 1), and independent from number to number', () => {
    const rng = new Rng(1, 'uniform');
    const n = 64_000;
    const cells = Array<number>(64).fill(0);
    let before = rng.next();
    let inside = true;
    for (let i = 0; i < n; i++) {
      const value = rng.next();
      inside &&= value >= 0 && value < 1;
      cells[Math.floor(before * 8) * 8 + Math.floor(value * 8)]!++;
      before = value;
    }
    expect(inside).toBe(true);
    // Chi-square with 63 degrees of freedom: mean 63, variance 126; five standard deviations.
    const chi = cells.reduce((sum, count) => sum + (count - n / 64) ** 2 / (n / 64), 0);
    expect(Math.abs(chi - 63)).toBeLessThan(5 * Math.sqrt(126));
  });

  test('seeds and purposes are kept apart', () => {
    const first = (seed: number, purpose: string) => {
      const rng = new Rng(seed, purpose);
      return [rng.next(), rng.next()].join();
    };
    const all = [0, 1, 2, 2 ** 32, 2 ** 32 + 1].flatMap((seed) =>
      ['data', 'augment', 'mix'].map((purpose) => first(seed, purpose)),
    );
    expect(new Set(all).size).toBe(15);
    expect(first(2 ** 32, 'data')).toBe(first(2 ** 32, 'data'));
  });

  test('fork gives a generator of its own, which the next numbers of this one decide', () => {
    const heir = (seed: number, skip: number) => {
      const rng = new Rng(seed, 'data');
      for (let i = 0; i < skip; i++) rng.next();
      const child = new Rng(9, 'other');
      child.setState(rng.fork());
      return [child.next(), child.next(), rng.next()].join();
    };
    expect(heir(1, 0)).toBe(heir(1, 0));
    expect(new Set([heir(1, 0), heir(1, 1), heir(1, 3), heir(2, 0)]).size).toBe(4);
    const all = [0, 1, 2].flatMap((skip) => heir(1, skip).split(','));
    expect(new Set(all).size).toBe(9);
  });

  test('below and uniform stay in their ranges', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 9 }), (seed, n) => {
        const rng = new Rng(seed, 'below');
        const drawn = Array.from({ length: 300 }, () => rng.below(n));
        expect(new Set(drawn)).toEqual(new Set(Array.from({ length: n }, (_, i) => i)));
        const between = Array.from({ length: 100 }, () => rng.uniform(-2, n));
        expect(between.every((x) => x >= -2 && x < n)).toBe(true);
        expect(Math.max(...between) - Math.min(...between)).toBeGreaterThan((n + 2) / 2);
      }),
      runs(30),
    );
  });

  test('shuffle gives every order as often, and leaves its argument alone', () => {
    const rng = new Rng(2, 'shuffle');
    const items = ['a', 'b', 'c'];
    const counts = new Map<string, number>();
    for (let i = 0; i < 6000; i++) {
      const order = rng.shuffle(items).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(['abc', 'acb', 'bac', 'bca', 'cab', 'cba']);
    for (const n of counts.values()) expect(Math.abs(n - 1000)).toBeLessThan(5 * Math.sqrt(6000 * (5 / 36)));
    expect(items).toEqual(['a', 'b', 'c']);
  });
});

describe('scaledSize', () => {
  test.each([
    [1914, 1052, 1280, 720, 1280, 704],
    [1052, 1914, 1280, 720, 704, 1280],
    [2048, 1024, 1024, 512, 1024, 512],
    [1280, 760, 1280, 760, 1280, 760],
    [100, 100, 1280, 720, 720, 720],
  ])('%i x %i within %i x %i is %i x %i', (width, height, boundsWidth, boundsHeight, w, h) => {
    const bounds = { width: boundsWidth, height: boundsHeight };
    expect(scaledSize({ width, height }, bounds)).toEqual({ width: w, height: h });
  });

  test('touches a bound, passes none and keeps the ratio to half a pixel', () => {
    const size = fc.integer({ min: 20, max: 3000 });
    fc.assert(
      fc.property(size, size, size, size, (width, height, long, short) => {
        fc.pre(long >= short);
        const scaled = scaledSize({ width, height }, { width: long, height: short });
        const [a, b] = [Math.max(scaled.width, scaled.height), Math.min(scaled.width, scaled.height)];
        expect(a === long || b === short).toBe(true);
        expect(a <= long && b <= short).toBe(true);
        const factor = Math.min(long / Math.max(width, height), short / Math.min(width, height));
        expect(Math.abs(scaled.width - width * factor)).toBeLessThanOrEqual(0.5 + 1e-9);
        expect(Math.abs(scaled.height - height * factor)).toBeLessThanOrEqual(0.5 + 1e-9);
      }),
      runs(200),
    );
  });
});

test('normalize subtracts the mean and divides by the deviation; denormalize leads back, cut to 0 .. 1', () => {
  tidy(() => {
    const image = uniform([2, 3, 2, 3], 1);
    const slow = (image.tolist() as number[][][][]).map((maps) =>
      maps.map((map, c) => map.map((row) => row.map((x) => (x * 255 - RGB_MEAN[c]!) / RGB_STD[c]!))),
    );
    const normal = normalize(image);
    expect(difference(normal.toArray(), slow.flat(3))).toBeLessThan(1e-5);
    expect(difference(denormalize(normal).toArray(), image.toArray())).toBeLessThan(1e-6);
    expect(new Set(denormalize(normal.mul(100)).flatten().tolist() as number[])).toEqual(new Set([0, 1]));
  });
});

describe('resizing', () => {
  // Digests of what OpenCV (4.14 and 5.0 alike) makes of these sizes: image (planes) by INTER_LINEAR, label by
  // INTER_NEAREST; the pixels are the next numbers of one generator.
  const opencv: [number, number, number, number, string, string][] = [
    [
      191,
      105,
      128,
      70,
      'c2876017ce6973fa1bb4d60a52f33d1f35884728',
      '705c052912dac2a7d67215035a8333da4779ceef',
    ],
    [128, 64, 64, 32, '94f1ea7748414a4dc92c36819e0883242bf51b5e', 'e9c1c1990f0e26b3942a10294119f8d6e818ab34'],
    [37, 23, 21, 13, '01b4852892ba94c7857d6f4b4364136f674f90c5', '3d53c9a78b80f6fa4f4ddcb3db512028255221bd'],
    [21, 13, 37, 23, '5f10b2d1620dda031635c3b16aa3122ce05e7786', 'bf78f96c348e7899d3d5824e071a21eacbf60946'],
    [100, 75, 99, 74, '5e66a4c44b25d3c7299eea97797e20be393b6d1f', '22305453c75654d48f1b7e31249df248f3d3aaf6'],
    [50, 40, 7, 5, '6cdae0142d6ec8c2dc46f3f691b5474211b822a9', 'f0112426d38681fb11ba630e886cbe73376e90df'],
    [64, 36, 113, 64, '3c0571907574235601dbc29a32cfe6a94949facb', '91b55e7ee6015a3bdaa36fed6f66927469fd0d91'],
    [2, 2, 9, 7, 'e9f5b5ae0bcdbe34471ec490b0d2510363f73bd1', 'cf4ee6b57ed7e37473f2d57fc1cd3a7e2a458ae7'],
  ];

  test('images and labels are what OpenCV gives, bit for bit', () => {
    const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest('hex');
    const rng = new Rng(1, 'opencv');
    const bytes = (length: number) => Uint8Array.from({ length }, () => rng.below(256));
    for (const [width, height, w, h, image, label] of opencv) {
      const size = { width, height };
      const scaled = { width: w, height: h };
      const rect = { ...size, top: 0, left: 0 };
      const rgb = { ...size, data: bytes(width * height * 3) };
      const whole = resizeWindow(rgb, rect, size, scaled, { ...scaled, top: 0, left: 0 }, false);
      const { data, rows, columns } = scaleLabel({ ...size, data: bytes(width * height) }, scaled);
      const nearest = Uint8Array.from(
        { length: w * h },
        (_, i) => data[rows[Math.floor(i / w)]! + columns[i % w]!]!,
      );
      expect([w, h, sha1(whole), sha1(nearest)]).toEqual([w, h, image, label]);
    }
  });

  test('a window is that part of the resized image, whatever part of the image it is made from', () => {
    const side = fc.integer({ min: 1, max: 24 });
    fc.assert(
      fc.property(side, side, side, side, fc.boolean(), seeds, (width, height, w, h, mirrored, seed) => {
        const rng = new Rng(seed, 'window');
        const size = { width, height };
        const scaled = { width: w, height: h };
        const { image } = randomSample(width, height, seed);
        const all = { ...size, top: 0, left: 0 };
        const whole = resizeWindow(image, all, size, scaled, { ...scaled, top: 0, left: 0 }, false);
        const [top, left] = [rng.below(h), rng.below(w)];
        const window = { top, left, width: 1 + rng.below(w - left), height: 1 + rng.below(h - top) };
        const expected = [0, 1, 2].flatMap((c) =>
          Array.from({ length: window.height }, (_, y) => {
            const from = (c * h + top + y) * w + left;
            const row = [...whole.subarray(from, from + window.width)];
            return mirrored ? row.reverse() : row;
          }).flat(),
        );
        const rect = sourceRect(size, scaled, window);
        const part = Uint8Array.from({ length: rect.width * rect.height * 3 }, (_, i) => {
          const [y, x] = [Math.floor(i / (3 * rect.width)), i % (3 * rect.width)];
          return image.data[3 * ((rect.top + y) * width + rect.left) + x]!;
        });
        const cut = { width: rect.width, height: rect.height, data: part };
        expect([...resizeWindow(cut, rect, size, scaled, window, mirrored)]).toEqual(expected);
        expect([...resizeWindow(image, all, size, scaled, window, mirrored)]).toEqual(expected);
      }),
      runs(150),
    );
  });
});

const cropOf = (width: number, height: number, catMaxRatio = 1, flip = 0.5): CropOptions => ({
  width,
  height,
  catMaxRatio,
  flip,
});

describe('crops', () => {
  const labelOf = (width: number, height: number, at: (y: number, x: number) => number) => {
    const data = Uint8Array.from({ length: width * height }, (_, i) => at(Math.floor(i / width), i % width));
    return scaleLabel({ width, height, data }, { width, height });
  };
  const draw = (
    label: ReturnType<typeof labelOf>,
    crop: CropOptions,
    rng: Rng,
    wanted?: { class: number; pixels: number },
  ) => drawWindow({ width: label.columns.length, height: label.rows.length }, label, crop, rng, wanted);

  /** Pixels of every class in a window. */
  function countsIn(
    label: ReturnType<typeof labelOf>,
    window: Window,
    crop: CropOptions,
  ): Map<number, number> {
    const counts = new Map<number, number>();
    for (const value of cropLabel(label, window, crop)) counts.set(value, (counts.get(value) ?? 0) + 1);
    return counts;
  }

  test('windows reach every place, lie inside, and are mirrored with their probability', () => {
    const size = { width: 6, height: 5 };
    const rng = new Rng(3, 'windows');
    const windows = Array.from({ length: 1200 }, () =>
      drawWindow(size, undefined, cropOf(4, 4, 0.75, 0.25), rng),
    );
    const places = new Set(windows.map(({ top, left }) => `${top},${left}`));
    expect([...places].sort()).toEqual(['0,0', '0,1', '0,2', '1,0', '1,1', '1,2']);
    const mirrored = windows.filter((window) => window.mirrored).length;
    expect(Math.abs(mirrored - 300)).toBeLessThan(5 * Math.sqrt(1200 * 0.25 * 0.75));
    for (const flip of [0, 1]) {
      const all = Array.from(
        { length: 50 },
        () => drawWindow(size, undefined, cropOf(4, 4, 1, flip), rng).mirrored,
      );
      expect(new Set(all)).toEqual(new Set([flip === 1]));
    }
  });

  test('no class fills more than catMaxRatio of the labelled pixels, where eleven draws find such a window', () => {
    // A narrow stripe of class 1 at the left of class 0, 255 at the right: few windows are varied.
    const label = labelOf(24, 8, (_, x) => (x < 7 ? 1 : x < 16 ? 0 : 255));
    const crop = cropOf(8, 8, 0.75);
    const uniform = (window: Window) => {
      const counts = countsIn(label, window, crop);
      counts.delete(255);
      const labelled = [...counts.values()].reduce((sum, n) => sum + n, 0);
      return counts.size < 2 || Math.max(...counts.values()) / labelled >= 0.75;
    };
    const rng = new Rng(5, 'varied');
    const windows = Array.from({ length: 2000 }, () => draw(label, crop, rng));
    // Of 17 windows, those at 0 and 1 (class 1 alone or 7/8 of it), 6 and later are too uniform.
    const varied = new Set(
      [0, 1, 2, 3, 4, 5, 6].filter((left) => !uniform({ top: 0, left, mirrored: false })),
    );
    const failed = windows.filter(uniform).length;
    const expected = 2000 * (1 - varied.size / 17) ** 11;
    expect(Math.abs(failed - expected)).toBeLessThan(4 * Math.sqrt(expected));
    expect(new Set(windows.filter((window) => !uniform(window)).map(({ left }) => left))).toEqual(varied);
    const any = Array.from({ length: 400 }, () => draw(label, { ...crop, catMaxRatio: 1 }, rng).left);
    expect(new Set(any).size).toBe(17);
  });

  test('a wanted class is looked for eleven times, mirroring drawn anew', () => {
    const label = labelOf(32, 8, (y, x) => (x >= 26 ? 2 : (y + x) % 2));
    const crop = cropOf(8, 8);
    const wanted = { class: 2, pixels: 15 };
    const rng = new Rng(6, 'wanted');
    const windows = Array.from({ length: 2000 }, () => draw(label, crop, rng, wanted));
    // Windows from 20 on have two columns of it, 16 pixels: 5 of 25 places.
    const missed = windows.filter((window) => (countsIn(label, window, crop).get(2) ?? 0) <= 15).length;
    const expected = 2000 * (20 / 25) ** 11;
    expect(Math.abs(missed - expected)).toBeLessThan(3.5 * Math.sqrt(expected));
    const mirrored = windows.filter((window) => window.mirrored).length;
    expect(Math.abs(mirrored - 1000)).toBeLessThan(5 * Math.sqrt(500));
  });
});

describe('PixelStore', () => {
  const free = ({ image, label }: { image: Tensor; label: Tensor | undefined }) => {
    image.dispose();
    label?.dispose();
  };

  test('gives the files as they are', async () => {
    const first = randomSample(7, 5, 1);
    const { image: second } = randomSample(4, 3, 2);
    const store = new PixelStore(memoryDataset([first, { image: second }]));
    expect(store.length).toBe(2);
    const pixels = await store.get(0);
    const { data } = first.image;
    const slow = [0, 1, 2].map((c) =>
      Array.from({ length: 5 }, (_, y) => Array.from({ length: 7 }, (_, x) => data[(y * 7 + x) * 3 + c])),
    );
    expect([pixels.image.tolist(), pixels.image.dtype]).toEqual([slow, 'uint8']);
    expect([pixels.label!.shape, pixels.label!.dtype]).toEqual([[5, 7], 'uint8']);
    expect([...(pixels.label!.toArray() as Uint8Array)]).toEqual([...first.label.data]);
    free(pixels);
    const unlabelled = await store.get(1);
    expect(unlabelled.label).toBeUndefined();
    free(unlabelled);
    store.dispose();
  });

  test('resizes images bilinearly and labels by nearest neighbour', async () => {
    const sample = randomSample(20, 12, 3);
    const store = new PixelStore(memoryDataset([sample]), { scale: { width: 12, height: 9 } });
    const pixels = await store.get(0);
    const { image, label } = pixels;
    expect([image.shape, label!.shape]).toEqual([
      [3, 7, 12],
      [7, 12],
    ]);
    const channel = (c: number) =>
      Array.from({ length: 12 }, (_, y) =>
        Array.from({ length: 20 }, (_, x) => sample.image.data[(y * 20 + x) * 3 + c]!),
      );
    const slow = [0, 1, 2].flatMap((c) => slowBilinear(channel(c), 7, 12).flat());
    // OpenCV's weights are multiples of 1 / 2048.
    expect(difference(image.toArray() as Uint8Array, slow)).toBeLessThan(0.5 + 0.25);
    const nearest = Array.from({ length: 7 * 12 }, (_, i) => {
      const [y, x] = [Math.floor((Math.floor(i / 12) * 12) / 7), Math.floor(((i % 12) * 20) / 12)];
      return sample.label.data[y * 20 + x];
    });
    expect([...(label!.toArray() as Uint8Array)]).toEqual(nearest);
    expect((await store.readLabel(0)).data).toEqual(sample.label.data);
    free(pixels);
    store.dispose();
  });

  /** A dataset that counts what it decodes. */
  function countingDataset(samples: Parameters<typeof memoryDataset>[0]) {
    const dataset = memoryDataset(samples);
    const decoded = { images: 0, labels: 0 };
    const counting = {
      ...dataset,
      readImage: (index: number) => {
        decoded.images++;
        return dataset.readImage(index);
      },
      readLabel: (index: number) => {
        decoded.labels++;
        return dataset.readLabel(index);
      },
    };
    return { decoded, dataset: counting };
  }

  test('keeps what fits into its cache', async () => {
    const { decoded, dataset } = countingDataset([1, 2, 3].map((seed) => randomSample(8, 8, seed)));
    const before = liveTensors();
    const store = new PixelStore(dataset, { cacheBytes: 2 * 4 * 64 });
    for (let round = 0; round < 3; round++) {
      for (const index of [0, 1, 2]) free(await store.get(index));
    }
    // Two samples of 3 + 1 bytes a pixel fit; the third is decoded each time.
    expect(decoded).toEqual({ images: 2 + 3, labels: 2 + 3 });
    expect(liveTensors()).toBe(before);
    store.dispose();
    free(await store.get(0));
    expect(decoded).toEqual({ images: 6, labels: 6 });
  });

  test('charges its cache once for what is read at once', async () => {
    const { decoded, dataset } = countingDataset([1, 2].map((seed) => randomSample(8, 8, seed)));
    const store = new PixelStore(dataset, { cacheBytes: 2 * 4 * 64 });
    for (const pixels of await Promise.all([0, 0, 0, 1].map((index) => store.get(index)))) free(pixels);
    expect(decoded).toEqual({ images: 4, labels: 4 });
    for (const index of [0, 1]) free(await store.get(index));
    expect(decoded).toEqual({ images: 4, labels: 4 });
  });

  test('decodes the labels of crops only where they are wanted', async () => {
    const { decoded, dataset } = countingDataset([randomSample(8, 8, 1)]);
    const store = new PixelStore(dataset);
    const request = { crop: cropOf(4, 4), wanted: undefined, rng: new Rng(1, 'crop').fork() };
    const pool = new DecodePool({ workers: 0 });
    expect((await store.crop(0, { ...request, labelled: false }, pool)).label).toBeUndefined();
    expect(decoded).toEqual({ images: 1, labels: 0 });
    expect((await store.crop(0, { ...request, labelled: true }, pool)).label).toHaveLength(16);
    expect(decoded).toEqual({ images: 1, labels: 1 });
  });

  test('wholeImage is the image, normalised', async () => {
    const store = new PixelStore(memoryDataset([randomSample(3, 2, 1)]));
    const pixels = await store.get(0);
    tidy(() => {
      const expected = normalize(pixels.image.unsqueeze(0).to('float32').div(255));
      expect(wholeImage(pixels).tolist()).toEqual(expected.tolist());
    });
    free(pixels);
  });
});

describe('rare class sampling', () => {
  test('P(c) is the softmax of (1 - f_c) / T', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 8 }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        (counts, temperature) => {
          const all = counts.reduce((sum, n) => sum + n, 1);
          const frequency = counts.map((n) => n / all);
          // Against the smallest frequency, so that no power overflows.
          const least = Math.min(...frequency);
          const powers = frequency.map((f) => Math.exp((least - f) / temperature));
          const sum = powers.reduce((total, power) => total + power, 0);
          const slow = powers.map((power) => power / sum);
          expect(difference(classProbabilities(frequency, temperature), slow)).toBeLessThan(1e-12);
        },
      ),
      runs(60),
    );
    expect(daformerRareClasses.minImageShare * 1914 * 1052).toBeCloseTo(3000, 8);
    expect(daformerRareClasses.minCropShare * 512 * 512).toBe(1500);
  });

  test('counts the pixels of every class in every image', async () => {
    const samples = [1, 2].map((seed) => randomSample(20, 16, seed));
    const store = new PixelStore(memoryDataset(samples));
    const slow = samples.map(({ label }) =>
      Array.from({ length: CLASSES }, (_, c) => label.data.filter((value) => value === c).length),
    );
    expect(await classCounts(store, CLASSES)).toEqual({
      counts: slow,
      sizes: [
        [20, 16],
        [20, 16],
      ],
    });
    store.dispose();
    const unlabelled = new PixelStore(memoryDataset([{ image: samples[0]!.image }]));
    await expect(classCounts(unlabelled, CLASSES)).rejects.toThrow('image-0 has no label');
    unlabelled.dispose();
  });

  const counts = [
    [90, 10, 0, 0],
    [50, 11, 39, 0],
    [60, 0, 38, 2],
  ];
  const sizes = counts.map((): [number, number] => [10, 10]);
  const options = { temperature: 0.5, minImageShare: 0.1, minCropShare: 0.1 };

  test('draws classes by their probability, and images that show enough of them', () => {
    const sampler = new RareClassSampler({ counts, sizes }, options);
    const frequency = [200, 21, 77, 2].map((n) => n / 300);
    const probabilities = classProbabilities(frequency, 0.5);
    expect(sampler.classes.map(({ probability }) => probability)).toEqual(probabilities);
    const rng = new Rng(1, 'rcs');
    const drawn = Array.from({ length: 6000 }, () => sampler.draw(rng));
    // Class 3 is nowhere on more than 10 pixels; image 0 shows exactly 10 of class 1, which is not more.
    const images = [[0, 1, 2], [1], [1, 2], []];
    const total = probabilities.slice(0, 3).reduce((sum, p) => sum + p, 0);
    expect(sampler.classes.map((one) => one.images)).toEqual(images);
    const shares = probabilities.map((p, c) => (c === 3 ? 0 : p / total));
    expect(
      difference(
        sampler.classes.map(({ drawn }) => drawn),
        shares,
      ),
    ).toBeLessThan(1e-12);
    for (const [c, own] of images.entries()) {
      for (const image of [0, 1, 2]) {
        const p = own.includes(image) ? probabilities[c]! / total / own.length : 0;
        const n = drawn.filter((draw) => draw.class === c && draw.image === image).length;
        expect(Math.abs(n - 6000 * p)).toBeLessThanOrEqual(5 * Math.sqrt(6000 * p * (1 - p)));
      }
    }
  });

  test('an image counts for a class by the share of its own pixels, whatever the size of the others', () => {
    const mixed = {
      counts: [
        [96, 4],
        [10_000, 0],
      ],
      sizes: [
        [10, 10],
        [100, 100],
      ] as [number, number][],
    };
    const sampler = new RareClassSampler(mixed, { ...options, minImageShare: 0.03 });
    expect(sampler.classes[1]!.images).toEqual([0]);
    const rng = new Rng(1, 'mixed');
    const draws = Array.from({ length: 200 }, () => sampler.draw(rng).class);
    expect(draws.filter((drawn) => drawn === 1).length).toBeGreaterThan(50);
  });

  test('refuses data in which no class qualifies', () => {
    expect(() => new RareClassSampler({ counts, sizes }, { ...options, minImageShare: 0.95 })).toThrow(
      'no source image shows any class on more than 95 % of its pixels',
    );
  });
});

describe('BatchLoader', () => {
  const samples = (seed: number) => Array.from({ length: 5 }, (_, i) => randomSample(24, 20, seed + i));
  const source = new PixelStore(memoryDataset(samples(1)));
  const target = new PixelStore(memoryDataset(samples(50)));
  const options: LoaderOptions = { source, target, batch: 2, crop: cropOf(16, 16, 0.9), seed: 4 };

  /** The next batches, as numbers. */
  async function take(loader: BatchLoader, n: number): Promise<unknown[]> {
    const batches = [];
    for (let i = 0; i < n; i++) {
      const batch = await loader.next();
      batches.push(Object.values(batch).map((value: Tensor) => value.tolist()));
      disposeBatch(batch);
    }
    return batches;
  }

  async function first(given: LoaderOptions, n: number): Promise<unknown[]> {
    const loader = new BatchLoader(given);
    const batches = await take(loader, n);
    await loader.dispose();
    return batches;
  }

  test('gives batches of the right shapes, the same by the same seed', async () => {
    const loader = new BatchLoader(options);
    const batch = await loader.next();
    expect(Object.fromEntries(Object.entries(batch).map(([name, value]) => [name, value.shape]))).toEqual({
      sourceImage: [2, 3, 16, 16],
      sourceLabel: [2, 16, 16],
      targetImage: [2, 3, 16, 16],
    });
    disposeBatch(batch);
    await loader.dispose();
    const batches = await first(options, 4);
    expect(await first(options, 4)).toEqual(batches);
    expect(new Set(batches.map((each) => JSON.stringify(each))).size).toBe(4);
    expect(await first({ ...options, seed: 5 }, 1)).not.toEqual(batches.slice(0, 1));
    const alone = await new BatchLoader({ ...options, target: undefined }).next();
    expect(Object.keys(alone)).toEqual(['sourceImage', 'sourceLabel']);
    disposeBatch(alone);
  });

  test.each([
    [0, 1],
    [1, 1],
    [3, 1],
    [2, 4],
  ])('resumes from its state after %i batches, %i read ahead', async (n, ahead) => {
    const counts = await classCounts(source, CLASSES);
    const rareClasses = new RareClassSampler(counts, { ...daformerRareClasses, temperature: 0.1 });
    const given = { ...options, rareClasses, ahead };
    const a = new BatchLoader(given);
    await take(a, n);
    const state = JSON.parse(JSON.stringify(a.getState()));
    const expected = await take(a, 3);
    const b = new BatchLoader(given);
    b.setState(state);
    expect(await take(b, 3)).toEqual(expected);
    await a.dispose();
    await b.dispose();
  });

  test("does not look at the target's labels", async () => {
    const unlabelled = new PixelStore(memoryDataset(samples(50).map(({ image }) => ({ image }))));
    expect(await first({ ...options, target: unlabelled }, 3)).toEqual(await first(options, 3));
    unlabelled.dispose();
  });

  test('rare classes decide which source images come', async () => {
    // Only the second image shows class 4, which all but always is the one drawn.
    const blank = (value: number) => ({
      ...randomSample(16, 16, 9),
      label: { width: 16, height: 16, data: new Uint8Array(256).fill(value) },
    });
    const store = new PixelStore(memoryDataset([blank(0), blank(4), blank(0), blank(0)]));
    const rareClasses = new RareClassSampler(await classCounts(store, CLASSES), daformerRareClasses);
    const loader = new BatchLoader({ ...options, source: store, target: undefined, rareClasses });
    for (let i = 0; i < 5; i++) {
      const batch = await loader.next();
      expect(new Set(tidy(() => batch.sourceLabel.flatten().tolist() as number[]))).toEqual(new Set([4]));
      disposeBatch(batch);
    }
    await loader.dispose();
    store.dispose();
  });

  test('says which samples a batch is of, also of the parts that others have', async () => {
    // The label of each source sample is its position, and so is the colour of each target sample.
    const numbered = [0, 1, 2, 3, 4].map((i) => {
      const { image, label } = randomSample(16, 16, i);
      return {
        image: { ...image, data: new Uint8Array(16 * 16 * 3).fill(40 * i) },
        label: { ...label, data: new Uint8Array(16 * 16).fill(i) },
      };
    });
    const store = new PixelStore(memoryDataset(numbered));
    const given = { ...options, crop: cropOf(16, 16, 1), source: store, target: store, batch: 2, ahead: 3 };
    const whole = new BatchLoader({ ...given, batch: 4 });
    const part = new BatchLoader({ ...given, part: { rank: 1, size: 2 } });
    for (let i = 0; i < 4; i++) {
      const batch = await whole.next();
      const ids = tidy(() => ({
        source: batch.sourceLabel.select(1, 0).select(1, 0).tolist() as number[],
        target: (
          denormalize(batch.targetImage!).select(1, 0).select(1, 0).select(1, 0).tolist() as number[]
        ).map((x) => Math.round((x * 255) / 40)),
      }));
      disposeBatch(batch);
      disposeBatch(await part.next());
      for (const loader of [whole, part]) {
        expect(loader.drawn!.source.map(({ id }) => Number(id))).toEqual(ids.source);
        expect(loader.drawn!.target!.map(({ id }) => Number(id))).toEqual(ids.target);
      }
    }
    await whole.dispose();
    await part.dispose();
  });

  test('the order does not depend on how far it reads ahead', async () => {
    const expected = await first({ ...options, ahead: 1 }, 4);
    expect(await first({ ...options, ahead: 5 }, 4)).toEqual(expected);
  });

  test('reads ahead, and frees what it read', async () => {
    const before = liveTensors();
    const loader = new BatchLoader(options);
    disposeBatch(await loader.next());
    await loader.dispose();
    expect(liveTensors()).toBe(before);
  });

  test('an image that cannot be read fails the batch that needs it', async () => {
    const broken = {
      ...memoryDataset(samples(1)),
      readImage: () => Promise.reject(new Error('image-3 is not an image')),
    };
    const loader = new BatchLoader({ ...options, source: new PixelStore(broken) });
    await expect(loader.next()).rejects.toThrow('image-3 is not an image');
    await loader.dispose();
  });
});
