// The dataset readers and the class table, on tiny folders written by the test.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CITYSCAPES_CLASSES,
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  CITYSCAPES_LABELS,
  GTA5_LABEL_TO_TRAIN_ID,
  LABEL_PALETTE,
} from '../../src/classes/cityscapes.js';
import { DatasetError } from '../../src/errors.js';
import { decodeLabel } from '../../src/labels/decode.js';
import { openCityscapes } from '../../src/readers/cityscapes.js';
import { openGta5 } from '../../src/readers/gta5.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'pgpc-datasets-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(name: string, bytes: Uint8Array | string): Promise<string> {
  const file = path.join(root, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
  return file;
}

const gta5Coding = { kind: 'values', table: GTA5_LABEL_TO_TRAIN_ID } as const;
const palette = LABEL_PALETTE.map((color) => [...color]);

function rgb(width: number, height: number, data = new Uint8Array(width * height * 3).fill(90)): Uint8Array {
  return encode({ width, height, data, channels: 3 });
}
function grey(width: number, height: number, data: number[] | Uint8Array): Uint8Array {
  return encode({ width, height, data: Uint8Array.from(data), channels: 1 });
}
function indexed(width: number, height: number, data: number[]): Uint8Array {
  return encode({ width, height, data: Uint8Array.from(data), channels: 1, palette });
}

async function failure(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DatasetError);
  const { message } = error as DatasetError;
  expect(message).not.toContain('\n');
  return message;
}

describe('class table', () => {
  it('has the 19 classes in the order every Cityscapes model uses', () => {
    expect(CITYSCAPES_CLASSES.map((c) => c.name).join(' / ')).toBe(
      'road / sidewalk / building / wall / fence / pole / traffic light / traffic sign / vegetation / terrain / ' +
        'sky / person / rider / car / truck / bus / train / motorcycle / bicycle',
    );
    expect(CITYSCAPES_CLASSES.map((c) => c.trainId)).toEqual([...Array(19).keys()]);
    expect(CITYSCAPES_CLASSES.map((c) => c.labelId)).toEqual([
      7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33,
    ]);
    expect(CITYSCAPES_CLASSES.filter((c) => c.kind === 'thing').map((c) => c.trainId)).toEqual([
      11, 12, 13, 14, 15, 16, 17, 18,
    ]);
  });

  it('has the published colours', () => {
    const color = (name: string) => CITYSCAPES_CLASSES.find((c) => c.name === name)?.color;
    expect(color('road')).toEqual([128, 64, 128]);
    expect(color('terrain')).toEqual([152, 251, 152]);
    expect(color('train')).toEqual([0, 80, 100]);
    expect(color('bicycle')).toEqual([119, 11, 32]);
    expect(new Set(CITYSCAPES_CLASSES.map((c) => c.color.join())).size).toBe(19);
  });

  it('maps every label id, and nothing else', () => {
    expect(CITYSCAPES_LABELS).toHaveLength(35);
    for (const { labelId, trainId } of CITYSCAPES_LABELS) {
      expect(CITYSCAPES_LABEL_TO_TRAIN_ID[labelId & 255]).toBe(trainId);
    }
    const known = [...CITYSCAPES_LABEL_TO_TRAIN_ID.keys()].filter(
      (v) => CITYSCAPES_LABEL_TO_TRAIN_ID[v] !== 254,
    );
    expect(known).toEqual([...Array(34).keys(), 255]);
    expect(GTA5_LABEL_TO_TRAIN_ID[34]).toBe(255);
    expect(LABEL_PALETTE[7]).toEqual([128, 64, 128]);
    expect(LABEL_PALETTE[34]).toEqual([0, 0, 142]);
  });
});

