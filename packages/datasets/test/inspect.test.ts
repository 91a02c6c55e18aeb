// What a whole split shows: classes without a pixel, ignored values, flat images.
import { describe, expect, it } from 'vitest';
import { checkDataset } from '../src/check.js';
import { type Finding, inspectImages, inspectLabels } from '../src/inspect.js';
import { openDataset } from '../src/open.js';
import { classStatistics } from '../src/statistics.js';
import { grey, indexed, rgb, Workspace } from './support/files.js';

const space = new Workspace();

async function labels(format: 'folder' | 'gta5'): Promise<Finding[]> {
  const dataset = await openDataset({ format, root: space.root });
  return inspectLabels(dataset, await classStatistics(dataset));
}

async function mask(id: string, values: readonly number[]): Promise<void> {
  await space.put(`images/train/${id}.png`, rgb(values.length, 1));
  await space.put(`masks/train/${id}.png`, grey(values.length, 1, values));
}

describe('labels', () => {
  it('say nothing where every class has pixels and little is ignored', async () => {
    await space.put('classes.yaml', 'classes: [a, b]');
    await mask('1', [...new Array(20).fill(0), 1, 255]);
    expect(await labels('folder')).toEqual([]);
  });

  it('of 0 and 255 with two classes: one has no pixel, and 255 may be it', async () => {
    await space.put('classes.yaml', 'classes: [ground, lesion]');
    await mask('1', [0, 0, 0, 255]);
    const found = await labels('folder');
    expect(found.map(({ level }) => level)).toEqual(['warning', 'warning']);
    expect(found[0]!.message).toMatch(/no pixel of class 'lesion'/);
    expect(found[1]!.message).toMatch(/255, which is ignored, covers 25 % .* value: 255 in classes\.yaml/);
    await space.put('classes.yaml', 'classes: [ground, { name: lesion, value: 255 }]');
    expect(await labels('folder')).toEqual([]);
  });

  it('that cover no class at all are an error, with what they were read as', async () => {
    await space.put('images/00001.png', rgb(4, 1));
    await space.put('labels/00001.png', indexed(4, 1, [0, 1, 2, 3]));
    const [found, ...more] = await labels('gta5');
    expect([found!.level, more]).toEqual(['error', []]);
    expect(found!.message).toMatch(
      /no pixel of any class, all are ignored; it was read as gta5; .*--format folder/,
    );
  });

  it('of some images that are all ignored are told with their number', async () => {
    await space.put('classes.yaml', 'classes: [a, { name: b, value: 2 }]\nignore: [1]');
    await mask('1', [1, 1, 1, 1]);
    await mask('2', [0, 0, 2, 1]);
    const messages = (await labels('folder')).map(({ message }) => message);
    expect(messages).toEqual([
      expect.stringMatching(/62\.5 % of the pixels are ignored/),
      expect.stringMatching(/1 of 2 images have no labelled pixel \(1\)/),
    ]);
  });
});

describe('images', () => {
  const noise = (seed: number) =>
    rgb(
      3,
      1,
      Uint8Array.from({ length: 9 }, (_, i) => (i * 37 * seed) % 256),
    );

  async function images(): Promise<Finding[]> {
    const { dataset, images } = await checkDataset({ format: 'folder', root: space.root });
    return inspectImages(dataset!, images);
  }

  it('that show nothing are counted and named; black ones alone are an error', async () => {
    await space.put('classes.yaml', 'classes: [a, b]');
    await space.put('images/train/1.png', noise(1));
    expect(await images()).toEqual([]);
    await space.put('images/train/2.png', rgb(3, 1));
    await space.put('images/train/3.png', rgb(3, 1, new Uint8Array(9)));
    expect(await images()).toEqual([
      {
        level: 'warning',
        message: expect.stringMatching(/2 of 3 images are of one colour, 1 of them black \(2, 3\)/),
      },
    ]);
    for (const id of [1, 2]) await space.put(`images/train/${id}.png`, rgb(3, 1, new Uint8Array(9)));
    expect(await images()).toEqual([
      { level: 'error', message: expect.stringMatching(/all images are black/) },
    ]);
  });
});
