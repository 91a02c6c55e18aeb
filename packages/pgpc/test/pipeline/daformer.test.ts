// Training crops against the reference's pipeline done slowly: Resize, RandomCrop, RandomFlip, Normalize, Pad, one
// whole image after the other (mmseg), and rare class sampling's repeated crops (DAFormer).

import { tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RGB_MEAN, RGB_STD } from '../../src/config/normalisation.js';
import { ComingBatch } from '../../src/pipeline/crop.js';
import { DecodePool } from '../../src/pipeline/decode-pool.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import type { CropOptions, Wanted } from '../../src/pipeline/window.js';
import { Rng, type RngState } from '../../src/random.js';
import {
  difference,
  type MemorySample,
  memoryDataset,
  randomSample,
  slowBilinear,
} from '../support/method.js';

type Grid = number[][];

interface Case {
  sample: Required<MemorySample>;
  /** Bound of the resized image, width and height. */
  scale: { width: number; height: number };
  crop: CropOptions;
  wanted: Wanted | undefined;
  state: RngState;
}

interface Result {
  /** Three channels, normalised and padded. */
  image: Grid[];
  label: Grid;
}

function grid(width: number, height: number, at: (i: number) => number): Grid {
  return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => at(y * width + x)));
}

/** Resize: the largest size of the same ratio within the bounds. */
function resize({ sample, scale }: Case): Result {
  const { width, height, data } = sample.image;
  const [long, short] = [Math.max(scale.width, scale.height), Math.min(scale.width, scale.height)];
  const factor = Math.min(long / Math.max(width, height), short / Math.min(width, height));
  const [w, h] = [width, height].map((side) => Math.trunc(side * factor + 0.5)) as [number, number];
  const image = [0, 1, 2].map((c) => {
    const channel = grid(width, height, (i) => data[3 * i + c]!);
    return slowBilinear(channel, h, w).map((row) => row.map(Math.round));
  });
  const label = grid(w, h, (i) => {
    const y = Math.floor(Math.floor(i / w) / (h / height));
    const x = Math.floor((i % w) / (w / width));
    return sample.label.data[y * width + x]!;
  });
  return { image, label };
}

/** Horizontal offset and vertical one; numpy's slices end at the border. */
function cutOut(map: Grid, top: number, left: number, { width, height }: CropOptions): Grid {
  return map.slice(top, top + height).map((row) => row.slice(left, left + width));
}

function countsOf(label: Grid): Map<number, number> {
  const counts = new Map<number, number>();
  for (const value of label.flat()) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function randomCrop({ image, label }: Result, crop: CropOptions, rng: Rng): Result {
  const box = () => {
    const top = rng.below(Math.max(label.length - crop.height, 0) + 1);
    const left = rng.below(Math.max(label[0]!.length - crop.width, 0) + 1);
    return [top, left] as const;
  };
  let [top, left] = box();
  if (crop.catMaxRatio < 1) {
    for (let i = 0; i < 10; i++) {
      const counts = countsOf(cutOut(label, top, left, crop));
      counts.delete(255);
      const all = [...counts.values()];
      const sum = all.reduce((total, n) => total + n, 0);
      if (all.length > 1 && Math.max(...all) / sum < crop.catMaxRatio) break;
      [top, left] = box();
    }
  }
  return { image: image.map((map) => cutOut(map, top, left, crop)), label: cutOut(label, top, left, crop) };
}

function flip({ image, label }: Result, crop: CropOptions, rng: Rng): Result {
  if (!(rng.next() < crop.flip)) return { image, label };
  const mirror = (map: Grid) => map.map((row) => row.toReversed());
  return { image: image.map(mirror), label: mirror(label) };
}

function normalize({ image, label }: Result): Result {
  return {
    image: image.map((map, c) => map.map((row) => row.map((x) => (x - RGB_MEAN[c]!) / RGB_STD[c]!))),
    label,
  };
}

function pad({ image, label }: Result, { width, height }: CropOptions): Result {
  const fill = (map: Grid, value: number) =>
    Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => map[y]?.[x] ?? value));
  return { image: image.map((map) => fill(map, 0)), label: fill(label, 255) };
}

