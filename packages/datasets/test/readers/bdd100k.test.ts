// The reader of BDD100K on tiny folders.
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { detectFormat } from '../../src/open.js';
import { openBdd100k } from '../../src/readers/bdd100k.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

describe('BDD100K', () => {
  it('pairs JPEG images with masks of trainIds', async () => {
    const jpeg = await sharp({ create: { width: 2, height: 1, channels: 3, background: '#808080' } })
      .jpeg()
      .toBuffer();
    await space.put('images/10k/val/7d2f-1.jpg', jpeg);
    await space.put('labels/sem_seg/masks/val/7d2f-1.png', grey(2, 1, [18, 255]));
    const set = await openBdd100k(space.root, 'val');
    expect([...(await set.readLabel(0)).data]).toEqual([18, 255]);
    expect((await set.readImage(0)).data[0]).toBe(128);
    await space.put('labels/sem_seg/masks/val/7d2f-1.png', grey(2, 1, [19, 19]));
    expect(await failure(set.readLabel(0))).toMatch(/19 \(2 pixels\)/);
  });

  it('reads the earlier release', async () => {
    await space.put('seg/images/train/a.jpg', rgb(1, 1));
    await space.put('seg/labels/train/a_train_id.png', grey(1, 1, [3]));
    const set = await openBdd100k(space.root, 'train');
    expect([...(await set.readLabel(0)).data]).toEqual([3]);
    expect(await detectFormat(space.root)).toBe('bdd100k');
  });
});
