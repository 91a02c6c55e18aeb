// Checks, class statistics and cached copies of datasets, on tiny folders with every kind of fault.
import { readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../src/cache.js';
import { checkDataset, checkSamples } from '../src/check.js';
import { forEachConcurrently } from '../src/files/concurrent.js';
import { scaledSize } from '../src/images/index.js';
import { openDataset } from '../src/open.js';
import { FileDataset } from '../src/readers/file-dataset.js';
import { openGta5 } from '../src/readers/gta5.js';
import { classStatistics } from '../src/statistics.js';
import type { SegmentationDataset } from '../src/types.js';
import { colored, failure, grey, rgb, Workspace, wide } from './support/files.js';

const space = new Workspace();

async function pair(id: string, values: readonly number[], width = values.length): Promise<void> {
  const height = values.length / width;
  await space.put(`gta5/images/${id}.png`, rgb(width, height));
  await space.put(`gta5/labels/${id}.png`, grey(width, height, values));
}
const gta5 = () => ({ format: 'gta5' as const, root: space.path('gta5') });

describe('work on many files', () => {
  it('does each item once, never more at a time than allowed, and counts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 30 }),
        fc.integer({ min: 1, max: 8 }),
        fc.scheduler(),
        async (count, concurrency, scheduler) => {
          const items = Array.from({ length: count }, (_, i) => i);
          const seen: number[] = [];
          const progress: number[] = [];
          let running = 0;
          let most = 0;
          const action = scheduler.scheduleFunction(async (item: number) => {
            seen.push(item);
          });
          const all = forEachConcurrently(
            items,
            async (item) => {
              most = Math.max(most, ++running);
              await action(item);
              running--;
            },
            { concurrency, onProgress: (done) => progress.push(done) },
          );
          await scheduler.waitFor(all);
          expect(seen.sort((a, b) => a - b)).toEqual(items);
          expect(most).toBe(Math.min(concurrency, count));
          expect(progress).toEqual(items.map((i) => i + 1));
        },
      ),
      { numRuns: 30 },
    );
  });

  it('starts nothing more after a failure or an abort', async () => {
    const started: number[] = [];
    const run = (signal?: AbortSignal) =>
      forEachConcurrently(
        [0, 1, 2, 3, 4],
        async (item) => {
          started.push(item);
          if (item === 1) throw new Error('one');
        },
        { concurrency: 1, signal },
      );
    await expect(run()).rejects.toThrow('one');
    expect(started).toEqual([0, 1]);
    await expect(run(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
    expect(started).toEqual([0, 1]);
  });
});

