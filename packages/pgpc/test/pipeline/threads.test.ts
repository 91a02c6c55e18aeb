// Decoding in threads, on files: the same batches whatever the number of threads, errors that name the file, an end.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatasetError, openGta5, type SegmentationDataset } from '@pgpc/datasets';
import { liveTensors, type Tensor } from '@pgpc/torch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daformerRareClasses } from '../../src/config/rare-classes.js';
import type { Batch } from '../../src/pipeline/batch.js';
import { disposeBatch } from '../../src/pipeline/batch.js';
import { DecodePool, defaultWorkers } from '../../src/pipeline/decode-pool.js';
import { BatchLoader, type LoaderOptions } from '../../src/pipeline/loader.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { classCounts, RareClassSampler } from '../../src/pipeline/rare-class-sampling.js';
import type { CropTask } from '../../src/pipeline/sample.js';
import { Rng } from '../../src/random.js';
import { randomSample } from '../support/method.js';

const SAMPLES = 6;
const root = mkdtempSync(join(tmpdir(), 'pgpc-threads-'));
/** As `tsc -b` left it: threads do not run sources. */
const program = new URL('../../dist/pipeline/decode-worker.js', import.meta.url);
let dataset: SegmentationDataset;

const fileOf = (folder: 'images' | 'labels', i: number) =>
  join(root, folder, `${String(i).padStart(5, '0')}.png`);

async function writePng(
  file: string,
  width: number,
  height: number,
  channels: 1 | 3,
  data: Uint8Array,
): Promise<void> {
  const image = sharp(data, { raw: { width, height, channels } });
  await (channels === 1 ? image.toColourspace('b-w') : image).png().toFile(file);
}

beforeAll(async () => {
  for (const folder of ['images', 'labels']) mkdirSync(join(root, folder));
  for (let i = 0; i < SAMPLES; i++) {
    const { image, label } = randomSample(61 + i, 43, i);
    await writePng(fileOf('images', i), image.width, image.height, 3, image.data);
    // trainIds 0 .. 4 as label ids: road 7, sidewalk 8, building 11, wall 12, fence 13; 0 is ignored.
    const ids = label.data.map((trainId) => [7, 8, 11, 12, 13][trainId] ?? 0);
    await writePng(fileOf('labels', i), label.width, label.height, 1, ids);
  }
  dataset = await openGta5(root);
});

afterAll(async () => {
  await Promise.all([...pools.values()].map((pool) => pool.dispose()));
  rmSync(root, { recursive: true });
});

const crop = { width: 24, height: 20, catMaxRatio: 0.75, flip: 0.5 };
const scale = { width: 50, height: 33 };

const pools = new Map<number, DecodePool>();

/** Pools outlast their loaders here, as threads take longer to start than these batches to decode. */
function poolOf(workers: number): DecodePool {
  const pool = pools.get(workers) ?? new DecodePool({ workers, program });
  pools.set(workers, pool);
  return pool;
}

function loaderOf(workers: number, more: Partial<LoaderOptions> & { cacheBytes?: number } = {}): BatchLoader {
  const { cacheBytes = 0, ...options } = more;
  const source = new PixelStore(dataset, { scale, cacheBytes });
  const target = new PixelStore(dataset, { cacheBytes });
  return new BatchLoader({ source, target, batch: 2, crop, seed: 3, pool: poolOf(workers), ...options });
}

function numbers(batch: Batch): unknown[] {
  const values = Object.values(batch).map((value: Tensor) => value.tolist());
  disposeBatch(batch);
  return values;
}

async function take(loader: BatchLoader, n: number): Promise<unknown[]> {
  const batches = [];
  for (let i = 0; i < n; i++) batches.push(numbers(await loader.next()));
  await loader.dispose();
  return batches;
}

