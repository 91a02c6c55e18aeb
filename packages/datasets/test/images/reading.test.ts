// Pictures as cameras, sensors and programs leave them: turned by EXIF, of many bits, with flaws, of every colour space.
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { decodeRgb, imageSize, openImage } from '../../src/images/decode.js';
import { encodePng } from '../../src/images/encode.js';
import type { ReadOptions } from '../../src/images/libvips.js';
import { failure, Workspace } from '../support/files.js';
import { randomBelow } from '../support/random.js';

const space = new Workspace();
// Libvips remembers what it read under a name.
let names = 0;
const put = (ending: string, bytes: Uint8Array) => space.put(`${names++}.${ending}`, bytes);

function noise(width: number, height: number, seed = 1) {
  const below = randomBelow(seed);
  return Uint8Array.from({ length: 3 * width * height }, () => below(256));
}

/** Where the pixel (x, y) of an image that is shown w x h is stored, by EXIF's orientation. */
const STORED: Record<number, (x: number, y: number, w: number, h: number) => readonly [number, number]> = {
  1: (x, y) => [x, y],
  2: (x, y, w) => [w - 1 - x, y],
  3: (x, y, w, h) => [w - 1 - x, h - 1 - y],
  4: (x, y, _, h) => [x, h - 1 - y],
  5: (x, y) => [y, x],
  6: (x, y, w) => [y, w - 1 - x],
  7: (x, y, w, h) => [h - 1 - y, w - 1 - x],
  8: (x, y, _, h) => [h - 1 - y, x],
};

describe('an EXIF orientation', () => {
  test.each(Object.keys(STORED).map(Number))(
    '%i is undone, whole, in part and in the size',
    async (orientation) => {
      const [width, height] = [7, 4];
      const stored = noise(width, height);
      const drawn = () =>
        sharp(stored, { raw: { width, height, channels: 3 } }).withMetadata({ orientation });
      const [w, h] = orientation > 4 ? [height, width] : [width, height];
      const shown = (left: number, top: number, columns: number, rows: number) =>
        Array.from({ length: columns * rows }, (_, i) => {
          const [x, y] = STORED[orientation]!(left + (i % columns), top + Math.floor(i / columns), w, h);
          return [...stored.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)];
        }).flat();
      const files = [
        await put('png', await drawn().png().toBuffer()),
        await put('tif', await drawn().tiff({ compression: 'lzw' }).toBuffer()),
        await put('webp', await drawn().webp({ lossless: true }).toBuffer()),
      ];
      for (const file of files) {
        const whole = await decodeRgb(file);
        expect([whole.width, whole.height, ...whole.data]).toEqual([w, h, ...shown(0, 0, w, h)]);
        expect(await imageSize(file)).toEqual({ width: w, height: h });
        const open = await openImage(file);
        expect([open.width, open.height]).toEqual([w, h]);
        const part = await open.decode({ left: 1, top: 2, width: 2, height: 2 });
        expect([...part.data]).toEqual(shown(1, 2, 2, 2));
        await open.close();
      }
    },
  );
});

/** A TIFF of one strip, uncompressed: what sensors and GIS programs write. */
function tiff(
  width: number,
  height: number,
  values: Float32Array | Int16Array | Uint32Array | Uint8Array,
  channels = 1,
): Buffer {
  const bits = 8 * values.BYTES_PER_ELEMENT;
  const format = values instanceof Float32Array ? 3 : values instanceof Int16Array ? 2 : 1;
  const short = (tag: number, value: number) => [tag, 3, value] as const;
  const long = (tag: number, value: number) => [tag, 4, value] as const;
  const tags = [
    long(256, width),
    long(257, height),
    short(258, bits),
    short(259, 1),
    short(262, 1),
    long(273, 8),
  ];
  tags.push(short(277, channels), long(278, height), long(279, values.byteLength), short(339, format));
  const head = Buffer.from('II*\0\0\0\0\0', 'latin1');
  head.writeUInt32LE(8 + values.byteLength, 4);
  const directory = Buffer.alloc(2 + 12 * tags.length + 4);
  directory.writeUInt16LE(tags.length, 0);
  for (const [i, [tag, type, value]] of tags.entries()) {
    const at = 2 + 12 * i;
    directory.writeUInt16LE(tag, at);
    directory.writeUInt16LE(type, at + 2);
    directory.writeUInt32LE(1, at + 4);
    directory.writeUInt32LE(value, at + 8);
  }
  return Buffer.concat([head, Buffer.from(values.buffer), directory]);
}

