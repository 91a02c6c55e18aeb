// Label files as trainIds, and images as RGB, of every kind.
import fc from 'fast-check';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { GTA5_LABEL_TO_TRAIN_ID, LABEL_PALETTE } from '../../src/classes/cityscapes.js';
import { decodeLabel } from '../../src/labels/decode.js';
import { openGta5 } from '../../src/readers/gta5.js';
import { failure, grey, indexed, rgb, Workspace } from '../support/files.js';

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

  it('refuses a coloured label, a 16-bit label and a damaged one', async () => {
    const coloured = await space.put('c.png', rgb(2, 2));
    expect(await failure(decodeLabel(coloured, gta5Coding))).toMatch(/c\.png: .*has 3 of 8 bits/);
    const wide = await space.put(
      'w.png',
      encode({ width: 1, height: 1, data: new Uint16Array([7]), channels: 1, depth: 16 }),
    );
    expect(await failure(decodeLabel(wide, gta5Coding))).toMatch(/w\.png: .*has 1 of 16 bits/);
    const bytes = indexed(8, 8, Array(64).fill(7));
    const flipped = bytes.slice();
    flipped[flipped.length - 20]! ^= 4;
    expect(await failure(decodeLabel(await space.put('f.png', flipped), gta5Coding))).toMatch(
      /f\.png: not a readable PNG label/,
    );
    const cut = await space.put('cut.png', bytes.slice(0, bytes.length - 30));
    expect(await failure(decodeLabel(cut, gta5Coding))).toMatch(/cut\.png: not a readable PNG label/);
  });
});
