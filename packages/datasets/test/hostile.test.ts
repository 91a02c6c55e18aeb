// Files that claim more than they hold, are of another kind than their names say, or are nested without end.
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readClassFile } from '../src/classes/class-file.js';
import { parseJson } from '../src/files/json-text.js';
import { decodeRgb, imageSize, openImage, readSamples } from '../src/images/index.js';
import { crc32 } from '../src/images/png-codec.js';
import { encodeRowPng } from '../src/images/row-png.js';
import { readLabelValues } from '../src/labels/values.js';
import { readMatlabVectors } from '../src/readers/matlab.js';
import { parseYaml } from '../src/yaml-text.js';
import { failure, rgb, Workspace } from './support/files.js';

const space = new Workspace();

type Chunk = readonly [type: string, content: Uint8Array];

function chunk([type, content]: Chunk): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const bytes = Buffer.alloc(body.length + 8);
  bytes.writeUInt32BE(content.length, 0);
  body.copy(bytes, 4);
  bytes.writeUInt32BE(crc32(body), body.length + 4);
  return bytes;
}

const pngOf = (...chunks: Chunk[]) =>
  Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...chunks.map(chunk)]);

function header(width: number, height: number, ...form: number[]): Chunk {
  const content = Buffer.alloc(13);
  content.writeUInt32BE(width, 0);
  content.writeUInt32BE(height, 4);
  content.set(form, 8);
  return ['IHDR', content];
}

const END: Chunk = ['IEND', new Uint8Array()];

/** A PNG whose header says what it likes. */
const png = (width: number, height: number, depth: number, colorType: number, pixels: Uint8Array) =>
  pngOf(header(width, height, depth, colorType), ['IDAT', deflateSync(pixels)], END);

describe('a PNG that claims more pixels than it can hold', () => {
  const few = new Uint8Array(1000);

  it.each([
    ['16384 x 16384', png(16_384, 16_384, 8, 2, few)],
    ['one row of 2^26', png(2 ** 26, 1, 8, 2, few)],
    ['grey, which libvips reads', png(16_000, 16_000, 8, 0, few)],
  ])('is refused before memory is taken, as an image: %s', async (_, bytes) => {
    const before = process.memoryUsage();
    const message = await failure(decodeRgb(await space.put('a.png', bytes)));
    expect(message).toMatch(/a\.png: not a readable image \(.*cannot hold/);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 24);
  });

  it('is refused as a label', async () => {
    const claim = png(16_384, 16_384, 8, 0, few);
    expect(await failure(readSamples(await space.put('a.png', claim)))).toMatch(/cannot hold/);
    const wide = png(16_384, 16_384, 16, 6, few);
    expect(await failure(readSamples(await space.put('b.png', wide)))).toMatch(/16384x16384 is out of range/);
  });

  it('is refused in the form of copies, which are read in parts', async () => {
    const copy = Buffer.from(encodeRowPng({ width: 4, height: 4, data: new Uint8Array(48) }));
    copy.writeUInt32BE(2 ** 30, 20);
    copy.writeUInt32BE(crc32(copy.subarray(12, 29)), 29);
    expect(await failure(openImage(await space.put('a.png', copy)))).toMatch(/the file ends early/);
  });
});

