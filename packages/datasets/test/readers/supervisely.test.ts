// Supervisely's export as masks: values and their names, datasets as splits, human masks, missing parts.
import { describe, expect, it } from 'vitest';
import { availableSplits, detectLayout, openDataset } from '../../src/open.js';
import { colored, failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const meta = JSON.stringify({
  classes: [
    { title: 'lemon', shape: 'bitmap', color: '#FF0000', id: 1 },
    { title: 'kiwi', shape: 'polygon', color: '#00FF00', id: 2 },
  ],
  tags: [],
});
const values = JSON.stringify({ lemon: [1, 1, 1], kiwi: [2, 2, 2] });

const open = (split?: string, labels?: 'required' | 'none', onNote?: (note: string) => void) =>
  openDataset({ format: 'supervisely', root: space.root, split, labels, onNote });

describe('supervisely', () => {
  it('reads machine masks by the names of their values, and ignores what nobody drew on', async () => {
    await space.put('meta.json', meta);
    await space.put('obj_class_to_machine_color.json', values);
    await space.put('ds0/img/a.jpg', rgb(3, 1));
    await space.put('ds0/masks_machine/a.png', grey(3, 1, [0, 1, 2]));
    expect(await detectLayout(space.root)).toEqual({
      format: 'supervisely',
      why: 'meta.json and ds0/img/',
    });
    const notes: string[] = [];
    const set = await open(undefined, 'required', (note) => notes.push(note));
    expect([...(await set.readLabel(0)).data]).toEqual([255, 0, 1]);
    expect(set.classes.map(({ name, labelId, color }) => [name, labelId, color])).toEqual([
      ['lemon', 1, [255, 0, 0]],
      ['kiwi', 2, [0, 255, 0]],
    ]);
    expect(notes.join()).toMatch(/nobody drew on are ignored; .*classes\.yaml/);
    await space.put('classes.yaml', 'classes: [background, lemon, kiwi]');
    expect([...(await (await open()).readLabel(0)).data]).toEqual([0, 1, 2]);
  });

  it("takes datasets of splits' names as splits, and masks of three equal channels", async () => {
    await space.put('meta.json', meta);
    await space.put('obj_class_to_machine_color.json', values);
    for (const name of ['train', 'val', 'other', 'more']) {
      await space.put(`${name}/img/x.png`, rgb(3, 1));
      await space.put(`${name}/masks_machine/x.png.png`, colored(3, 1, [0, 0x010101, 0x020202]));
    }
    expect(await availableSplits('supervisely', space.root)).toEqual(['all', 'train', 'val']);
    const val = await open('val');
    expect(val.samples.map(({ id }) => id)).toEqual(['x']);
    expect([...(await val.readLabel(0)).data]).toEqual([255, 0, 1]);
    expect((await open('all')).samples.map(({ id }) => id)).toEqual(['more/x', 'other/x']);
    expect(await failure(open('test'))).toMatch(/has no split 'test'; its datasets make all, train, val/);
  });

  it('reads human masks by the colours of meta.json, but no pictures of masks', async () => {
    await space.put('meta.json', meta);
    await space.put('ds/img/a.jpg', rgb(3, 1));
    await space.put('ds/masks_human/a.png', colored(3, 1, [0, 0xff0000, 0x00ff00]));
    expect([...(await (await open()).readLabel(0)).data]).toEqual([255, 0, 1]);
    await space.put('ds/masks_human/a.png', rgb(6, 1));
    expect(await failure(open())).toMatch(/a\.png: shows the image twice.*masks_machine/);
  });

  it('reads a project without folders of datasets and without meta.json, but not of one class', async () => {
    await space.put('img/a.jpg', rgb(3, 1));
    await space.put('masks_machine/a.png', grey(3, 1, [0, 3, 0]));
    // As editors on Windows save it.
    await space.put('obj_class_to_machine_color.json', '\ufeff{"lemon": [3, 3, 3], "kiwi": [4, 4, 4]}');
    expect(await detectLayout(space.root)).toEqual({
      format: 'supervisely',
      why: 'obj_class_to_machine_color.json and img/',
    });
    const set = await open();
    expect(set.samples.map(({ id }) => id)).toEqual(['a']);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 0, 255]);
    await space.put('obj_class_to_machine_color.json', '{"lemon": [3, 3, 3]}');
    expect(await failure(open())).toMatch(/one class only, 'lemon'; .*name: background, value: 0 .*value: 3/);
    await space.put('classes.yaml', 'classes: [background, { name: lemon, value: 3 }]');
    expect([...(await (await open()).readLabel(0)).data]).toEqual([0, 1, 0]);
  });

  it('says what is missing', async () => {
    await space.put('meta.json', meta);
    await space.put('ds/img/a.jpg', rgb(3, 1));
    expect((await open()).classes.map(({ name }) => name)).toEqual(['lemon', 'kiwi']);
    expect(await failure(open('all', 'required'))).toMatch(
      /masks_machine: not found; export .*"Export as masks"/,
    );
    await space.put('ds/masks_machine/b.png', grey(3, 1, [0, 1, 2]));
    expect(await failure(open('all', 'none'))).toMatch(/obj_class_to_machine_color\.json: not found/);
    await space.put('obj_class_to_machine_color.json', '{"lemon": [1, 2, 1]}');
    expect(await failure(open('all', 'none'))).toMatch(/'lemon' is \[1,2,1\]/);
    await space.put('obj_class_to_machine_color.json', values);
    expect(await failure(open())).toMatch(/a\.jpg: no label for this image/);
  });
});
