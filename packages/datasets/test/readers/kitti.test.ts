// KITTI and IDD: Cityscapes' labels under other names.
import { describe, expect, it } from 'vitest';
import { availableSplits, detectLayout, openDataset } from '../../src/open.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

describe('kitti', () => {
  const open = (split: string, labels?: 'required') =>
    openDataset({ format: 'kitti', root: space.root, split, labels });

  it('reads label ids, and splits by lists of names', async () => {
    for (const id of ['000000_10', '000001_10']) {
      await space.put(`training/image_2/${id}.png`, rgb(3, 1));
      await space.put(`training/semantic/${id}.png`, grey(3, 1, [7, 26, 4]));
    }
    await space.put('testing/image_2/000000_10.png', rgb(3, 1));
    expect(await detectLayout(space.root)).toEqual({
      format: 'kitti',
      why: 'training/image_2/ and training/semantic/',
    });
    expect(await availableSplits('kitti', space.root)).toEqual(['train', 'test']);
    const set = await open('train');
    expect(set.samples).toHaveLength(2);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 13, 255]);
    expect((await open('test')).samples[0]!.label).toBeUndefined();
    expect(await failure(open('val'))).toMatch(/val\.txt: not found; KITTI has no split 'val'/);
    await space.put('val.txt', '000001_10\n');
    expect((await open('val')).samples.map(({ id }) => id)).toEqual(['000001_10']);
  });

  it('is a target without its labels, and not a source', async () => {
    await space.put('training/image_2/1.png', rgb(3, 1));
    expect((await detectLayout(space.root)).why).toBe('training/image_2/');
    expect((await open('train')).samples).toHaveLength(1);
    expect(await failure(open('train', 'required'))).toMatch(/training.semantic: not found/);
  });
});

describe('idd', () => {
  const open = (split: string, labels?: 'required') =>
    openDataset({ format: 'idd', root: space.root, split, labels });
  const gt = (end: string) => `gtFine/train/0/000001_gtFine_${end}`;

  it("reads labels of Cityscapes' classes before labels of level 3", async () => {
    await space.put('leftImg8bit/train/0/000001_leftImg8bit.jpg', rgb(3, 1));
    await space.put(gt('polygons.json'), '{}');
    await space.put(gt('labellevel3Ids.png'), grey(3, 1, [0, 25, 255]));
    expect((await detectLayout(space.root)).why).toMatch(/gtFine\/ with \*_gtFine_labellevel3Ids\.png/);
    const level3 = await open('train');
    expect([level3.classes.length, level3.classes[25]!.name]).toEqual([26, 'sky']);
    expect([...(await level3.readLabel(0)).data]).toEqual([0, 25, 255]);
    await space.put(gt('labelcsTrainIds.png'), grey(3, 1, [0, 18, 255]));
    const set = await open('train', 'required');
    expect([set.classes.length, set.classes[18]!.name]).toEqual([19, 'bicycle']);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 18, 255]);
  });

  it('says how polygons become labels', async () => {
    await space.put('leftImg8bit/train/0/000001_leftImg8bit.png', rgb(3, 1));
    await space.put(gt('polygons.json'), '{}');
    expect((await open('train')).samples[0]!.label).toBeUndefined();
    expect(await failure(open('train', 'required'))).toMatch(/only polygons here .*createLabels\.py/);
    // Nothing tells it from Cityscapes then.
    expect((await detectLayout(space.root)).format).toBe('cityscapes');
  });
});
