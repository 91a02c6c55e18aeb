// `pgpc export onnx` as a user drives it: what is written and said, on which images it is compared, what is refused.

import { existsSync, mkdirSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Writable } from 'node:stream';
import { noGrad } from '@pgpc/torch';
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { rgb, Workspace } from '../../../datasets/test/support/files.js';
import { main } from '../../src/cli/main.js';
import type { SegmentorConfig } from '../../src/config/segmentor.js';
import { numberedClasses } from '../../src/index.js';
import type { ModelAbout } from '../../src/models/about.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import type { DaformerHead } from '../../src/models/daformer-head.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { tinySegmentor } from '../support/method.js';

const space = new Workspace();

function saveModel(
  name: string,
  {
    change,
    inputSize = { width: 96, height: 64 },
    ...config
  }: Partial<SegmentorConfig> & {
    change?: (head: DaformerHead) => void;
    inputSize?: ModelAbout['inputSize'];
  } = {},
): string {
  const file = space.path(name);
  mkdirSync(dirname(file), { recursive: true });
  using segmentor = new Segmentor({ ...tinySegmentor, ...config }, 1);
  segmentor.classInfo = numberedClasses(tinySegmentor.classes).classes.map((info, i) => ({
    ...info,
    name: `kind ${i}`,
  }));
  segmentor.about = { inputSize };
  if (change) noGrad(() => change(segmentor.decodeHead as DaformerHead));
  saveSegmentor(file, segmentor);
  return file;
}

async function exported(model: string, ...flags: string[]) {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, callback) {
        text[name] += chunk.toString().replaceAll(space.root, 'ROOT');
        callback();
      },
    });
  const { signal } = new AbortController();
  const args = ['export', 'onnx', model, '--out', space.path('out'), ...flags];
  const code = await main(args, { stdout: sink('out'), stderr: sink('err'), signal });
  return { code, ...text };
}

const json = async (name: string) => JSON.parse(await readFile(space.path(`out/${name}`), 'utf8'));
const jpeg = (width: number, height: number) => sharp(rgb(width, height)).jpeg().toBuffer();

it('writes a file that was compared on the images given, and what describes it', async () => {
  const model = saveModel('model.safetensors');
  await space.put('photos/1.jpg', await jpeg(120, 80));
  await space.put('photos/2.jpg', await jpeg(64, 90));
  const { code, out, err } = await exported(model, '--images', space.path('photos'));
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^ROOT\/out\/model\.onnx: mit_b0 with daformer, [\d.]+ MB, weights in float32/);
  expect(out).toContain('pixel_values (batch, 3, height, width): float32, RGB in 0 .. 1, normalised');
  expect(out).toMatch(/on 2 images of ROOT\/photos: largest error \d\.\de-\d+, same class at 100\.000 %/);
  expect((await readdir(space.path('out'))).sort()).toEqual([
    'config.json',
    'model.onnx',
    'preprocessor_config.json',
  ]);
  const config = await json('config.json');
  expect(config).toMatchObject({ model_type: 'pgpc-segmentor', backbone: 'mit_b0', decode_head: 'daformer' });
  expect([config.id2label['2'], config.label2id['kind 2']]).toEqual(['kind 2', 2]);
  expect(await json('preprocessor_config.json')).toMatchObject({
    do_resize: true,
    size: { height: 64, width: 96 },
    do_rescale: true,
    do_normalize: true,
    image_mean: [0.485, 0.456, 0.406],
  });
});

it("takes the target's images of the run, and the size and range that are asked for", async () => {
  await space.put('camera/1.jpg', await jpeg(90, 70));
  const target = { format: 'photos', root: space.path('camera') };
  const run = RunDirectory.create(space.path('runs'), 'mine', {
    config: { data: { source: target, target } },
    seed: 1,
    versions: {},
    title: '',
    description: '',
    command: '',
  });
  const model = saveModel('runs/mine/checkpoints/pgpc/model.safetensors');
  const flags = ['--size', '96x64', '--fold-preprocessing'];
  for (const path of [run.path, model]) {
    const { code, out } = await exported(path, ...flags);
    expect(code).toBe(0);
    expect(out).toContain('pixel_values (1, 3, 64, 96): float32, RGB in 0 .. 255\n');
    expect(out).toContain('logits (1, 5, 16, 24)');
    expect(out).toContain("on 1 image of the run's target, ROOT/camera: largest error");
    expect(out).toContain('trtexec --onnx=ROOT/out/model.onnx --saveEngine=ROOT/out/model.plan\n');
  }
  expect(await json('preprocessor_config.json')).toMatchObject({ do_rescale: false, do_normalize: false });
});

