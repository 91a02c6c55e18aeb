// Label files as trainIds, and images as RGB, of every kind.
import fc from 'fast-check';
import { encode } from 'fast-png';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { GTA5_LABEL_TO_TRAIN_ID, LABEL_PALETTE } from '../../src/classes/cityscapes.js';
import { readClassFile } from '../../src/classes/class-file.js';
import { decodeLabel } from '../../src/labels/decode.js';
import { proposeClassFile } from '../../src/labels/propose.js';
import { openGta5 } from '../../src/readers/gta5.js';
import { colored, failure, grey, indexed, rgb, Workspace } from '../support/files.js';

const space = new Workspace();
const gta5Coding = { kind: 'values', table: GTA5_LABEL_TO_TRAIN_ID } as const;
const palette = LABEL_PALETTE.map((color) => [...color]);

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
          const file = await space.put(
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
    await space.put(
      'images/a.png',
      encode({ width: 1, height: 1, data: new Uint8Array([7, 8, 9, 40]), channels: 4 }),
    );
    await space.put('images/b.png', grey(2, 1, [3, 200]));
    await space.put('labels/a.png', grey(1, 1, [7]));
    await space.put('labels/b.png', grey(2, 1, [7, 7]));
    const set = await openGta5(space.root);
    expect([...(await set.readImage(0)).data]).toEqual([7, 8, 9]);
    expect([...(await set.readImage(1)).data]).toEqual([3, 3, 3, 200, 200, 200]);
  });

  it('reads what holds the same numbers in another form', async () => {
    const values = [7, 8, 255, 11, 26, 33];
    const trainIds = values.map((value) => GTA5_LABEL_TO_TRAIN_ID[value]);
    const picture = { width: 3, height: 2 };
    const each = (channels: readonly ((value: number) => number)[]) =>
      values.flatMap((value) => channels.map((channel) => channel(value)));
    const same = (value: number) => value;
    const forms = [
      encode({ ...picture, data: Uint16Array.from(values), channels: 1, depth: 16 }),
      encode({ ...picture, data: Uint8Array.from(each([same, same, same])), channels: 3 }),
      encode({ ...picture, data: Uint8Array.from(each([same, same, same, () => 9])), channels: 4 }),
      encode({ ...picture, data: Uint8Array.from(each([same, () => 255])), channels: 2 }),
    ];
    const raw = { raw: { ...picture, channels: 1 as const } };
    const drawn = () => sharp(Uint8Array.from(values), raw).toColourspace('b-w');
    forms.push(await drawn().tiff({ compression: 'lzw' }).toBuffer());
    forms.push(await drawn().gif().toBuffer());
    for (const [i, bytes] of forms.entries()) {
      const label = await decodeLabel(await space.put(`form-${i}.png`, bytes), gta5Coding);
      expect([label.width, label.height, ...label.data]).toEqual([3, 2, ...trainIds]);
    }
  });

  it('reads colours in grey, and colours stretched to 16 bits', async () => {
    const coding = {
      kind: 'colors',
      colors: Uint32Array.of(0, 0xffffff, 0xff8000),
      trainIds: Uint8Array.of(0, 1, 2),
    } as const;
    const bits = encode({ width: 2, height: 1, data: Uint8Array.of(0b01000000), channels: 1, depth: 1 });
    expect([...(await decodeLabel(await space.put('bits.png', bits), coding)).data]).toEqual([0, 1]);
    const wide = Uint16Array.of(0xffff, 0x8080, 0, 0, 0, 0);
    const stretched = encode({ width: 2, height: 1, data: wide, channels: 3, depth: 16 });
    expect([...(await decodeLabel(await space.put('wide.png', stretched), coding)).data]).toEqual([2, 0]);
  });

  it('refuses a coloured label, numbers beyond bytes, a turned label and a damaged one', async () => {
    const coloured = await space.put('c.png', colored(2, 2, [0, 0, 0, 0xff8000]));
    expect(await failure(decodeLabel(coloured, gta5Coding))).toMatch(
      /c\.png: .*coloured \(2 colours: #000000 75\.0 %, #ff8000 25\.0 %\).*masks: colors/,
    );
    const wide = await space.put(
      'w.png',
      encode({ width: 1, height: 1, data: new Uint16Array([7000]), channels: 1, depth: 16 }),
    );
    expect(await failure(decodeLabel(wide, gta5Coding))).toMatch(/w\.png: 16-bit values up to 7000/);
    const photo = sharp(rgb(4, 4));
    const jpeg = await space.put('j.png', await photo.clone().jpeg().toBuffer());
    expect(await failure(decodeLabel(jpeg, gta5Coding))).toMatch(/j\.png: a JPEG, whose compression changes/);
    const turned = await space.put('t.png', await photo.withMetadata({ orientation: 6 }).png().toBuffer());
    expect(await failure(decodeLabel(turned, gta5Coding))).toMatch(/t\.png: its EXIF orientation \(6\)/);
    const bytes = indexed(8, 8, Array(64).fill(7));
    const flipped = bytes.slice();
    flipped[flipped.length - 20]! ^= 4;
    expect(await failure(decodeLabel(await space.put('f.png', flipped), gta5Coding))).toMatch(
      /f\.png: not a readable label/,
    );
    const cut = await space.put('cut.png', bytes.slice(0, bytes.length - 30));
    expect(await failure(decodeLabel(cut, gta5Coding))).toMatch(/cut\.png: not a readable label/);
  });

  it('names the cause where colours are many', async () => {
    const coding = {
      kind: 'colors',
      colors: Uint32Array.of(0, 0xff8000),
      trainIds: Uint8Array.of(0, 1),
    } as const;
    const edges = Array.from({ length: 40 }, (_, i) => ((6 * i) << 16) | ((3 * i) << 8));
    const soft = await space.put('soft.png', colored(40, 1, edges));
    expect(await failure(decodeLabel(soft, coding))).toMatch(
      /soft\.png: .* and 34 more; so many come from smoothing .* or JPEG/,
    );
    expect(await failure(decodeLabel(soft, gta5Coding))).toMatch(
      /coloured \(40 colours: so many come from smoothing/,
    );
  });
});

describe('a class file for coloured masks', () => {
  it('is proposed from their colours, unless those are not of classes', async () => {
    const one = await space.put('1.png', colored(2, 2, [0, 0, 0, 0xff8000]));
    const two = await space.put('2.png', colored(2, 2, [0, 0, 0x00ff00, 0x00ff00]));
    const text = (await proposeClassFile([one, two, space.path('none.png')]))!;
    expect(text.split('\n').slice(0, 3)).toEqual([
      'masks: colors',
      'classes:',
      "  - { name: class 0, color: '#000000' }  # 62.50 % of the pixels",
    ]);
    const { classes } = await readClassFile(await space.put('classes.yaml', text));
    expect(classes.map(({ color }) => color)).toEqual([
      [0, 0, 0],
      [0, 255, 0],
      [255, 128, 0],
    ]);
    const photo = await space.put(
      'photo.png',
      colored(
        100,
        1,
        Array.from({ length: 100 }, (_, i) => i),
      ),
    );
    expect(await proposeClassFile([photo])).toBeUndefined();
  });
});
