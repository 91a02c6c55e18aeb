// Your own data: plain folders, colour masks and CVAT's export.
import { rm } from 'node:fs/promises';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { readCvatLabelMap } from '../../src/classes/class-file.js';
import { openDataset } from '../../src/open.js';
import { openFolder } from '../../src/readers/folder.js';
import { colored, failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const classFile = (text: string) => space.put('classes.yaml', text);

describe('folder', () => {
  async function pair(split: string, id: string, values: number[]): Promise<void> {
    await space.put(`images/${split}/${id}.png`, rgb(values.length, 1));
    await space.put(`masks/${split}/${id}.png`, grey(values.length, 1, values));
  }

  it('finds the number of classes in the masks of all splits', async () => {
    await pair('train', 'a', [0, 1, 255]);
    await pair('val', 'more/b', [6, 255]);
    for (const split of ['train', 'val']) {
      const set = await openFolder(space.root, split);
      expect(set.classes.map(({ name }) => name)).toEqual(Array.from({ length: 7 }, (_, i) => `class${i}`));
    }
    const set = await openFolder(space.root, 'val');
    expect(set.samples.map(({ id }) => id)).toEqual(['more/b']);
    expect([...(await set.readLabel(0)).data]).toEqual([6, 255]);
  });

  it('keeps the values of masks as they are: nothing is shifted', async () => {
    await classFile('classes: [sky, tree, house]');
    await pair('train', 'a', [0, 1, 2, 255]);
    const set = await openFolder(space.root, 'train');
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 2, 255]);
    await pair('train', 'a', [0, 3, 3]);
    expect(await failure((await openFolder(space.root, 'train')).readLabel(0))).toMatch(
      /a\.png: .*3 \(2 pixels\)/,
    );
  });

  it('asks whether masks of 0 and 255 were meant', async () => {
    await pair('train', 'a', [0, 255]);
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/one class only, 0, besides 255 = ignore/);
    await pair('train', 'a', [255, 255]);
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/no class, besides 255/);
  });

  it('reads unlabelled images with the classes of other data', async () => {
    await space.put('images/train/a.JPG', rgb(2, 1));
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/neither masks nor a list of classes/);
    const classes = [{ trainId: 0, labelId: 40, name: 'x', color: [1, 2, 3], kind: 'stuff' }] as const;
    const set = await openFolder(space.root, 'train', { classes });
    expect(set.samples[0]).not.toHaveProperty('label');
    expect(set.classes.map(({ name, labelId }) => [name, labelId])).toEqual([['x', 0]]);
    await space.put('images/val/b.png', rgb(2, 1));
    expect(await failure(openFolder(space.root, 'val', { classes, labels: 'required' }))).toMatch(
      /masks.val: not found/,
    );
  });

  it('takes splits from lists where the folders have none', async () => {
    await classFile('classes: [a, b]');
    for (const id of ['x', 'y', 'z']) {
      await space.put(`images/${id}.webp`, rgb(1, 1));
      await space.put(`masks/${id}.png`, grey(1, 1, [1]));
    }
    expect(await failure(openFolder(space.root, 'train'))).toMatch(
      /images.train: not found, and no list .*train\.txt/,
    );
    await space.put('train.txt', 'x.webp\nz');
    expect((await openFolder(space.root, 'train')).samples.map(({ id }) => id)).toEqual(['x', 'z']);
    await space.put('empty.txt', '\n');
    expect(await failure(openFolder(space.root, 'empty'))).toMatch(/empty\.txt: names no sample/);
    expect((await openFolder(space.root, 'all')).samples).toHaveLength(3);
  });

  it('names two images of one name, a missing mask and an empty folder', async () => {
    await classFile('classes: [a, b]');
    await pair('train', 'x', [1]);
    await space.put('images/train/x.jpg', rgb(1, 1));
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/x\.png: .*x\.jpg has the same name/);
    await rm(space.path('images/train/x.jpg'));
    await space.put('images/train/y.png', rgb(1, 1));
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/y\.png: no label for this image/);
    await rm(space.path('images/train'), { recursive: true });
    await space.put('images/train/notes.md', '');
    expect(await failure(openFolder(space.root, 'train'))).toMatch(/images.train: no images here/);
  });

  it('reads colour masks: RGB, RGBA or palette', async () => {
    await classFile(
      "masks: colors\nclasses: [{ name: a, color: '#ff0000' }, { name: b, color: '#0000ff' }]\nignore: ['#000000']",
    );
    const [red, blue, black] = [0xff0000, 0x0000ff, 0];
    await space.put('images/train/1.png', rgb(3, 1));
    await space.put('images/train/2.png', rgb(3, 1));
    await space.put('images/train/3.png', rgb(3, 1));
    await space.put('images/train/4.png', rgb(3, 1));
    await space.put('masks/train/1.png', colored(3, 1, [blue, red, black]));
    const palette = [
      [0, 0, 255],
      [255, 0, 0],
      [0, 0, 0],
    ];
    await space.put(
      'masks/train/2.png',
      encode({ width: 3, height: 1, data: Uint8Array.from([0, 1, 2]), channels: 1, palette }),
    );
    await space.put('masks/train/3.png', colored(3, 1, [blue, 0x00ff00, 0x00ff00]));
    await space.put('masks/train/4.png', grey(3, 1, [0, 1, 2]));
    const set = await openDataset({ format: 'folder', root: space.root });
    expect([...(await set.readLabel(0)).data]).toEqual([1, 0, 255]);
    expect([...(await set.readLabel(1)).data]).toEqual([1, 0, 255]);
    expect(await failure(set.readLabel(2))).toMatch(/3\.png: label colours .*#00ff00 \(2 pixels\)/);
    expect(await failure(set.readLabel(3))).toMatch(
      /4\.png: .*#010101 \(1 pixel\).*greys, as ids are: a mask of ids needs classes without colours/,
    );
  });
});

