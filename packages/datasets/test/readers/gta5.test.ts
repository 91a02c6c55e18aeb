// The reader of GTA5 on tiny folders, good and damaged.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openGta5 } from '../../src/readers/gta5.js';
import { failure, grey, indexed, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

describe('GTA5', () => {
  async function pair(id: string): Promise<void> {
    await space.put(`images/${id}.png`, rgb(4, 2));
    await space.put(`labels/${id}.png`, indexed(4, 2, [7, 8, 11, 34, 0, 33, 31, 23]));
  }

  it('lists sorted, reads pixels and trainIds', async () => {
    for (const id of ['00010', '00002', '00001']) await pair(id);
    const pixels = Uint8Array.from({ length: 24 }, (_, i) => i * 10);
    await space.put('images/00002.png', rgb(4, 2, pixels));
    await space.put('images/.hidden.png', 'not an image');
    const set = await openGta5(space.root);
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
    const set = await openGta5(space.root, { ids: ['00003', '00001'], split: 'val' });
    expect(set.samples.map((s) => s.id)).toEqual(['00001', '00003']);
    expect(set.split).toBe('val');
    expect(await failure(openGta5(space.root, { ids: ['00001', '00009'] }))).toMatch(/00009\.png: not found/);
    expect(await failure(openGta5(space.root, { ids: [] }))).toMatch(/`ids` is empty/);
  });

  it('names a missing partner on either side', async () => {
    await pair('00001');
    await space.put('images/00002.png', rgb(4, 2));
    await space.put('images/00003.png', rgb(4, 2));
    expect(await failure(openGta5(space.root))).toMatch(
      /images.00002\.png: no label .*labels.00002\.png is missing.*1 more/,
    );
    await pair('00002');
    await pair('00003');
    await space.put('labels/00004.png', indexed(1, 1, [7]));
    expect(await failure(openGta5(space.root))).toMatch(
      /labels.00004\.png: no image .*images.00004\.png is missing/,
    );
  });

  it('names an empty or missing folder', async () => {
    expect(await failure(openGta5(space.root))).toMatch(/images: not found/);
    await mkdir(path.join(space.root, 'images'));
    await space.put('labels/00001.png', indexed(1, 1, [7]));
    expect(await failure(openGta5(space.root))).toMatch(/images: no GTA5 images here/);
  });

  it('names a label of another size, an unknown value with its count, and an undecodable image', async () => {
    for (const id of ['1', '2', '3']) await pair(id);
    await space.put('labels/1.png', indexed(2, 4, Array(8).fill(7)));
    await space.put('labels/2.png', grey(4, 2, [7, 40, 40, 40, 99, 7, 7, 7]));
    await space.put('images/3.png', 'this is text');
    const set = await openGta5(space.root);
    expect(await failure(set.readLabel(0))).toMatch(/labels.1\.png: the label is 2x4 but its image is 4x2/);
    expect(await failure(set.readLabel(1))).toMatch(/labels.2\.png: .*40 \(3 pixels\), 99 \(1 pixel\)/);
    expect(await failure(set.readImage(2))).toMatch(/images.3\.png: not a readable image/);
    await rm(path.join(space.root, 'images/1.png'));
    expect(await failure(set.readImage(0))).toMatch(/images.1\.png: not found/);
    expect(await failure(set.readImage(3))).toMatch(/no sample 3; it has 3/);
  });

  it('leaves out the two damaged samples of the archive, only where they are damaged', async () => {
    for (const id of ['15187', '15188', '17705']) await pair(id);
    await space.put('images/15188.png', rgb(4, 3));
    expect((await openGta5(space.root)).samples.map((s) => s.id)).toEqual(['15187', '17705']);
  });

  it('names a symlink loop', async () => {
    await pair('00001');
    await symlink('..', path.join(space.root, 'images', 'up'));
    expect(await failure(openGta5(space.root))).toMatch(/symlink loop/);
    await rm(path.join(space.root, 'images', 'up'));
    await symlink('b', path.join(space.root, 'images', 'a'));
    await symlink('a', path.join(space.root, 'images', 'b'));
    expect(await failure(openGta5(space.root))).toMatch(/images.[ab]: symlink loop/);
  });

  it('follows a link that leads elsewhere', async () => {
    const elsewhere = await mkdtemp(path.join(os.tmpdir(), 'pgpc-linked-'));
    try {
      await pair('00001');
      await space.put('labels/more/2.png', indexed(1, 1, [7]));
      await writeFile(path.join(elsewhere, '2.png'), rgb(1, 1));
      await symlink(elsewhere, path.join(space.root, 'images', 'more'));
      expect((await openGta5(space.root)).samples.map((s) => s.id)).toEqual(['00001', 'more/2']);
    } finally {
      await rm(elsewhere, { recursive: true });
    }
  });
});
