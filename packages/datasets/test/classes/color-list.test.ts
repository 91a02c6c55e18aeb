// Lists of names and colours beside coloured masks of one's own.
import { describe, expect, it } from 'vitest';
import { readColorList } from '../../src/classes/color-list.js';
import { detectFormat, openDataset } from '../../src/open.js';
import { colored, failure, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

describe('class_dict.csv', () => {
  it('names the colours of masks in train_labels, whose names end in _L', async () => {
    await space.put('k/class_dict.csv', 'name,r,g,b\nRoad,128, 64, 128\r\nVoid,0,0,0\n"Side walk",0,0,192\n');
    await space.put('k/train/a.png', rgb(3, 1));
    await space.put('k/train_labels/a_L.png', colored(3, 1, [0x0000c0, 0, 0x804080]));
    const root = space.path('k');
    const dataset = await openDataset({ format: await detectFormat(root), root });
    expect(dataset.classes.map(({ name, color }) => [name, color])).toEqual([
      ['Road', [128, 64, 128]],
      ['Side walk', [0, 0, 192]],
    ]);
    expect([...(await dataset.readLabel(0)).data]).toEqual([1, 255, 0]);
  });

  it('says which line is not of its form', async () => {
    const list = async (text: string) => readColorList(await space.put('class_dict.csv', text));
    expect(await failure(list('name,r,g,b\nroad,1,2\n'))).toMatch(
      /line 2 'road,1,2' is not of the form NAME,RED/,
    );
    expect(await failure(list('road,1,2,256\n'))).toMatch(/line 1/);
    expect(await failure(list('name,r,g,b\n'))).toMatch(/lists 0 classes/);
  });
});