describe('check', () => {
  it('finds nothing wrong with good data', async () => {
    await pair('1', [7, 8]);
    const { faults, samples, labelled, dataset } = await checkDataset(gta5());
    expect([faults, samples, labelled, dataset?.samples.length]).toEqual([[], 1, 1, 1]);
  });

  it('reports every fault with its file, and keeps the good samples', async () => {
    for (const id of ['good', 'size', 'value', 'text', 'cut', 'both', 'coloured'])
      await pair(id, [7, 8, 11, 0], 2);
    await space.put('gta5/labels/size.png', grey(4, 1, [7, 7, 7, 7]));
    await space.put('gta5/labels/value.png', grey(2, 2, [7, 99, 99, 50]));
    await space.put('gta5/images/text.png', 'no image');
    const whole = rgb(2, 2);
    await space.put('gta5/images/cut.png', whole.slice(0, whole.length - 20));
    await space.put('gta5/images/both.png', 'no image');
    await space.put('gta5/labels/both.png', 'no label');
    await space.put('gta5/labels/coloured.png', rgb(2, 2));
    await space.put('gta5/images/alone.png', rgb(1, 1));
    await space.put('gta5/labels/orphan.png', grey(1, 1, [7]));
    await symlink('loop.png', space.path('gta5/images/loop.png'));
    const progress: number[] = [];
    const { faults, samples, dataset } = await checkDataset(gta5(), {
      onProgress: (done) => progress.push(done),
    });
    expect(samples).toBe(7);
    expect(progress).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(dataset!.samples.map(({ id }) => id)).toEqual(['good']);
    const found = faults.map(({ file, kind }) => `${kind} ${path.relative(gta5().root, file)}`);
    expect(found.sort()).toEqual(
      [
        'label-format labels/coloured.png',
        'missing-pair images/alone.png',
        'missing-pair labels/orphan.png',
        'size-mismatch labels/size.png',
        'symlink-loop images/loop.png',
        'undecodable images/both.png',
        'undecodable images/cut.png',
        'undecodable images/text.png',
        'undecodable labels/both.png',
        'unknown-value labels/value.png',
      ].map((line) => line.replaceAll('/', path.sep)),
    );
    for (const { message, file } of faults) {
      expect(message.startsWith(`${file}: `)).toBe(true);
      expect(message).not.toContain('\n');
    }
    const unknown = faults.find(({ kind }) => kind === 'unknown-value')!;
    expect(unknown.message).toMatch(/50 \(1 pixel\), 99 \(2 pixels\)/);
    expect((await checkSamples(dataset!)).size).toBe(0);
  });

  it('reports an empty or missing folder as a fault', async () => {
    expect((await checkDataset(gta5())).faults.map(({ kind }) => kind)).toEqual(['missing']);
    await space.put('gta5/images/notes.txt', '');
    await space.put('gta5/labels/1.png', '');
    expect((await checkDataset(gta5())).faults.map(({ kind }) => kind)).toEqual(['empty']);
  });

  it('passes over what an earlier check found good, as long as it has not changed', async () => {
    for (const id of ['1', '2']) await pair(id, [7, 8]);
    await space.put('gta5/labels/2.png', 'text');
    const set = await openGta5(gta5().root);
    const bad = async (trustEarlier: boolean) => [...(await checkSamples(set, { trustEarlier })).keys()];
    expect(await bad(true)).toEqual([1]);
    expect(await bad(true)).toEqual([1]);
    // The same size and time, but no image any more: only a check of everything finds it.
    const image = space.path('gta5/images/1.png');
    const { size } = await stat(image);
    await utimes(image, 1e9, 1e9);
    expect(await bad(true)).toEqual([1]);
    await writeFile(image, 'x'.repeat(size));
    await utimes(image, 1e9, 1e9);
    expect(await bad(true)).toEqual([1]);
    expect(await bad(false)).toEqual([0, 1]);
    await utimes(image, 1e9, 1e9 + 1);
    expect(await bad(true)).toEqual([0, 1]);
    // Other classes make other values good.
    await pair('1', [7, 8]);
    await pair('2', [7, 8]);
    expect(await bad(true)).toEqual([]);
    const table = set.labelCoding.kind === 'values' ? set.labelCoding.table.slice() : new Uint8Array(256);
    table[8] = 254;
    const other = new FileDataset({ ...set, labelCoding: { kind: 'values', table } });
    expect((await checkSamples(other, { trustEarlier: true })).size).toBe(2);
  });

  it('stops when told to', async () => {
    await pair('1', [7]);
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(checkDataset(gta5(), { signal })).rejects.toThrow('stop');
  });
});

