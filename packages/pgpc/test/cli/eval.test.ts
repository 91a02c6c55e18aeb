// `pgpc eval` and `pgpc predict` from the command line to the files they write.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { fromTypedArray } from '@pgpc/torch';
import { decode, encode } from 'fast-png';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { encodeLabels } from '../../src/evaluation/label-files.js';
import type { PredictionFormat } from '../../src/evaluation/prediction-format.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { Rng } from '../../src/random.js';
import { tinySegmentor } from '../support/method.js';

const ids = ['aachen/aachen_000000_000019', 'ulm/ulm_000001_000019'];
const [width, height] = [64, 48];
let folder: string;
let model: string;
const inside = (...parts: string[]) => path.join(folder, ...parts);

function write(file: string, bytes: Uint8Array): void {
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, bytes);
}

function randomImage(seed: number): Uint8Array {
  const rng = new Rng(seed, 'image');
  return encode({
    width,
    height,
    channels: 3,
    data: Uint8Array.from({ length: 3 * width * height }, () => rng.below(256)),
  });
}

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'pgpc-evaluation-'));
  for (const [i, id] of ids.entries()) {
    write(inside('cityscapes/leftImg8bit/val', `${id}_leftImg8bit.png`), randomImage(i));
    const rng = new Rng(i, 'label');
    const blocks = Array.from({ length: 48 }, () => [7, 8, 11, 22, 26, 0][rng.below(6)]!);
    const data = Uint8Array.from(
      { length: width * height },
      (_, j) => blocks[(Math.floor(j / width) >> 3) * 8 + ((j % width) >> 3)]!,
    );
    write(
      inside('cityscapes/gtFine/val', `${id}_gtFine_labelIds.png`),
      encode({ width, height, channels: 1, data }),
    );
  }
  model = inside('model.safetensors');
  using segmentor = new Segmentor({ ...tinySegmentor, classes: 19 }, 1);
  saveSegmentor(model, segmentor);
  using other = new Segmentor(tinySegmentor, 1);
  saveSegmentor(inside('five.safetensors'), other);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function pgpc(...args: string[]) {
  const sink = () => {
    const texts: string[] = [];
    const write = (chunk: Buffer, _: string, done: () => void) => {
      texts.push(chunk.toString());
      done();
    };
    return { texts, stream: new Writable({ write }) };
  };
  const [stdout, stderr] = [sink(), sink()];
  const code = await main(args, {
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal: new AbortController().signal,
    env: {},
  });
  return { code, out: stdout.texts.join(''), err: stderr.texts.join('') };
}

const evaluate = (...args: string[]) =>
  pgpc('eval', '--checkpoint', model, '--target-root', inside('cityscapes'), ...args);

const readPng = (...parts: string[]) => decode(readFileSync(inside(...parts)));

describe('label files', () => {
  const labels = { width: 19, height: 2, data: Uint8Array.from({ length: 38 }, (_, i) => i % 19) };

  test('trainIds in a palette of the classes, labelIds in grey, colours in RGB', async () => {
    using map = fromTypedArray(labels.data, [labels.height, labels.width]);
    const as = async (format: PredictionFormat) =>
      decode(await encodeLabels(map, CITYSCAPES_CLASSES, format));
    const indexed = await as('trainIds');
    expect(indexed).toMatchObject({ width: 19, height: 2, channels: 1, depth: 8 });
    expect([...indexed.data]).toEqual([...labels.data]);
    expect(indexed.palette).toEqual(CITYSCAPES_CLASSES.map(({ color }) => [...color]));
    const grey = await as('labelIds');
    expect([grey.channels, grey.palette]).toEqual([1, undefined]);
    expect([...grey.data.subarray(0, 19)]).toEqual([
      7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
    ]);
    const rgb = await as('color');
    expect([...rgb.data.subarray(0, 57)]).toEqual(CITYSCAPES_CLASSES.flatMap(({ color }) => [...color]));
  });
});

