// Samples whose labels have a coding of their own, and labels that are several masks: everywhere that labels are read.
import { mkdtemp, rm, utimes } from 'node:fs/promises';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { checkSamples } from '../../src/check.js';
import { mapClasses } from '../../src/classes/mapping.js';
import { FileDataset } from '../../src/readers/file-dataset.js';
import { classStatistics } from '../../src/statistics.js';
import type { ClassInfo, LabelCoding, Sample } from '../../src/types.js';
import { colored, failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();
const classes: ClassInfo[] = ['road', 'car'].map((name, trainId) => ({
  trainId,
  labelId: trainId,
  name,
  color: [trainId, 0, 0],
  kind: 'stuff',
}));

function dataset(samples: Sample[], labelCoding: LabelCoding): FileDataset {
  return new FileDataset({ name: 'own', root: space.root, split: 'all', classes, samples, labelCoding });
}

const byColor = (colors: number[], trainIds: number[]): LabelCoding => ({
  kind: 'colors',
  colors: Uint32Array.from(colors),
  trainIds: Uint8Array.from(trainIds),
});

/** The same colours in both files, with other meanings. */
async function twoCodings(): Promise<FileDataset> {
  const samples: Sample[] = [];
  for (const [id, coding] of [
    ['a', byColor([0, 5, 0x010203], [255, 0, 1])],
    ['b', byColor([0, 5, 0x010203], [255, 1, 1])],
  ] as const) {
    const image = await space.put(`${id}.png`, rgb(3, 1));
    samples.push({ id, image, label: await space.put(`${id}-label.png`, colored(3, 1, [0, 5, 5])), coding });
  }
  return dataset(samples, byColor([], []));
}

/** @param masks of a row of 4 pixels, the lowest first */
async function layered(...masks: Uint8Array[]): Promise<FileDataset> {
  const files: string[] = [];
  for (const [i, mask] of masks.entries()) files.push(await space.put(`m${i}.png`, mask));
  const table = Uint8Array.of(255, 0, 1);
  const image = await space.put('x.png', rgb(4, 1));
  const sample: Sample = { id: 'x', image, label: files[0]!, coding: { kind: 'layers', files, table } };
  return dataset([sample], { kind: 'layers', files: [], table });
}

describe('a coding of its own', () => {
  it('counts in reading, statistics, checks, mappings and copies', async () => {
    const set = await twoCodings();
    expect([...(await set.readLabel(0)).data]).toEqual([255, 0, 0]);
    expect([...(await set.readLabel(1)).data]).toEqual([255, 1, 1]);
    const { counts, ignored } = await classStatistics(set);
    expect([counts, ignored]).toEqual([
      [
        [2, 0],
        [0, 2],
      ],
      [1, 1],
    ]);
    expect((await checkSamples(set)).size).toBe(0);
    const mapping = { classes: [{ name: 'car', from: [] }], ignore: 'rest' as const };
    const mapped = mapClasses(set, mapping).dataset;
    expect([...(await mapped.readLabel(0)).data]).toEqual([255, 255, 255]);
    expect([...(await mapped.readLabel(1)).data]).toEqual([255, 0, 0]);
  });

  it('makes checks and statistics refuse what it does not know', async () => {
    const set = await twoCodings();
    expect((await checkSamples(set, { trustEarlier: true })).size).toBe(0);
    const samples = [set.samples[0]!, { ...set.samples[1]!, coding: byColor([0], [255]) }];
    const other = dataset(samples, set.labelCoding);
    expect([...(await checkSamples(other, { trustEarlier: true })).keys()]).toEqual([1]);
    expect(await failure(classStatistics(other))).toMatch(/b-label\.png: .*#000005 \(2 pixels\)/);
  });
});

describe('layers', () => {
  it('are merged, the later over the earlier, with soft edges cut at the half', async () => {
    const set = await layered(grey(4, 1, [255, 128, 127, 0]), grey(4, 1, [0, 255, 0, 1]));
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 255, 255]);
    expect(await classStatistics(set)).toEqual({
      counts: [[1, 1]],
      ignored: [2],
      ignored255: 0,
      sizes: [[4, 1]],
    });
  });

  it('are read from alpha where it is not the same everywhere', async () => {
    const rgba = (alphas: number[], value: number) =>
      encode({
        width: 4,
        height: 1,
        channels: 4,
        data: Uint8Array.from(alphas.flatMap((alpha) => [value, value, value, alpha])),
      });
    const set = await layered(rgba([255, 0, 0, 0], 0), rgba([255, 255, 255, 255], 255));
    expect([...(await set.readLabel(0)).data]).toEqual([1, 1, 1, 1]);
    const [first] = set.samples;
    const alone = dataset(
      [{ ...first!, coding: { kind: 'layers', files: [first!.label!], table: Uint8Array.of(255, 0) } }],
      set.labelCoding,
    );
    expect([...(await alone.readLabel(0)).data]).toEqual([0, 255, 255, 255]);
  });

  it('of different sizes are refused, missing ones named, and all are looked at by checks', async () => {
    const set = await layered(grey(4, 1, [255, 0, 0, 0]), grey(2, 2, [0, 0, 0, 0]));
    expect(await failure(set.readLabel(0))).toMatch(/m1\.png: the mask is 2x2 but .*m0\.png/);
    await space.put('m1.png', grey(4, 1, [0, 0, 0, 0]));
    expect((await checkSamples(set, { trustEarlier: true })).size).toBe(0);
    await utimes(space.path('m1.png'), 1e9, 1e9);
    await space.put('m1.png', 'no mask');
    expect((await checkSamples(set, { trustEarlier: true })).size).toBe(1);
    await rm(space.path('m1.png'));
    expect(await failure(classStatistics(set))).toMatch(/m1\.png: not found/);
  });

  it('are copied mask by mask, and the copies read the same', async () => {
    const set = await layered(grey(4, 1, [255, 255, 0, 0]), grey(4, 1, [0, 255, 255, 0]));
    const out = await mkdtemp(`${space.root}-copy-`);
    try {
      await cacheDataset(set, out);
      const files = ['m0.png', 'm1.png'].map((name) => `${out}/${name}`);
      const coding: LabelCoding = { kind: 'layers', files, table: Uint8Array.of(255, 0, 1) };
      const copy = dataset([{ id: 'x', image: `${out}/x.png`, label: files[0]!, coding }], set.labelCoding);
      expect(await copy.readLabel(0)).toEqual(await set.readLabel(0));
    } finally {
      await rm(out, { recursive: true });
    }
  });
});
