// The readers of SYNTHIA, ACDC, Dark Zurich and BDD100K, GTA5's split, and PNGs as they are stored.
import { symlink } from 'node:fs/promises';
import { deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { CITYSCAPES_CLASSES } from '../../src/classes/cityscapes.js';
import { readPng } from '../../src/images/index.js';
import { decodeLabel } from '../../src/labels/decode.js';
import { availableSplits, detectFormat, openDataset } from '../../src/open.js';
import { openAcdc, openDarkZurich } from '../../src/readers/adverse.js';
import { openBdd100k } from '../../src/readers/bdd100k.js';
import { openGta5 } from '../../src/readers/gta5.js';
import { readMatlabVectors } from '../../src/readers/matlab.js';
import { openSynthia, SYNTHIA_LABEL_TO_TRAIN_ID } from '../../src/readers/synthia.js';
import { failure, grey, rgb, Workspace, wide } from '../support/files.js';

const space = new Workspace();

const ids = (set: { samples: readonly { id: string }[] }) => set.samples.map(({ id }) => id);

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

describe('SYNTHIA', () => {
  it('maps its label ids to the classes of the same meaning', () => {
    const named = (labelId: number) =>
      CITYSCAPES_CLASSES[SYNTHIA_LABEL_TO_TRAIN_ID[labelId]!]?.name ?? SYNTHIA_LABEL_TO_TRAIN_ID[labelId];
    expect(Array.from({ length: 24 }, (_, id) => named(id))).toEqual([
      255,
      ...['sky', 'building', 'road', 'sidewalk', 'fence', 'vegetation', 'pole', 'car', 'traffic sign'],
      ...['person', 'bicycle', 'motorcycle', 255, 255, 'traffic light', 'terrain', 'rider', 'truck', 'bus'],
      ...['train', 'wall', 255, 254],
    ]);
  });

  it('reads the first channel of 16-bit labels', async () => {
    await space.put('RGB/0000000.png', rgb(4, 2));
    await space.put('GT/LABELS/0000000.png', wide(4, 2, [0, 1, 2, 3, 8, 22, 12, 21]));
    await space.put('GT/LABELS/0000000_labelTrainIds.png', grey(4, 2, new Uint8Array(8)));
    const set = await openSynthia(space.root);
    expect(ids(set)).toEqual(['0000000']);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 10, 2, 0, 13, 255, 17, 3]);
    expect(set.classes.map(({ trainId }) => trainId)).toEqual([...Array(19).keys()]);
  });

  it('refuses 8-bit labels and values beyond 22, with their counts', async () => {
    await space.put('RGB/1.png', rgb(2, 1));
    await space.put('RGB/2.png', rgb(2, 1));
    await space.put('GT/LABELS/1.png', grey(2, 1, [1, 2]));
    await space.put('GT/LABELS/2.png', wide(2, 1, [23, 300]));
    const set = await openSynthia(space.root);
    expect(await failure(set.readLabel(0))).toMatch(/1\.png: .*16 bits a channel.* 1 of 8 bits/);
    expect(await failure(set.readLabel(1))).toMatch(/2\.png: .*23 \(1 pixel\), 300 \(1 pixel\)/);
  });

  it('takes a split from a list', async () => {
    for (const id of ['1', '2', '3']) {
      await space.put(`RGB/${id}.png`, rgb(1, 1));
      await space.put(`GT/LABELS/${id}.png`, wide(1, 1, [1]));
    }
    await space.put('val.txt', '# held out\n3.png\r\n\n1\n');
    expect(ids(await openSynthia(space.root, { split: 'val' }))).toEqual(['1', '3']);
    expect(await failure(openSynthia(space.root, { split: 'test' }))).toMatch(/put a test\.txt here/);
    await space.put('test.txt', '7\n');
    expect(await failure(openSynthia(space.root, { split: 'test' }))).toMatch(/7\.png: not found.*'7'/);
  });
});

