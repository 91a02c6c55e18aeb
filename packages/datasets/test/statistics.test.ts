// Class statistics: what is counted, and what is taken from the cache.
import { readFile, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../src/open.js';
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
    expect(await failure(classStatistics(set, { concurrency: 1 }))).toMatch(/3\.png: not a readable label/);
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
    expect(await classStatistics(folder)).toEqual({
      counts: [[2]],
      ignored: [1],
      ignored255: 0,
      sizes: [[3, 1]],
    });
    await space.put('f/images/test/2.png', rgb(1, 1));
    const unlabelled = await openDataset({ format: 'folder', root: space.path('f'), split: 'test' });
    expect(await failure(classStatistics(unlabelled))).toMatch(/2\.png: no label/);
  });
});
