// What happens before a run starts: bad files are refused by name or left out, and the step's memory is measured.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { encode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import type { DataConfig } from '../../src/config/data.js';
import { DecodePool } from '../../src/pipeline/decode-pool.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { Rng } from '../../src/random.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { BadFilesError, openData } from '../../src/training/data.js';
import { checkFits, measureStepMemory } from '../../src/training/memory.js';
import { tinySegmentor } from '../support/method.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-data-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const SIDE = 48;

function png(file: string, channels: 1 | 3, value: (i: number) => number, height = SIDE): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const data = Uint8Array.from({ length: SIDE * height * channels }, (_, i) => value(i));
  writeFileSync(file, encode({ width: SIDE, height, channels, depth: 8, data }));
}

/** A dataset of one's own: two classes, `n` images a split. */
function ownData(name: string, n: number, splits = ['train', 'val']): string {
  const root = path.join(folder, name);
  for (const split of splits) {
    for (let i = 0; i < n; i++) {
      png(path.join(root, 'images', split, `${i}.png`), 3, (at) => (at * 7 + i * 13) % 256);
      png(path.join(root, 'masks', split, `${i}.png`), 1, (at) => (at % SIDE < SIDE / 2 + i ? 0 : 1));
    }
  }
  writeFileSync(path.join(root, 'classes.yaml'), 'classes:\n  - name: left\n  - name: right\n');
  return root;
}

const config = (source: string, target: string): DataConfig => ({
  source: { format: 'folder', root: source },
  target: { format: 'folder', root: target, scale: { width: 32, height: 32 } },
  protocols: [],
});