describe('class statistics', () => {
  const labels = fc.array(fc.array(fc.integer({ min: 0, max: 34 }), { minLength: 1, maxLength: 40 }), {
    minLength: 1,
    maxLength: 5,
  });

  it('counts what reading all labels counts, from the cache too', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(labels, async (images) => {
        const root = space.path(`stats-${run++}`);
        for (const [i, values] of images.entries()) {
          const [id, width] = [`gta5/${i}`.slice(5), values.length];
          await space.put(path.relative(space.root, path.join(root, `images/${id}.png`)), rgb(width, 1));
          await space.put(
            path.relative(space.root, path.join(root, `labels/${id}.png`)),
            grey(width, 1, values),
          );
        }
        const set = await openGta5(root);
        const slow = await slowCounts(set);
        for (const verify of ['modified', 'modified', 'content', 'content'] as const) {
          const { counts, ignored, sizes } = await classStatistics(set, { verify });
          expect(counts).toEqual(slow.counts);
          expect(ignored).toEqual(slow.ignored);
          expect(sizes).toEqual(images.map(({ length }) => [length, 1]));
        }
      }),
      { numRuns: 12 },
    );
  });

  async function slowCounts(set: SegmentationDataset) {
    const counts: number[][] = [];
    const ignored: number[] = [];
    for (let i = 0; i < set.samples.length; i++) {
      const { data } = await set.readLabel(i);
      counts.push(set.classes.map(({ trainId }) => data.filter((value) => value === trainId).length));
      ignored.push(data.filter((value) => value === 255).length);
    }
    return { counts, ignored };
  }

  it('counts a changed file again, by time or by content', async () => {
    await pair('1', [7, 7]);
    const file = space.path('gta5/labels/1.png');
    const time = new Date('2020-01-01');
    await utimes(file, time, time);
    const set = await openGta5(gta5().root);
    const roads = async (verify: 'modified' | 'content') =>
      (await classStatistics(set, { verify })).counts[0]![0];
    expect(await roads('modified')).toBe(2);
    expect(await roads('content')).toBe(2);
    // Another content of the same length and time: only the hash tells.
    const { size } = await stat(file);
    await writeFile(file, grey(2, 1, [7, 8]));
    expect((await stat(file)).size).toBe(size);
    await utimes(file, time, time);
    expect(await roads('modified')).toBe(2);
    expect(await roads('content')).toBe(1);
    expect(await roads('modified')).toBe(1);
    await utimes(file, time, new Date('2020-01-02'));
    expect(await roads('modified')).toBe(1);
  });

  it('keeps what was counted before a fault, and mends a broken cache', async () => {
    await pair('1', [7]);
    await pair('2', [99]);
    await pair('3', [7]);
    await space.put('gta5/labels/3.png', 'broken');
    const set = await openGta5(gta5().root);
    expect(await failure(classStatistics(set, { concurrency: 1 }))).toMatch(/3\.png: not a readable PNG/);
    const cacheFile = space.path('gta5/.pgpc/label-values.values.json');
    expect(Object.keys(JSON.parse(await readFile(cacheFile, 'utf8')).files)).toEqual([
      'labels/1.png',
      'labels/2.png',
    ]);
    await space.put('gta5/labels/3.png', grey(1, 1, [7]));
    expect(await failure(classStatistics(set))).toMatch(/2\.png: .*99 \(1 pixel\)/);
    await space.put('gta5/labels/2.png', grey(1, 1, [8]));
    await writeFile(cacheFile, '{"version": 1, "files": {"labels/1.png": 3}}');
    expect((await classStatistics(set)).counts.map((row) => row.slice(0, 2))).toEqual([
      [1, 0],
      [0, 1],
      [1, 0],
    ]);
  });

  it('counts colours and 16-bit labels', async () => {
    await space.put('s/RGB/1.png', rgb(3, 1));
    await space.put('s/GT/LABELS/1.png', wide(3, 1, [3, 3, 0]));
    const synthia = await openDataset({ format: 'synthia', root: space.path('s') });
    const first = await classStatistics(synthia);
    expect([first.counts[0]![0], first.ignored]).toEqual([2, [1]]);
    await space.put(
      'f/classes.yaml',
      "masks: colors\nclasses: [{ name: a, color: '#010203' }]\nignore: ['#ffffff']",
    );
    await space.put('f/images/train/1.png', rgb(3, 1));
    await space.put('f/masks/train/1.png', colored(3, 1, [0x010203, 0x010203, 0xffffff]));
    const folder = await openDataset({ format: 'folder', root: space.path('f') });
    expect(await classStatistics(folder)).toEqual({ counts: [[2]], ignored: [1], sizes: [[3, 1]] });
    await space.put('f/images/test/2.png', rgb(1, 1));
    const unlabelled = await openDataset({ format: 'folder', root: space.path('f'), split: 'test' });
    expect(await failure(classStatistics(unlabelled))).toMatch(/2\.png: no label/);
  });
});

