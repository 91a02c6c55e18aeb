// Splits by lists of names and by GTA5's split.mat.
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openFolder } from '../../src/readers/folder.js';
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

describe('lists of names', () => {
  const listed = async (text: string | Buffer) => {
    await space.put('train.txt', text);
    return ids(await openFolder(space.root, 'train'));
  };

  async function samples(): Promise<void> {
    await space.put('classes.yaml', 'classes: [a, b]');
    for (const id of ['1', 'sub/2', 'my photo', '\u00e9t\u00e9'.normalize('NFD')]) {
      await space.put(`images/${id}.jpg`, rgb(1, 1));
      await space.put(`masks/${id}.png`, grey(1, 1, [0]));
    }
  }

  it('are read however a program writes them', async () => {
    await samples();
    const all = ['1', 'my photo', 'sub/2', '\u00e9t\u00e9'];
    expect(await listed('# a remark\r\n1\r\n\r\nsub/2.jpg\r\nmy photo.jpg\r\n\u00e9t\u00e9\r\n')).toEqual(
      all,
    );
    expect(await listed(Buffer.from('\ufeff1.jpg\r\nsub/2.jpg\r\n', 'utf16le'))).toEqual(['1', 'sub/2']);
    const prefixed =
      'images/1.jpg\n/home/me/mine/images/sub/2.jpg\n"images\\my photo.jpg"\n./images/\u00e9t\u00e9.jpg';
    expect(await listed(prefixed)).toEqual(all);
    expect(await listed('/images/1.jpg /masks/1.png\nimages/my photo.jpg, masks/my photo.png')).toEqual([
      '1',
      'my photo',
    ]);
  });

  it('that name what is not there say what is close', async () => {
    await samples();
    expect(await failure(listed('other/1.jpg'))).toMatch(/other\/1\.png: not found, but the split names/);
    expect(await failure(listed('My Photo'))).toMatch(/my photo\.jpg differs in case, spaces or hyphens/);
    expect(await failure(listed('images/1.jpg masks/2.png'))).toMatch(
      /train\.txt, line 1: pairs images\/1\.jpg with/,
    );
    const binary = await failure(listed(Buffer.from('1.jpg\n', 'utf16le')));
    expect(binary).toMatch(/train\.txt: the text is not UTF-8 \(UTF-16/);
    expect(binary).not.toContain('\0');
  });

  it('of partners that differ in little say so', async () => {
    await space.put('classes.yaml', 'classes: [a, b]');
    await space.put('images/train/IMG 1.jpg', rgb(1, 1));
    await space.put('masks/train/img_1.png', grey(1, 1, [0]));
    expect(await failure(openFolder(space.root, 'train'))).toMatch(
      /IMG 1\.jpg: no label for this image \(.*img_1\.png differs in case, spaces or hyphens\) \(/,
    );
  });
});
