// `pgpc data check`, `stats` and `cache`: what they print, write and return.
import { readFile } from 'node:fs/promises';
import { openDataset, openGta5 } from '@pgpc/datasets';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { colored, grey, indexed, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { runMain } from '../support/command.js';

const space = new Workspace();

const pgpc = (...args: string[]) => runMain(['data', ...args]);

async function pair(root: string, id: string, values: readonly number[]): Promise<void> {
  await space.put(`${root}/images/${id}.png`, rgb(values.length, 1));
  await space.put(`${root}/labels/${id}.png`, indexed(values.length, 1, values));
}

describe('check', () => {
  it('passes good data of any layout, told from its folders', async () => {
    await pair('g', '1', [7, 8]);
    const { code, out } = await pgpc('check', space.path('g'));
    expect(code).toBe(0);
    expect(out).toMatch(
      /^gta5 in .* \(images\/ and labels\/, labels in Cityscapes' palette\)\nwarning: .*\nwarning: .*29 pixels.*\nwarning: .*no pixel of 17 classes.*\nsplit +images +labels +faults\n-+\nall +1 +1 +0\n$/,
    );
  });

  it('lists every fault, fails with 1 and writes JSON', async () => {
    await pair('g', '1', [7, 8]);
    await pair('g', '2', [7]);
    await space.put('g/images/2.png', rgb(2, 1));
    await space.put('g/labels/2.png', grey(2, 1, [7, 77]));
    await space.put('g/images/3.png', 'text');
    await space.put('g/labels/3.png', indexed(1, 1, [7]));
    const json = space.path('faults.json');
    const { code, out, err } = await pgpc('check', space.path('g'), '--json', json, '--jobs', '1');
    expect(code).toBe(1);
    expect(out).toMatch(/2\.png: .*77 \(1 pixel\)/);
    expect(out).toMatch(/3\.png: not a readable image/);
    expect(err).toMatch(/pgpc: .*: 2 faults in gta5 data\n$/);
    const { format, splits } = JSON.parse(await readFile(json, 'utf8'));
    expect([format, splits[0].split, splits[0].images, splits[0].labels]).toEqual(['gta5', 'all', 3, 3]);
    expect(splits[0].faults.map(({ kind }: { kind: string }) => kind)).toEqual([
      'unknown-value',
      'undecodable',
    ]);
  });

  it('writes JSON alone to standard output where that is named', async () => {
    await pair('g', '1', [7, 8]);
    const checked = await pgpc('check', space.path('g'), '--json', '-');
    expect(JSON.parse(checked.out)).toMatchObject({ format: 'gta5' });
    expect(checked.err).toMatch(/split +images/);
    const counted = await pgpc('stats', space.path('g'), '--json', '-');
    expect(JSON.parse(counted.out)).toBeTypeOf('object');
    expect(counted.err).toContain('road');
  });

  it('reads all splits, or one', async () => {
    for (const split of ['train', 'val']) {
      await space.put(`f/images/${split}/1.png`, rgb(2, 1));
      await space.put(`f/masks/${split}/1.png`, grey(2, 1, [0, 1]));
    }
    await space.put('f/masks/val/1.png', grey(1, 1, [1]));
    expect((await pgpc('check', space.path('f'))).out).toMatch(/train +1 +1 +0\nval +1 +1 +1\n/);
    expect((await pgpc('check', space.path('f'), '--split', 'train')).code).toBe(0);
    expect((await pgpc('check', space.path('f'), '--split', 'dev')).out).toMatch(
      /has no split 'dev'; it has train, val/,
    );
  });

  it('says when a folder is no dataset, or not of the format asked for', async () => {
    await space.put('x/readme.md', '');
    expect((await pgpc('check', space.path('x'))).err).toMatch(/no images in a known layout/);
    const { code, out } = await pgpc('check', space.path('x'), '--format', 'cityscapes');
    expect([code, out]).toEqual([1, expect.stringMatching(/leftImg8bit.train: not found/)]);
    expect((await pgpc('check', space.path('x'), '--format', 'pascal')).err).toMatch(
      /must be one of gta5, synthia, cityscapes, acdc, dark-zurich, bdd100k, camvid, .*folder, photos/,
    );
    expect((await pgpc('check', space.path('nowhere'))).code).toBe(2);
  });

  it('prints a class file for masks of colours that have none', async () => {
    await space.put('c/images/train/1.png', rgb(4, 1));
    await space.put('c/masks/train/1.png', colored(4, 1, [0, 0, 0, 0xff8000]));
    const { code, out } = await pgpc('check', space.path('c'));
    expect(code).toBe(1);
    expect(out).toMatch(
      /1\.png: a label must have one 8-bit channel, this is coloured \(2 colours: #000000 75\.0 %, /,
    );
    const text = out.slice(out.indexOf('\nmasks: colors'));
    await space.put('c/classes.yaml', text.replace('class 1', 'crack'));
    expect(await pgpc('check', space.path('c'))).toMatchObject({ code: 0 });
  });

  it('notes what it passes over and reads in spite of a flaw', async () => {
    await space.put('n/images/train/1.gif', await sharp(rgb(4, 4)).gif().toBuffer());
    await space.put('n/images/train/2.bmp', 'BM');
    const turned = await sharp(rgb(4, 4)).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    for (const name of ['b', 'a', 'c']) await space.put(`n/images/train/${name}.jpg`, turned);
    await space.put('n/classes.yaml', 'classes: [a, b]');
    const unused = await pgpc('check', space.path('n'), '--range', '0:4095');
    expect(unused.out).toMatch(/no image has more than 8 bits, so the range 0:4095 changes nothing/);
    const { code, out } = await pgpc('check', space.path('n'), '--split', 'train');
    expect(out).toMatch(
      /^note: .*train: 1 \.bmp file passed over \(2\.bmp\); such files are not read; convert them to PNG$/m,
    );
    expect(out).toMatch(/^warning: .*train: networks on MiT take 29 pixels a side at least.*1\.gif of 4x4/m);
    expect(out).toMatch(/^note: .*a\.jpg and 2 more: turned, as the EXIF orientation says/m);
    expect(code).toBe(0);
  });

  it('refuses numbers of another scale, until the range is given', async () => {
    const data = Uint16Array.from([7300, 7400, 7500, 7550]);
    await space.put('r/images/train/1.png', encode({ width: 2, height: 2, data, channels: 1, depth: 16 }));
    await space.put('r/classes.yaml', 'classes: [a, b]');
    const { code, out } = await pgpc('check', space.path('r'));
    expect([code, out.split('\n')[1]]).toEqual([
      1,
      expect.stringMatching(/1\.png: a 16-bit image with values from 7300 to 7550/),
    ]);
    expect(await pgpc('check', space.path('r'), '--range', '7300:7555')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^note: .*1\.png: read by the range that is given$/m),
    });
    const beside = await pgpc('check', space.path('r'), '--range', '0:4095');
    expect(beside.out).toMatch(/more than half of the pixels lie outside of it/);
    const copied = await pgpc('cache', space.path('r'), '--range', '7300:7555', '--out', space.path('copy'));
    expect(copied.code).toBe(0);
    const copy = await openDataset({ format: 'folder', root: space.path('copy'), split: 'train' });
    expect([...(await copy.readImage(0)).data].filter((_, i) => i % 3 === 0)).toEqual([0, 100, 200, 250]);
    const other = await pgpc('cache', space.path('r'), '--range', '7000:8000', '--out', space.path('copy'));
    expect(other.err).toMatch(/of another scale or range/);
    expect((await pgpc('check', space.path('r'), '--range', '9:1')).err).toMatch(
      /the first of a range must be below the second/,
    );
  });
});

describe('stats', () => {
  it('prints shares, what rare class sampling draws, and its constants at this size', async () => {
    await space.put('g/images/1.png', rgb(100, 50));
    const values = new Uint8Array(5000).fill(7);
    // DAFormer's 3000 of 1914 x 1052 pixels are 7.4 of these 5000: 8 rider pixels are enough, 7 bicycle pixels not.
    values.fill(25, 0, 8);
    values.fill(33, 8, 15);
    values.fill(0, 15, 1015);
    await space.put('g/labels/1.png', indexed(100, 50, [...values]));
    const json = space.path('stats.json');
    const { code, out, err } = await pgpc('stats', space.path('g'), '--json', json, '--crop', '256x128');
    expect([code, err]).toEqual([0, expect.not.stringContaining('pgpc: ')]);
    const row = (name: string) =>
      out
        .split('\n')
        .find((line) => line.startsWith(name))!
        .split(/ {2,}/)
        .slice(1);
    expect(row('road').slice(0, 3)).toEqual(['99.625', '1', '1']);
    expect(row('rider').slice(0, 3)).toEqual(['0.200', '1', '1']);
    expect(row('bicycle').slice(0, 3)).toEqual(['0.175', '1', '0']);
    expect(row('train').slice(0, 3)).toEqual(['0.000', '0', '0']);
    expect(row('ignored')).toEqual(['20.000']);
    expect(Number(row('road')[3])).toBe(0);
    expect(Number(row('rider')[3])).toBeGreaterThan(4);
    expect(out).toMatch(/image of 100x50 .* more than 7 pixels, .* crop of 256x128 .* more than 188 of them/);
    const written = JSON.parse(await readFile(json, 'utf8'));
    expect(written.classes).toHaveLength(19);
    expect(written.images).toHaveLength(1);
    expect(written.images[0]).toMatchObject({ id: '1', size: [100, 50], ignored: 1000 });
    expect(written.images[0].counts[12]).toBe(8);
  });
});

describe('--classes of check and stats', () => {
  it('shows what a mapping makes of a data set, in place of a class file', async () => {
    await pair('g', '1', [7, 8, 20, 26]);
    const file = await space.put(
      'map.yaml',
      'classes: [{ name: flat, from: [road, sidewalk] }, car, train]\nignore: rest',
    );
    const checked = await pgpc('check', space.path('g'), '--classes', file);
    expect([checked.code, checked.out]).toEqual([0, expect.stringMatching(/^sidewalk +8 +flat +25\.000$/m)]);
    expect(checked.out).toMatch(/^traffic sign +20 +ignored +25\.000$/m);
    const counted = await pgpc('stats', space.path('g'), '--classes', file);
    expect(counted.out).toMatch(/^sidewalk +8 +flat +25\.000$/m);
    expect(counted.out).toMatch(/^flat +66\.667 +1 /m);
    expect(counted.out).toMatch(/^ignored, of all pixels +25\.000$/m);
    await space.put('map.yaml', 'classes: [{ name: flat, from: [road, sidewalk] }, car]\nignore: []');
    expect(await pgpc('check', space.path('g'), '--classes', file)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/its classes 'building', .* are named nowhere in the mapping of classes/),
    });
    await space.put('f/images/train/1.png', rgb(2, 1));
    await space.put('f/masks/train/1.png', grey(2, 1, [0, 1]));
    await space.put('map.yaml', 'classes: [first, second]');
    expect((await pgpc('stats', space.path('f'), '--classes', file)).out).toMatch(/^second +50\.000 /m);
  });
});