describe("GTA5's split.mat", () => {
  /** A MAT-file of version 5 with column vectors. */
  function matFile(vectors: Record<string, readonly number[]>, form: 'double' | 'uint16' | 'compressed') {
    const element = (type: number, data: Buffer) => {
      const padded = type === 15 ? data.length : Math.ceil(data.length / 8) * 8;
      const out = Buffer.alloc(8 + padded);
      out.writeUInt32LE(type, 0);
      out.writeUInt32LE(data.length, 4);
      data.copy(out, 8);
      return out;
    };
    const small = (type: number, data: Buffer) => {
      const out = Buffer.alloc(8);
      out.writeUInt32LE((data.length << 16) | type, 0);
      data.copy(out, 4);
      return out;
    };
    const header = Buffer.alloc(128, ' ');
    header.writeUInt16LE(0x0100, 124);
    header.write('IM', 126, 'latin1');
    const parts = Object.entries(vectors).map(([name, values]) => {
      const real =
        form === 'double'
          ? element(9, Buffer.from(Float64Array.from(values).buffer))
          : element(4, Buffer.from(Uint16Array.from(values).buffer));
      const label = Buffer.from(name, 'latin1');
      const matrix = element(
        14,
        Buffer.concat([
          element(6, Buffer.from(Uint32Array.from([6, 0]).buffer)),
          element(5, Buffer.from(Int32Array.from([values.length, 1]).buffer)),
          label.length <= 4 ? small(1, label) : element(1, label),
          real,
        ]),
      );
      return form === 'compressed' ? element(15, deflateSync(matrix)) : matrix;
    });
    return Buffer.concat([header, ...parts]);
  }

  it('reads vectors of each form', () => {
    for (const form of ['double', 'uint16', 'compressed'] as const) {
      const vectors = { trainIds: [3, 20000, 1], ids: [7], valIds: [] };
      expect(Object.fromEntries(readMatlabVectors(matFile(vectors, form)))).toEqual(vectors);
    }
    expect(() => readMatlabVectors(new Uint8Array(200))).toThrow('no version 5 header');
    const cut = matFile({ trainIds: [1, 2, 3] }, 'double').subarray(0, 190);
    expect(() => readMatlabVectors(cut)).toThrow('ends early');
  });

  it('selects the official split, all images without one', async () => {
    for (const id of ['00001', '00002', '00010']) {
      await space.put(`images/${id}.png`, rgb(1, 1));
      await space.put(`labels/${id}.png`, grey(1, 1, [7]));
    }
    await space.put('labels/00001_labelTrainIds.png', grey(1, 1, [0]));
    expect(await failure(openGta5(space.root, { split: 'val' }))).toMatch(/nothing defines the split 'val'/);
    await space.put('split.mat', matFile({ trainIds: [1, 2], valIds: [10] }, 'compressed'));
    expect(ids(await openGta5(space.root))).toEqual(['00001', '00002', '00010']);
    expect(ids(await openGta5(space.root, { split: 'val' }))).toEqual(['00010']);
    expect(await failure(openGta5(space.root, { split: 'test' }))).toMatch(
      /split\.mat: no variable testIds; it has trainIds, valIds/,
    );
    await space.put('split.mat', 'x');
    expect(await failure(openGta5(space.root, { split: 'val' }))).toMatch(
      /split\.mat: not a readable MATLAB/,
    );
  });
});

describe('ACDC', () => {
  const image = (place: string) => space.put(`rgb_anon/${place}_rgb_anon.png`, rgb(2, 1));
  const label = (place: string, values: number[], kind = 'labelTrainIds') =>
    space.put(`gt/${place}_gt_${kind}.png`, grey(2, 1, values));

  it('reads all conditions or some, in the published and the rearranged order', async () => {
    for (const condition of ['fog', 'night', 'rain', 'snow']) {
      await image(`${condition}/val/G1/G1_1`);
      await label(`${condition}/val/G1/G1_1`, [0, 255]);
    }
    const all = await openAcdc(space.root, 'val');
    expect(ids(all)).toEqual(['fog/G1/G1_1', 'night/G1/G1_1', 'rain/G1/G1_1', 'snow/G1/G1_1']);
    expect([...(await all.readLabel(0)).data]).toEqual([0, 255]);
    expect(ids(await openAcdc(space.root, 'val', { conditions: ['night'] }))).toEqual(['night/G1/G1_1']);
    await image('train/night/G2/G2_1');
    const train = await openAcdc(space.root, 'train', { conditions: ['night'] });
    expect(ids(train)).toEqual(['night/G2/G2_1']);
    expect(train.samples[0]).not.toHaveProperty('label');
  });

  it('reads label ids where there are no trainIds', async () => {
    await image('fog/val/G/1');
    await label('fog/val/G/1', [26, 1], 'labelIds');
    const set = await openAcdc(space.root, 'val', { conditions: ['fog'] });
    expect([...(await set.readLabel(0)).data]).toEqual([13, 255]);
  });

  it('names an image without label, and validation without labels', async () => {
    await image('fog/val/G/1');
    expect(await failure(openAcdc(space.root, 'val', { conditions: ['fog'] }))).toMatch(/gt: no labels/);
    await image('fog/val/G/2');
    await label('fog/val/G/1', [0, 0]);
    expect(await failure(openAcdc(space.root, 'val', { conditions: ['fog'] }))).toMatch(
      /2_rgb_anon\.png: no label .*gt.fog.val.G.2_gt_labelTrainIds\.png is missing/,
    );
  });
});

describe('Dark Zurich', () => {
  it('reads the night, whose labels only `val` has', async () => {
    await space.put('rgb_anon/train/night/G1/a_rgb_anon.png', rgb(1, 1));
    await space.put('rgb_anon/train/day/G2/b_rgb_anon.png', rgb(1, 1));
    await space.put('rgb_anon/val/night/G3/c_rgb_anon.png', rgb(1, 1));
    await space.put('gt/val/night/G3/c_gt_labelTrainIds.png', grey(1, 1, [13]));
    await space.put('gt/val/night/G3/c_gt_labelColor.png', rgb(1, 1));
    expect(ids(await openDarkZurich(space.root, 'train'))).toEqual(['night/G1/a']);
    expect(ids(await openDarkZurich(space.root, 'train', { conditions: ['day', 'night'] }))).toHaveLength(2);
    const val = await openDarkZurich(space.root, 'val');
    expect([...(await val.readLabel(0)).data]).toEqual([13]);
    expect(await detectFormat(space.root)).toBe('dark-zurich');
  });
});