describe('pgpc eval', () => {
  test('prints every class, and writes all results as JSON', async () => {
    const json = inside('results.json');
    const { code, out, err } = await evaluate('--boundary', '--json', json);
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(
        /^pgpc {2}check val.*\nimages as they are, 19 classes\nwarning: .*\nwarning: .*no pixel of 14 classes.*\npgpc {2}evaluate val/,
      ),
    ]);
    const lines = out.split('\n');
    expect(lines[0]).toMatch(/^% +IoU +accuracy +boundary IoU$/);
    expect(lines.slice(2, 21).map((line) => line.split(/ {2,}/)[0])).toEqual(
      CITYSCAPES_CLASSES.map(({ name }) => name),
    );
    const results = JSON.parse(readFileSync(json, 'utf8'));
    const percent = (value: number) => (100 * value).toFixed(1);
    const { miou, meanAccuracy, boundaryMiou, frequencyWeightedIou, accuracy } = results;
    expect(lines[21]!.split(/ {2,}/)).toEqual([
      'mean of 5 of 19',
      ...[miou, meanAccuracy, boundaryMiou].map(percent),
    ]);
    expect(lines[22]!.split(/ {2,}/)).toEqual([
      'all pixels',
      percent(frequencyWeightedIou),
      percent(accuracy),
    ]);
    expect(lines[23]).toMatch(
      /^without a pixel in the data, left out of the mean: wall, fence, pole, .*bicycle$/,
    );
    expect(results.averaged).toEqual(['road', 'sidewalk', 'building', 'terrain', 'car']);
    expect(results.dataset).toMatchObject({ name: 'cityscapes', split: 'val', images: 2 });
    const pixels = results.confusion.flat().reduce((sum: number, n: number) => sum + n);
    const labelled = ids.reduce((sum, id) => {
      const { data } = readPng('cityscapes/gtFine/val', `${id}_gtFine_labelIds.png`);
      return sum + data.filter((value: number) => value !== 0).length;
    }, 0);
    expect(pixels).toBe(labelled);
    const road = results.confusion[0][0];
    const union =
      results.confusion[0].reduce((sum: number, n: number) => sum + n) +
      results.confusion.reduce((sum: number, row: number[]) => sum + row[0]!, 0) -
      road;
    expect(results.classes[0]).toMatchObject({ name: 'road', iou: road / union });
    expect(Object.keys(results.miouOverClasses)).toEqual(['13', '16', '19']);
    expect(results.miouOverClasses[19]).toBeCloseTo(miou, 12);
  });

  test('--classes 13 shows and averages the classes of SYNTHIA', async () => {
    const json = inside('thirteen.json');
    const { out } = await evaluate('--classes', '13', '--json', json);
    const lines = out.split('\n');
    expect(lines[15]).toMatch(/^mean of 4 of 13 /);
    expect(out).not.toMatch(/^(wall|fence|pole|terrain|truck|train) /m);
    const results = JSON.parse(readFileSync(json, 'utf8'));
    expect(lines[15]!.split(/ {2,}/)[1]).toBe((100 * results.miouOverClasses[13]).toFixed(1));
  });

  test('saves predictions under their ids, which begin as the test server wants; options change them', async () => {
    const out = inside('predictions');
    await evaluate('--save-predictions', out, '--predictions', 'labelIds');
    expect(readdirSync(out, { recursive: true }).sort()).toEqual(
      ['aachen', `${ids[0]}.png`, 'ulm', `${ids[1]}.png`].sort(),
    );
    const whole = readPng('predictions', `${ids[0]}.png`);
    expect(whole).toMatchObject({ width, height, channels: 1 });
    const labelIds = CITYSCAPES_CLASSES.map(({ labelId }) => labelId);
    expect([...whole.data].every((value) => labelIds.includes(value))).toBe(true);

    const json = inside('slide.json');
    const windows = ['--mode', 'slide', '--window', '48x48', '--scales', '0.75,1', '--flip'];
    const slide = await evaluate(...windows, '--save-predictions', inside('slide'), '--json', json);
    expect(slide.out).toContain(`predicted trainIds: ${inside('slide')}`);
    expect(JSON.parse(readFileSync(json, 'utf8')).inference).toEqual({
      scales: [0.75, 1],
      flip: true,
      slide: { window: { width: 48, height: 48 }, stride: { width: 24, height: 24 }, batch: 1 },
    });
    const other = readPng('slide', `${ids[0]}.png`);
    const trainId = new Map(CITYSCAPES_CLASSES.map((info) => [info.labelId, info.trainId]));
    expect([...other.data]).not.toEqual([...whole.data].map((value) => trainId.get(value)));
  });

  test("evaluates one's own classes, which have no subset of Cityscapes'", async () => {
    const data = Uint8Array.from({ length: width * height }, (_, i) => ((i % width) >> 4) % 5);
    write(inside('own-data/images/val', 'a.png'), randomImage(7));
    write(inside('own-data/masks/val', 'a.png'), encode({ width, height, channels: 1, data }));
    const names = ['ground', 'plant', 'pipe', 'tank', 'sky'];
    writeFileSync(inside('own-data/classes.json'), JSON.stringify({ classes: names }));
    const checkpoint = inside('five.safetensors');
    const json = inside('own.json');
    const args = ['eval', '--checkpoint', checkpoint, '--target-root', inside('own-data'), '--json', json];
    const { code, out } = await pgpc(...args);
    expect([
      code,
      out
        .split('\n')
        .slice(2, 8)
        .map((line) => line.split(/ {2,}/)[0]),
    ]).toEqual([0, [...names, 'mean of 4 of 5']]);
    const results = JSON.parse(readFileSync(json, 'utf8'));
    expect(results.dataset).toMatchObject({ name: 'folder', images: 1 });
    expect(results).not.toHaveProperty('miouOverClasses');
    expect(await pgpc(...args, '--classes', '13')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^pgpc: --classes 13: the classes of .*own-data are not Cityscapes'\n$/),
    });
  });

  test("scores other classes than the model's by name, or as a file says, and tells which", async () => {
    using named = new Segmentor(tinySegmentor, 1);
    named.classInfo = ['street', 'Building', 'plant', 'pipe', 'car'].map((name, trainId) => ({
      ...CITYSCAPES_CLASSES[trainId]!,
      name,
    }));
    const checkpoint = inside('named.safetensors');
    saveSegmentor(checkpoint, named);
    const json = inside('named.json');
    const on = (...args: string[]) =>
      pgpc(
        'eval',
        '--checkpoint',
        checkpoint,
        '--target-root',
        inside('cityscapes'),
        '--json',
        json,
        ...args,
      );
    const byName = await on();
    expect([byName.code, byName.err]).toEqual([0, expect.stringMatching(/^road +7 +ignored +\d/m)]);
    expect(byName.err).toMatch(/^building +11 +Building +\d/m);
    expect(byName.err).toMatch(/^absent there: street, plant, pipe$/m);
    expect(byName.out).toMatch(/^mean of 2 of 5 /m);
    expect(byName.out).toMatch(/left out of the mean: street, plant, pipe$/m);
    expect(JSON.parse(readFileSync(json, 'utf8')).averaged).toEqual(['Building', 'car']);

    const file = inside('map.yaml');
    writeFileSync(
      file,
      'classes: [{ name: street, from: [road, side walk] }, { name: plant, from: terrain }]\nignore: rest',
    );
    const mapped = await on('--classes', file);
    expect([mapped.code, mapped.err]).toEqual([0, expect.stringMatching(/^sidewalk +8 +street +\d/m)]);
    const { averaged, dataClasses } = JSON.parse(readFileSync(json, 'utf8'));
    expect(averaged).toEqual(['street', 'Building', 'plant', 'car']);
    expect(dataClasses[1]).toMatchObject({ name: 'sidewalk', values: ['8'], class: 'street' });
    expect(dataClasses[10]).toMatchObject({ name: 'sky', values: ['23'], class: null });
    writeFileSync(file, 'classes: [{ name: stret, from: [road] }, plant]\nignore: rest');
    expect(await on('--classes', file)).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /the mapping's class 'stret' is none of the network's \(did you mean 'street'\?\)/,
      ),
    });
    writeFileSync(file, 'classes: [{ name: street, from: [road] }, plant]');
    expect((await on('--classes', file)).err).toMatch(
      /cityscapes: its classes 'sidewalk', .* are named nowhere/,
    );
  });

  test('refuses what does not fit, in one line', async () => {
    const refusals: [string[], RegExp][] = [
      [['--window', '32x32'], /^pgpc: --window needs --mode slide\n$/],
      [
        ['--mode', 'slide', '--window', '32x32', '--stride', '33x16'],
        /^pgpc: --stride 33x16 must not exceed the window, 32x32: /,
      ],
      [['--scales', '1,0'], /^pgpc: --scales '1,0': must be a number above 0\n$/],
      [['--classes', '15'], /^pgpc: --classes '15': must be one of 19, 16, 13/],
      [['--predictions', 'color'], /^pgpc: --predictions needs --save-predictions with a folder\n$/],
      [['--json', folder], /^pgpc: --json '.*': is a folder, not a file\n$/],
    ];
    for (const [args, message] of refusals) {
      const { code, err } = await evaluate(...args);
      expect([code, err]).toEqual([2, expect.stringMatching(message)]);
    }
    const checkpoint = inside('five.safetensors');
    const wrong = await pgpc('eval', '--checkpoint', checkpoint, '--target-root', inside('cityscapes'));
    expect(wrong).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^pgpc: the network has 5 classes and .* has 19: they must be the same; --classes FILE/,
      ),
    });
  });
});

