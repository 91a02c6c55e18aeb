// PNG files of every kind, sample by sample, and damaged ones.
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { readPng } from '../../src/images/index.js';
import { grey, Workspace } from '../support/files.js';

const space = new Workspace();

describe('PNG', () => {
  const pixels = fc
    .record({
      width: fc.integer({ min: 1, max: 9 }),
      height: fc.integer({ min: 1, max: 6 }),
      channels: fc.constantFrom(1 as const, 2 as const, 3 as const, 4 as const),
    })
    .chain(({ width, height, channels }) =>
      fc
        .array(fc.integer({ min: 0, max: 255 }), {
          minLength: width * height * channels,
          maxLength: width * height * channels,
        })
        .map((data) => ({ width, height, channels, data: Uint8Array.from(data) })),
    );

  it('reads what libvips writes, with each row filter, interlaced or not', async () => {
    await fc.assert(
      fc.asyncProperty(pixels, fc.boolean(), fc.boolean(), async (image, adaptiveFiltering, progressive) => {
        const { width, height, channels, data } = image;
        const bytes = await sharp(data, { raw: { width, height, channels } })
          .toColourspace(channels < 3 ? 'b-w' : 'srgb')
          .png({ adaptiveFiltering, progressive })
          .toBuffer();
        const png = await readPng(await space.put('a.png', bytes));
        expect([png.width, png.height, png.channels, png.depth]).toEqual([width, height, channels, 8]);
        expect([...png.samples]).toEqual([...data]);
      }),
      { numRuns: 80 },
    );
  });

  it('reads interlaced files of few and of many bits as their plain forms', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 12 }),
        fc.constantFrom(2, 4, 16, 65536),
        async (width, height, values) => {
          const at = (i: number) => ((i * 7919) % 97) % values;
          const data = Uint16Array.from(
            { length: width * height * 3 },
            (_, i) => at(Math.floor(i / 3)) * 700,
          );
          const read = async (progressive: boolean) => {
            const image = sharp(data, { raw: { width, height, channels: 3 } });
            const bytes =
              values === 65536
                ? await image.toColourspace('rgb16').png({ progressive }).toBuffer()
                : await sharp(await image.toColourspace('srgb').png().toBuffer())
                    .png({ palette: true, colours: values, dither: 0, progressive })
                    .toBuffer();
            return readPng(await space.put(`${progressive}.png`, bytes));
          };
          expect(await read(true)).toEqual(await read(false));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('undoes every filter as the standard defines them', async () => {
    // Rows of 3 samples: none, sub, up, average, Paeth; worked out by hand.
    const rows = [
      [0, 10, 20, 30],
      [1, 1, 2, 3],
      [2, 5, 5, 5],
      [3, 1, 1, 1],
      [4, 1, 1, 250],
    ];
    const file = await space.put('f.png', png({ width: 3, height: 5, rows }));
    expect([...(await readPng(file)).samples]).toEqual([
      ...[10, 20, 30],
      ...[1, 3, 6],
      ...[6, 8, 11],
      ...[4, 7, 10],
      // Paeth of (0, 4, 0) = 4; of (5, 7, 4): 8 is nearest to 7; of (8, 10, 7): 11 is nearest to 10.
      ...[5, 8, 4],
    ]);
  });

  it('reads 16 bits', async () => {
    const data = Uint16Array.from([0, 1, 256, 65535, 4660, 7]);
    const file = await space.put('w.png', encode({ width: 3, height: 2, data, channels: 1, depth: 16 }));
    expect([...(await readPng(file)).samples]).toEqual([...data]);
  });

  it('refuses a header whose size the pixels do not fill, or that is out of range', async () => {
    const short = await space.put('s.png', png({ width: 3, height: 2, rows: [[0, 1, 2, 3]] }));
    await expect(readPng(short)).rejects.toThrow('4 bytes of pixels where the header');
    const long = await space.put(
      'l.png',
      png({
        width: 1,
        height: 1,
        rows: [
          [0, 1],
          [0, 2],
          [0, 3],
        ],
      }),
    );
    await expect(readPng(long)).rejects.toThrow();
    const huge = await space.put('h.png', png({ width: 2 ** 30, height: 2 ** 30, rows: [[0]] }));
    await expect(readPng(huge)).rejects.toThrow('out of range');
    const filter = await space.put('x.png', png({ width: 1, height: 1, rows: [[9, 1]] }));
    await expect(readPng(filter)).rejects.toThrow('unknown filter 9');
  });

  it('fails on damaged bytes with an error, whatever they are', async () => {
    const whole = grey(
      6,
      5,
      Array.from({ length: 30 }, (_, i) => i),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: whole.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        async (at, change) => {
          const damaged = whole.slice();
          damaged[at]! ^= change;
          await expect(readPng(await space.put('d.png', damaged))).rejects.toThrow(Error);
        },
      ),
      { numRuns: 100 },
    );
  });
});

/** A grey PNG with rows as given, filter byte first. */
function png({ width, height, rows }: { width: number; height: number; rows: number[][] }): Uint8Array {
  const chunk = (type: string, content: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
    const frame = Buffer.alloc(8 + body.length);
    frame.writeUInt32BE(content.length, 0);
    body.copy(frame, 4);
    frame.writeUInt32BE(slowCrc(body), 4 + body.length);
    return frame;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Uint8Array.from(rows.flat()))),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    for (let bit = 0; bit < 8; bit++) {
      const feedback = (crc ^ (byte >> bit)) & 1;
      crc = (crc >>> 1) ^ (feedback ? 0xedb88320 : 0);
    }
  }
  return (crc ^ 0xffffffff) >>> 0;
}
