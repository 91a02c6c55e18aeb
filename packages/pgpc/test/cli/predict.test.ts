// `pgpc predict` on folders as people have them: bad files, hidden ones, results among the images.

import { existsSync } from 'node:fs';
import { link, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { decodeLabel } from '@pgpc/datasets';
import sharp from 'sharp';
import { beforeEach, describe, expect, it } from 'vitest';
import { grey, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { main } from '../../src/cli/main.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { tinySegmentor } from '../support/method.js';

const space = new Workspace();

let model: Buffer | undefined;
beforeEach(async () => {
  const file = space.path('model.safetensors');
  if (model === undefined) {
    using segmentor = new Segmentor(tinySegmentor, 1);
    saveSegmentor(file, segmentor);
    model = await readFile(file);
  } else await writeFile(file, model);
});

async function predict(images: string, out: string) {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, callback) {
        text[name] += chunk.toString().replaceAll(space.root, 'ROOT');
        callback();
      },
    });
  const { signal } = new AbortController();
  const args = ['--checkpoint', space.path('model.safetensors'), '--images', space.path(images)];
  const code = await main(['predict', ...args, '--out', space.path(out), '--device', 'cpu'], {
    stdout: sink('out'),
    stderr: sink('err'),
    signal,
  });
  return { code, ...text };
}

const ANY = { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, i) => i) } as const;
const written = async (folder: string) => (await readdir(space.path(folder), { recursive: true })).sort();
const jpeg = () => sharp(rgb(64, 48)).jpeg().toBuffer();

describe('predict', () => {
  it('passes over what systems leave beside photos', async () => {
    await space.put('photos/1.jpg', await jpeg());
    await space.put('photos/._1.jpg', 'x');
    await space.put('photos/__MACOSX/1.jpg', 'x');
    const { code, out } = await predict('photos', 'out');
    expect([code, out, await written('out')]).toEqual([0, '1 label map (trainIds): ROOT/out\n', ['1.png']]);
  });

  it('names bad images, does the rest and fails', async () => {
    const photo = await jpeg();
    await space.put('photos/1.jpg', photo.subarray(0, photo.length - 80));
    await space.put('photos/2.jpg', '');
    await space.put('photos/3.jpg', photo);
    await space.put('photos/4.jpg', '<!doctype html>');
    await space.put('photos/5.bmp', 'BM');
    const { code, out, err } = await predict('photos', 'out');
    expect(code).toBe(1);
    expect(out).toBe('1 label map (trainIds): ROOT/out\n');
    for (const bad of ['1.jpg', '2.jpg', '4.jpg'])
      expect(err).toContain(`ROOT/photos/${bad}: not a readable image`);
    expect(err).toMatch(/1 \.bmp file passed over \(5\.bmp\)/);
    expect(err).toMatch(/pgpc: ROOT\/photos: 3 images failed, named above\n$/);
    expect(await written('out')).toEqual(['3.png']);
  });

  it('does not label its own results', async () => {
    await space.put('photos/1.jpg', await jpeg());
    for (let i = 0; i < 2; i++) {
      expect((await predict('photos', 'photos/labels')).out).toBe(
        '1 label map (trainIds): ROOT/photos/labels\n',
      );
    }
    expect(await written('photos')).toEqual(['1.jpg', 'labels', 'labels/1.png']);
  });

  it('never overwrites an image', async () => {
    const image = rgb(64, 48);
    await space.put('photos/a.png', image);
    await symlink(space.path('photos'), space.path('same'));
    for (const out of ['photos', 'same']) {
      const { code, err } = await predict('photos', out);
      expect([code, err]).toEqual([
        2,
        `pgpc: ROOT/${out}: the images are in this folder; name another one for the label maps\n`,
      ]);
    }
    // By a link of either kind in the folder of results, or a folder above that of the images.
    await mkdir(space.path('hard'));
    await link(space.path('photos/a.png'), space.path('hard/a.png'));
    await mkdir(space.path('soft'));
    await symlink(space.path('photos/a.png'), space.path('soft/a.png'));
    await mkdir(space.path('above/photos'), { recursive: true });
    await writeFile(space.path('above/photos/a.png'), image);
    await symlink(space.path('above/photos/a.png'), space.path('above/a.png'));
    for (const [images, out] of [
      ['photos', 'hard'],
      ['photos', 'soft'],
      ['above/photos', 'above'],
    ] as const) {
      const { code, err } = await predict(images, out);
      expect([code, err]).toEqual([
        2,
        `pgpc: ROOT/${out}/a.png: this label map would overwrite ROOT/${images}/a.png; name another folder\n`,
      ]);
    }
    expect(await readFile(space.path('photos/a.png'))).toEqual(Buffer.from(image));
    expect(await readFile(space.path('above/photos/a.png'))).toEqual(Buffer.from(image));
  });

  it('never overwrites a label that somebody drew, but an earlier prediction', async () => {
    await space.put('mine/images/1.jpg', await jpeg());
    const drawn = await space.put('mine/masks/1.png', grey(64, 48, new Uint8Array(64 * 48)));
    const bytes = await readFile(drawn);
    const { code, err } = await predict('mine/images', 'mine/masks');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/^pgpc: ROOT\/mine\/masks\/1\.png: is there already and is no/),
    ]);
    expect(await readFile(drawn)).toEqual(bytes);
    for (let i = 0; i < 2; i++) expect((await predict('mine/images', 'out')).code).toBe(0);
    // The mark is a chunk like others: checksums are right.
    expect((await decodeLabel(space.path('out/1.png'), ANY)).data).toHaveLength(64 * 48);
  });

  it('does not label earlier results in another folder', async () => {
    await space.put('photos/1.jpg', await jpeg());
    await predict('photos', 'photos/first');
    const { out, err } = await predict('photos', 'photos/second');
    expect(out).toBe('1 label map (trainIds): ROOT/photos/second\n');
    expect(err).toMatch(
      /^ROOT\/photos: 1 of an earlier predict passed over \(ROOT\/photos\/first\/1\.png\)$/m,
    );
  });

  it('refuses two images of one name', async () => {
    await space.put('photos/a.jpg', await jpeg());
    await space.put('photos/a.png', rgb(64, 48));
    const { code, err } = await predict('photos', 'out');
    expect([code, err]).toEqual([
      1,
      'pgpc: ROOT/photos/a.png: ROOT/photos/a.jpg has the same name; rename or remove one of them\n',
    ]);
    expect(existsSync(space.path('out'))).toBe(false);
  });
});
