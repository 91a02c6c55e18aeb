// The reader of Cityscapes on tiny folders, good and damaged.
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { CITYSCAPES_LABEL_TO_TRAIN_ID } from '../../src/classes/cityscapes.js';
import { openCityscapes } from '../../src/readers/cityscapes.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

describe('Cityscapes', () => {
  async function pair(split: string, id: string, labelled = true): Promise<void> {
    await space.put(`leftImg8bit/${split}/${id}_leftImg8bit.png`, rgb(3, 1));
    if (labelled) await space.put(`gtFine/${split}/${id}_gtFine_labelIds.png`, grey(3, 1, [1, 26, 255]));
  }

  it('lists cities in order and maps label ids', async () => {
    await pair('val', 'munster/munster_000001_000019');
    await pair('val', 'frankfurt/frankfurt_000000_000294');
    await space.put('gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_color.png', rgb(3, 1));
    const set = await openCityscapes(space.root, 'val');
    expect(set.samples.map((s) => s.id)).toEqual([
      'frankfurt/frankfurt_000000_000294',
      'munster/munster_000001_000019',
    ]);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 13, 255]);
    expect((await set.readImage(1)).width).toBe(3);
  });

  it('opens an unlabelled split, but not where labels are needed', async () => {
    await pair('train', 'ulm/ulm_000000_000019', false);
    const set = await openCityscapes(space.root, 'train');
    expect(set.samples[0]).not.toHaveProperty('label');
    expect(await failure(set.readLabel(0))).toMatch(/ulm_000000_000019 of cityscapes train has no label/);
    await pair('val', 'lindau/lindau_000000_000019', false);
    expect(await failure(openCityscapes(space.root, 'val', { labels: 'required' }))).toMatch(
      /gtFine.val: not found/,
    );
  });

  it('says of polygons alone what draws the labels', async () => {
    await pair('train', 'ulm/ulm_000000_000019', false);
    await space.put('gtFine/train/ulm/ulm_000000_000019_gtFine_polygons.json', '{}');
    expect(await failure(openCityscapes(space.root, 'train'))).toMatch(
      /gtFine.train: no files .*createTrainIdLabelImgs/,
    );
    expect((await openCityscapes(space.root, 'train', { labels: 'none' })).samples).toHaveLength(1);
  });

  it('reads trainIds where there are no label ids', async () => {
    await pair('train', 'ulm/ulm_000000_000019', false);
    await space.put('gtFine/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png', grey(3, 1, [0, 18, 255]));
    const set = await openCityscapes(space.root, 'train');
    expect([...(await set.readLabel(0)).data]).toEqual([0, 18, 255]);
    expect(set.classes[18]!.labelId).toBe(18);
  });

  it('names a missing partner in a split that has labels', async () => {
    await pair('train', 'ulm/ulm_000000_000019');
    await pair('train', 'ulm/ulm_000001_000019', false);
    expect(await failure(openCityscapes(space.root, 'train'))).toMatch(
      /ulm_000001_000019_leftImg8bit\.png: no label .*ulm_000001_000019_gtFine_labelIds\.png is missing/,
    );
  });

  it('refuses the palette index 34, which only GTA5 has', async () => {
    await pair('val', 'a/a_0_0');
    await space.put('gtFine/val/a/a_0_0_gtFine_labelIds.png', grey(3, 1, [7, 34, 7]));
    const set = await openCityscapes(space.root, 'val');
    expect(await failure(set.readLabel(0))).toMatch(/34 \(1 pixel\)/);
  });

  it('decodes what libvips wrote the same as what fast-png wrote', async () => {
    const values = Uint8Array.from({ length: 34 }, (_, i) => i);
    await space.put('leftImg8bit/val/a/a_leftImg8bit.png', rgb(34, 1));
    const file = await space.put('gtFine/val/a/a_gtFine_labelIds.png', '');
    await sharp(values, { raw: { width: 34, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(file);
    const set = await openCityscapes(space.root, 'val');
    expect((await set.readLabel(0)).data).toEqual(CITYSCAPES_LABEL_TO_TRAIN_ID.slice(0, 34));
  });
});