describe('map', () => {
  it('proposes a mapping with shares, to the terminal or a file', async () => {
    await pair('g', '1', [7, 8, 8, 19, 255]);
    await space.put('c/train/1.png', rgb(4, 1));
    await space.put('c/trainannot/1.png', grey(4, 1, [3, 3, 4, 6]));
    const [source, target] = [space.path('g'), space.path('c')];
    const { code, out } = await pgpc('map', source, target);
    expect(code).toBe(0);
    expect(out).toContain(`# source: ${source} (gta5, all, 19 classes, 1 labels)\n`);
    expect(out).toMatch(/^ {2}- road {3,}# same name; source 25\.0 %; target 50\.0 %$/m);
    expect(out).toMatch(
      /^ {2}- \{ name: pavement, from: \[sidewalk\] \} +# sidewalk: .* source 50\.0 %; target 25\.0 %$/m,
    );
    const file = space.path('map.yaml');
    const written = await pgpc('map', source, target, '--out', file);
    expect([written.code, written.out]).toEqual([0, `${file}: 11 classes, 0 to decide\n`]);
    expect(await readFile(file, 'utf8')).toBe(out);
    const again = await pgpc('map', source, target, '--out', file);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining(`${file} is there already`)]);
  });

  it('counts nothing without labels, and fails where no names tell anything', async () => {
    await pair('g', '1', [7]);
    await space.put('n/images/train/1.png', rgb(1, 1));
    await space.put('n/classes.yaml', 'classes: [alpha, beta]');
    const { code, out, err } = await pgpc('map', space.path('g'), space.path('n'));
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/the names do not tell two classes that both have/),
    ]);
    expect(out).toMatch(/# target: .* \(folder, train, 2 classes, no labels\)/);
    expect(out).toMatch(/# {3}alpha {2}\(target\)/);
    await space.put('photos/1.png', rgb(1, 1));
    expect(await pgpc('map', space.path('g'), space.path('photos'))).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/photos has images alone, and no classes to map/),
    });
  });
});

describe('cache', () => {
  it('writes copies that are the same dataset', async () => {
    await pair(
      'g',
      '1',
      Array.from({ length: 40 }, () => 7),
    );
    const out = space.path('copy');
    const first = await pgpc('cache', space.path('g'), '--out', out, '--scale', '20x20');
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringContaining(`${out}: gta5 all, 1 samples written now, 0 kept\n`),
    ]);
    expect((await pgpc('cache', space.path('g'), '--out', out, '--scale', '20x20')).out).toMatch(
      /0 .*now, 1 kept/,
    );
    expect((await (await openGta5(out)).readLabel(0)).width).toBe(20);
    expect((await pgpc('cache', space.path('g'))).code).toBe(2);
    expect((await pgpc('check', out)).code).toBe(0);
  });
});
