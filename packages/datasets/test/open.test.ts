// Opening by name: formats, splits, faults that do not stop it; and coding in another thread.
import { symlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { decodeLabel } from '../src/labels/decode.js';
import { availableSplits, describeLayout, detectFormat, detectLayout, openDataset } from '../src/open.js';
import { openSynthia } from '../src/readers/synthia.js';
import { failure, grey, indexed, rgb, Workspace, wide } from './support/files.js';

const space = new Workspace();

const ids = (set: { samples: readonly { id: string }[] }) => set.samples.map(({ id }) => id);

describe('opening by name', () => {
  it('tells each format from its folders, and its splits', async () => {
    const layouts: [string, string[], string[]][] = [
      ['cityscapes', ['leftImg8bit/val/a/b_leftImg8bit.png'], ['val']],
      [
        'acdc',
        ['rgb_anon/fog/train/a/b_rgb_anon.png', 'rgb_anon/fog/val/a/b_rgb_anon.png'],
        ['train', 'val'],
      ],
      ['acdc', ['rgb_anon/train/snow/a/b_rgb_anon.png'], ['train']],
      ['dark-zurich', ['rgb_anon/val/night/a/b_rgb_anon.png'], ['val']],
      ['synthia', ['RGB/a.png'], ['all']],
      ['bdd100k', ['images/10k/test/a.jpg'], ['test']],
      ['folder', ['train/images/a.png', 'train/masks/a.png', 'valid/images/a.png'], ['train', 'val']],
      ['folder', ['train/a.png', 'train_labels/a.png', 'test/a.png'], ['train', 'test']],
      ['photos', ['a.jpg', 'monday/b.jpg'], ['all']],
      ['photos', ['monday/b.jpg'], ['all']],
      ['folder', ['images/train/a.png'], ['train']],
      ['folder', ['images/a.png', 'val.txt'], ['val']],
      ['folder', ['SegmentationClass/a.png', 'ImageSets/Segmentation/train.txt'], ['train']],
    ];
    for (const [index, [format, files, splits]] of layouts.entries()) {
      for (const file of files) await space.put(`${index}/${file}`, '');
      expect(await detectFormat(space.path(`${index}`))).toBe(format);
      expect(await availableSplits(format as 'gta5', space.path(`${index}`))).toEqual(splits);
    }
    expect(await failure(detectFormat(space.root))).toMatch(
      /no images in a known layout: .*name the folder of one data set, such as .*0 \(cityscapes: leftImg8bit/,
    );
  });

  it('takes images and labels for GTA5 where the labels show it, and not by the names of folders', async () => {
    const taken = async (name: string) => detectLayout(space.path(name));
    const pair = async (root: string, id: string, label: Uint8Array) => {
      await space.put(`${root}/images/${id}.png`, rgb(4, 1));
      await space.put(`${root}/labels/${id}.png`, label);
    };
    await pair('palette', 'any', indexed(4, 1, [7, 7, 8, 11]));
    expect(await taken('palette')).toEqual({ format: 'gta5', why: expect.stringMatching(/palette/) });
    await pair('ids', '00001', grey(4, 1, [7, 21, 23, 26]));
    expect(await taken('ids')).toEqual({
      format: 'gta5',
      why: expect.stringMatching(/values up to 26, as of label ids/),
    });
    await pair('eleven', '00001', grey(4, 1, [0, 7, 8, 10]));
    expect(await taken('eleven')).toEqual({
      format: 'folder',
      why: expect.stringMatching(/not gta5, as labels of values up to 10/),
    });
    await pair('listed', '00001', indexed(4, 1, [7, 7, 8, 11]));
    await space.put('listed/classes.yaml', 'classes: [a, b]');
    expect(await taken('listed')).toEqual({
      format: 'folder',
      why: expect.stringMatching(/classes.yaml lists the classes/),
    });
    await pair('split', 'train/00001', indexed(4, 1, [7, 7, 8, 11]));
    expect(await taken('split')).toEqual({
      format: 'folder',
      why: expect.stringMatching(/a folder for each split/),
    });
    await pair('colours', '00001', rgb(4, 1));
    expect(await taken('colours')).toEqual({
      format: 'folder',
      why: expect.stringMatching(/has 3 channels/),
    });
    expect(await describeLayout('gta5', space.path('eleven'))).toMatch(/^gta5 in .*eleven \(as asked for/);
  });

  it('opens what one trains on by default', async () => {
    await space.put('images/1.png', rgb(1, 1));
    await space.put('labels/1.png', grey(1, 1, [7]));
    expect((await openDataset({ format: 'gta5', root: space.root })).split).toBe('all');
    expect(await failure(openDataset({ format: 'gta5', root: space.root, classes: 'x' }))).toMatch(
      /of its own/,
    );
    expect(await failure(openDataset({ format: 'acdc', root: space.root, split: 'dev' }))).toMatch(
      /acdc has no split 'dev'; it has train, val, test/,
    );
  });

  it('reads past faults of single files where it may', async () => {
    for (const id of ['1', '2', '3']) {
      await space.put(`images/${id}.png`, rgb(1, 1));
      if (id !== '2') await space.put(`labels/${id}.png`, grey(1, 1, [7]));
    }
    await space.put('labels/4.png', grey(1, 1, [7]));
    await symlink('..', space.path('images', 'up'));
    await symlink('nowhere', space.path('images', 'broken.png'));
    const faults: [string | undefined, string | undefined][] = [];
    const onFault = ({ kind, file }: { kind: string | undefined; file: string | undefined }) => {
      faults.push([kind, file?.slice(space.root.length + 1).replaceAll('\\', '/')]);
    };
    expect(ids(await openDataset({ format: 'gta5', root: space.root, onFault }))).toEqual(['1', '3']);
    expect(faults.sort()).toEqual([
      ['missing', 'images/broken.png'],
      ['missing-pair', 'images/2.png'],
      ['missing-pair', 'labels/4.png'],
      ['symlink-loop', 'images/up'],
    ]);
  });
});

describe('label coding', () => {
  it('survives being posted to a worker thread', async () => {
    await space.put('RGB/1.png', rgb(1, 1));
    const file = await space.put('GT/LABELS/1.png', wide(1, 1, [10]));
    const { labelCoding } = await openSynthia(space.root);
    expect([...(await decodeLabel(file, structuredClone(labelCoding))).data]).toEqual([11]);
  });
});