const grey16 = (width: number, height: number, values: readonly number[]) =>
  put('png', encodePng({ width, height, data: Uint16Array.from(values), channels: 1, depth: 16 }));

async function firstChannel(file: string, options?: ReadOptions): Promise<number[]> {
  const { data } = await decodeRgb(file, options);
  return [...data].filter((_, i) => i % 3 === 0);
}

describe('numbers of more than eight bits', () => {
  test('of 16 bits have the scale 0..65535, floats 0..1', async () => {
    expect(await firstChannel(await grey16(2, 2, [0, 257, 32_768, 65_535]))).toEqual([0, 1, 128, 255]);
    const floats = await put('tif', tiff(2, 2, Float32Array.from([0, 0.25, 0.5, 1])));
    expect(await firstChannel(floats)).toEqual([0, 64, 128, 255]);
    const color = encodePng({
      width: 1,
      height: 2,
      data: Uint16Array.from([0, 32_768, 65_535, 9, 65_535, 0, 65_535, 9]),
      channels: 4,
      depth: 16,
    });
    expect([...(await decodeRgb(await put('png', color))).data]).toEqual([0, 128, 255, 255, 0, 255]);
  });

  test.each([
    [
      '12 bits',
      () => grey16(2, 1, [608, 3824]),
      /a 16-bit image with values from 608 to 3824: .* \(almost\) black; .*--range LOW:HIGH, perhaps 0:4095/,
    ],
    ['8 bits', () => grey16(2, 1, [1, 255]), /perhaps 0:255/],
    ['a narrow band', () => grey16(2, 1, [21_000, 24_000]), /12 grey values of 256; .*perhaps 21000:24000/],
    [
      'floats up to 255',
      async () => put('tif', tiff(2, 1, Float32Array.from([0, 200]))),
      /from 0 to 200, not from 0 to 1; .*perhaps 0:255/,
    ],
    ['dark floats', async () => put('tif', tiff(2, 1, Float32Array.from([0, 0.1]))), /almost\) black/],
    [
      'no number',
      async () => put('tif', tiff(2, 1, Float32Array.from([0, Number.NaN]))),
      /1 that are no numbers/,
    ],
    [
      'signed numbers',
      async () => put('tif', tiff(2, 1, Int16Array.from([-40, 900]))),
      /a signed 16-bit image .*perhaps -40:900/,
    ],
    [
      '32 bits',
      async () => put('tif', tiff(2, 1, Uint32Array.from([7, 70_000]))),
      /a 32-bit image with values from 7 to 70000/,
    ],
  ])('of another scale, such as %s, are refused with the stored range', async (_, made, message) => {
    const file = await made();
    expect(await failure(decodeRgb(file))).toMatch(message);
    const open = await openImage(file);
    expect(await failure(open.decode({ left: 0, top: 0, width: 1, height: 1 }))).toMatch(message);
  });

  test('are read by the range that is given, whole and in part; bytes stay as they are', async () => {
    const range = [1000, 2000] as const;
    const file = await grey16(3, 2, [900, 1000, 1500, 1999, 2000, 3000]);
    expect(await firstChannel(file, { range })).toEqual([0, 0, 128, 255, 255, 255]);
    const signed = await put('tif', tiff(2, 1, Int16Array.from([-50, 50])));
    expect(await firstChannel(signed, { range: [-100, 100] })).toEqual([64, 191]);
    const open = await openImage(file, { range });
    expect([...(await open.decode({ left: 1, top: 0, width: 2, height: 1 })).data]).toEqual([
      0, 0, 0, 128, 128, 128,
    ]);
    const bytes = await put(
      'png',
      encodePng({ width: 2, height: 1, data: Uint8Array.from([3, 200]), channels: 1 }),
    );
    expect(await firstChannel(bytes, { range })).toEqual([3, 200]);
  });

  test('are cut from the whole where no range is given, whose scale counts', async () => {
    const open = await openImage(await grey16(3, 1, [100, 300, 65_535]));
    expect([...(await open.decode({ left: 0, top: 0, width: 2, height: 1 })).data]).toEqual([
      0, 0, 0, 1, 1, 1,
    ]);
  });
});