describe('pgpc eval of single images', () => {
  /** The scores of one image from the label files of truth and prediction. */
  function slowScores(truth: Uint8Array, prediction: Uint8Array) {
    const classes = [...new Set(truth)].filter((value) => value !== 255);
    const count = (is: (at: number) => boolean) => truth.reduce((sum, _, at) => sum + (is(at) ? 1 : 0), 0);
    const iou = classes.map((one) => {
      const labelled = (at: number) => truth[at] !== 255;
      const both = count((at) => truth[at] === one && prediction[at] === one);
      return both / count((at) => labelled(at) && (truth[at] === one || prediction[at] === one));
    });
    return iou.reduce((sum, value) => sum + value, 0) / iou.length;
  }

  test('lists the worst, and writes every score, a page and a folder for FiftyOne', async () => {
    const folders = ['--per-image', inside('scored'), '--fiftyone', inside('seen'), '--worst', '1'];
    const { code, out } = await evaluate(...folders, '--json', inside('scored.json'));
    expect(code).toBe(0);
    const images = JSON.parse(readFileSync(inside('scored/images.json'), 'utf8'));
    expect(JSON.parse(readFileSync(inside('scored.json'), 'utf8')).images).toEqual(images);
    expect(images.map(({ id }: { id: string }) => id)).toEqual(ids);
    const names = JSON.parse(readFileSync(inside('seen/mask_targets.json'), 'utf8'));
    expect(names['1']).toBe('road');
    for (const { id, miou } of images) {
      // Masks hold index and one; 0 is no class.
      const mask = (kind: string) => {
        const { data, channels, palette } = readPng('seen', kind, `${id}.png`);
        expect([channels, palette]).toEqual([1, undefined]);
        return Uint8Array.from(data, (value) => (value === 0 ? 255 : value - 1));
      };
      const truth = mask('labels');
      expect(truth).toContain(255);
      expect(miou).toBeCloseTo(slowScores(truth, mask('predictions')), 12);
      expect([...readPng('seen/data', `${id}.png`).data]).toEqual([
        ...readPng('cityscapes/leftImg8bit/val', `${id}_leftImg8bit.png`).data,
      ]);
    }
    const [worst] = [...images].sort((a: { miou: number }, b: { miou: number }) => a.miou - b.miou);
    const listed = out.split('\n').findIndex((line) => line.startsWith('worst images'));
    expect(out.split('\n')[listed + 2]).toMatch(
      new RegExp(`^${worst.id} +${(100 * worst.miou).toFixed(1)} `),
    );
    const page = readFileSync(inside('scored/worst.html'), 'utf8');
    expect(page.match(/<img /g)).toHaveLength(4);
    expect(page).toContain(worst.id);
    const [head, ...rows] = readFileSync(inside('scored/images.csv'), 'utf8').trim().split('\n');
    expect(head).toMatch(/^id,image,label,pixels,miou,accuracy,road,sidewalk,/);
    expect(rows.map((row) => Number(row.split(',')[4]))).toEqual(
      images.map(({ miou }: { miou: number }) => miou),
    );
    // Again, in the place of what it wrote.
    expect((await evaluate(...folders)).code).toBe(0);
  });

  test('takes the place of no mask that somebody drew, and wants a folder for what it counts', async () => {
    const drawn = encode({ width: 2, height: 2, channels: 1, data: new Uint8Array(4) });
    write(inside('drawn/labels', `${ids[0]}.png`), drawn);
    const { code, err } = await evaluate('--fiftyone', inside('drawn'));
    expect([code, err]).toEqual([2, expect.stringMatching(/is there already and is no label map of pgpc's/)]);
    expect([...readFileSync(inside('drawn/labels', `${ids[0]}.png`))]).toEqual([...drawn]);
    const alone = await evaluate('--worst', '3');
    expect([alone.code, alone.err]).toEqual([2, expect.stringMatching(/--worst needs --per-image/)]);
  });
});

describe('pgpc predict', () => {
  test('labels images of any size, in any folder, as evaluation does', async () => {
    await evaluate('--save-predictions', inside('evaluated'));
    const images = inside('cityscapes/leftImg8bit/val');
    const { code, out } = await pgpc(...['predict', model, images, '--out', inside('predicted')]);
    expect([code, out]).toEqual([0, `2 images (overlays, labels): ${inside('predicted')}\n`]);
    for (const id of ids) {
      const predicted = readPng('predicted/labels', `${id}_leftImg8bit.png`);
      expect([...predicted.data]).toEqual([...readPng('evaluated', `${id}.png`).data]);
      expect(predicted.palette).toHaveLength(19);
    }
    const odd = encode({ width: 37, height: 53, channels: 3, data: new Uint8Array(3 * 37 * 53).fill(90) });
    write(inside('own', 'odd.png'), odd);
    const five = inside('five.safetensors');
    await pgpc('predict', five, inside('own'), '--out', inside('own-labels'));
    const labels = readPng('own-labels/labels', 'odd.png');
    expect(labels).toMatchObject({ width: 37, height: 53, channels: 1 });
    expect(labels.palette).toEqual([
      [128, 0, 0],
      [0, 128, 0],
      [128, 128, 0],
      [0, 0, 128],
      [128, 0, 128],
    ]);
  });

  test('as the model was trained: its size, its values, its colours', async () => {
    const trained = inside('trained.safetensors');
    using segmentor = new Segmentor({ ...tinySegmentor, classes: 19 }, 1);
    segmentor.classInfo = Array.from({ length: 19 }, (_, i) => ({
      ...{ name: `plant ${i}`, trainId: i, labelId: 10 * i, kind: 'stuff' as const },
      color: [i, 100, 255 - i] as const,
    }));
    segmentor.about = { inputSize: { width: 96, height: 96 } };
    saveSegmentor(trained, segmentor);
    const images = inside('cityscapes/leftImg8bit/val/aachen');
    const on = async (out: string, ...args: string[]) => {
      const { code, err } = await pgpc('predict', trained, images, '--out', inside(out), ...args);
      expect([code, err]).toEqual([0, expect.anything()]);
      return { err, ...readPng(out, args[1]!, 'aachen_000000_000019_leftImg8bit.png') };
    };
    const labelIds = ['--write', 'labels', '--labels', 'labelIds'];
    const own = await on('as-trained', ...labelIds);
    expect(own.err).toMatch(/^as the model was trained: images within 96x96, 19 classes$/m);
    expect(own.err).not.toContain('warning');
    expect([...own.data].every((value) => value % 10 === 0)).toBe(true);
    const asked = await on('asked', ...labelIds, '--input-size', '96x96');
    expect(asked.data).toEqual(own.data);
    const full = await on('full', ...labelIds, '--input-size', 'full');
    expect(full.err).toMatch(
      /^images as they are, where the model was trained with images within 96x96, 19 classes$/m,
    );
    expect(full.data).not.toEqual(own.data);
    const colours = await on('colours', '--write', 'colors');
    expect(colours.data[1]).toBe(100);

    const refused = await pgpc('eval', '--checkpoint', trained, '--target-root', inside('cityscapes'));
    expect(refused).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /^pgpc: .*cityscapes has none of the network's classes: it has road, .* and the network plant 0, /,
      ),
    });
    segmentor.classInfo = CITYSCAPES_CLASSES;
    saveSegmentor(trained, segmentor);
    const json = inside('as-trained.json');
    const run = ['eval', '--checkpoint', trained, '--target-root', inside('cityscapes'), '--json', json];
    expect(await pgpc(...run)).toMatchObject({
      code: 0,
      err: expect.stringMatching(
        /\nas the model was trained: images within 96x96, 19 classes\nwarning: .*no pixel of/,
      ),
    });
    const { inference } = JSON.parse(readFileSync(json, 'utf8'));
    expect(inference).toMatchObject({ size: { width: 96, height: 96 } });
  });

  test('names the image that does not decode, an empty folder, and two images for one file', async () => {
    const on = (images: string) => pgpc('predict', model, inside(images), '--out', inside('none'));
    write(inside('broken', 'a.jpg'), new Uint8Array([1, 2, 3]));
    expect(await on('broken')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^.*a\.jpg: not a readable image/m),
    });
    mkdirSync(inside('empty'));
    expect(await on('empty')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^pgpc: .*empty: no images here \(no file ends in \.png, \.jpg/),
    });
    write(inside('twice', 'a.png'), randomImage(1));
    write(inside('twice', 'a.jpg'), randomImage(1));
    expect(await on('twice')).toMatchObject({
      code: 1,
      err: expect.stringMatching(/a\.png: .*a\.jpg has the same name; rename or remove one of them/),
    });
    const tiny = encode({ width: 4, height: 4, channels: 3, data: new Uint8Array(48) });
    write(inside('tiny', 'a.png'), tiny);
    expect(await on('tiny')).toMatchObject({ code: 1, err: expect.stringMatching(/^.*a\.png: /m) });
  });
});