/** The reference's sample: all of it is made again while the wanted class is too small in it. */
function slowSample(given: Case): Result {
  const { crop, wanted } = given;
  const rng = new Rng(0, '');
  rng.setState(given.state);
  const resized = resize(given);
  const load = () => pad(normalize(flip(randomCrop(resized, crop, rng), crop, rng)), crop);
  let sample = load();
  if (wanted) {
    for (let i = 0; i < 10; i++) {
      if ((countsOf(sample.label).get(wanted.class) ?? 0) > wanted.pixels) break;
      sample = load();
    }
  }
  return sample;
}

/** A resized colour may differ by one, as OpenCV weighs with multiples of 1 / 2048. */
const TOLERANCE = 1 / Math.min(...RGB_STD) + 1e-5;

async function check(given: Case): Promise<void> {
  const { sample, scale, crop, wanted, state } = given;
  const store = new PixelStore(memoryDataset([sample]), { scale });
  const made = await store.crop(
    0,
    { crop, wanted, labelled: true, rng: state },
    new DecodePool({ workers: 0 }),
  );
  const slow = slowSample(given);
  tidy(() => {
    const { sourceImage: image, sourceLabel: label } = new ComingBatch([made], undefined, crop, 'cpu').take();
    expect([image.shape, image.dtype]).toEqual([[1, 3, crop.height, crop.width], 'float32']);
    expect([label.shape, label.dtype]).toEqual([[1, crop.height, crop.width], 'int64']);
    expect(difference(label.toArray() as BigInt64Array, slow.label.flat())).toBe(0);
    expect(difference(image.toArray() as Float32Array, slow.image.flat(2))).toBeLessThan(TOLERANCE);
    return null;
  });
}

const side = fc.integer({ min: 5, max: 40 });

test('crops of small images equal the reference: odd sizes, images below the crop, catMaxRatio, wanted classes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({ width: side, height: side }),
      fc.record({ width: side, height: side }),
      fc.record({
        width: side,
        height: side,
        catMaxRatio: fc.constantFrom(0.3, 0.6, 0.75, 1),
        flip: fc.constant(0.5),
      }),
      fc.option(
        fc.record({ class: fc.integer({ min: 0, max: 4 }), pixels: fc.integer({ min: 0, max: 200 }) }),
      ),
      fc.integer({ min: 0, max: 1e6 }),
      (size, scale, crop, wanted, seed) =>
        check({
          sample: randomSample(size.width, size.height, seed),
          scale,
          crop,
          wanted: wanted ?? undefined,
          state: new Rng(seed, 'reference').fork(),
        }),
    ),
    { numRuns: 80 },
  );
});

test.each([
  ['GTA5: 1914 x 1052, resized to 1280 x 704, crops of 512', 1914, 1052, 1280, 720, 512],
  ['Cityscapes, all numbers halved', 1024, 512, 512, 256, 256],
])('%s', async (_, width, height, w, h, side) => {
  const size = { width, height };
  // Waves rather than noise: a shift by part of a pixel shows all the same.
  const image = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / (3 * width))];
    return 128 + 100 * Math.sin(x / 7 + (i % 3)) * Math.cos(y / 5);
  });
  const label = Uint8Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return x > 0.8 * width ? 4 : (x >> 5) % 2 === 0 ? 255 : (y >> 8) % 3;
  });
  await check({
    sample: { image: { ...size, data: image }, label: { ...size, data: label } },
    scale: { width: w, height: h },
    crop: { width: side, height: side, catMaxRatio: 0.75, flip: 0.5 },
    wanted: { class: 4, pixels: (1500 / 512 ** 2) * side ** 2 },
    state: new Rng(7, 'reference').fork(),
  });
});
