// Label Studio's brush export: which image, class and order each mask has, and what is said where that cannot be told.
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { checkDataset } from '../../src/check.js';
import { detectLayout, openDataset } from '../../src/open.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const mask = (task: number, name: string, values: number[], annotation = 1) =>
  space.put(
    `masks/task-${task}-annotation-${annotation}-by-me@x.org-${name}.png`,
    grey(values.length, 1, values),
  );
const brush = (from_name: string, label: string) => ({
  from_name,
  type: 'brushlabels',
  value: { brushlabels: [label], rle: [1, 2, 3], format: 'rle' },
});
const tasks = (...list: object[]) => space.put('project-1-at-2026.json', JSON.stringify(list));
const task = (id: number, image: string, result: object[] = [], annotation = 1) => ({
  id,
  data: { image },
  annotations: [{ id: annotation, result }],
});

const open = (labels?: 'required' | 'none', onNote?: (note: string) => void, root = space.root) =>
  openDataset({ format: 'label-studio', root, labels, onNote });

describe('label-studio', () => {
  it('lays the regions of a task over each other in the order in which they were drawn', async () => {
    await space.put('images/photo one.jpg', rgb(4, 1));
    await mask(7, 'tag-cat-0', [255, 255, 0, 0]);
    await mask(7, 'tag-dog-0', [0, 255, 255, 0]);
    const image = '/data/upload/1/0a1b2c3d-photo%20one.jpg';
    await tasks(task(7, image, [brush('tag', 'dog'), brush('tag', 'cat')]));
    expect(await detectLayout(space.root)).toEqual({
      format: 'label-studio',
      why: 'masks named masks/task-N-annotation-M-...',
    });
    const notes: string[] = [];
    const set = await open('required', (note) => notes.push(note));
    expect(set.classes.map(({ name }) => name)).toEqual(['cat', 'dog']);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 0, 1, 255]);
    expect(notes.join()).toMatch(/no region covers are ignored; .*background/);
    await tasks(task(7, image, [brush('tag', 'cat'), brush('tag', 'dog')]));
    expect([...(await (await open()).readLabel(0)).data]).toEqual([0, 1, 1, 255]);
    await space.put('classes.yaml', 'classes: [background, dog, cat]');
    expect([...(await (await open()).readLabel(0)).data]).toEqual([2, 1, 1, 0]);
  });

  it('reads JSON-MIN, labels and tags with a hyphen, and the last of several annotations', async () => {
    await space.put('images/a.png', rgb(2, 1));
    await mask(1, 'my-tag-half-timbered-0', [255, 0], 4);
    await mask(1, 'my-tag-wall-0', [0, 255], 4);
    await mask(1, 'my-tag-wall-0', [255, 255], 3);
    await tasks({
      id: 1,
      image: 's3://bucket/a.png?x=1',
      'my-tag': [
        { brushlabels: ['half-timbered'], rle: [] },
        { brushlabels: ['wall'], rle: [] },
      ],
    });
    const notes: string[] = [];
    const set = await open('required', (note) => notes.push(note));
    expect(set.classes.map(({ name }) => name)).toEqual(['half-timbered', 'wall']);
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1]);
    expect(notes.join()).toMatch(/1 task has several annotations; the last of each is read/);
  });

  it('says where something is missing, and reads the rest', async () => {
    await space.put('images/a.jpg', rgb(2, 1));
    await space.put('images/b.jpg', rgb(2, 1));
    await mask(1, 'tag-cat-0', [255, 0]);
    expect(await failure(open())).toMatch(/masks: no JSON of tasks here/);
    await tasks(task(1, 'a.jpg', [brush('tag', 'cat')]));
    expect(await failure(open())).toMatch(/one class only, 'cat'; .*classes\.yaml .*background and cat/);
    await mask(1, 'tag-dog-0', [0, 255]);
    await mask(2, 'tag-dog-0', [0, 255]);
    await mask(3, 'tag-dog-0', [0, 255]);
    await tasks(task(1, 'a.jpg'), task(3, 'other.jpg'));
    const { faults, dataset } = await checkDataset({ format: 'label-studio', root: space.root });
    expect(faults.map(({ message }) => message.replace(/^.*?: /, ''))).toEqual([
      expect.stringMatching(/^task 2 is in no JSON here/),
      expect.stringMatching(/^no image of task 3 is here/),
      expect.stringMatching(/^no label for this image/),
    ]);
    expect(dataset!.samples.map(({ id }) => id)).toEqual(['a']);
    expect((await open('none')).samples).toHaveLength(2);
    await tasks(task(1, 'a.jpg'), task(2, 'b.jpg'), task(3, 'a.jpg'));
    expect(await failure(open())).toMatch(/task-3-.*: task 3 is of the same image as .*task-1-/);
    await space.put('classes.yaml', 'classes: [background, cat]');
    expect(await failure(open())).toMatch(/the label 'dog' is no class of classes\.yaml/);
  });

  it('is copied with its JSON', async () => {
    await space.put('set/a.jpg', rgb(2, 1));
    const name = (label: string) => `set/task-1-annotation-1-by-1-tag-${label}-0.png`;
    await space.put(name('cat'), grey(2, 1, [255, 0]));
    await space.put(name('dog'), grey(2, 1, [0, 255]));
    await space.put('set/result.json', JSON.stringify([task(1, 'a.jpg')]));
    const set = await open('required', undefined, space.path('set'));
    await cacheDataset(set, space.path('copy'));
    const copy = await open('required', undefined, space.path('copy'));
    expect(await copy.readLabel(0)).toEqual(await set.readLabel(0));
  });
});
