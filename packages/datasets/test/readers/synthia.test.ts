// The reader of SYNTHIA on tiny folders.
import { describe, expect, it } from 'vitest';
import { CITYSCAPES_CLASSES } from '../../src/classes/cityscapes.js';
import { openSynthia } from '../../src/readers/synthia.js';
import { SYNTHIA_LABEL_TO_TRAIN_ID } from '../../src/readers/synthia-subsets.js';
import { failure, grey, rgb, Workspace, wide } from '../support/files.js';

const space = new Workspace();

const ids = (set: { samples: readonly { id: string }[] }) => set.samples.map(({ id }) => id);

describe('SYNTHIA', () => {
  it('maps its label ids to the classes of the same meaning', () => {
    const named = (labelId: number) =>
      CITYSCAPES_CLASSES[SYNTHIA_LABEL_TO_TRAIN_ID[labelId]!]?.name ?? SYNTHIA_LABEL_TO_TRAIN_ID[labelId];
    expect(Array.from({ length: 24 }, (_, id) => named(id))).toEqual([
      255,
      ...['sky', 'building', 'road', 'sidewalk', 'fence', 'vegetation', 'pole', 'car', 'traffic sign'],
      ...['person', 'bicycle', 'motorcycle', 255, 255, 'traffic light', 'terrain', 'rider', 'truck', 'bus'],
      ...['train', 'wall', 255, 254],
    ]);
  });

  it('reads the first channel of 16-bit labels', async () => {
    await space.put('RGB/0000000.png', rgb(4, 2));
    await space.put('GT/LABELS/0000000.png', wide(4, 2, [0, 1, 2, 3, 8, 22, 12, 21]));
    await space.put('GT/LABELS/0000000_labelTrainIds.png', grey(4, 2, new Uint8Array(8)));
    const set = await openSynthia(space.root);
    expect(ids(set)).toEqual(['0000000']);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 10, 2, 0, 13, 255, 17, 3]);
    expect(set.classes.map(({ trainId }) => trainId)).toEqual([...Array(19).keys()]);
  });

  it('refuses 8-bit labels and values beyond 22, with their counts', async () => {
    await space.put('RGB/1.png', rgb(2, 1));
    await space.put('RGB/2.png', rgb(2, 1));
    await space.put('GT/LABELS/1.png', grey(2, 1, [1, 2]));
    await space.put('GT/LABELS/2.png', wide(2, 1, [23, 300]));
    const set = await openSynthia(space.root);
    expect(await failure(set.readLabel(0))).toMatch(/1\.png: .*16 bits a channel.* 1 of 8 bits/);
    expect(await failure(set.readLabel(1))).toMatch(/2\.png: .*23 \(1 pixel\), 300 \(1 pixel\)/);
  });

  it('takes a split from a list', async () => {
    for (const id of ['1', '2', '3']) {
      await space.put(`RGB/${id}.png`, rgb(1, 1));
      await space.put(`GT/LABELS/${id}.png`, wide(1, 1, [1]));
    }
    await space.put('val.txt', '# held out\n3.png\r\n\n1\n');
    expect(ids(await openSynthia(space.root, { split: 'val' }))).toEqual(['1', '3']);
    expect(await failure(openSynthia(space.root, { split: 'test' }))).toMatch(/put a test\.txt here/);
    await space.put('test.txt', '7\n');
    expect(await failure(openSynthia(space.root, { split: 'test' }))).toMatch(/7\.png: not found.*'7'/);
  });
});
