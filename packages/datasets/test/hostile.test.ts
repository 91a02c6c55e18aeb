// Files that claim more than they hold, are of another kind than their names say, or are nested without end.
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readClassFile } from '../src/classes/class-file.js';
import { decodeRgb, imageSize, openImage, readSamples } from '../src/images/index.js';
import { crc32 } from '../src/images/png-codec.js';
import { encodeRowPng } from '../src/images/row-png.js';
import { parseYaml } from '../src/yaml-text.js';
import { failure, rgb, Workspace } from './support/files.js';

const space = new Workspace();

/** A PNG whose header says what it likes. */
function png(width: number, height: number, depth: number, colorType: number, pixels: Uint8Array): Buffer {
  const chunk = (type: string, content: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
    const bytes = Buffer.alloc(body.length + 8);
    bytes.writeUInt32BE(content.length, 0);
    body.copy(bytes, 4);
    bytes.writeUInt32BE(crc32(body), body.length + 4);
    return bytes;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colorType], 8);
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(pixels)),
    chunk('IEND', new Uint8Array()),
  ]);
}

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
    expect(await failure(openImage(await space.put('a.png', copy)))).toMatch(/the file ends early/);
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

describe('YAML', () => {
  it.each([
    ['lists', '['.repeat(5000)],
    ['closed lists', `${'['.repeat(5000)}${']'.repeat(5000)}`],
    ['maps', '{a: '.repeat(5000)],
    ['lists on a line', `${'- '.repeat(200_000)}x`],
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

  it('is bounded in length, and brackets in its texts are no levels', () => {
    expect(() => parseYaml(`a: ${'x'.repeat(2 ** 20)}`)).toThrow(/characters of YAML/);
    expect(parseYaml(`- "${'['.repeat(100)}"\n- don't ${'{'.repeat(100)}\n# ${'['.repeat(100)}`)).toEqual([
      '['.repeat(100),
      `don't ${'{'.repeat(100)}`,
    ]);
  });
});