describe('decoding', () => {
  it('reads the palette index, not the colour, at every bit depth', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const),
        fc.integer({ min: 1, max: 19 }),
        fc.integer({ min: 1, max: 5 }),
        fc.infiniteStream(fc.integer({ min: 0, max: 255 })),
        async (depth, width, height, stream) => {
          const limit = Math.min(1 << depth, 34);
          const values = Array.from(
            { length: width * height },
            () => (stream.next().value as number) % limit,
          );
          const stride = Math.ceil((width * depth) / 8);
          const packed = new Uint8Array(stride * height);
          values.forEach((value, i) => {
            const bit = (i % width) * depth;
            packed[Math.floor(i / width) * stride + (bit >> 3)]! |= value << (8 - depth - (bit & 7));
          });
          const used = palette.slice(0, Math.min(1 << depth, palette.length));
          const file = await put(
            'label.png',
            encode({ width, height, data: packed, depth, channels: 1, palette: used }),
          );
          const label = await decodeLabel(file, gta5Coding);
          expect([label.width, label.height]).toEqual([width, height]);
          expect([...label.data]).toEqual(values.map((value) => GTA5_LABEL_TO_TRAIN_ID[value]));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('drops alpha and spreads grey images to RGB', async () => {
    await put(
      'images/a.png',
      encode({ width: 1, height: 1, data: new Uint8Array([7, 8, 9, 40]), channels: 4 }),
    );
    await put('images/b.png', grey(2, 1, [3, 200]));
    await put('labels/a.png', grey(1, 1, [7]));
    await put('labels/b.png', grey(2, 1, [7, 7]));
    const set = await openGta5(root);
    expect([...(await set.readImage(0)).data]).toEqual([7, 8, 9]);
    expect([...(await set.readImage(1)).data]).toEqual([3, 3, 3, 200, 200, 200]);
  });

  it('refuses a coloured label, a 16-bit label and a damaged one', async () => {
    const coloured = await put('c.png', rgb(2, 2));
    expect(await failure(decodeLabel(coloured, gta5Coding))).toMatch(/c\.png: .*has 3 of 8 bits/);
    const wide = await put(
      'w.png',
      encode({ width: 1, height: 1, data: new Uint16Array([7]), channels: 1, depth: 16 }),
    );
    expect(await failure(decodeLabel(wide, gta5Coding))).toMatch(/w\.png: .*has 1 of 16 bits/);
    const bytes = indexed(8, 8, Array(64).fill(7));
    const flipped = bytes.slice();
    flipped[flipped.length - 20]! ^= 4;
    expect(await failure(decodeLabel(await put('f.png', flipped), gta5Coding))).toMatch(
      /f\.png: not a readable PNG label/,
    );
    const cut = await put('cut.png', bytes.slice(0, bytes.length - 30));
    expect(await failure(decodeLabel(cut, gta5Coding))).toMatch(/cut\.png: not a readable PNG label/);
  });
});

describe('GTA5', () => {
  async function pair(id: string): Promise<void> {
    await put(`images/${id}.png`, rgb(4, 2));
    await put(`labels/${id}.png`, indexed(4, 2, [7, 8, 11, 34, 0, 33, 31, 23]));
  }

  it('lists sorted, reads pixels and trainIds', async () => {
    for (const id of ['00010', '00002', '00001']) await pair(id);
    const pixels = Uint8Array.from({ length: 24 }, (_, i) => i * 10);
    await put('images/00002.png', rgb(4, 2, pixels));
    await put('images/.hidden.png', 'not an image');
    const set = await openGta5(root);
    expect(set.samples.map((s) => s.id)).toEqual(['00001', '00002', '00010']);
    expect(await set.readImage(1)).toEqual({ width: 4, height: 2, data: pixels });
    expect(await set.readLabel(1)).toEqual({
      width: 4,
      height: 2,
      data: Uint8Array.from([0, 1, 2, 255, 255, 18, 16, 10]),
    });
    expect([set.name, set.split, set.ignoreIndex, set.classes.length]).toEqual(['gta5', 'all', 255, 19]);
  });

  it('takes only `ids`, and says which one is missing', async () => {
    for (const id of ['00001', '00002', '00003']) await pair(id);
    const set = await openGta5(root, { ids: ['00003', '00001'], split: 'val' });
    expect(set.samples.map((s) => s.id)).toEqual(['00001', '00003']);
    expect(set.split).toBe('val');
    expect(await failure(openGta5(root, { ids: ['00001', '00009'] }))).toMatch(/00009\.png: not found/);
    expect(await failure(openGta5(root, { ids: [] }))).toMatch(/`ids` is empty/);
  });

  it('names a missing partner on either side', async () => {
    await pair('00001');
    await put('images/00002.png', rgb(4, 2));
    await put('images/00003.png', rgb(4, 2));
    expect(await failure(openGta5(root))).toMatch(
      /images.00002\.png: no label .*labels.00002\.png is missing.*1 more/,
    );
    await pair('00002');
    await pair('00003');
    await put('labels/00004.png', indexed(1, 1, [7]));
    expect(await failure(openGta5(root))).toMatch(
      /labels.00004\.png: no image .*images.00004\.png is missing/,
    );
  });

  it('names an empty or missing folder', async () => {
    expect(await failure(openGta5(root))).toMatch(/images: not found/);
    await mkdir(path.join(root, 'images'));
    await put('labels/00001.png', indexed(1, 1, [7]));
    expect(await failure(openGta5(root))).toMatch(/images: no GTA5 images here/);
  });

  it('names a label of another size, an unknown value with its count, and an undecodable image', async () => {
    for (const id of ['1', '2', '3']) await pair(id);
    await put('labels/1.png', indexed(2, 4, Array(8).fill(7)));
    await put('labels/2.png', grey(4, 2, [7, 40, 40, 40, 99, 7, 7, 7]));
    await put('images/3.png', 'this is text');
    const set = await openGta5(root);
    expect(await failure(set.readLabel(0))).toMatch(/labels.1\.png: the label is 2x4 but its image is 4x2/);
    expect(await failure(set.readLabel(1))).toMatch(/labels.2\.png: .*40 \(3 pixels\), 99 \(1 pixel\)/);
    expect(await failure(set.readImage(2))).toMatch(/images.3\.png: not a readable image/);
    await rm(path.join(root, 'images/1.png'));
    expect(await failure(set.readImage(0))).toMatch(/images.1\.png: not found/);
    expect(await failure(set.readImage(3))).toMatch(/no sample 3; it has 3/);
  });

  it('leaves out the two damaged samples of the archive, only where they are damaged', async () => {
    for (const id of ['15187', '15188', '17705']) await pair(id);
    await put('images/15188.png', rgb(4, 3));
    expect((await openGta5(root)).samples.map((s) => s.id)).toEqual(['15187', '17705']);
  });

  it('names a symlink loop', async () => {
    await pair('00001');
    await symlink('..', path.join(root, 'images', 'up'));
    expect(await failure(openGta5(root))).toMatch(/symlink loop/);
    await rm(path.join(root, 'images', 'up'));
    await symlink('b', path.join(root, 'images', 'a'));
    await symlink('a', path.join(root, 'images', 'b'));
    expect(await failure(openGta5(root))).toMatch(/images.[ab]: symlink loop/);
  });

  it('follows a link that leads elsewhere', async () => {
    const elsewhere = await mkdtemp(path.join(os.tmpdir(), 'pgpc-linked-'));
    try {
      await pair('00001');
      await put('labels/more/2.png', indexed(1, 1, [7]));
      await writeFile(path.join(elsewhere, '2.png'), rgb(1, 1));
      await symlink(elsewhere, path.join(root, 'images', 'more'));
      expect((await openGta5(root)).samples.map((s) => s.id)).toEqual(['00001', 'more/2']);
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });
});

describe('Cityscapes', () => {
  async function pair(split: string, id: string, labelled = true): Promise<void> {
    await put(`leftImg8bit/${split}/${id}_leftImg8bit.png`, rgb(3, 1));
    if (labelled) await put(`gtFine/${split}/${id}_gtFine_labelIds.png`, grey(3, 1, [1, 26, 255]));
  }

  it('lists cities in order and maps label ids', async () => {
    await pair('val', 'munster/munster_000001_000019');
    await pair('val', 'frankfurt/frankfurt_000000_000294');
    await put('gtFine/val/frankfurt/frankfurt_000000_000294_gtFine_color.png', rgb(3, 1));
    const set = await openCityscapes(root, 'val');
    expect(set.samples.map((s) => s.id)).toEqual([
      'frankfurt/frankfurt_000000_000294',
      'munster/munster_000001_000019',
    ]);
    expect([...(await set.readLabel(0)).data]).toEqual([255, 13, 255]);
    expect((await set.readImage(1)).width).toBe(3);
  });

  it('opens an unlabelled train split, but no unlabelled val split', async () => {
    await pair('train', 'ulm/ulm_000000_000019', false);
    const set = await openCityscapes(root, 'train');
    expect(set.samples[0]).not.toHaveProperty('label');
    expect(await failure(set.readLabel(0))).toMatch(/ulm_000000_000019 of cityscapes train has no label/);
    await pair('val', 'lindau/lindau_000000_000019', false);
    expect(await failure(openCityscapes(root, 'val'))).toMatch(/gtFine.val: not found/);
  });

  it('names a missing partner in a split that has labels', async () => {
    await pair('train', 'ulm/ulm_000000_000019');
    await pair('train', 'ulm/ulm_000001_000019', false);
    expect(await failure(openCityscapes(root, 'train'))).toMatch(
      /ulm_000001_000019_leftImg8bit\.png: no label .*ulm_000001_000019_gtFine_labelIds\.png is missing/,
    );
  });

  it('refuses the palette index 34, which only GTA5 has', async () => {
    await pair('val', 'a/a_0_0');
    await put('gtFine/val/a/a_0_0_gtFine_labelIds.png', grey(3, 1, [7, 34, 7]));
    const set = await openCityscapes(root, 'val');
    expect(await failure(set.readLabel(0))).toMatch(/34 \(1 pixel\)/);
  });

  it('decodes what libvips wrote the same as what fast-png wrote', async () => {
    const values = Uint8Array.from({ length: 34 }, (_, i) => i);
    await put('leftImg8bit/val/a/a_leftImg8bit.png', rgb(34, 1));
    const file = await put('gtFine/val/a/a_gtFine_labelIds.png', '');
    await sharp(values, { raw: { width: 34, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toFile(file);
    const set = await openCityscapes(root, 'val');
    expect((await set.readLabel(0)).data).toEqual(CITYSCAPES_LABEL_TO_TRAIN_ID.slice(0, 34));
  });
});