describe('BDD100K', () => {
  it('pairs JPEG images with masks of trainIds', async () => {
    const jpeg = await sharp({ create: { width: 2, height: 1, channels: 3, background: '#808080' } })
      .jpeg()
      .toBuffer();
    await space.put('images/10k/val/7d2f-1.jpg', jpeg);
    await space.put('labels/sem_seg/masks/val/7d2f-1.png', grey(2, 1, [18, 255]));
    const set = await openBdd100k(space.root, 'val');
    expect([...(await set.readLabel(0)).data]).toEqual([18, 255]);
    expect((await set.readImage(0)).data[0]).toBe(128);
    await space.put('labels/sem_seg/masks/val/7d2f-1.png', grey(2, 1, [19, 19]));
    expect(await failure(set.readLabel(0))).toMatch(/19 \(2 pixels\)/);
  });

  it('reads the earlier release', async () => {
    await space.put('seg/images/train/a.jpg', rgb(1, 1));
    await space.put('seg/labels/train/a_train_id.png', grey(1, 1, [3]));
    const set = await openBdd100k(space.root, 'train');
    expect([...(await set.readLabel(0)).data]).toEqual([3]);
    expect(await detectFormat(space.root)).toBe('bdd100k');
  });
});

describe('opening by name', () => {
  it('tells each format from its folders, and its splits', async () => {
    const layouts: [string, string[], string[]][] = [
      ['cityscapes', ['leftImg8bit/val/a/b_leftImg8bit.png'], ['val']],
      [
        'acdc',
        ['rgb_anon/fog/train/a/b_rgb_anon.png', 'rgb_anon/fog/val/a/b_rgb_anon.png'],
        ['train', 'val'],
      ],
      ['acdc', ['rgb_anon/train/snow/a/b_rgb_anon.png'], ['train']],
      ['dark-zurich', ['rgb_anon/val/night/a/b_rgb_anon.png'], ['val']],
      ['synthia', ['RGB/a.png'], ['all']],
      ['bdd100k', ['images/10k/test/a.jpg'], ['test']],
      ['gta5', ['images/a.png', 'labels/a.png'], ['all']],
      ['folder', ['images/train/a.png'], ['train']],
      ['folder', ['images/a.png', 'val.txt'], ['val']],
      ['folder', ['SegmentationClass/a.png', 'ImageSets/Segmentation/train.txt'], ['train']],
    ];
    for (const [index, [format, files, splits]] of layouts.entries()) {
      for (const file of files) await space.put(`${index}/${file}`, '');
      expect(await detectFormat(space.path(`${index}`))).toBe(format);
      expect(await availableSplits(format as 'gta5', space.path(`${index}`))).toEqual(splits);
    }
    expect(await failure(detectFormat(space.root))).toMatch(
      /no dataset of a known layout; expected .*leftImg8bit/,
    );
  });

  it('opens what one trains on by default', async () => {
    await space.put('images/1.png', rgb(1, 1));
    await space.put('labels/1.png', grey(1, 1, [7]));
    expect((await openDataset({ format: 'gta5', root: space.root })).split).toBe('all');
    expect(await failure(openDataset({ format: 'gta5', root: space.root, classes: 'x' }))).toMatch(
      /of its own/,
    );
    expect(await failure(openDataset({ format: 'acdc', root: space.root, split: 'dev' }))).toMatch(
      /acdc has no split 'dev'; it has train, val, test/,
    );
  });

  it('reads past faults of single files where it may', async () => {
    for (const id of ['1', '2', '3']) {
      await space.put(`images/${id}.png`, rgb(1, 1));
      if (id !== '2') await space.put(`labels/${id}.png`, grey(1, 1, [7]));
    }
    await space.put('labels/4.png', grey(1, 1, [7]));
    await symlink('..', space.path('images', 'up'));
    await symlink('nowhere', space.path('images', 'broken.png'));
    const faults: [string | undefined, string | undefined][] = [];
    const onFault = ({ kind, file }: { kind: string | undefined; file: string | undefined }) => {
      faults.push([kind, file?.slice(space.root.length + 1).replaceAll('\\', '/')]);
    };
    expect(ids(await openDataset({ format: 'gta5', root: space.root, onFault }))).toEqual(['1', '3']);
    expect(faults.sort()).toEqual([
      ['missing', 'images/broken.png'],
      ['missing-pair', 'images/2.png'],
      ['missing-pair', 'labels/4.png'],
      ['symlink-loop', 'images/up'],
    ]);
  });
});

describe('label coding', () => {
  it('survives being posted to a worker thread', async () => {
    await space.put('RGB/1.png', rgb(1, 1));
    const file = await space.put('GT/LABELS/1.png', wide(1, 1, [10]));
    const { labelCoding } = await openSynthia(space.root);
    expect([...(await decodeLabel(file, structuredClone(labelCoding))).data]).toEqual([11]);
  });
});
