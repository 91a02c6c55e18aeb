// Splits by GTA5's split.mat.
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openGta5 } from '../../src/readers/gta5.js';
import { readMatlabVectors } from '../../src/readers/matlab.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const ids = (set: { samples: readonly { id: string }[] }) => set.samples.map(({ id }) => id);

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