describe('cached copies', () => {
  const random = (length: number, below: number, seed: number) =>
    Array.from({ length }, (_, i) =>
      Math.floor((Math.abs(Math.sin(seed + i * 12.9898) * 43758.5453) % 1) * below),
    );

  it('are read by the same format, with the same pixels', async () => {
    await pair('1', random(20 * 12, 35, 1), 20);
    await space.put('gta5/images/1.png', rgb(20, 12, random(20 * 12 * 3, 256, 2)));
    await space.put('gta5/val.txt', '1');
    const set = await openGta5(gta5().root);
    const out = space.path('copy');
    expect(await cacheDataset(set, out)).toEqual({ written: 1, kept: 0 });
    const copy = await openGta5(out, { split: 'val' });
    expect(await copy.readImage(0)).toEqual(await set.readImage(0));
    expect(await copy.readLabel(0)).toEqual(await set.readLabel(0));
  });

  it('are resized as training resizes', async () => {
    const [width, height] = [37, 23];
    await pair('1', random(width * height, 34, 3), width);
    await space.put('gta5/images/1.png', rgb(width, height, random(width * height * 3, 256, 4)));
    const set = await openGta5(gta5().root);
    const scale = { width: 24, height: 24 };
    await cacheDataset(set, space.path('copy'), { scale });
    const copy = await openGta5(space.path('copy'));
    const size = scaledSize({ width, height }, scale);
    expect(size).toEqual({ width: 24, height: 15 });
    const [image, label] = [await copy.readImage(0), await copy.readLabel(0)];
    expect([image.width, image.height, label.width, label.height]).toEqual([24, 15, 24, 15]);
    const [from, fromLabel] = [await set.readImage(0), await set.readLabel(0)];
    for (let y = 0; y < 15; y++) {
      for (let x = 0; x < 24; x++) {
        const nearest = Math.floor((y * height) / 15) * width + Math.floor((x * width) / 24);
        expect(label.data[y * 24 + x]).toBe(fromLabel.data[nearest]);
        for (let c = 0; c < 3; c++) {
          const exact = bilinear((j, i) => from.data[(j * width + i) * 3 + c]!, y, x);
          // OpenCV's fixed-point weights are at most a grey level from the exact mean.
          expect(Math.abs(image.data[(y * 24 + x) * 3 + c]! - exact)).toBeLessThan(1);
        }
      }
    }
    function bilinear(at: (y: number, x: number) => number, y: number, x: number): number {
      const clamp = (value: number, most: number) => Math.max(0, Math.min(value, most));
      const v = clamp(((y + 0.5) * height) / 15 - 0.5, height - 1);
      const u = clamp(((x + 0.5) * width) / 24 - 0.5, width - 1);
      const [j, i] = [Math.floor(v), Math.floor(u)];
      const [j1, i1] = [Math.min(j + 1, height - 1), Math.min(i + 1, width - 1)];
      const row = (k: number) => at(k, i) * (1 - (u - i)) + at(k, i1) * (u - i);
      return row(j) * (1 - (v - j)) + row(j1) * (v - j);
    }
  });

  it('keep 16-bit labels, colours, palettes of any size and the classes', async () => {
    await space.put('s/RGB/1.png', rgb(2, 1));
    await space.put('s/GT/LABELS/1.png', wide(2, 1, [12, 300]));
    const synthia = await openDataset({ format: 'synthia', root: space.path('s') });
    await cacheDataset(synthia, space.path('s2'));
    const again = await openDataset({ format: 'synthia', root: space.path('s2') });
    expect(await failure(again.readLabel(0))).toMatch(/300 \(1 pixel\)/);

    const many = Array.from({ length: 300 }, (_, i) => i * 7);
    const classes = many
      .slice(0, 250)
      .map((color, i) => ({ name: `c${i}`, color: [0, color >> 8, color & 255] }));
    const ignore = many.slice(250).map((color) => [0, color >> 8, color & 255]);
    await space.put('f/classes.json', JSON.stringify({ masks: 'colors', classes, ignore }));
    await space.put('f/images/train/few.png', rgb(3, 1));
    await space.put('f/masks/train/few.png', colored(3, 1, [7, 0, 7 * 299]));
    await space.put('f/images/train/many.png', rgb(300, 1));
    await space.put('f/masks/train/many.png', colored(300, 1, many));
    const folder = await openDataset({ format: 'folder', root: space.path('f') });
    await cacheDataset(folder, space.path('f2'));
    const copy = await openDataset({ format: 'folder', root: space.path('f2') });
    expect(copy.classes).toEqual(folder.classes);
    for (const i of [0, 1]) expect(await copy.readLabel(i)).toEqual(await folder.readLabel(i));
    expect([...(await copy.readLabel(0)).data]).toEqual([1, 0, 255]);
  });

  it('keep the number of classes where resizing loses the last of them', async () => {
    await space.put('f/images/train/1.png', rgb(64, 32));
    const values = new Uint8Array(64 * 32);
    values.fill(1, 0, 1000);
    values[64 * 31 + 63] = 9;
    await space.put('f/masks/train/1.png', grey(64, 32, values));
    const folder = await openDataset({ format: 'folder', root: space.path('f') });
    await cacheDataset(folder, space.path('f2'), { scale: { width: 16, height: 16 } });
    const copy = await openDataset({ format: 'folder', root: space.path('f2') });
    expect(Math.max(...(await copy.readLabel(0)).data)).toBeLessThan(9);
    expect(copy.classes).toEqual(folder.classes);
    expect(copy.classes).toHaveLength(10);
  });

  it('resume where they stopped and follow changed files', async () => {
    await pair('1', [7]);
    await pair('2', [8]);
    const set = await openGta5(gta5().root);
    const out = space.path('copy');
    expect(await cacheDataset(set, out)).toEqual({ written: 2, kept: 0 });
    expect(await cacheDataset(set, out)).toEqual({ written: 0, kept: 2 });
    await pair('2', [11]);
    await utimes(space.path('gta5/labels/2.png'), 1e9, 1e9);
    expect(await cacheDataset(set, out)).toEqual({ written: 1, kept: 1 });
    expect([...(await (await openGta5(out)).readLabel(1)).data]).toEqual([2]);
    expect((await readdir(path.join(out, 'labels'))).sort()).toEqual(['1.png', '2.png']);
  });

  it('turn JPEGs into PNGs of the same name', async () => {
    const noise = Uint8Array.from(random(16 * 8 * 3, 256, 5));
    const jpeg = await sharp(noise, { raw: { width: 16, height: 8, channels: 3 } })
      .jpeg()
      .toBuffer();
    await space.put('b/images/10k/val/x.JPG', jpeg);
    await space.put('b/labels/sem_seg/masks/val/x.png', grey(16, 8, new Uint8Array(128)));
    const set = await openDataset({ format: 'bdd100k', root: space.path('b'), split: 'val' });
    await cacheDataset(set, space.path('b2'));
    const copy = await openDataset({ format: 'bdd100k', root: space.path('b2'), split: 'val' });
    expect(path.basename(copy.samples[0]!.image)).toBe('x.png');
    expect(await copy.readImage(0)).toEqual(await set.readImage(0));
  });

  it('refuse the dataset itself, other files and another scale', async () => {
    await pair('1', [7]);
    const set = await openGta5(gta5().root);
    expect(await failure(cacheDataset(set, space.path('gta5', 'copy')))).toMatch(/lies in the dataset/);
    expect(await failure(cacheDataset(set, space.path('gta5')))).toMatch(/lies in the dataset/);
    await space.put('full/letter.txt', '');
    expect(await failure(cacheDataset(set, space.path('full')))).toMatch(/holds other files/);
    await cacheDataset(set, space.path('copy'));
    const scale = { width: 16, height: 16 };
    expect(await failure(cacheDataset(set, space.path('copy'), { scale }))).toMatch(/another scale/);
    await space.put('gta5/labels/1.png', grey(1, 2, [7, 7]));
    expect(await failure(cacheDataset(set, space.path('other')))).toMatch(
      /the label is 1x2 but its image is 1x1/,
    );
  });

  it('decode to the grey values of 8-bit images of each kind', async () => {
    await pair('1', [7, 8]);
    await space.put(
      'gta5/images/1.png',
      encode({ width: 2, height: 1, data: Uint8Array.from([3, 99]), channels: 1 }),
    );
    const set = await openGta5(gta5().root);
    await cacheDataset(set, space.path('copy'));
    expect([...(await (await openGta5(space.path('copy'))).readImage(0)).data]).toEqual([
      3, 3, 3, 99, 99, 99,
    ]);
  });
});
