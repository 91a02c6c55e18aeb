// `pgpc predict` on folders as people have them: bad files, hidden ones, results among the images; and what it writes.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, link, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { decodeLabel } from '@pgpc/datasets';
import sharp from 'sharp';
import { beforeEach, describe, expect, it } from 'vitest';
import { grey, rgb, Workspace } from '../../../datasets/test/support/files.js';
import { main } from '../../src/cli/main.js';
import { predict as predictInProgram } from '../../src/evaluation/predict.js';
import type { PredictionLine } from '../../src/evaluation/predict-journal.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { Rng } from '../../src/random.js';
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

async function predict(images: string | readonly string[], out: string, ...flags: readonly string[]) {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, callback) {
        text[name] += chunk.toString().replaceAll(space.root, 'ROOT');
        callback();
      },
    });
  const { signal } = new AbortController();
  const args = [space.path('model.safetensors'), ...[images].flat().map((one) => space.path(one))];
  const code = await main(['predict', ...args, '--out', space.path(out), '--device', 'cpu', ...flags], {
    stdout: sink('out'),
    stderr: sink('err'),
    signal,
  });
  return { code, ...text };
}

const ANY = { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, i) => i) } as const;
/** The files in a folder, but for the two of the record. */
const written = async (folder: string) =>
  (await readdir(space.path(folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(space.path(folder), path.join(entry.parentPath, entry.name)))
    .filter((file) => !/predict(ions)?\.jsonl?$/.test(file))
    .sort();
const linesOf = async (folder: string): Promise<PredictionLine[]> =>
  (await readFile(space.path(folder, 'predictions.jsonl'), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const jpeg = () => sharp(rgb(64, 48)).jpeg().toBuffer();

describe('predict', () => {
  it('passes over what systems leave beside photos', async () => {
    await space.put('photos/1.jpg', await jpeg());
    await space.put('photos/._1.jpg', 'x');
    await space.put('photos/__MACOSX/1.jpg', 'x');
    const { code, out } = await predict('photos', 'out');
    expect([code, out, await written('out')]).toEqual([
      0,
      '1 image (overlays, labels): ROOT/out\n',
      ['labels/1.png', 'overlays/1.jpg'],
    ]);
  });

  it('names bad images, does the rest and fails', async () => {
    const photo = await jpeg();
    await space.put('photos/1.jpg', photo.subarray(0, photo.length - 80));
    await space.put('photos/2.jpg', '');
    await space.put('photos/3.jpg', photo);
    await space.put('photos/4.jpg', '<!doctype html>');
    await space.put('photos/5.bmp', 'BM');
    const { code, out, err } = await predict('photos', 'out', '--json');
    expect(code).toBe(1);
    expect(err).toContain('1 image (overlays, labels): ROOT/out\n');
    expect(JSON.parse(out)).toMatchObject({
      ...{
        outcome: 'failed',
        folder: 'ROOT/out',
        record: 'ROOT/out/predictions.jsonl',
        images: 1,
        before: 0,
      },
      failed: ['1.jpg', '2.jpg', '4.jpg'].map((bad) =>
        expect.stringContaining(`ROOT/photos/${bad}: not a read`),
      ),
    });
    for (const bad of ['1.jpg', '2.jpg', '4.jpg'])
      expect(err).toContain(`ROOT/photos/${bad}: not a readable image`);
    expect(err).toMatch(/1 \.bmp file passed over \(5\.bmp\)/);
    expect(err).toMatch(/pgpc: ROOT\/photos: 3 files failed, named above\n$/);
    expect(await written('out')).toEqual(['labels/3.png', 'overlays/3.jpg']);
  });

  it('does not label its own results', async () => {
    await space.put('photos/1.jpg', await jpeg());
    for (const done of ['1 image', '1 image, 1 of them before']) {
      expect((await predict('photos', 'photos/out')).out).toBe(
        `${done} (overlays, labels): ROOT/photos/out\n`,
      );
    }
    expect(await written('photos')).toEqual(['1.jpg', 'out/labels/1.png', 'out/overlays/1.jpg']);
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
    await mkdir(space.path('hard/labels'), { recursive: true });
    await link(space.path('photos/a.png'), space.path('hard/labels/a.png'));
    await mkdir(space.path('soft/labels'), { recursive: true });
    await symlink(space.path('photos/a.png'), space.path('soft/labels/a.png'));
    await space.put('above/labels/a.png', image);
    for (const [images, out] of [
      ['photos', 'hard'],
      ['photos', 'soft'],
      ['above/labels', 'above'],
    ] as const) {
      const { code, err } = await predict(images, out);
      expect([code, err.trim().split('\n').at(-1)]).toEqual([
        2,
        `pgpc: ROOT/${out}/labels/a.png: this label map would overwrite ROOT/${images}/a.png; name another folder`,
      ]);
    }
    expect(await readFile(space.path('photos/a.png'))).toEqual(Buffer.from(image));
    expect(await readFile(space.path('above/labels/a.png'))).toEqual(Buffer.from(image));
  });

  it('never overwrites a label that somebody drew, but an earlier prediction', async () => {
    await space.put('mine/images/1.jpg', await jpeg());
    const drawn = await space.put('mine/labels/1.png', grey(64, 48, new Uint8Array(64 * 48)));
    const bytes = await readFile(drawn);
    const { code, err } = await predict('mine/images', 'mine');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/^pgpc: ROOT\/mine\/labels\/1\.png: is there already and is no/m),
    ]);
    expect(await readFile(drawn)).toEqual(bytes);
    for (let i = 0; i < 2; i++) expect((await predict('mine/images', 'out')).code).toBe(0);
    // The mark is a chunk like others: checksums are right.
    expect((await decodeLabel(space.path('out/labels/1.png'), ANY)).data).toHaveLength(64 * 48);
  });

  it('does not label earlier results in another folder', async () => {
    await space.put('photos/1.jpg', await jpeg());
    await predict('photos', 'photos/first');
    const { out, err } = await predict('photos', 'photos/second');
    expect(out).toBe('1 image (overlays, labels): ROOT/photos/second\n');
    expect(err).toMatch(
      /^ROOT\/photos: 2 of an earlier predict passed over \(ROOT\/photos\/first\/labels\/1\.png, .*1\.jpg\)$/m,
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

describe('what predict is given', () => {
  it('is files, folders and patterns', async () => {
    const photo = await jpeg();
    await space.put('a/1.jpg', photo);
    await space.put('a/deep/2.jpg', photo);
    await space.put('a/deep/3.jpg', photo);
    await space.put('a/deep/notes.txt', 'x');
    await space.put('b/4.jpg', photo);
    const { code, err } = await predict(['a/**/[23].*', 'a/1.jpg', 'b'], 'out', '--write', 'labels');
    expect([code, err]).toEqual([0, expect.anything()]);
    expect(await written('out')).toEqual(['1', '4', 'deep/2', 'deep/3'].map((id) => `labels/${id}.png`));
    const other = await predict('a/deep/*', 'out2', '--write', 'none');
    expect(other.err).toMatch(/deep\/\*: 1 that are neither image nor video passed over/);
    expect([await written('out2'), (await linesOf('out2')).map(({ id }) => id)]).toEqual([[], ['2', '3']]);
  });

  it('is told apart from what is not there, and from other files', async () => {
    await space.put('a/notes.txt', 'x');
    await space.put('a/1.jpg', await jpeg());
    for (const [images, code, message] of [
      ['nowhere', 2, "pgpc: paths 'ROOT/nowhere': there is no such file or folder\n"],
      ['a/notes.txt', 2, expect.stringMatching(/notes\.txt: neither an image \(\.png, .* nor a video/)],
      ['a/*.tif', 1, 'pgpc: ROOT/a/*.tif: no image or video fits this pattern\n'],
      [['a/1.jpg', 'a'], 1, expect.stringMatching(/1\.jpg has the same name/)],
    ] as const) {
      const found = await predict(images, 'out');
      expect([found.code, found.err]).toEqual([code, message]);
    }
    expect((await predict('a', 'out', '--batch', '2', '--mode', 'slide')).err).toMatch(
      /--batch goes with --mode whole; by windows it is --window-batch/,
    );
  });
});

const hasVideo = (() => {
  try {
    execFileSync('ffmpeg', ['-version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

describe('a video', () => {
  it.skipIf(!hasVideo)('is predicted frame by frame, every so many, and resumed', async () => {
    const file = await space.put('clips/drive.mkv', '');
    // Each of the seven frames is of another grey; FFV1 keeps them as they are.
    const frames = ['-f', 'lavfi', '-i', "color=black:s=64x48:r=5:d=1.4,geq=lum='16+20*N':cb=128:cr=128"];
    execFileSync('ffmpeg', ['-v', 'error', '-y', ...frames, '-c:v', 'ffv1', file]);
    const { code, out, err } = await predict('clips', 'out', '--every', '3', '--write', 'overlays');
    expect([code, out, err]).toEqual([0, '3 images (overlays): ROOT/out\n', expect.anything()]);
    const ids = ['drive/000000', 'drive/000003', 'drive/000006'];
    expect(await written('out')).toEqual(ids.map((id) => `overlays/${id}.jpg`));
    const lines = await linesOf('out');
    expect(lines.map(({ id, frame, file }) => [id, frame, file])).toEqual(
      ids.map((id, i) => [id, 3 * i, file]),
    );
    // Frames differ, so what is computed of them does.
    expect(new Set(lines.map(({ confidence }) => confidence)).size).toBe(3);
    const more = await predict('clips', 'out', '--every', '1', '--write', 'overlays');
    expect(more.out).toBe('7 images, 3 of them before (overlays): ROOT/out\n');
    const again = await predict('clips', 'out', '--every', '1', '--write', 'overlays');
    expect(again.out).toBe('7 images, 7 of them before (overlays): ROOT/out\n');
  });

  const ffmpeg = (...args: string[]) =>
    execFileSync('ffmpeg', ['-v', 'error', '-y', ...args], { stdio: 'pipe' });
  const pattern = (rate: number, seconds: number) => [
    ...['-f', 'lavfi', '-i', `testsrc=size=64x48:rate=${rate}:duration=${seconds}`],
  ];

  it.skipIf(!hasVideo)('may have 10 bits, turn, be cut, have frames at any time or any name', async () => {
    await mkdir(space.path('clips'));
    const clip = (name: string) => space.path('clips', name);
    const plain = space.path('plain.mp4');
    ffmpeg(...pattern(5, 2), '-c:v', 'mpeg4', '-g', '50', plain);
    ffmpeg(...pattern(5, 0.6), '-pix_fmt', 'yuv420p10le', '-c:v', 'ffv1', clip('deep.mkv'));
    // Two of its frames, of the ten that are announced, lie before the cut.
    ffmpeg('-ss', '0.4', '-i', plain, '-c', 'copy', clip('trimmed.mp4'));
    const at = "select='not(mod(n,3))+not(mod(n,5))'";
    ffmpeg(...pattern(10, 1), '-vf', at, '-vsync', 'vfr', '-c:v', 'mpeg4', clip('uneven.mp4'));
    // The option came with ffmpeg 6; before it, a tag says how a video is turned.
    try {
      ffmpeg('-display_rotation', '90', '-i', plain, '-c', 'copy', clip('turned.mp4'));
    } catch {
      ffmpeg('-i', plain, '-c', 'copy', '-metadata:s:v', 'rotate=90', clip('turned.mp4'));
    }
    await copyFile(plain, clip('-a name: %d.mp4'));
    const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
    const names = ['deep.mkv', 'trimmed.mp4', 'uneven.mp4', 'turned.mp4', '-a name: %d.mp4'];
    const flags = ['--out', space.path('out'), '--every', '2', '--write', 'overlays', '--device', 'cpu'];
    const args = ['predict', space.path('model.safetensors'), ...flags, '--', ...names];
    // As a user gives names: relative to the folder.
    const child = spawnSync(process.execPath, [program, ...args], {
      cwd: space.path('clips'),
      encoding: 'utf8',
    });
    expect([child.status, child.stdout, child.stderr]).toEqual([
      0,
      expect.stringMatching(/^19 images \(overlays\)/),
      expect.not.stringContaining('damaged'),
    ]);
    const lines = await linesOf('out');
    const of = (clip: string) => lines.filter(({ id }) => id.startsWith(`${clip}/`));
    const frames = names.map((name) => of(name.slice(0, -4)).map(({ frame }) => frame));
    expect(frames).toEqual([
      [0, 2],
      [0, 2, 4, 6],
      [0, 2, 4],
      [0, 2, 4, 6, 8],
      [0, 2, 4, 6, 8],
    ]);
    const [turned] = of('turned');
    expect([turned!.width, turned!.height]).toEqual([48, 64]);
    expect([of('deep')[0]!.width, of('deep')[0]!.height]).toEqual([64, 48]);
  });

  it.skipIf(!hasVideo)('that is damaged in its middle or has sound alone is named', async () => {
    const whole = space.path('whole.mkv');
    ffmpeg(...pattern(5, 2), '-c:v', 'mpeg4', '-g', '50', whole);
    const bytes = await readFile(whole);
    await space.put('clips/short.mkv', bytes.subarray(0, Math.floor(bytes.length / 2)));
    bytes.fill(0xa5, Math.floor(bytes.length / 2), Math.floor(bytes.length / 2) + 2000);
    await space.put('clips/hurt.mkv', bytes);
    ffmpeg('-f', 'lavfi', '-i', 'sine=duration=0.2', space.path('clips/sound.mp4'));
    const cover = await space.put('cover.png', rgb(64, 48));
    const music = [
      '-i',
      space.path('clips/sound.mp4'),
      '-i',
      cover,
      '-map',
      '0',
      '-map',
      '1',
      '-c:a',
      'copy',
    ];
    ffmpeg(...music, '-c:v', 'mjpeg', '-disposition:v:0', 'attached_pic', space.path('clips/cover.mp4'));
    const { code, err } = await predict('clips', 'out', '--every', '3', '--write', 'none');
    expect(code).toBe(1);
    expect(err).toMatch(/^ROOT\/clips\/short\.mkv: damaged/m);
    expect(err).toMatch(/^ROOT\/clips\/hurt\.mkv: damaged/m);
    for (const name of ['sound', 'cover'])
      expect(err).toContain(`ROOT/clips/${name}.mp4: not a readable video: it has no video frame\n`);
    const done = (await linesOf('out')).map(({ id }) => id);
    expect(done).toEqual(expect.arrayContaining(['short/000000', 'hurt/000000']));
    expect(done.filter((id) => id.startsWith('sound') || id.startsWith('cover'))).toEqual([]);
  });

  it.skipIf(!hasVideo)('is stopped in its middle, and resumed', async () => {
    await mkdir(space.path('clips'));
    ffmpeg(...pattern(25, 1), '-c:v', 'mpeg4', space.path('clips/long.mp4'));
    const controller = new AbortController();
    const options = {
      checkpoint: space.path('model.safetensors'),
      images: space.path('clips'),
      out: space.path('out'),
      write: [],
      device: 'cpu',
    };
    const stopped = predictInProgram({
      ...options,
      signal: controller.signal,
      onImage: (done) => {
        if (done === 5) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    const { before, lines } = await predictInProgram(options);
    expect([before, lines.map(({ frame }) => frame)]).toEqual([5, Array.from({ length: 25 }, (_, i) => i)]);
  });

  it.skipIf(!hasVideo)('that is none is named, and the rest is done', async () => {
    await space.put('clips/broken.mp4', 'no video');
    await space.put('clips/1.jpg', await jpeg());
    const { code, out, err } = await predict('clips', 'out');
    expect([code, out]).toEqual([1, '1 image (overlays, labels): ROOT/out\n']);
    expect(err).toMatch(/^ROOT\/clips\/broken\.mp4: not a readable video: /m);
  });

  it('says how ffmpeg is got where it is not', async () => {
    await space.put('drive.mp4', 'x');
    const before = process.env.PATH;
    process.env.PATH = space.root;
    const { code, err } = await predict('drive.mp4', 'out').finally(() => {
      process.env.PATH = before;
    });
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/ffmpeg is not installed: apt-get install ffmpeg/),
    ]);
  });
});

describe('what predict writes', () => {
  /** Blocks of many colours, so that the tiny network sees several classes. */
  const blocks = (width: number, height: number, seed: number) => {
    const rng = new Rng(seed, 'blocks');
    const colors = Array.from({ length: 48 }, () => [rng.below(256), rng.below(256), rng.below(256)]);
    const data = Uint8Array.from({ length: 3 * width * height }, (_, i) => {
      const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
      return colors[(Math.floor((8 * y) / height) * 6 + Math.floor((6 * x) / width)) % 48]![i % 3]!;
    });
    return rgb(width, height, data);
  };

  it('is one account of the same pixels', async () => {
    await space.put('photos/a.png', blocks(96, 64, 1));
    const all = 'overlays,labels,colors,confidence';
    const { code, err } = await predict('photos', 'out', '--write', all);
    expect([code, err]).toEqual([0, expect.anything()]);
    const [line, ...rest] = await linesOf('out');
    expect(rest).toEqual([]);
    const { data } = await decodeLabel(space.path('out/labels/a.png'), ANY);
    const shares: Record<string, number> = {};
    for (const value of data) shares[`class${value}`] = (shares[`class${value}`] ?? 0) + 1 / data.length;
    expect(Object.keys(line!.shares).sort()).toEqual(Object.keys(shares).sort());
    for (const [name, share] of Object.entries(shares)) expect(line!.shares[name]).toBeCloseTo(share, 9);
    const raw = async (file: string) =>
      sharp(space.path('out', file)).raw().toBuffer({ resolveWithObject: true });
    const colors = await raw('colors/a.png');
    const palette = await raw('labels/a.png');
    expect(colors.data).toEqual(palette.data);
    const confidence = await decodeLabel(space.path('out/confidence/a.png'), ANY);
    const mean = confidence.data.reduce((sum, value) => sum + value, 0) / (255 * confidence.data.length);
    expect(line!.confidence).toBeCloseTo(mean, 2);
    expect(line!.confidence).toBeGreaterThan(1 / 5);
    const overlay = await raw('overlays/a.jpg');
    const image = await sharp(space.path('photos/a.png')).raw().toBuffer();
    expect([overlay.info.width, overlay.info.height > 64]).toEqual([96, true]);
    // Half of each, and what JPEG makes of it: the legend begins with a block of its own.
    const halves = image.map((value, i) => (value >> 1) + (colors.data[i]! >> 1));
    const slow = sharp(halves, { raw: { width: 96, height: 64, channels: 3 } });
    const jpeg = await slow.jpeg({ quality: 90, chromaSubsampling: '4:4:4' }).toBuffer();
    const expected = await sharp(jpeg).raw().toBuffer();
    expect(overlay.data.subarray(0, expected.length)).toEqual(expected);
    expect(line).toMatchObject({
      id: 'a',
      file: space.path('photos/a.png'),
      width: 96,
      height: 64,
      pictures: { overlays: 'overlays/a.jpg', confidence: 'confidence/a.png' },
    });
    expect(JSON.parse(await readFile(space.path('out/predict.json'), 'utf8'))).toMatchObject({
      writtenBy: 'pgpc predict',
      labels: 'trainIds',
    });
  });

  it('is the same in groups and one by one, by windows and whole', async () => {
    for (let i = 0; i < 5; i++) await space.put(`photos/${i}.png`, blocks(i === 3 ? 64 : 96, 64, i));
    for (const flags of [
      ['--batch', '4'],
      ['--batch', '1'],
      ['--mode', 'slide', '--window', '96x64'],
    ]) {
      const out = `out${flags.join('')}`;
      const { code } = await predict('photos', out, '--write', 'labels', ...flags);
      expect(code).toBe(0);
      for (let i = 0; i < 5; i++) {
        const { data } = await decodeLabel(space.path(out, `labels/${i}.png`), ANY);
        const one = await decodeLabel(space.path('out--batch4', `labels/${i}.png`), ANY);
        const differ = data.filter((value, at) => value !== one.data[at]).length;
        // A tie to a rounding may fall either way.
        expect(differ / data.length).toBeLessThan(1e-3);
      }
    }
  });

  it('is made again where it is not complete, and where model, options or image are others', async () => {
    for (const i of [1, 2, 3]) await space.put(`photos/${i}.jpg`, await jpeg());
    const again = async (...flags: string[]) => (await predict('photos', 'out', ...flags)).out.split(' (')[0];
    expect(await again()).toBe('3 images');
    expect(await again()).toBe('3 images, 3 of them before');
    await rm(space.path('out/labels/2.png'));
    expect(await again()).toBe('3 images, 2 of them before');
    // A process that was killed leaves a line that is cut off.
    const record = await readFile(space.path('out/predictions.jsonl'), 'utf8');
    await writeFile(space.path('out/predictions.jsonl'), record.slice(0, -30));
    expect(await again()).toBe('3 images, 2 of them before');
    await writeFile(space.path('photos/3.jpg'), await sharp(rgb(80, 48)).jpeg().toBuffer());
    expect(await again()).toBe('3 images, 2 of them before');
    expect((await linesOf('out')).map(({ width }) => width)).toEqual([64, 64, 80]);
    expect(await again('--write', 'labels,colors')).toBe('3 images');
    expect(await again('--write', 'labels,colors,overlays')).toBe('3 images, 3 of them before');
    expect(await again('--flip')).toBe('3 images');
    using other = new Segmentor(tinySegmentor, 2);
    saveSegmentor(space.path('model.safetensors'), other);
    expect(await again('--flip')).toBe('3 images');
    expect((await linesOf('out')).length).toBe(3);
  });

  it('is kept where it is stopped, and the rest is done by the next call', async () => {
    for (const i of [1, 2, 3, 4]) await space.put(`photos/${i}.jpg`, await jpeg());
    const controller = new AbortController();
    const options = {
      checkpoint: space.path('model.safetensors'),
      images: space.path('photos'),
      out: space.path('out'),
      device: 'cpu',
    };
    const stopped = predictInProgram({
      ...options,
      signal: controller.signal,
      onImage: (done) => {
        if (done === 2) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    const { before, lines } = await predictInProgram(options);
    expect([before, lines.map(({ id }) => id)]).toEqual([2, ['1', '2', '3', '4']]);
  });

  it('takes the place of no record that is not its own', async () => {
    await space.put('photos/1.jpg', await jpeg());
    await space.put('out/predictions.jsonl', '{}');
    const { code, err } = await predict('photos', 'out');
    expect([code, err]).toEqual([
      2,
      expect.stringMatching(/predictions\.jsonl: is there already and is not/),
    ]);
  });
});