describe('a PNG that breaks the standard', () => {
  const pixels: Chunk = ['IDAT', deflateSync(Uint8Array.of(0, 1, 2, 3, 0, 4, 5, 6))];
  const head = header(1, 2, 8, 2);
  const text: Chunk = ['tEXt', Buffer.from('a')];
  const parts = [pixels[1].subarray(0, 5), pixels[1].subarray(5)].map((part): Chunk => ['IDAT', part]);

  it('is told from one that does not', async () => {
    const file = await space.put('a.png', pngOf(head, text, parts[0]!, parts[1]!, text, END));
    expect((await decodeRgb(file)).data).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6));
    expect((await readSamples(file)).samples).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6));
  });

  it.each([
    ['a second header', /two headers/, [head, header(2, 1, 8, 2), pixels, END]],
    ['no header first', /does not begin with a header/, [text, head, pixels, END]],
    ['pixels in two places', /pixels behind the chunk "tEXt"/, [head, parts[0]!, text, parts[1]!, END]],
    ['a chunk that must be known', /the chunk "CgBI"/, [head, ['CgBI', Buffer.alloc(4)], pixels, END]],
    ['a palette of no whole colours', /a palette of 4 bytes/, [head, ['PLTE', Buffer.alloc(4)], pixels, END]],
    ['a palette behind the pixels', /behind the pixels/, [head, pixels, ['PLTE', Buffer.alloc(3)], END]],
    ['indices without a palette', /without a palette/, [header(3, 2, 8, 3), pixels, END]],
    ['another way to pack', /of a kind that does not exist/, [header(1, 2, 8, 2, 1), pixels, END]],
    ['three bits', /3 bits does not exist/, [header(1, 2, 3, 0), pixels, END]],
    [
      'two EXIF chunks',
      /two EXIF chunks/,
      [head, ['eXIf', Buffer.alloc(0)], ['eXIf', Buffer.alloc(0)], pixels, END],
    ],
  ] as [string, RegExp, Chunk[]][])('is refused as a label: %s', async (_, why, chunks) => {
    expect(await failure(readSamples(await space.put('a.png', pngOf(...chunks))))).toMatch(why);
  });

  it('is refused in the form of copies, if a row is stored in another way', async () => {
    const copy = Buffer.from(encodeRowPng({ width: 2, height: 2, data: new Uint8Array(12) }));
    const filter = copy.indexOf('IDAT', copy.indexOf('IDAT') + 4) + 4 + 5 + (12 + 6 + 6);
    copy[filter] = 1;
    copy.writeUInt32BE(crc32(copy.subarray(filter - 9, filter + 7)), filter + 7);
    const opened = await openImage(await space.put('a.png', copy));
    expect(await failure(opened.decode({ left: 0, top: 0, width: 2, height: 2 }))).toMatch(
      /a\.png: .*row 1 is not stored as the one before/,
    );
    await opened.close();
  });
});

describe('a picture of another format', () => {
  const picture = (width: number, value: number) =>
    sharp(Buffer.alloc(3 * 8 * width, value), { raw: { width, height: 8, channels: 3 } });

  it('that claims more pixels than it can hold is refused before memory is taken', async () => {
    const jpeg = await picture(8, 90).jpeg().toBuffer();
    const frame = jpeg.indexOf(Buffer.of(0xff, 0xc0));
    jpeg.writeUInt16BE(16_000, frame + 5);
    jpeg.writeUInt16BE(16_000, frame + 7);
    expect(await failure(decodeRgb(await space.put('a.jpg', jpeg)))).toMatch(/a\.jpg: .*more pixels than/);
  });

  it('is refused if its pixels end early, also where the file ends as it should', async () => {
    const noise = Buffer.from(Uint8Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * 7919) % 251));
    const jpeg = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    const cut = Buffer.concat([jpeg.subarray(0, jpeg.length - 800), jpeg.subarray(-2)]);
    expect(await failure(decodeRgb(await space.put('a.jpg', cut)))).toMatch(/a\.jpg: .*premature end/);
  });

  it('is read anew when another file has taken its name', async () => {
    for (const format of ['webp', 'tiff', 'png'] as const) {
      for (const [width, value] of [
        [8, 10],
        [16, 200],
      ] as const) {
        const options = format === 'webp' ? { lossless: true } : {};
        const file = await space.put(
          'a.png',
          await picture(width, value).toFormat(format, options).toBuffer(),
        );
        expect(await imageSize(file)).toEqual({ width, height: 8 });
        expect((await decodeRgb(file)).data[0]).toBe(value);
      }
    }
  });

  it('is refused by name as a label if it is damaged or turned, also as one mask of several', async () => {
    const tiff = await picture(8, 1).tiff().toBuffer();
    const damaged = await space.put('a.png', tiff.subarray(0, tiff.length - 40));
    expect(await failure(readSamples(damaged))).toMatch(/a\.png: not a readable label/);
    const turned = await space.put(
      'b.png',
      await picture(8, 1).withMetadata({ orientation: 3 }).tiff().toBuffer(),
    );
    for (const coding of [
      { kind: 'layers', files: [turned], table: Uint8Array.of(0, 1) },
      { kind: 'values', table: new Uint8Array(256) },
    ] as const) {
      expect(await failure(readLabelValues(turned, coding))).toMatch(/b\.png: its EXIF orientation \(3\)/);
    }
  });
});

