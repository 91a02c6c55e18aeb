// Mappings of classes by name: what their files say, and what they make of a data set's labels.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CITYSCAPES_CLASSES } from '../../src/classes/cityscapes.js';
import {
  type ClassMapping,
  mapClasses,
  mapStatistics,
  refuseUnknownNames,
  settleMapping,
} from '../../src/classes/mapping.js';
import { isMappingFile, readMappingFile } from '../../src/classes/mapping-file.js';
import { openFolder } from '../../src/readers/folder.js';
import { openGta5 } from '../../src/readers/gta5.js';
import { openSynthia } from '../../src/readers/synthia.js';
import { classStatistics } from '../../src/statistics.js';
import type { SegmentationDataset } from '../../src/types.js';
import { colored, failure, grey, rgb, Workspace, wide } from '../support/files.js';

const space = new Workspace();

const mappingOf = async (text: string) => readMappingFile(await space.put('map.yaml', text));

/** A folder of one image a mask. */
async function folder(name: string, classes: string, ...masks: Uint8Array[]): Promise<SegmentationDataset> {
  await space.put(`${name}/classes.yaml`, classes);
  for (const [i, mask] of masks.entries()) {
    await space.put(`${name}/images/train/${i}.png`, rgb(4, 1));
    await space.put(`${name}/masks/train/${i}.png`, mask);
  }
  return openFolder(space.path(name), 'train');
}

const STREETS = `
classes:
  - road
  - { name: pavement, from: sidewalk }
  - { name: sign, from: [traffic_light, TrafficSign], color: '#010203', kind: thing }
ignore: rest
`;