describe('colours', () => {
  const pixels = () => sharp(noise(6, 5), { raw: { width: 6, height: 5, channels: 3 } }).blur(2);

  test('of CMYK, with its profile and without, are what the picture shows', async () => {
    const red = sharp({ create: { width: 4, height: 4, channels: 3, background: '#c03020' } });
    const profiled = await red
      .clone()
      .toColourspace('cmyk')
      .withIccProfile('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    const bare = await red.clone().toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer();
    for (const bytes of [profiled, bare]) {
      const [r, g, b] = (await decodeRgb(await put('jpg', bytes))).data;
      expect(Math.abs(r! - 0xc0) + Math.abs(g! - 0x30) + Math.abs(b! - 0x20)).toBeLessThan(60);
    }
  });

  test('of palettes, grey with alpha and interlaced files are their own', async () => {
    const palette = await pixels().png({ palette: true, colours: 16 }).toBuffer();
    const shown = await sharp(palette).removeAlpha().raw().toBuffer();
    expect([...(await decodeRgb(await put('png', palette))).data]).toEqual([...shown]);
    const grey = encodePng({ width: 2, height: 1, data: Uint8Array.from([9, 0, 80, 255]), channels: 2 });
    expect(await firstChannel(await put('png', grey))).toEqual([9, 80]);
    const lossless = await pixels().raw().toBuffer();
    const progressive = await put('png', await pixels().png({ progressive: true }).toBuffer());
    expect([...(await decodeRgb(progressive)).data]).toEqual([...lossless]);
  });

  test('of more channels than a picture has are refused', async () => {
    const more = tiff(
      2,
      2,
      Uint8Array.from({ length: 20 }, (_, i) => i),
      5,
    );
    expect(await failure(decodeRgb(await put('tif', more)))).toMatch(/an image of 5 channels/);
  });

  test('of several pages come from the first, which is noted', async () => {
    const frames = Buffer.concat([Buffer.alloc(48, 200), Buffer.alloc(48, 20)]);
    const animated = { raw: { width: 4, height: 8, channels: 3 as const, pageHeight: 4 } };
    const file = await put('gif', await sharp(frames, animated).gif({ loop: 0 }).toBuffer());
    const notes: string[] = [];
    const { width, height, data } = await decodeRgb(file, { onRemark: (remark) => notes.push(remark) });
    expect([width, height, data[0]]).toEqual([4, 4, 200]);
    expect(notes).toEqual(['2 pages, the first is read']);
  });
});

describe('files with a flaw', () => {
  const photo = () =>
    sharp(noise(32, 24), { raw: { width: 32, height: 24, channels: 3 } })
      .jpeg({ quality: 90 })
      .toBuffer();

  test('that viewers pass over are read as they do, and noted', async () => {
    const good = await photo();
    const end = good.length - 2;
    const stray = Buffer.concat([good.subarray(0, end), Buffer.from([0, 0]), good.subarray(end)]);
    // Scan parameters as the cameras of a maker write them: the last coefficient is 0 where it must be 63.
    const scan = Buffer.from(good);
    const start = scan.indexOf(Buffer.from([0xff, 0xda]));
    scan[start + 5 + 2 * scan[start + 4]! + 1] = 0;
    const expected = await decodeRgb(await put('jpg', good));
    for (const bytes of [stray, scan]) {
      const file = await put('jpg', bytes);
      expect((await decodeRgb(file)).data).toEqual(expected.data);
    }
    const file = await put('jpg', scan);
    const notes: string[] = [];
    expect((await decodeRgb(file, { onRemark: (remark) => notes.push(remark) })).data).toEqual(expected.data);
    expect(notes).toEqual([expect.stringContaining('a flaw that viewers pass over (')]);
  });

  test('that lack pixels are refused, and others say what they are', async () => {
    const good = await photo();
    expect(await failure(decodeRgb(await put('jpg', good.subarray(0, good.length >> 1))))).toMatch(
      /not a readable image \(.*premature end.*\); copy it again from where it came, or export it again$/,
    );
    const others = [
      ['', /: the file is empty/],
      ['<!doctype html>', /: it is text, such as a web page/],
      ['version https://git-lfs.github.com/spec/v1', /git lfs pull/],
      ['\0\0\0\u0018ftypheic', /HEIC picture; convert/],
      ['\0'.repeat(100), /zero bytes/],
      ['BM', /BMP picture; convert it to PNG/],
    ] as const;
    for (const [text, message] of others) {
      expect(await failure(decodeRgb(await put('jpg', Buffer.from(text))))).toMatch(message);
    }
    expect(await failure(decodeRgb(space.path('none.jpg')))).toMatch(/none\.jpg: not found/);
  });
});