describe('a picture of a format that is not read', () => {
  const drawing =
    '<svg xmlns="http://www.w3.org/2000/svg" width="9000" height="9000"><rect width="9" height="9"/></svg>';

  it.each([
    ['an SVG', drawing],
    ['an SVG behind its declaration', `<?xml version="1.0"?>${drawing}`],
    ['a PPM', 'P6 1 1 255 abc'],
  ])('is refused whatever its name says: %s', async (_, text) => {
    const file = await space.put('a.png', text);
    expect(await failure(decodeRgb(file))).toMatch(/a\.png: not a readable image/);
    expect(await failure(imageSize(file))).toMatch(/a\.png: not a readable image/);
    expect(await failure(readSamples(file))).toMatch(/a\.png: not a readable label/);
  });

  it('is told from all that are read', async () => {
    const pixels = sharp(Buffer.alloc(3 * 64, 90), { raw: { width: 8, height: 8, channels: 3 } });
    for (const format of ['png', 'jpeg', 'webp', 'tiff', 'avif', 'gif'] as const) {
      const file = await space.put('a.png', await pixels.clone().toFormat(format).toBuffer());
      expect(await imageSize(file)).toEqual({ width: 8, height: 8 });
    }
    expect((await decodeRgb(await space.put('b.jpg', rgb(2, 1)))).width).toBe(2);
  });
});

describe('JSON', () => {
  it('of lists or objects inside of one another is refused, and brackets in its texts are no levels', () => {
    for (const open of ['[', '{"a":']) {
      expect(() => parseJson(open.repeat(101))).toThrow(/deeper than 100 levels/);
      expect(() => parseJson(open.repeat(1_000_000))).toThrow(/deeper than 100 levels/);
    }
    expect(() => parseJson('['.repeat(100))).toThrow(SyntaxError);
    const text = `["${'['.repeat(200)}\\"", ${'[],'.repeat(200)} 1]`;
    expect(parseJson(text)).toEqual(JSON.parse(text));
  });
});

describe('text of a file', () => {
  it('is cut short in errors', async () => {
    const name = 'x'.repeat(60_000);
    const message = await failure(
      readClassFile(await space.put('classes.yaml', `classes: [${name}, ${name}]`)),
    );
    expect(message).toMatch(/classes\.yaml: two classes are named 'xxx/);
    expect(message.length).toBeLessThan(1500);
  });
});

describe('a MATLAB file', () => {
  it('that unpacks to more than any list of ids is refused', () => {
    const packed = deflateSync(Buffer.alloc(2 ** 25));
    const tag = Buffer.alloc(8);
    tag.writeUInt32LE(15, 0);
    tag.writeUInt32LE(packed.length, 4);
    const head = Buffer.alloc(128);
    head.write('IM', 126, 'latin1');
    expect(() => readMatlabVectors(Buffer.concat([head, tag, packed]))).toThrow(/larger than/i);
  });
});

describe('YAML', () => {
  it.each([
    ['lists', '['.repeat(5000)],
    ['closed lists', `${'['.repeat(5000)}${']'.repeat(5000)}`],
    ['maps', '{a: '.repeat(5000)],
    ['lists on a line', `${'- '.repeat(60_000)}x`],
    ['keys', `${'? '.repeat(5000)}x`],
    ['maps by indentation', Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
  ])('of %s inside of one another is refused by name, also when read again', async (_, text) => {
    const file = await space.put('classes.yaml', text);
    for (let i = 0; i < 3; i++) {
      expect(await failure(readClassFile(file))).toMatch(
        /classes\.yaml: cannot be read \(.*deeper than 50 levels/,
      );
    }
  });

  it.each([
    [
      'ends that nothing began',
      '[]\n'.concat('[]'.repeat(60_000)),
      /Unexpected flow-seq-end .* at line 2, column 2/,
    ],
    [
      'tags that are not known',
      '- !!js/function x\n'.repeat(7000),
      /Unresolved tag: .*js.function at line 1, column 3/,
    ],
    ['lists as keys', '[a]: 1\n'.repeat(16_000), /a key that is no text at line 1, column 1/],
    ['keys that are there before', 'a: 1\n'.repeat(26_000), /Map keys must be unique at line 2, column 1/],
  ])('with thousands of faults is refused by the first, in bounded time: %s', async (_, text, first) => {
    const file = await space.put('classes.yaml', text);
    const began = performance.now();
    expect(await failure(readClassFile(file))).toMatch(first);
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('with ten thousand keys is read in bounded time', () => {
    const keys = Array.from({ length: 10_000 }, (_, i) => [`k${i}`, i] as const);
    const began = performance.now();
    expect(parseYaml(keys.map(([key, i]) => `${key}: ${i}`).join('\n'))).toEqual(Object.fromEntries(keys));
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('is bounded in length, and brackets in its texts are no levels', () => {
    expect(() => parseYaml(`a: ${'x'.repeat(2 ** 17)}`)).toThrow(/characters of YAML/);
    expect(parseYaml(`- "${'['.repeat(100)}"\n- don't ${'{'.repeat(100)}\n# ${'['.repeat(100)}`)).toEqual([
      '['.repeat(100),
      `don't ${'{'.repeat(100)}`,
    ]);
  });
});