describe('batches decoded in threads', () => {
  test('are the same as of the main thread, kept in memory or not, with rare classes and without', async () => {
    const counts = await classCounts(new PixelStore(dataset), 19);
    const rareClasses = new RareClassSampler(counts, { ...daformerRareClasses, temperature: 0.2 });
    const plain = await take(loaderOf(0), 6);
    expect(new Set(plain.map((batch) => JSON.stringify(batch))).size).toBe(6);
    expect(await take(loaderOf(1), 6)).toEqual(plain);
    const rare = await take(loaderOf(0, { rareClasses }), 6);
    expect(rare).not.toEqual(plain);
    expect(await take(loaderOf(3, { rareClasses, ahead: 4 }), 6)).toEqual(rare);
    // The first samples fit into the cache, the others do not.
    expect(await take(loaderOf(2, { rareClasses, cacheBytes: 30_000 }), 6)).toEqual(rare);
    expect(await take(loaderOf(1, { rareClasses, cacheBytes: 2 ** 20 }), 6)).toEqual(rare);
  });

  test('resume from a state with another number of threads', async () => {
    const expected = await take(loaderOf(1), 5);
    const loader = loaderOf(2, { ahead: 3 });
    const begin = [numbers(await loader.next()), numbers(await loader.next())];
    const state = JSON.parse(JSON.stringify(loader.getState()));
    await loader.dispose();
    const later = loaderOf(1);
    later.setState(state);
    expect([...begin, ...(await take(later, 3))]).toEqual(expected);
  });

  test('come from memory once a sample is kept', async () => {
    const store = new PixelStore(dataset, { scale, cacheBytes: 2 ** 20 });
    const pool = new DecodePool({ workers: 1, program });
    const request = { crop, labelled: true, wanted: undefined, rng: new Rng(1, 'crop').fork() };
    const cut = await store.crop(0, request, pool);
    const bytes = readFileSync(fileOf('images', 0));
    rmSync(fileOf('images', 0));
    try {
      expect(await store.crop(0, request, pool)).toEqual(cut);
      store.dispose();
      await expect(store.crop(0, request, pool)).rejects.toThrow(`${fileOf('images', 0)}: not found`);
    } finally {
      writeFileSync(fileOf('images', 0), bytes);
      await pool.dispose();
    }
  });

  test('free what was read ahead', async () => {
    const before = liveTensors();
    const loader = loaderOf(2, { ahead: 3 });
    disposeBatch(await loader.next());
    await loader.dispose();
    expect(liveTensors()).toBe(before);
  });
});

describe('DecodePool', () => {
  const request = {
    crop,
    scale: undefined,
    labelled: true,
    wanted: undefined,
    rng: new Rng(1, 'crop').fork(),
  };
  const taskOf = (image: string, label: string | undefined): CropTask => ({
    files: { image, label, coding: dataset.labelCoding },
    decoded: {},
    keep: false,
    request,
  });

  test.each([0, 1])('an error names the file, with %i threads', async (workers) => {
    const pool = new DecodePool({ workers, program });
    const broken = join(root, 'broken.png');
    writeFileSync(broken, 'no image');
    const small = join(root, 'small.png');
    await writePng(small, 10, 10, 1, new Uint8Array(100));
    const wrong: [CropTask, string, string][] = [
      [taskOf(broken, fileOf('labels', 1)), `${broken}: not a readable image`, 'undecodable'],
      [taskOf(fileOf('images', 1), broken), `${broken}: not a readable label`, 'undecodable'],
      [
        taskOf(join(root, 'none.png'), fileOf('labels', 1)),
        `${join(root, 'none.png')}: not found`,
        'missing',
      ],
      [
        taskOf(fileOf('images', 1), small),
        `${small}: the label is 10x10 but its image is 62x43`,
        'size-mismatch',
      ],
    ];
    for (const [task, message, kind] of wrong) {
      const error = await pool.run(task).catch((reason) => reason);
      expect(error).toBeInstanceOf(DatasetError);
      expect(error.message).toContain(message);
      expect(error.message).not.toContain('\n');
      expect([error.kind, message.startsWith(error.file)]).toEqual([kind, true]);
    }
    await expect(pool.run(taskOf(fileOf('images', 1), undefined))).rejects.toThrow(
      `${fileOf('images', 1)}: this image has no label`,
    );
    // It still works after them.
    expect((await pool.run(taskOf(fileOf('images', 1), fileOf('labels', 1)))).crop.label).toHaveLength(480);
    await pool.dispose();
  });

  test('finishes what it was given when it is disposed, and takes nothing more', async () => {
    const pool = new DecodePool({ workers: 1, program });
    const task = taskOf(fileOf('images', 2), fileOf('labels', 2));
    const running = [pool.run(task), pool.run(task), pool.run(task)];
    await pool.dispose();
    const results = await Promise.all(running);
    expect(results.map(({ crop }) => [crop.width, crop.height])).toEqual(Array(3).fill([24, 20]));
    await expect(pool.run(task)).rejects.toThrow('disposed');
  });

  test('a thread that cannot run fails its tasks', async () => {
    const pool = new DecodePool({ workers: 2, program: new URL('./none.js', program) });
    const task = taskOf(fileOf('images', 2), fileOf('labels', 2));
    await expect(pool.run(task)).rejects.toThrow('none.js');
    await expect(pool.run(task)).rejects.toThrow('none.js');
    expect(pool.lost!.count).toBe(4);
    await pool.dispose();
  });

  test('the number of threads is checked; from the sources the main thread decodes', () => {
    expect(() => new DecodePool({ workers: 1.5 })).toThrow('a whole number from 0, not 1.5');
    expect(() => new DecodePool({ workers: -1 })).toThrow('a whole number from 0, not -1');
    expect(defaultWorkers()).toBe(0);
  });
});
