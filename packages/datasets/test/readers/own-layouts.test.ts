// Folders of one's own data as people have them: other names, masks with suffixes, exports, photos alone.
import { describe, expect, it } from 'vitest';
import { checkDataset } from '../../src/check.js';
import { detectFormat, openDataset } from '../../src/open.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

async function pair(image: string, label: string, values = [0, 1, 2, 255]): Promise<void> {
  await space.put(image, rgb(4, 1));
  await space.put(label, grey(4, 1, values));
}

describe('own layouts', () => {
  it.each([
    ['images/train/sub/a.png', 'labels/train/sub/a.png'],
    ['imgs/training/sub/a.png', 'annotations/training/sub/a.png'],
    ['train/images/sub/a.png', 'train/masks/sub/a.png'],
    ['train/img/sub/a.png', 'train/label/sub/a.png'],
    ['train/sub/a.png', 'train_labels/sub/a.png'],
  ])('reads %s with %s', async (image, label) => {
    await pair(image, label);
    expect(await detectFormat(space.root)).toBe('folder');
    const set = await openDataset({ format: 'folder', root: space.root });
    expect([set.split, set.samples.map(({ id }) => id), set.classes.length]).toEqual(['train', ['sub/a'], 3]);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 2, 255]);
  });

  it('takes labels that are pictures before texts of the same names', async () => {
    await pair('images/train/a.png', 'labels/train/a.png');
    await space.put('masks/train/a.txt', '0 0.5 0.5 1 1');
    const { samples } = await openDataset({ format: 'folder', root: space.root });
    expect(samples[0]!.label).toBe(space.path('labels/train/a.png'));
  });

  it('pairs masks whose names have a suffix, and says so', async () => {
    for (const id of ['a', 'b']) {
      await pair(`images/${id}.jpg`, `masks/${id}_mask.png`);
      await space.put(`masks/${id}_color.png`, rgb(4, 1));
    }
    const notes: string[] = [];
    const set = await openDataset({ format: 'folder', root: space.root, onNote: (note) => notes.push(note) });
    expect(set.samples.map(({ id, label }) => [id, label])).toEqual([
      ['a', space.path('masks/a_mask.png')],
      ['b', space.path('masks/b_mask.png')],
    ]);
    expect(set.classes).toHaveLength(3);
    expect(notes).toEqual([
      expect.stringMatching(
        /masks are named as their images, with _mask behind; 2 without it are passed over/,
      ),
    ]);
  });

  it('reads images and masks that lie together, and takes no mask for a photo', async () => {
    for (const id of ['1/a', '1/b']) await pair(`${id}.jpg`, `${id}_mask.png`);
    expect(await detectFormat(space.root)).toBe('folder');
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    const set = await openDataset({ format: 'folder', root: space.root, labels: 'required', onNote });
    expect(notes).toEqual([expect.stringMatching(/masks are named as their images, with _mask behind$/)]);
    expect(set.samples.map(({ id, label }) => [id, label])).toEqual([
      ['1/a', space.path('1/a_mask.png')],
      ['1/b', space.path('1/b_mask.png')],
    ]);
    expect(set.classes).toHaveLength(3);
  });

  it('says of values that are counted from 1 what they look like', async () => {
    await pair('images/train/a.png', 'masks/train/a.png', [1, 2, 3, 3]);
    await space.put('classes.yaml', 'classes: [a, b, c]');
    const { faults } = await checkDataset({ format: 'folder', root: space.root });
    expect(faults[0]!.message).toMatch(
      /define: 3 \(2 pixels\); 0 does not occur: are the 3 classes counted from 1\?/,
    );
  });

  it("reads labelme's PNG files and names, not its arrays", async () => {
    await pair('JPEGImages/a.png', 'SegmentationClassPNG/a.png', [0, 1, 2, 2]);
    await space.put('SegmentationClass/a.npy', 'NUMPY');
    await space.put('class_names.txt', '__ignore__\n_background_\ncat\ndog\n');
    const { dataset, faults } = await checkDataset({
      format: await detectFormat(space.root),
      root: space.root,
    });
    expect(faults).toEqual([]);
    expect(dataset!.classes.map(({ name }) => name)).toEqual(['_background_', 'cat', 'dog']);
  });

  it('refuses arrays alone with what to take instead', async () => {
    await space.put('JPEGImages/a.png', rgb(4, 1));
    await space.put('SegmentationClass/a.npy', 'NUMPY');
    expect(await failure(openDataset({ format: 'folder', root: space.root }))).toMatch(
      /SegmentationClassPNG/,
    );
  });

  it('does not count values that are far apart as classes', async () => {
    await pair('images/train/a.png', 'masks/train/a.png', [0, 100, 200, 255]);
    expect(await failure(openDataset({ format: 'folder', root: space.root }))).toMatch(
      /hold the values 0, 100, 200, too far apart .*classes\.yaml/,
    );
  });

  it('says of masks that cannot be read why, and not that they show no class', async () => {
    await space.put('images/train/a.png', rgb(4, 1));
    await space.put('masks/train/a.png', rgb(4, 1, [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    const { faults } = await checkDataset({ format: 'folder', root: space.root });
    expect(faults[0]!.message).toMatch(/masks.train.a\.png: .*one 8-bit channel/);
  });
});

describe('who reads labels', () => {
  const open = (labels?: 'required' | 'none') =>
    openDataset({ format: 'folder', root: space.root, split: 'train', labels });

  it('decides which images there are', async () => {
    await pair('images/train/a.png', 'masks/train/a.png');
    await space.put('images/train/b.png', rgb(4, 1));
    await space.put('masks/train/c.png', grey(4, 1, [0, 1, 2, 3]));
    expect((await open('none')).samples).toEqual(
      ['a', 'b'].map((id) => ({ id, image: space.path(`images/train/${id}.png`) })),
    );
    expect(await failure(open('required'))).toMatch(/b\.png: no label for this image/);
  });

  it('lets a split have none where its use is not known, and not where labels are trained on', async () => {
    await space.put('images/train/a.png', rgb(4, 1));
    await space.put('classes.yaml', 'classes: [a, b]');
    expect((await open()).samples).toHaveLength(1);
    expect(await failure(open('required'))).toMatch(/masks.train: not found; the labels of 'train'/);
  });

  it('opens photos with the classes that are given', async () => {
    await space.put('monday/a.jpg', rgb(4, 1));
    const defaultClasses = {
      classes: [{ trainId: 0, labelId: 0, name: 'x', color: [0, 0, 0], kind: 'stuff' }],
      labelCoding: { kind: 'values', table: new Uint8Array(256) },
    } as const;
    const set = await openDataset({ format: 'photos', root: space.root, labels: 'none', defaultClasses });
    expect([set.samples.map(({ id }) => id), set.classes[0]!.name]).toEqual([['monday/a'], 'x']);
    expect(await failure(openDataset({ format: 'photos', root: space.root, labels: 'required' }))).toMatch(
      /without labels/,
    );
  });
});
