// Roboflow's masks beside images, by the values of _classes.csv.
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { availableSplits, detectLayout, openDataset } from '../../src/open.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();
const CSV = 'Pixel Value, Class\r\n0, background\r\n1, "street lamp"\r\n7, car\r\n';
const open = (split: string, labels?: 'none', root = space.root) =>
  openDataset({ format: 'roboflow', root, split, labels });

async function split(name: string, root = ''): Promise<void> {
  await space.put(`${root}${name}/a.jpg`, rgb(3, 1));
  await space.put(`${root}${name}/a_mask.png`, grey(3, 1, [0, 1, 7]));
  await space.put(`${root}${name}/_classes.csv`, CSV);
}

describe('roboflow', () => {
  it('reads values by the names of the list, and valid as val', async () => {
    await split('train');
    await split('valid');
    expect(await detectLayout(space.root)).toEqual({ format: 'roboflow', why: 'train/_classes.csv' });
    expect(await availableSplits('roboflow', space.root)).toEqual(['train', 'val']);
    const set = await open('val');
    expect(set.classes.map(({ name, labelId }) => [name, labelId])).toEqual([
      ['background', 0],
      ['street lamp', 1],
      ['car', 7],
    ]);
    expect(set.samples.map(({ id }) => id)).toEqual(['a']);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 2]);
  });

  it('says what is missing or misformed', async () => {
    await split('train');
    await space.put('train/b.jpg', rgb(3, 1));
    expect(await failure(open('train'))).toMatch(/b\.jpg: no label for this image/);
    expect((await open('train', 'none')).samples).toHaveLength(2);
    await space.put('test/c.jpg', rgb(3, 1));
    expect(await failure(open('test', 'none'))).toMatch(/test._classes\.csv: not found/);
    await space.put('train/_classes.csv', 'Pixel Value, Class\nbackground\n');
    expect(await failure(open('train', 'none'))).toMatch(
      /line 2 'background' is not of the form value, name/,
    );
  });

  it('is copied with its list', async () => {
    await split('train', 'set/');
    const set = await open('train', undefined, space.path('set'));
    await cacheDataset(set, space.path('copy'));
    const copy = await open('train', undefined, space.path('copy'));
    expect(await copy.readLabel(0)).toEqual(await set.readLabel(0));
  });
});
