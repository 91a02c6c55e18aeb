// Mapillary Vistas: editions, classes of the configuration, splits and what is said where parts are missing.

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { CITYSCAPES_CLASSES, isCityscapes } from '../../src/classes/cityscapes.js';
import { mapClasses, settleMapping } from '../../src/classes/mapping.js';
import { readMappingFile } from '../../src/classes/mapping-file.js';
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

/** Readable names of edition 1.2, by value. */
const NAMES =
  `Bird,Ground Animal,Curb,Fence,Guard Rail,Barrier,Wall,Bike Lane,Crosswalk - Plain,Curb Cut,Parking,
Pedestrian Area,Rail Track,Road,Service Lane,Sidewalk,Bridge,Building,Tunnel,Person,Bicyclist,Motorcyclist,Other Rider,
Lane Marking - Crosswalk,Lane Marking - General,Mountain,Sand,Sky,Snow,Terrain,Vegetation,Water,Banner,Bench,Bike Rack,
Billboard,Catch Basin,CCTV Camera,Fire Hydrant,Junction Box,Mailbox,Manhole,Phone Booth,Pothole,Street Light,Pole,
Traffic Sign Frame,Utility Pole,Traffic Light,Traffic Sign (Back),Traffic Sign (Front),Trash Can,Bicycle,Boat,Bus,Car,
Caravan,Motorcycle,On Rails,Other Vehicle,Trailer,Truck,Wheeled Slow,Car Mount,Ego Vehicle,Unlabeled`.split(
    /,\n?/,
  );

describe('mapillary', () => {
  it("is brought to Cityscapes' classes by the example", async () => {
    const labels = NAMES.map((readable, value) => ({
      name: `x--${value}`,
      readable,
      color: [value, 0, 0],
      evaluate: readable !== 'Unlabeled',
    }));
    await space.put('config_v1.2.json', JSON.stringify({ labels }));
    await pair('training', 'v1.2/', [...NAMES.keys()]);
    const example = new URL('../../../../examples/vistas-to-cityscapes.yaml', import.meta.url);
    const mapping = await readMappingFile(fileURLToPath(example));
    const own = await open('train');
    const { dataset } = mapClasses(
      own,
      settleMapping(mapping, [own, { root: 'c', classes: CITYSCAPES_CLASSES }]),
    );
    expect(isCityscapes(dataset.classes)).toBe(true);
    const values = new Map<string, number[]>();
    for (const [value, trainId] of (await dataset.readLabel(0)).data.entries()) {
      const name = dataset.classes[trainId]?.name ?? 'ignored';
      values.set(name, [...(values.get(name) ?? []), value]);
    }
    values.delete('ignored');
    expect(Object.fromEntries(values)).toEqual({
      road: [13, 24, 41],
      sidewalk: [2, 15],
      building: [17],
      wall: [6],
      fence: [3],
      pole: [45, 47],
      'traffic light': [48],
      'traffic sign': [50],
      vegetation: [30],
      terrain: [29],
      sky: [27],
      person: [19],
      rider: [20, 21, 22],
      car: [55],
      truck: [61],
      bus: [54],
      train: [58],
      motorcycle: [57],
      bicycle: [52],
    });
  });

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
