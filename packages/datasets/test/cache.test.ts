// Cached copies of datasets: the same pixels, resized or not, and resuming.
import { readdir, rm, utimes } from 'node:fs/promises';
import path from 'node:path';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../src/cache.js';
import { scaledSize } from '../src/images/index.js';
import { openDataset } from '../src/open.js';
import { openGta5 } from '../src/readers/gta5.js';
import { colored, failure, grey, rgb, Workspace, wide } from './support/files.js';

const space = new Workspace();

async function pair(id: string, values: readonly number[], width = values.length): Promise<void> {
  const height = values.length / width;
  await space.put(`gta5/images/${id}.png`, rgb(width, height));
  await space.put(`gta5/labels/${id}.png`, grey(width, height, values));
}

const gta5 = () => ({ format: 'gta5' as const, root: space.path('gta5') });

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

  it('have images without a label too, and lack what is bad, which is named', async () => {
    for (const id of ['1', '2', '3']) await pair(id, [0, 1, 2, 3]);
    await rm(space.path('gta5/labels/1.png'));
    await space.put('gta5/images/2.png', 'no picture');
    const set = await openGta5(gta5().root, { labels: 'available' });
    expect(await failure(cacheDataset(set, space.path('strict')))).toMatch(/2\.png/);
    const faults: string[] = [];
    const onFault = ({ message }: Error) => faults.push(message);
    expect(await cacheDataset(set, space.path('copy'), { onFault })).toEqual({ written: 2, kept: 0 });
    expect(faults).toEqual([expect.stringMatching(/2\.png: not a readable image/)]);
    const copy = await openGta5(space.path('copy'), { labels: 'available' });
    expect(copy.samples.map(({ id, label }) => [id, label !== undefined])).toEqual([
      ['1', false],
      ['3', true],
    ]);
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
    await space.put('s/GT/LABELS/1.png', wide(2, 1, [21, 300]));
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
