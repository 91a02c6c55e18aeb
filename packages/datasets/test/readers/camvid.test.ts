// CamVid in its two layouts, with lists of names, and as CVAT exports it.
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { CAMVID_11, CAMVID_32 } from '../../src/classes/camvid.js';
import { availableSplits, detectFormat, openDataset } from '../../src/open.js';
import { openCamvid } from '../../src/readers/camvid.js';
import { colored, failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

async function eleven(split: string, id: string, values: readonly number[]): Promise<void> {
  await space.put(`c/${split}/${id}.png`, rgb(values.length, 1));
  await space.put(`c/${split}annot/${id}.png`, grey(values.length, 1, values));
}

const original = async (id: string, colors: readonly number[]) => {
  await space.put(`o/701_StillsRaw_full/${id}.png`, rgb(colors.length, 1));
  await space.put(`o/LabeledApproved_full/${id}_L.png`, colored(colors.length, 1, colors));
};

describe('camvid', () => {
  it('reads the 11 classes by value; 11 and 255 are ignored, what is above is a fault', async () => {
    await eleven('train', '0001TP_1', [...Array(12).keys(), 255]);
    await eleven('val', '0016E5_1', [12]);
    const root = space.path('c');
    expect([await detectFormat(root), await availableSplits('camvid', root)]).toEqual([
      'camvid',
      ['train', 'val'],
    ]);
    const train = await openDataset({ format: 'camvid', root });
    expect([train.split, train.classes.map(({ name }) => name)]).toEqual([
      'train',
      [
        'sky',
        'building',
        'pole',
        'road',
        'pavement',
        'tree',
        'sign',
        'fence',
        'car',
        'pedestrian',
        'bicyclist',
      ],
    ]);
    expect([...(await train.readLabel(0)).data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255, 255]);
    const val = await openCamvid(root, 'val');
    expect(await failure(val.readLabel(0))).toMatch(/does not define: 12 \(1 pixel\)/);
  });

  it("takes a list of names for a split, SegNet's own with paths too", async () => {
    for (const id of ['0001TP_1', '0006R0_1', '0016E5_1']) await eleven('train', id, [0]);
    await space.put(
      'c/train.txt',
      '/SegNet/CamVid/train/0006R0_1.png /SegNet/CamVid/trainannot/0006R0_1.png\n0016E5_1\n',
    );
    const { samples } = await openCamvid(space.path('c'), 'train');
    expect(samples.map(({ id }) => id)).toEqual(['0006R0_1', '0016E5_1']);
  });

  it("reads the original's 32 colours and ignores Void", async () => {
    const { labelCoding, classes } = CAMVID_32;
    const colors = labelCoding.kind === 'colors' ? [...labelCoding.colors] : [];
    expect([colors.length, new Set(colors).size, classes.length]).toEqual([32, 32, 31]);
    await original('0001TP_1', colors);
    const root = space.path('o');
    expect(await detectFormat(root)).toBe('camvid');
    const dataset = await openDataset({ format: 'camvid', root });
    expect([dataset.split, dataset.samples.map(({ id }) => id)]).toEqual(['all', ['0001TP_1']]);
    const labels = [...(await dataset.readLabel(0)).data];
    expect(labels).toEqual([...Array(30).keys(), 255, 30]);
    expect(dataset.classes.map(({ name }) => name)).toContain('Column_Pole');
    expect(await failure(openCamvid(root, 'train'))).toMatch(
      /train\.txt: not found; .* take the split 'all'$/,
    );
    await space.put('o/train.txt', '0001TP_1\n');
    expect((await openDataset({ format: 'camvid', root })).split).toBe('train');
  });

  it("reads CVAT's export, whose label_colors.txt has classes of one's own", async () => {
    await space.put('v/label_colors.txt', '# colours\n0 0 0 Void\n1 2 3\tgood road\n4 5 6 crack\n');
    await space.put('v/default/a.jpg', rgb(4, 1));
    await space.put('v/defaultannot/a.png', colored(4, 1, [0x040506, 0, 0x010203, 0x040506]));
    const root = space.path('v');
    const dataset = await openDataset({ format: await detectFormat(root), root });
    expect(dataset.classes.map(({ name, color }) => [name, color])).toEqual([
      ['good road', [1, 2, 3]],
      ['crack', [4, 5, 6]],
    ]);
    expect([...(await dataset.readLabel(0)).data]).toEqual([1, 255, 0, 1]);
    const wrong: [string, RegExp][] = [
      ['1 2 3\n', /line 1 '1 2 3' is not of the form/],
      ['1 2 300 a\n', /line 1/],
      ['1 2 3 a\n1 2 3 b\n', /line 2: 'b' or its colour is there twice/],
      ['0 0 0 void\n', /lists 0 classes/],
    ];
    for (const [text, expected] of wrong) {
      await space.put('v/label_colors.txt', text);
      expect(await failure(openCamvid(root, 'all'))).toMatch(expected);
    }
  });

  it('takes one-channel labels for the 11 classes also beside a list of colours; copies stay the same', async () => {
    await eleven('train', '1', [3, 11]);
    await space.put('c/label_colors.txt', '1 2 3 other\n4 5 6 another\n');
    const set = await openCamvid(space.path('c'), 'train');
    expect(set.classes).toEqual(CAMVID_11.classes);
    await original('1', [0x804080, 0x000000, 0x40c000]);
    const colors = await openCamvid(space.path('o'), 'all');
    for (const [dataset, split] of [
      [set, 'train'],
      [colors, 'all'],
    ] as const) {
      const out = space.path(`copy-${split}`);
      await cacheDataset(dataset, out);
      const copy = await openCamvid(out, split);
      expect(copy.classes.map(({ name, color }) => [name, color])).toEqual(
        dataset.classes.map(({ name, color }) => [name, color]),
      );
      expect(await copy.readLabel(0)).toEqual(await dataset.readLabel(0));
    }
  });

  it("takes a class file of one's own in the same folders", async () => {
    await eleven('train', '1', [0, 1, 1]);
    await space.put('c/classes.yaml', 'classes: [whole, broken]');
    const { classes } = await openCamvid(space.path('c'), 'train');
    expect(classes.map(({ name }) => name)).toEqual(['whole', 'broken']);
  });

  it('reads a split without labels, and says which splits there are', async () => {
    await eleven('val', '1', [0]);
    await space.put('c/train/2.png', rgb(1, 1));
    const train = await openCamvid(space.path('c'), 'train');
    expect([train.samples[0]!.label, train.classes]).toEqual([undefined, CAMVID_11.classes]);
    expect(await failure(openCamvid(space.path('c'), 'test'))).toMatch(
      /test: not found; .*\(there is val\)$/,
    );
  });
});