describe('openData', () => {
  test('reads images of many bits by the range of their domain, in checks and in crops', async () => {
    const source = ownData('bits', 1);
    const values = Uint16Array.from({ length: SIDE * SIDE }, (_, i) => (i % 2 === 0 ? 7000 : 7510));
    const wide = encode({ width: SIDE, height: SIDE, channels: 1, depth: 16, data: values });
    writeFileSync(path.join(source, 'images/train/0.png'), wide);
    const whole = config(source, ownData('bits-target', 1));
    await expect(openData(whole)).rejects.toMatchObject({
      kind: 'value-range',
      file: path.join(source, 'images/train/0.png'),
    });
    const data = await openData({ ...whole, source: { ...whole.source, range: [7000, 7510] } });
    const pool = new DecodePool({ workers: 0 });
    const crop = { width: 4, height: 1, catMaxRatio: 1, flip: 0 };
    for (const cacheBytes of [0, 2 ** 20]) {
      const store = new PixelStore(data.source.dataset, { cacheBytes });
      const request = { crop, labelled: false, wanted: undefined, rng: new Rng(1, 'crop').fork() };
      const { image } = await store.crop(0, request, pool);
      expect([...image].slice(0, 4).sort()).toEqual([0, 0, 255, 255]);
    }
  });

  test('opens both domains, counts the classes, finds the validation split', async () => {
    const stages = new Set<string>();
    const data = await openData(config(ownData('a', 3), ownData('b', 2)), {
      onProgress: (stage) => stages.add(stage),
    });
    expect([...stages]).toEqual([
      'check source',
      'check target',
      'count classes',
      'check validation',
      'count validation',
    ]);
    expect(data.sourceStatistics!.counts).toEqual([0, 1, 2].map((i) => [(24 + i) * SIDE, (24 - i) * SIDE]));
    expect([data.source.length, data.target!.length, data.validation!.samples.length]).toEqual([3, 2, 2]);
    expect(data.classes.map(({ name }) => name)).toEqual(['left', 'right']);
  });

  test('every bad file is named; with skipBad they are left out', async () => {
    const source = ownData('bad', 6);
    const image = (i: number) => path.join(source, 'images', 'train', `${i}.png`);
    const mask = (i: number) => path.join(source, 'masks', 'train', `${i}.png`);
    writeFileSync(image(0), 'not a picture');
    png(mask(1), 1, () => 0, SIDE + 1);
    png(mask(2), 1, (i) => (i < 5 ? 7 : 0));
    rmSync(mask(3));
    const target = ownData('good', 2);
    const refused = await openData(config(source, target)).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(BadFilesError);
    const { faults, message } = refused as BadFilesError;
    expect(message).toBe('4 bad files; with --skip-bad training leaves them out');
    const about = (file: string) => faults.find((fault) => fault.message.startsWith(`${file}: `))?.message;
    expect(about(image(0))).toContain('not a readable image');
    expect(about(mask(1))).toContain(`${SIDE}x${SIDE + 1}`);
    expect(about(mask(2))).toContain('7 (5 pixels)');
    expect(faults.map(({ message }) => message).join('\n')).toContain(mask(3));
    for (const fault of faults) expect(fault.message).not.toContain('\n');

    const data = await openData(config(source, target), { skipBad: true });
    expect(data.faults).toHaveLength(4);
    expect(data.source.dataset.samples.map(({ id }) => id)).toEqual(['4', '5']);
    expect(data.sourceStatistics!.counts).toHaveLength(2);
  });

  test('names the images of the target that the network cannot take whole', async () => {
    const target = ownData('with-small', 2);
    const small = path.join(target, 'images', 'train', 'small.png');
    png(small, 3, (i) => i % 256, 20);
    const val = path.join(target, 'images', 'val', '0.png');
    png(val, 3, (i) => i % 256, 20);
    png(path.join(target, 'masks', 'val', '0.png'), 1, () => 0, 20);
    const given = config(ownData('large', 2), target);
    const refused = await openData(given).catch((error: unknown) => error);
    expect((refused as BadFilesError).faults).toEqual([
      {
        file: small,
        kind: 'too-small',
        message: expect.stringMatching(/small\.png: \d+x\d+ as it is scaled, too small/),
      },
    ]);
    const data = await openData(given, { skipBad: true });
    expect(data.target!.dataset.samples.map(({ id }) => id)).toEqual(['0', '1']);
    expect(data.validation!.samples.map(({ id }) => id)).toEqual(['1']);
    expect(data.faults.map(({ file }) => file)).toEqual([small, val]);
    expect((await openData(given, { smallest: 10 })).faults).toEqual([]);
  });

  test('refuses domains of different classes', async () => {
    const other = ownData('other', 1);
    writeFileSync(path.join(other, 'classes.yaml'), 'classes:\n  - name: left\n  - name: up\n');
    await expect(openData(config(ownData('same', 1), other))).rejects.toThrow(
      /must have the same classes in the same order, but one has left, right and the other left, up/,
    );
  });

  test('labels of the target decide nothing: all its images train, whatever labels it has', async () => {
    const target = ownData('partly', 4, ['train']);
    rmSync(path.join(target, 'masks', 'train', '0.png'));
    png(path.join(target, 'masks', 'train', '1.png'), 1, () => 99);
    const data = await openData(config(ownData('whole', 2), target));
    expect([data.target!.length, data.faults]).toEqual([4, []]);
    expect(data.withoutValidation).toMatch(/partly has no validation split/);
  });

  test('the sound pairs of the validation split are kept, and the others named', async () => {
    const target = ownData('half-sound', 3);
    writeFileSync(path.join(target, 'images', 'val', '0.png'), 'not a picture');
    rmSync(path.join(target, 'masks', 'val', '1.png'));
    const data = await openData(config(ownData('sound', 2), target));
    expect(data.validation!.samples.map(({ id }) => id)).toEqual(['2']);
    expect(data.faults.map(({ file }) => path.basename(file)).sort()).toEqual(['0.png', '1.png']);
    for (const id of [2]) rmSync(path.join(target, 'masks', 'val', `${id}.png`));
    const none = await openData(config(ownData('sound', 2), target));
    expect(none.validation).toBeUndefined();
    expect(none.withoutValidation).toMatch(/validation split of .*half-sound has no usable pair: .*no label/);
  });

  test('a plain folder of photos is a target with the source’s classes', async () => {
    const photos = path.join(folder, 'photos');
    for (const i of [0, 1]) png(path.join(photos, 'monday', `${i}.png`), 3, (at) => (at * 5 + i) % 256);
    const source = ownData('for-photos', 2);
    const data = await openData({ ...config(source, photos), target: { format: 'photos', root: photos } });
    expect([data.target!.length, data.target!.dataset.classes]).toEqual([2, data.classes]);
    expect(data.layouts[1]).toMatch(/target: photos in .* \(images and no folder of labels\)/);
  });

  test('masks of a target without a class file hold the source’s numbers, or else its values', async () => {
    const source = ownData('valued', 2);
    writeFileSync(
      path.join(source, 'classes.yaml'),
      'classes:\n  - { name: left, value: 10 }\n  - { name: right, value: 20 }\n',
    );
    for (const i of [0, 1]) {
      png(path.join(source, 'masks', 'train', `${i}.png`), 1, (at) => (at % SIDE < 20 ? 10 : 20));
    }
    const target = ownData('unnamed', 1);
    rmSync(path.join(target, 'classes.yaml'));
    const byNumber = await openData(config(source, target));
    expect(byNumber.notes.join()).toMatch(/read in the source's classes, by their numbers, from 0/);
    png(path.join(target, 'masks', 'val', '0.png'), 1, (at) => (at % SIDE < 20 ? 10 : 20));
    const byValue = await openData(config(source, target));
    expect(byValue.notes.join()).toMatch(/by their values/);
    expect(new Set((await byValue.validation!.readLabel(0)).data)).toEqual(new Set([0, 1]));
  });

  test('says what looks swapped, and does not advise to leave out all there is', async () => {
    const target = ownData('with-labels', 2);
    const source = ownData('without-labels', 2);
    rmSync(path.join(source, 'masks'), { recursive: true });
    await expect(openData(config(source, target))).rejects.toThrow(
      /masks.train: not found; .*with-labels has labels: are source and target swapped\?/,
    );
    const same = await openData(config(target, target));
    expect(same.warnings.join()).toMatch(/with-labels is both source and target/);
  });

  test('warns of a class without a pixel and of crops larger than the images', async () => {
    const source = ownData('absent', 2);
    writeFileSync(path.join(source, 'classes.yaml'), 'classes: [left, right, lesion]\n');
    const target = ownData('absent-target', 2, ['train']);
    writeFileSync(path.join(target, 'classes.yaml'), 'classes: [left, right, lesion]\n');
    const { warnings } = await openData(config(source, target), { crop: { width: 64, height: 64 } });
    expect(warnings).toEqual([
      expect.stringMatching(/no pixel of class 'lesion'/),
      expect.stringMatching(/crops of 64x64 are larger than 2 of 2 source images: 44 % of the source crops/),
      expect.stringMatching(/2 target images: 75 % of the target crops is padding/),
    ]);
    for (const i of [0, 1]) png(path.join(source, 'masks', 'train', `${i}.png`), 1, () => 255);
    await expect(openData(config(source, target))).rejects.toThrow(/no pixel of any class, all are ignored/);
  });

  test('a target without labels has no validation split', async () => {
    const target = ownData('unlabelled', 2, ['train']);
    rmSync(path.join(target, 'masks'), { recursive: true });
    // Classes of labels that are not there stand in nobody's way.
    writeFileSync(path.join(target, 'classes.yaml'), 'classes: [up, down, between]\n');
    const data = await openData(config(ownData('labelled', 2), target));
    expect(data.validation).toBeUndefined();
    expect(data.classes.map(({ name }) => name)).toEqual(['left', 'right']);
    expect(data.target!.length).toBe(2);
  });
});

describe('memory', () => {
  const experiment = daformerRecipe({
    segmentor: tinySegmentor,
    method: {},
    crop: { width: 64, height: 64 },
  });

  test('is the peak of a step, which grows with the crop', async () => {
    const small = await measureStepMemory(experiment);
    const large = await measureStepMemory({
      ...experiment,
      batch: 4,
      crop: { ...experiment.crop, width: 256, height: 256 },
    });
    expect(small.peak).toBeGreaterThan(50 * 2 ** 20);
    // At least the cross-entropy's scores at full size: classes x 4 x 256 x 256 values more.
    expect(large.peak - small.peak).toBeGreaterThan(4 * tinySegmentor.classes * 4 * 256 * 256);
    expect(large.optimizer).toBe(small.optimizer);
    const needed = large.peak + large.optimizer;
    expect(checkFits({ ...large, available: needed })).toBe(needed);
    expect(() => checkFits({ ...large, available: large.peak })).toThrow(
      /needs more than the .* GiB of memory that are free: take/,
    );
    expect(() => checkFits({ ...large, device: 'cuda:1', available: large.peak })).toThrow(
      /needs more than the .* GiB of memory that are free on cuda:1: take/,
    );
  }, 60_000);

  test('a step that does not fit is refused, and takes nothing down with it', async () => {
    const huge = { ...experiment, batch: 64, crop: { ...experiment.crop, width: 4096, height: 4096 } };
    await expect(measureStepMemory(huge, { available: 2 ** 30 })).rejects.toThrow(/take a smaller --crop/);
  }, 60_000);
});

test('pgpc train on folders of one’s own: from start to table, with the bad files counted', async () => {
  const source = ownData('mine', 4);
  writeFileSync(path.join(source, 'images', 'train', '0.png'), 'not a picture');
  const out = path.join(folder, 'runs');
  const text = { out: '', err: '' };
  const sink = (key: 'out' | 'err') =>
    new Writable({
      write: (chunk, _encoding, done) => {
        text[key] += chunk;
        done();
      },
    });
  const run = (...extra: string[]) =>
    main(
      [
        ...['train', '--source-root', source, '--target-root', ownData('theirs', 3), '--method', 'pgpc'],
        ...[
          '--crop',
          '32x32',
          '--iterations',
          '2',
          '--out',
          out,
          '--name',
          'own',
          '--no-memory-check',
          ...extra,
        ],
      ],
      { stdout: sink('out'), stderr: sink('err'), signal: new AbortController().signal },
    );
  expect(await run()).toBe(1);
  expect(text.err).toContain(`${path.join(source, 'images', 'train', '0.png')}: not a readable image`);
  expect(text.err.trim().split('\n').at(-1)).toMatch(/^pgpc: 1 bad file; with --skip-bad/);
  text.err = '';
  expect(await run('--skip-bad')).toBe(0);
  expect(text.err).toContain('left out 1 bad file');
  expect(text.err).toMatch(/rare classes: .*a crop on more than 6 of 1024/);
  expect(text.out).toMatch(/left +\d/);
  expect(text.out).toMatch(/mIoU +\d/);
}, 120_000);
