// COCO's labels as PNGs: stuff by category ids, panoptic segments by each image's own ids.
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { checkDataset } from '../../src/check.js';
import { availableSplits, detectLayout, openDataset } from '../../src/open.js';
import { classStatistics } from '../../src/statistics.js';
import { colored, failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();
const open = (split: string, labels?: 'required' | 'none', root = space.root) =>
  openDataset({ format: 'coco', root, split, labels });

describe('stuff', () => {
  it('reads stuffthingmaps: the category id less 1', async () => {
    await space.put('images/train2017/000000000009.jpg', rgb(4, 1));
    await space.put('stuffthingmaps/train2017/000000000009.png', grey(4, 1, [0, 2, 181, 255]));
    await space.put('stuffthingmaps/train2017/000000000009_labelTrainIds.png', grey(4, 1, [0, 2, 170, 255]));
    expect(await detectLayout(space.root)).toEqual({
      format: 'coco',
      why: 'images/train2017/ and labels as stuffthingmaps',
    });
    const set = await open('train', 'required');
    expect(set.classes).toHaveLength(171);
    const trainIds = [...(await set.readLabel(0)).data];
    expect(trainIds.slice(0, 3).map((id) => [set.classes[id]!.name, set.classes[id]!.kind])).toEqual([
      ['person', 'thing'],
      ['car', 'thing'],
      ['wood', 'stuff'],
    ]);
    expect(trainIds[3]).toBe(255);
    await space.put('stuffthingmaps/train2017/000000000009.png', grey(4, 1, [0, 11, 182, 255]));
    expect(await failure(set.readLabel(0))).toMatch(/11 \(1 pixel\), 182 \(1 pixel\)/);
  });

  it('reads pixelmaps of the stuff challenge: the category id', async () => {
    await space.put('val2017/1.jpg', rgb(4, 1));
    await space.put('annotations/stuff_val2017_pixelmaps/1.png', grey(4, 1, [0, 92, 149, 183]));
    const set = await open('val');
    const trainIds = [...(await set.readLabel(0)).data];
    expect(trainIds[0]).toBe(255);
    expect(trainIds.slice(1).map((id) => set.classes[id]!.name)).toEqual(['banner', 'road', 'other']);
  });

  it('names what is missing where there are polygons alone', async () => {
    await space.put('train2017/1.jpg', rgb(4, 1));
    await space.put('annotations/instances_train2017.json', '{}');
    expect((await detectLayout(space.root)).why).toBe('train2017/ and no labels as PNGs');
    expect((await open('train')).samples[0]!.label).toBeUndefined();
    expect(await failure(open('train', 'required'))).toMatch(
      /stuffthingmaps.train2017: not found \(annotations\/instances_train2017\.json alone is not read\)/,
    );
    expect(await failure(open('val'))).toMatch(/images.val2017: not found/);
  });
});

describe('panoptic', () => {
  const id = (red: number, green: number, blue: number) => red + 256 * green + 65536 * blue;
  const segment = (id: number, category_id: number, iscrowd = 0) => ({ id, category_id, iscrowd, area: 1 });
  const json = (more: object = {}) =>
    JSON.stringify({
      info: { description: 'made up' },
      images: [
        { id: 5, file_name: 'a.jpg', height: 1, width: 4 },
        { id: 6, file_name: 'b.jpg', height: 1, width: 4 },
      ],
      annotations: [
        { image_id: 5, file_name: 'a.png', segments_info: [segment(id(1, 2, 3), 200), segment(9, 1)] },
        { image_id: 6, file_name: 'b.png', segments_info: [segment(id(1, 2, 3), 1, 1), segment(9, 1)] },
      ],
      categories: [
        { id: 200, name: 'rug-merged', color: [250, 141, 255], isthing: 0 },
        { id: 1, name: 'person', color: [220, 20, 60], isthing: 1 },
      ],
      ...more,
    });
  const files = async (root = '') => {
    for (const name of ['a', 'b']) {
      await space.put(`${root}images/train2017/${name}.jpg`, rgb(4, 1));
      const pixels = colored(4, 1, [0, 0x010203, 0x090000, 0x090000]);
      await space.put(`${root}annotations/panoptic_train2017/${name}.png`, pixels);
    }
    await space.put(`${root}annotations/panoptic_train2017.json`, json());
  };

  it("reads each image's segments by its own ids", async () => {
    await files();
    expect((await detectLayout(space.root)).why).toBe('images/train2017/ and labels as panoptic');
    expect(await availableSplits('coco', space.root)).toEqual(['train']);
    const set = await open('train', 'required');
    expect(set.classes).toEqual([
      { trainId: 0, labelId: 1, name: 'person', color: [220, 20, 60], kind: 'thing' },
      { trainId: 1, labelId: 200, name: 'rug-merged', color: [250, 141, 255], kind: 'stuff' },
    ]);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 1, 0, 0]);
    expect([...(await set.readLabel(1)).data]).toEqual([255, 0, 0, 0]);
    expect(await classStatistics(set)).toMatchObject({
      counts: [
        [2, 1],
        [3, 0],
      ],
      ignored: [1, 1],
    });
    const target = await open('train', 'none');
    expect([target.classes, target.samples.map(({ label }) => label)]).toEqual([
      set.classes,
      [undefined, undefined],
    ]);
  });

  it('reports segments and files that the JSON does not know', async () => {
    await files();
    await space.put('annotations/panoptic_train2017/c.png', colored(4, 1, [0, 0, 0, 0]));
    await space.put('annotations/panoptic_train2017/b.png', colored(4, 1, [0, 0, 0, 0x000001]));
    const { faults } = await checkDataset({ format: 'coco', root: space.root });
    expect(faults.map(({ message }) => message)).toEqual([
      expect.stringMatching(/c\.png: .*panoptic_train2017\.json has no annotation of it/),
      expect.stringMatching(/b\.png: .*#000001 \(1 pixel\)/),
    ]);
    const broken = { annotations: [{ image_id: 5, file_name: 'a.png', segments_info: [segment(1, 7)] }] };
    await space.put('annotations/panoptic_train2017.json', json(broken));
    expect(await failure(open('train'))).toMatch(/the category 7, which is not listed/);
    await space.put('annotations/panoptic_train2017.json', json({ annotations: [{ id: 1 }] }));
    expect(await failure(open('train'))).toMatch(
      /an annotation: image_id .*panoptic annotations are expected/,
    );
    await space.put('annotations/panoptic_train2017.json', json({ categories: [] }));
    expect(await failure(open('train'))).toMatch(/no list 'categories'/);
  });

  it('are read as tools export them, by folders without a year', async () => {
    await space.put('images/default/a.jpg', rgb(4, 1));
    await space.put('annotations/panoptic_default/a.png', colored(4, 1, [0, 0x010203, 0x090000, 0]));
    await space.put('annotations/panoptic_default.json', json());
    expect(await detectLayout(space.root)).toEqual({
      format: 'coco',
      why: 'images/default/ and labels as panoptic',
    });
    expect(await availableSplits('coco', space.root)).toEqual(['all']);
    expect([...(await (await open('all', 'required')).readLabel(0)).data]).toEqual([255, 1, 0, 255]);
    expect(await failure(open('rest'))).toMatch(/has no split 'rest'; it has all/);
  });

  it('needs the JSON, and is copied with it', async () => {
    await files('set/');
    const set = await open('train', 'required', space.path('set'));
    await cacheDataset(set, space.path('copy'));
    const copy = await open('train', 'required', space.path('copy'));
    expect(await copy.readLabel(0)).toEqual(await set.readLabel(0));
    await space.put('images/train2017/a.jpg', rgb(4, 1));
    await space.put('panoptic_train2017/a.png', colored(4, 1, [0, 0, 0, 0]));
    expect(await failure(open('train'))).toMatch(
      /panoptic_train2017\.json: not found, but it says which class/,
    );
  });
});
