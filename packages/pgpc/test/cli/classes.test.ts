// Rendered streets of 19 classes for CamVid's 11: proposed, trained, evaluated on either.
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { CITYSCAPES_LABELS, mapClasses, openDataset, readMappingFile, settleMapping } from '@pgpc/datasets';
import { writeStreetSynth } from '@pgpc/street-synth';
import { decode } from 'fast-png';
import { expect, test } from 'vitest';
import { grey, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { main } from '../../src/cli/main.js';

const space = new Workspace();
const FILE = new URL('../../../../examples/streets-to-camvid.yaml', import.meta.url).pathname;

/** As the papers that adapt to CamVid have it. */
const ELEVEN: Readonly<Record<string, string>> = {
  road: 'road',
  sidewalk: 'pavement',
  building: 'building',
  wall: 'fence',
  fence: 'fence',
  pole: 'pole',
  'traffic light': 'sign',
  'traffic sign': 'sign',
  vegetation: 'tree',
  terrain: 'tree',
  sky: 'sky',
  person: 'pedestrian',
  rider: 'bicyclist',
  bicycle: 'bicyclist',
  motorcycle: 'bicyclist',
  car: 'car',
  truck: 'car',
  bus: 'car',
  train: 'car',
};

async function pgpc(...args: string[]) {
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _encoding, done) => {
        text[key] += chunk;
        done();
      },
    });
  const signal = new AbortController().signal;
  const code = await main(args, { stdout: sink('out'), stderr: sink('err'), signal, env: {} });
  return { code, ...text };
}

/** Blocks of CamVid's classes, 11 = void among them. */
async function camvid(split: string, id: string, most: number): Promise<void> {
  const label = Array.from({ length: 64 * 64 }, (_, i) => ((i % 64) >> 2) % (most + 1));
  await space.put(`camvid/${split}/${id}.png`, rgb(64, 64));
  await space.put(`camvid/${split}annot/${id}.png`, grey(64, 64, label));
}

test('rendered streets to CamVid: 19 classes become 11, in labels, training and evaluation', async () => {
  const streets = space.path('streets');
  await writeStreetSynth(streets, {
    width: 96,
    height: 64,
    seed: 3,
    sourceTrain: 2,
    sourceVal: 0,
    targetTrain: 1,
    targetVal: 1,
    threads: 1,
  });
  for (const id of ['1', '2']) await camvid('train', id, 11);
  await camvid('val', '1', 8);
  const [source, target] = [`${streets}/gta5`, space.path('camvid')];

  const gta5 = await openDataset({ format: 'gta5', root: source });
  const mapping = await readMappingFile(FILE);
  const { dataset } = mapClasses(gta5, settleMapping(mapping, [gta5]));
  const shown = await dataset.readLabel(0);
  const expected = new Map(CITYSCAPES_LABELS.map(({ labelId, name }) => [labelId, ELEVEN[name]]));
  const { data } = decode(readFileSync(gta5.samples[0]!.label!));
  const found = Array.from(shown.data, (trainId) => dataset.classes[trainId]?.name);
  expect(found).toEqual(Array.from(data as Uint8Array, (labelId) => expected.get(labelId)));
  expect(new Set(found).size).toBeGreaterThan(5);

  const proposed = space.path('proposed.yaml');
  expect((await pgpc('data', 'map', source, target, '--out', proposed)).code).toBe(0);
  const sorted = ({ classes }: typeof mapping) =>
    classes.map(({ name, from }) => [name, from.toSorted()] as const);
  expect(sorted(await readMappingFile(proposed))).toEqual(sorted(mapping));

  const train = (...more: string[]) =>
    pgpc(
      ...['train', '--source-root', source, '--target-root', target, '--out', space.path('runs')],
      ...[
        '--method',
        'self-training',
        '--iterations',
        '2',
        '--batch',
        '1',
        '--crop',
        '64x64',
        '--workers',
        '0',
      ],
      ...['--set', 'segmentor.head=segformer', '--set', 'segmentor.channels=16', '--no-memory-check'],
      ...more,
    );
  const refused = await train('--name', 'other');
  expect(refused.err).not.toContain('check source');
  expect([refused.code, refused.err]).toEqual([
    1,
    expect.stringMatching(/--classes FILE says which .* begins: classes: \[sky, building, pole, \.\.\.\]\n$/),
  ]);

  const trained = await train('--name', 'camvid', '--classes', FILE);
  expect([trained.code, trained.err]).toEqual([0, expect.stringMatching(/^traffic sign +20 +sign +\d/m)]);
  expect(trained.err).toMatch(/^sidewalk +8 +pavement +\d+\.\d{3}$/m);
  expect(trained.err).toMatch(/classes of .*camvid, val:\n/);
  expect(trained.err).toMatch(/11 classes, 2 source and 2 target images/);
  expect(trained.out).toMatch(/^bicyclist +–$/m);
  expect(trained.out).toMatch(/left out of mIoU: pedestrian, bicyclist$/m);
  const run = JSON.parse(readFileSync(space.path('runs/camvid/run.json'), 'utf8'));
  expect(run.classes.map(({ name }: { name: string }) => name)).toEqual(
    mapping.classes.map(({ name }) => name),
  );
  expect(run.config.data.classes.classes[4]).toEqual({
    name: 'pavement',
    from: ['sidewalk'],
    color: [244, 35, 232],
    kind: 'stuff',
  });

  const checkpoint = space.path('runs/camvid/checkpoints/self-training');
  const own = await pgpc('eval', '--checkpoint', checkpoint, '--target-root', target);
  expect([own.code, own.out]).toEqual([0, expect.stringMatching(/^mean of 9 of 11 /m)]);
  expect(own.out).toMatch(/left out of the mean: pedestrian, bicyclist$/m);
  expect(own.err).not.toContain('classes of');
  const city = ['eval', '--checkpoint', checkpoint, '--target-root', `${streets}/cityscapes`];
  const nineteen = await pgpc(...city, '--classes', FILE);
  expect([nineteen.code, nineteen.err]).toEqual([0, expect.stringMatching(/^terrain +22 +tree +\d/m)]);
  const byName = await pgpc(...city);
  expect([byName.code, byName.err]).toEqual([0, expect.stringMatching(/^terrain +22 +ignored +\d/m)]);
  expect(byName.err).toMatch(/^absent there: pavement, tree, sign, pedestrian, bicyclist$/m);
}, 60_000);