describe('CVAT', () => {
  it('reads a label map, background included', async () => {
    const file = await space.put(
      'labelmap.txt',
      '# label:color_rgb:parts:actions\nbackground:0,0,0::\r\nroad:128,64,128::\n',
    );
    const { classes, labelCoding } = await readCvatLabelMap(file);
    expect(classes.map(({ name, color }) => [name, ...color])).toEqual([
      ['background', 0, 0, 0],
      ['road', 128, 64, 128],
    ]);
    expect(labelCoding).toEqual({
      kind: 'colors',
      colors: Uint32Array.from([0, 0x804080]),
      trainIds: Uint8Array.from([0, 1]),
    });
    for (const [line, expected] of [
      ['road', /line 1 'road' is not of the form/],
      ['road:1,2,300::', /line 1/],
      ['# nothing', /lists no class/],
      ['a:1,1,1::\nb:1,1,1::', /given to both 'a' and 'b'/],
    ] as const) {
      expect(await failure(readCvatLabelMap(await space.put('labelmap.txt', line)))).toMatch(expected);
    }
  });

  it('reads an export, whose lists are its subsets', async () => {
    await space.put('labelmap.txt', 'background:0,0,0::\nroad:128,64,128::\n');
    for (const id of ['a', 'sub/b']) {
      await space.put(`JPEGImages/${id}.png`, rgb(2, 1));
      await space.put(`SegmentationClass/${id}.png`, colored(2, 1, [0x804080, 0]));
    }
    await space.put('SegmentationObject/a.png', colored(2, 1, [5, 6]));
    await space.put('ImageSets/Segmentation/default.txt', 'a\nsub/b\n');
    const set = await openFolder(space.root, 'train');
    expect(set.samples.map(({ id }) => id)).toEqual(['a', 'sub/b']);
    expect([...(await set.readLabel(1)).data]).toEqual([1, 0]);
    await space.put('ImageSets/Segmentation/Validation.txt', 'sub/b\n');
    expect((await openFolder(space.root, 'val')).samples.map(({ id }) => id)).toEqual(['sub/b']);
    await rm(space.path('ImageSets/Segmentation/default.txt'));
    expect(await failure(openFolder(space.root, 'train'))).toMatch(
      /no list train\.txt; it has Validation\.txt/,
    );
    // A class file in its place decides about the background.
    await classFile("masks: colors\nclasses: [{ name: road, color: [128, 64, 128] }]\nignore: ['#000000']");
    expect([...(await (await openFolder(space.root, 'val')).readLabel(0)).data]).toEqual([0, 255]);
  });
});