describe('mapping', () => {
  it('brings several classes to one, by names that are alike, and ignores the rest', async () => {
    await space.put('g/images/1.png', rgb(8, 1));
    await space.put('g/labels/1.png', grey(8, 1, [7, 8, 19, 20, 26, 0, 19, 255]));
    const gta5 = await openGta5(space.path('g'));
    const mapping = settleMapping(await mappingOf(STREETS), [gta5]);
    const mapped = mapClasses(gta5, mapping);
    expect([...(await mapped.dataset.readLabel(0)).data]).toEqual([0, 1, 2, 2, 255, 255, 2, 255]);
    expect(mapped.dataset.classes).toEqual([
      { trainId: 0, labelId: 0, name: 'road', color: [128, 64, 128], kind: 'stuff' },
      { trainId: 1, labelId: 1, name: 'pavement', color: [244, 35, 232], kind: 'stuff' },
      { trainId: 2, labelId: 2, name: 'sign', color: [1, 2, 3], kind: 'thing' },
    ]);
    expect(mapped.absent).toEqual([]);
    expect(mapped.from[6]).toEqual({ name: 'traffic light', values: ['19'], trainId: 2 });
    expect(mapped.from[13]).toEqual({ name: 'car', values: ['26'], trainId: 255 });
    const own = await classStatistics(gta5);
    expect(mapStatistics(own, mapped)).toEqual(await classStatistics(mapped.dataset));
    expect(mapStatistics(own, mapped)).toMatchObject({ counts: [[1, 1, 3]], ignored: [3] });
  });

  it('serves both domains: names that only one has, classes that one lacks, any coding of labels', async () => {
    await space.put('s/RGB/1.png', rgb(4, 1));
    await space.put('s/GT/LABELS/1.png', wide(4, 1, [3, 4, 9, 0]));
    const synthia = await openSynthia(space.path('s'));
    const colors = await folder(
      'colors',
      "masks: colors\nclasses: [{ name: Pavement, color: ['#000001', '#000002'] }, { name: Strasse, color: '#000003' }]",
      colored(4, 1, [3, 1, 2, 3]),
    );
    const mapping = settleMapping(
      await mappingOf(
        'classes: [{ name: road, from: [Strasse] }, { name: pavement, from: [sidewalk] }, { name: sign, from: [traffic light, traffic sign] }]\nignore: rest',
      ),
      [synthia, colors],
    );
    const [first, second] = [synthia, colors].map((dataset) => mapClasses(dataset, mapping)) as [
      ReturnType<typeof mapClasses>,
      ReturnType<typeof mapClasses>,
    ];
    expect([...(await first.dataset.readLabel(0)).data]).toEqual([0, 1, 2, 255]);
    expect([...(await second.dataset.readLabel(0)).data]).toEqual([0, 1, 1, 0]);
    expect(first.dataset.classes).toEqual(second.dataset.classes);
    expect([first.absent, second.absent]).toEqual([[], ['sign']]);
    expect(second.from[0]).toEqual({ name: 'Pavement', values: ['#000001', '#000002'], trainId: 1 });
  });

  it('refuses names that no data set has, and classes that it does not name', async () => {
    const own = await folder('own', 'classes: [pavement, rider, train_car]', grey(4, 1, [0, 1, 2, 255]));
    const at = async (text: string) => {
      try {
        const mapping = await mappingOf(text);
        refuseUnknownNames(mapping, [own]);
        mapClasses(own, mapping);
      } catch (error) {
        return (error as Error).message;
      }
      return undefined;
    };
    expect(await at('classes: [{ name: walk, from: [pavemnet] }, rider]\nignore: rest')).toMatch(
      /'pavemnet', which 'walk' takes in, is no class of .*own \(did you mean 'pavement'\?\)$/,
    );
    expect(await at('classes: [pavment, rider]\nignore: rest')).toMatch(/did you mean 'pavement'/);
    expect(await at('classes: [pavement, rider]\nignore: [traincars]')).toMatch(
      /own: its class 'train_car' \(did you mean 'traincars'\?\) is named nowhere .*'ignore: rest'$/,
    );
    expect(await at('classes: [pavement, rider]')).toMatch(/its class 'train_car' is named nowhere/);
    // Its own name is another class's here, so that nothing is left for it.
    expect(await at('classes: [rider, { name: pavement, from: [train car] }]')).toBeUndefined();
  });

  it('keeps every pixel: a class has the pixels of what it takes in', async () => {
    const names = CITYSCAPES_CLASSES.map(({ name }) => name);
    const arbitrary = fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 19, maxLength: 19 });
    await space.put('g/images/1.png', rgb(35, 1));
    await space.put('g/labels/1.png', grey(35, 1, [...Array(35).keys()]));
    const gta5 = await openGta5(space.path('g'));
    const before = await gta5.readLabel(0);
    await fc.assert(
      fc.asyncProperty(arbitrary, async (groups) => {
        const mapping: ClassMapping = {
          classes: Array.from({ length: 6 }, (_, group) => ({
            name: `group ${group}`,
            from: names.filter((_, i) => groups[i] === group),
          })),
          ignore: names.filter((_, i) => groups[i] === -1),
        };
        const { dataset } = mapClasses(gta5, mapping);
        const expected = [...before.data].map((trainId) =>
          trainId === 255 || groups[trainId] === -1 ? 255 : groups[trainId],
        );
        expect([...(await dataset.readLabel(0)).data]).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });
});

describe('mapping file', () => {
  it('says what is wrong with it', async () => {
    const cases: [string, RegExp][] = [
      ['classes: [a, b', /cannot be read/],
      ['sidewalk', /a list of the run's classes is expected under 'classes'/],
      ['classes: [a]', /at least two classes/],
      ['classes: [a, A]', /two classes are named 'A'/],
      ['classes: [{ name: a, from: [x, y] }, { name: b, from: [X] }]', /'X' is given to both 'a' and 'b'/],
      ['classes: [{ name: a, from: [x, x-] }, b]', /'a' names 'x-' twice/],
      ['classes: [{ name: a, from: [x] }, b]\nignore: [x]', /'x' is given to both 'a' and ignore/],
      ['classes: [a, { name: b, frmo: [x] }]', /frmo/],
      ['classes: [a, { name: b, color: red }]', /colour is '#rrggbb'/],
      ['classes: [a, b]\nignroe: rest', /ignroe/],
      ['masks: values\nclasses: [a, b]', /says what the values of masks mean/],
      ['classes: [a, { name: b, value: 3 }]', /says what the values of masks mean/],
    ];
    for (const [text, expected] of cases) {
      const message = await failure(mappingOf(text));
      expect(message).toMatch(/map\.yaml: /);
      expect(message).toMatch(expected);
    }
  });

  it('is told from a class file by what it says', async () => {
    const kind = async (text: string) => isMappingFile(await space.put('some.yaml', text));
    expect(await kind(STREETS)).toBe(true);
    expect(await kind('classes: [a, b]\nignore: [void]')).toBe(true);
    expect(await kind('classes: [a, { name: b, value: 2 }]')).toBe(false);
    expect(await kind("masks: colors\nclasses: [{ name: a, color: '#000000' }]")).toBe(false);
    expect(await kind('classes: [a, b]')).toBeUndefined();
    expect(await kind("classes: [a, b]\nignore: [3, '#000000']")).toBeUndefined();
  });

  it('takes one name in place of a list, and numbers as names', async () => {
    expect(await mappingOf('classes: [1, { name: b, from: 2 }]\nignore:')).toEqual({
      classes: [
        { name: '1', from: [] },
        { name: 'b', from: ['2'] },
      ],
      ignore: [],
    });
  });
});