it('says where there are no real images, and where nothing was compared', async () => {
  const model = saveModel('model.safetensors', { head: 'segformer' });
  expect((await exported(model)).out).toContain('on random images, as there are no others: largest error');
  expect(await json('config.json')).toMatchObject({ model_type: 'segformer', decoder_hidden_size: 16 });
  const unchecked = await exported(model, '--no-check', '--json');
  expect(unchecked.err).toContain('not compared with the network (--no-check)\n');
  expect(JSON.parse(unchecked.out)).toMatchObject({
    ...{
      outcome: 'finished',
      file: 'ROOT/out/model.onnx',
      network: { backbone: 'mit_b0', head: 'segformer' },
    },
    ...{ input: ['batch', 3, 'height', 'width'], weights: 'float32', checked: null },
  });
});

it('compares on images that the network just takes, and refuses smaller ones and sizes with what to do', async () => {
  const model = saveModel('model.safetensors', { inputSize: 'full' });
  // Seven tenths of these sides are fewer than MiT's 29.
  await space.put('small/1.png', await sharp(rgb(64, 32)).png().toBuffer());
  await space.put('small/2.png', await sharp(rgb(29, 29)).png().toBuffer());
  const small = await exported(model, '--images', space.path('small'));
  expect([small.code, small.err]).toEqual([0, '']);
  expect(small.out).toContain('on 2 images of ROOT/small: largest error');

  await space.put('tiny/1.png', await sharp(rgb(64, 28)).png().toBuffer());
  const tiny = await exported(model, '--images', space.path('tiny'));
  expect([tiny.code, tiny.err]).toEqual([
    1,
    'pgpc: ROOT/tiny/1.png: mit_b0 takes images of 29x29 or more, not 64x28: compare on larger images (--images)\n',
  ]);
  const fixed = await exported(model, '--size', '64x28');
  expect([fixed.code, fixed.err]).toEqual([
    2,
    'pgpc: --size: mit_b0 takes images of 29x29 or more, not 64x28\n',
  ]);
  expect((await exported(model, '--size', '64x29')).code).toBe(0);
});

it('refuses a file that differs too much, and leaves none', async () => {
  // Beside weights of a hundred, int8 has no steps left for what tells the classes apart.
  const model = saveModel('model.safetensors', {
    change: ({ convSeg }) => convSeg.weight.narrow(1, 0, 1).fill_(100),
  });
  const { code, out, err } = await exported(model, '--weights', 'int8');
  expect([code, out]).toEqual([1, '']);
  expect(err).toMatch(
    /^pgpc: ROOT\/out\/model\.onnx: rejected and not written: on random images.* only [\d.]+ % of its pixels have the same class, less than 95\.000 % \(int8/,
  );
  expect(await readdir(space.path('out'))).toEqual([]);
  expect((await exported(model, '--weights', 'float32')).code).toBe(0);
});

it('refuses weights that 16 bits cannot hold before it writes anything', async () => {
  const model = saveModel('model.safetensors', { change: ({ convSeg }) => convSeg.weight.fill_(1e6) });
  const { code, err } = await exported(model, '--weights', 'float16');
  expect([code, err]).toEqual([
    1,
    'pgpc: decode_head.conv_seg.weight has values up to 1000000, and float16 ends at 65504; take float32\n',
  ]);
  expect(existsSync(space.path('out'))).toBe(false);
});

it.each([
  ['--weights', 'int4', /option '--weights'|--weights 'int4': must be one of float32, float16, int8/],
  ['--size', '512', /--size '512': must be WIDTHxHEIGHT/],
  ['--images', '/nowhere', /--images '\/nowhere': there is no such folder/],
])('refuses %s %s as wrong usage', async (flag, value, message) => {
  const { code, err } = await exported(saveModel('model.safetensors'), flag, value);
  expect(code).toBe(2);
  expect(err).toMatch(message);
});