describe('eval of data that is not whole', () => {
  function own(name: string, labels: Record<string, Uint8Array | undefined>): string {
    const root = inside(name);
    write(path.join(root, 'classes.yaml'), Buffer.from('classes: [a, b, c, d, e]'));
    for (const [i, [id, label]] of Object.entries(labels).entries()) {
      write(path.join(root, 'images/val', `${id}.png`), randomImage(i));
      if (label) write(path.join(root, 'masks/val', `${id}.png`), label);
    }
    return root;
  }
  const labelOf = (value: (i: number) => number) =>
    encode({
      width,
      height,
      channels: 1,
      data: Uint8Array.from({ length: width * height }, (_, i) => value(i)),
    });
  const sound = labelOf((i) => i % 5);
  const run = (root: string) =>
    pgpc('eval', '--checkpoint', inside('five.safetensors'), '--target-root', root);

  test('scores the images with labels, and names those without', async () => {
    const { code, out, err } = await run(own('partly', { a: sound, b: undefined }));
    expect([code, out]).toEqual([0, expect.stringMatching(/IoU/)]);
    expect(err).toMatch(/left out: .*b\.png: no label for this image/);
  });

  test('scores the sound pairs, names the broken ones, and its exit code tells', async () => {
    const { code, out, err } = await run(own('broken', { a: sound, b: Buffer.from('no label') }));
    expect([code, out]).toEqual([1, expect.stringMatching(/IoU/)]);
    expect(err).toMatch(/left out: .*b\.png: not a readable label/);
    expect(err.trim().split('\n').at(-1)).toMatch(/^pgpc: .*broken: 1 file was left out of the scores/);
  });

  test('of data without labels, or without a labelled pixel, is an error', async () => {
    const unlabelled = await run(own('unlabelled', { a: undefined }));
    expect([unlabelled.code, unlabelled.err]).toEqual([
      1,
      expect.stringMatching(/masks.val: not found; the labels/),
    ]);
    const ignored = await run(own('ignored', { a: labelOf(() => 255) }));
    expect([ignored.code, ignored.err]).toEqual([
      1,
      expect.stringMatching(/no pixel of any class, all are ignored/),
    ]);
  });

  test('says of images that are too small for the network what enlarges them', async () => {
    const { code, err } = await pgpc(
      ...['eval', '--checkpoint', inside('five.safetensors'), '--input-size', '24x24'],
      ...['--target-root', own('small', { a: sound })],
    );
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/an image of 24x18 is too small for this network; --input-size/),
    ]);
  });

  test('warns of classes that do not occur', async () => {
    const { code, err } = await run(own('absent', { a: labelOf((i) => i % 4) }));
    expect([code, err]).toEqual([0, expect.stringMatching(/warning: .*no pixel of class 'e'/)]);
  });
});
