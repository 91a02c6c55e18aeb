// Mapillary Vistas: editions, classes of the configuration, splits and what is said where parts are missing.
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { availableSplits, detectLayout, openDataset } from '../../src/open.js';
import { failure, grey, indexed, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const config = JSON.stringify({
  version: 1.1,
  labels: [
    { name: 'animal--bird', readable: 'Bird', color: [165, 42, 42], evaluate: true, instances: true },
    {
      name: 'construction--flat--road',
      readable: 'Road',
      color: [128, 64, 128],
      evaluate: true,
      instances: false,
    },
    { name: 'void--unlabeled', readable: 'Unlabeled', color: [0, 0, 0], evaluate: false, instances: false },
  ],
});

async function pair(split: string, edition: string, values: number[]): Promise<void> {
  await space.put(`${split}/images/a.jpg`, rgb(values.length, 1));
  await space.put(`${split}/${edition}labels/a.png`, indexed(values.length, 1, values));
}

const open = (split: string, labels?: 'required' | 'none') =>
  openDataset({ format: 'mapillary', root: space.root, split, labels });

describe('mapillary', () => {
  it('reads indices of the palette by the evaluated entries of the configuration', async () => {
    await space.put('config_v1.2.json', config);
    await pair('training', 'v1.2/', [0, 1, 2, 1]);
    await pair('validation', 'v1.2/', [1]);
    await space.put('testing/images/t.jpg', rgb(1, 1));
    expect(await detectLayout(space.root)).toEqual({
      format: 'mapillary',
      why: 'training/images/ and config_v1.2.json',
    });
    expect(await availableSplits('mapillary', space.root)).toEqual(['train', 'val', 'test']);
    const set = await open('train', 'required');
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 255, 1]);
    expect(set.classes).toEqual([
      { trainId: 0, labelId: 0, name: 'Bird', color: [165, 42, 42], kind: 'thing' },
      { trainId: 1, labelId: 1, name: 'Road', color: [128, 64, 128], kind: 'stuff' },
    ]);
    expect((await open('val')).samples).toHaveLength(1);
    expect((await open('test')).samples[0]!.label).toBeUndefined();
  });

  it('reads the older layout, and says which of two editions it took', async () => {
    await space.put('config.json', config);
    await pair('training', '', [1, 3]);
    const old = await open('train');
    expect(await failure(old.readLabel(0))).toMatch(/a\.png: .*3 \(1 pixel\)/);
    await space.put('config_v1.2.json', config);
    await space.put('config_v2.0.json', config);
    await pair('training', 'v1.2/', [1]);
    await pair('training', 'v2.0/', [0]);
    const notes: string[] = [];
    const set = await openDataset({
      format: 'mapillary',
      root: space.root,
      onNote: (note) => notes.push(note),
    });
    expect([...(await set.readLabel(0)).data]).toEqual([1]);
    expect(notes.join()).toMatch(/by config_v1\.2\.json are read, not by config_v2\.0\.json/);
  });

  it('names classes by their path where the readable names are not all different', async () => {
    const twice = JSON.parse(config);
    twice.labels[1].readable = 'Bird';
    await space.put('config.json', JSON.stringify(twice));
    await pair('training', '', [1]);
    expect((await open('train')).classes.map(({ name }) => name)).toEqual([
      'animal--bird',
      'construction--flat--road',
    ]);
  });

  it('says what is missing', async () => {
    await pair('training', 'v1.2/', [1]);
    expect((await detectLayout(space.root)).format).toBe('mapillary');
    expect(await failure(open('train'))).toMatch(/config_v1\.2\.json: not found, but it names the classes/);
    await space.put('config_v1.2.json', '{"labels": [{"name": "x"}]}');
    expect(await failure(open('train'))).toMatch(/config_v1\.2\.json: at labels\.0\.color/);
    await space.put('config_v1.2.json', config);
    await space.put('validation/images/v.jpg', rgb(1, 1));
    expect(await failure(open('val', 'required'))).toMatch(/validation.v1\.2.labels: not found/);
    expect((await open('val', 'none')).samples).toHaveLength(1);
  });

  it('is copied with its configuration', async () => {
    await space.put('data/config_v1.2.json', config);
    await space.put('data/training/images/a.jpg', rgb(2, 1));
    await space.put('data/training/v1.2/labels/a.png', grey(2, 1, [1, 2]));
    const set = await openDataset({ format: 'mapillary', root: space.path('data') });
    await cacheDataset(set, space.path('copy'));
    expect((await detectLayout(space.path('copy'))).format).toBe('mapillary');
    const copy = await openDataset({ format: 'mapillary', root: space.path('copy') });
    expect([...(await copy.readLabel(0)).data]).toEqual([1, 255]);
    expect(copy.classes).toEqual(set.classes);
  });
});
