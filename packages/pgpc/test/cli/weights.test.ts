// `pgpc weights inspect` and `convert` on small files, from the command line to what can be loaded again.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { liveTensors, loadSafetensors, saveSafetensors, type Tensor, tidy, zeros } from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { segmentorConfig } from '../../src/config/segmentor.js';
import { loadModel, loadSegmentor, saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { loadBackboneWeights } from '../../src/models/weights/fit.js';
import { runMain, Sink } from '../support/command.js';
import { differing, tinySegmentor } from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-weights-cli-'));
const path = (...names: string[]) => join(folder, ...names);
const daformer = new Segmentor({ ...tinySegmentor, dropout: 0.1, dropPath: 0.1 }, 1);
afterAll(() => {
  rmSync(folder, { recursive: true });
  daformer.dispose();
});

async function pgpc(...args: string[]) {
  const live = liveTensors();
  const ended = await runMain(['weights', ...args]);
  expect(liveTensors()).toBe(live);
  return ended;
}

const prefixed = (prefix: string, entries: ReadonlyMap<string, Tensor>) =>
  [...entries].map(([name, t]) => [prefix + name, t] as const);

beforeAll(() => {
  tidy(() => {
    const encoder = daformer.backbone.stateDict();
    const classifier = [['head.weight', zeros([10, 256])] as const, ['head.bias', zeros([10])] as const];
    saveSafetensors(path('mit_b0.safetensors'), new Map([...encoder, ...classifier]));
    saveSafetensors(
      path('latest.safetensors'),
      new Map([
        ...prefixed('model.', daformer.stateDict()),
        ...prefixed('ema_model.', daformer.stateDict()),
        ...prefixed('imnet_model.', daformer.stateDict()),
      ]),
      { 'meta.time': 'once' },
    );
    const misfit = new Map([...encoder]);
    misfit.delete('norm1.bias');
    saveSafetensors(path('misfit.safetensors'), misfit);
  });
});

describe('inspect', () => {
  test('an ImageNet file: entries, form, network, what is left out, licence', async () => {
    const { code, out } = await pgpc('inspect', path('mit_b0.safetensors'));
    expect(code).toBe(0);
    expect(out).toMatch(/^patch_embed1\.proj\.weight +\[32, 3, 7, 7\] +float32$/m);
    const summary = out.slice(out.indexOf('\n\n') + 2);
    expect(summary.split('\n').map((line) => line.slice(0, 9).trim())).toEqual([
      ...['file', 'form', 'network', 'entries', 'left out', 'licence', ''],
    ]);
    expect(summary).toMatch(/^network {3}mit_b0, encoder alone: every entry fits$/m);
    // The count that is published for the encoder without its classifier.
    expect(summary).toMatch(/^entries {3}178; 3,319,392 parameters of the network$/m);
    expect(summary).toMatch(/^left out {2}2 of: ImageNet classifier \(head\.weight, head\.bias\)$/m);
    expect(summary).toMatch(/^licence {3}NVIDIA Source Code License for SegFormer: non-commercial/m);
  });

  test('a checkpoint of self-training as JSON', async () => {
    const { code, out } = await pgpc('inspect', path('latest.safetensors'), '--network', 'teacher', '--json');
    expect(code).toBe(0);
    const { format, naming, network, fits, metadata, tensors, skipped } = JSON.parse(out);
    expect({ format, naming, network, metadata }).toEqual({
      format: 'daformer',
      naming: 'mit-official',
      network: {
        backbone: 'mit_b0',
        head: 'daformer',
        channels: 16,
        classes: tinySegmentor.classes,
        twoResolutions: false,
      },
      metadata: { 'meta.time': 'once' },
    });
    const size = daformer.stateDict().size;
    expect(fits).toMatchObject({
      network: 'mit_b0 with daformer',
      missing: [],
      unexpected: [],
      misshaped: [],
    });
    expect([fits.loaded.length, tensors.length, skipped.length]).toEqual([size, 3 * size, 2 * size]);
    expect(tensors[0]).toEqual({
      name: 'model.backbone.patch_embed1.proj.weight',
      shape: [32, 3, 7, 7],
      dtype: 'float32',
    });
  });

  test('a file that does not fit says why', async () => {
    const { out } = await pgpc('inspect', path('misfit.safetensors'));
    expect(out).toMatch(/^network {3}mit_b0, encoder alone, but 1 missing \(backbone\.norm1\.bias\)$/m);
  });

  test('what is no weights file is refused in one line', async () => {
    writeFileSync(path('page.pth'), '<!doctype html>');
    const { code, err } = await pgpc('inspect', path('page.pth'));
    expect(code).toBe(1);
    expect(err).toMatch(/^pgpc: .*page\.pth: a web page, not weights.*\n$/);
  });
});

describe('convert', () => {
  test("DAFormer's checkpoint becomes a model that loads as this project's own", async () => {
    const { code, out } = await pgpc(
      'convert',
      path('latest.safetensors'),
      '--out',
      path('new/model.safetensors'),
      '--json',
      path('converted.json'),
    );
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(path('converted.json'), 'utf8'))).toMatchObject({
      ...{
        outcome: 'finished',
        file: path('latest.safetensors'),
        to: 'pgpc',
        out: path('new/model.safetensors'),
      },
      ...{ format: 'daformer', network: 'mit_b0 with daformer', missing: [], unexpected: [], misshaped: [] },
    });
    expect(out).toMatch(
      /checkpoint of DAFormer.*entries loaded into mit_b0 with daformer\n3 networks inside.*\nleft out: /,
    );
    using model = loadSegmentor(path('new/model.safetensors'));
    expect(model.config).toEqual({ ...daformer.config, dropout: 0.1, dropPath: 0.1 });
    expect(differing(model, daformer)).toEqual([]);
    const { out: inspected } = await pgpc('inspect', path('new/model.safetensors'));
    expect(inspected).toMatch(/^form {6}this project's model$/m);
    expect(inspected).toMatch(/^licence {3}if these are, or come from, the published weights: NVIDIA/m);
  });

  test('to standard output, where that is named', async () => {
    const written = await pgpc('convert', path('mit_b0.safetensors'), '--out', '-');
    expect(written).toMatchObject({ code: 0, err: expect.stringContaining('written: standard output') });
    expect(written.out.slice(8)).toMatch(/^\{"__metadata__"/);
    expect((await pgpc('convert', path('mit_b0.safetensors'), '--to', 'hf', '--out', '-')).code).toBe(2);
  });

  test('an ImageNet file, and the encoder of a network, become an encoder that carries its licence', async () => {
    expect(
      (await pgpc('convert', path('mit_b0.safetensors'), '--out', path('encoder.safetensors'))).code,
    ).toBe(0);
    const { metadata } = tidy(() => ({ metadata: loadSafetensors(path('encoder.safetensors')).metadata }));
    expect(metadata).toMatchObject({ format: 'pgpc-backbone/1', backbone: 'mit_b0' });
    expect(metadata.licence).toContain('non-commercial');
    using segmentor = new Segmentor(tinySegmentor, 2);
    const { licence, format } = loadBackboneWeights(segmentor, path('encoder.safetensors'));
    expect([format, licence?.certain]).toEqual(['pgpc-backbone', true]);
    expect(differing(segmentor.backbone, daformer.backbone)).toEqual([]);

    const args = ['convert', path('latest.safetensors'), '--encoder', '--out', path('encoder2.safetensors')];
    expect((await pgpc(...args)).code).toBe(0);
    tidy(() => {
      const names = (file: string) => [...loadSafetensors(path(file)).tensors.keys()];
      expect(names('encoder2.safetensors')).toEqual(names('encoder.safetensors'));
    });
  });

  test("HuggingFace's form: names, shapes, labels, and back to the same weights", async () => {
    const config = { ...segmentorConfig('mit_b0', 'segformer'), channels: 12, classes: 19 };
    using segformer = new Segmentor(config, 3);
    segformer.classInfo = CITYSCAPES_CLASSES;
    saveSegmentor(path('segformer.safetensors'), segformer);
    const hf = ['convert', path('segformer.safetensors'), '--to', 'hf', '--out', path('hf')];
    expect((await pgpc(...hf)).code).toBe(0);
    const json = JSON.parse(readFileSync(path('hf/config.json'), 'utf8'));
    expect(json).toMatchObject({
      architectures: ['SegformerForSemanticSegmentation'],
      model_type: 'segformer',
      hidden_sizes: [32, 64, 160, 256],
      depths: [2, 2, 2, 2],
      decoder_hidden_size: 12,
    });
    expect([json.id2label[0], json.id2label[18], json.label2id.sky]).toEqual(['road', 'bicycle', 10]);
    const back = ['convert', path('hf/model.safetensors'), '--out', path('back.safetensors')];
    expect((await pgpc(...back)).code).toBe(0);
    using model = loadSegmentor(path('back.safetensors'));
    expect(differing(model, segformer)).toEqual([]);
  });

  test('what a model knows of itself goes to HuggingFace and back', async () => {
    const config = { ...segmentorConfig('mit_b0', 'segformer'), channels: 12, classes: 3 };
    using segformer = new Segmentor(config, 3);
    segformer.classInfo = ['ok', 'crack', 'rust'].map((name, i) => ({
      ...{ name, trainId: i, labelId: 100 * i, color: [i, 9, 8], kind: 'stuff' },
    }));
    segformer.about = { inputSize: { width: 96, height: 64 }, licence: 'free', run: 'mine', method: 'pgpc' };
    saveSegmentor(path('known.safetensors'), segformer);
    const { out } = await pgpc('convert', path('known.safetensors'), '--to', 'hf', '--out', path('known'));
    expect(out).toContain('\nclasses: ok, crack, rust\n');
    const json = (name: string) => JSON.parse(readFileSync(path('known', name), 'utf8'));
    expect(json('config.json')).toMatchObject({
      id2label: { 0: 'ok', 1: 'crack', 2: 'rust' },
      label2id: { ok: 0, crack: 1, rust: 2 },
    });
    expect(json('preprocessor_config.json')).toMatchObject({
      image_processor_type: 'SegformerImageProcessor',
      ...{ do_resize: true, size: { height: 64, width: 96 }, do_rescale: true, do_reduce_labels: false },
      ...{ image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] },
    });
    using back = loadModel(path('known'));
    expect(back.about).toEqual(segformer.about);
    expect(back.classInfo).toEqual(segformer.classInfo);
    expect(differing(back, segformer)).toEqual([]);

    // A folder of somebody else has names alone.
    const { pgpc: _, ...theirs } = json('config.json');
    writeFileSync(path('known', 'config.json'), JSON.stringify(theirs));
    using other = loadModel(path('known'));
    expect(other.classInfo!.map(({ name, labelId }) => [name, labelId])).toEqual([
      ...[
        ['ok', 0],
        ['crack', 1],
        ['rust', 2],
      ],
    ]);
  });

  test("a checkpoint for DAFormer's code, and back to the same weights", async () => {
    const args = ['convert', path('latest.safetensors'), '--to', 'daformer', '--classes', path('five.yaml')];
    writeFileSync(path('five.yaml'), 'classes: [sky, sea, sand, wall, boat]');
    const { code, out } = await pgpc(...args, '--network', 'teacher', '--out', path('for/daformer.pth'));
    expect(code).toBe(0);
    expect(out).toMatch(
      /\nclasses: sky, .*\nconfiguration there: configs\/_base_\/models\/daformer_sepaspp_mitb5\.py with .*num_classes=5\nwritten: /,
    );
    using back = loadModel(path('for/daformer.pth'));
    expect(differing(back, daformer)).toEqual([]);
    const { out: inspected } = await pgpc('inspect', path('for/daformer.pth'));
    expect(inspected).toMatch(/^network {3}mit_b0 with daformer, 5 classes: every entry fits$/m);
    expect(inspected).toMatch(/^classes {3}sky, sea, sand, wall, boat$/m);

    const encoder = [...args.slice(0, 4), '--encoder', '--out', path('for/encoder.pth')];
    expect((await pgpc(...encoder)).code).toBe(0);
    const refused = await pgpc(...encoder, '--classes', path('five.yaml'));
    expect(refused).toMatchObject({ code: 2, err: 'pgpc: --classes: an encoder alone has no classes\n' });
    const { out: alone } = await pgpc('inspect', path('for/encoder.pth'));
    expect(alone).toMatch(/^network {3}mit_b0, encoder alone: every entry fits$/m);
    expect(alone).toMatch(
      /^metadata {2}meta\.pgpc\.licence = .*\n +meta\.pgpc\.trained = mit_b0 with daformer/m,
    );
  });

  test('classes of a file that does not say them are not made up, and can be given', async () => {
    const config = { ...segmentorConfig('mit_b0', 'segformer'), channels: 12, classes: 19 };
    using segformer = new Segmentor(config, 3);
    saveSegmentor(path('unnamed.safetensors'), segformer);
    const args = ['convert', path('unnamed.safetensors'), '--to', 'hf', '--out', path('unnamed')];
    const { out } = await pgpc(...args);
    expect(out).toMatch(
      /^warning: neither the file nor a configuration beside it names its 19 classes.*--classes/m,
    );
    const id2label = () => JSON.parse(readFileSync(path('unnamed', 'config.json'), 'utf8')).id2label;
    expect(id2label()[0]).toBe('class 0');
    expect((await pgpc(...args, '--classes', 'cityscapes')).code).toBe(0);
    expect(id2label()[0]).toBe('road');
    writeFileSync(path('two.yaml'), 'classes: [a, b]');
    expect(await pgpc(...args, '--classes', path('two.yaml'))).toMatchObject({
      code: 2,
      err: `pgpc: --classes ${path('two.yaml')}: 2 classes, the network has 19\n`,
    });
  });

  test("refuses DAFormer's head for HuggingFace, and takes its encoder when told to", async () => {
    const hf = ['convert', path('latest.safetensors'), '--to', 'hf', '--out', path('hf-encoder')];
    const refused = await pgpc(...hf);
    expect([refused.code, refused.err]).toEqual([
      1,
      expect.stringMatching(
        /mit_b0 with daformer, which HuggingFace's SegFormer has no names for: --encoder/,
      ),
    ]);
    expect((await pgpc(...hf, '--encoder')).code).toBe(0);
    const json = JSON.parse(readFileSync(path('hf-encoder/config.json'), 'utf8'));
    expect(json.architectures).toEqual(['SegformerModel']);
    expect(json).not.toHaveProperty('id2label');
  });

  test('refuses a file that does not fit, unless partial is allowed', async () => {
    const args = ['convert', path('misfit.safetensors'), '--out', path('partial.safetensors')];
    const refused = await pgpc(...args);
    expect([refused.code, refused.err]).toEqual([
      1,
      `pgpc: ${path('misfit.safetensors')} does not fit mit_b0: 1 missing (backbone.norm1.bias)\n`,
    ]);
    const { code, out } = await pgpc(...args, '--allow-partial');
    expect(code).toBe(0);
    expect(out).toContain('not written: 1 missing (backbone.norm1.bias)');
  });

  test.each([
    [['convert', 'FILE'], /--out/],
    [['convert', 'FILE', '--out', 'x', '--to', 'onnx'], /--to 'onnx': must be one of pgpc, hf/],
    [['inspect', 'none.pth'], /'none\.pth': there is no such file or folder/],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await pgpc(
      ...args.map((arg) => (arg === 'FILE' ? path('mit_b0.safetensors') : arg)),
    );
    expect(code).toBe(2);
    expect(err).toMatch(message);
  });
});

describe('pgpc train --weights', () => {
  async function train(...args: string[]) {
    const stderr = new Sink();
    const calls: unknown[] = [];
    const handlers = { train: async (options: unknown) => void calls.push(options) };
    const { signal } = new AbortController();
    const roots = ['--source-root', folder, '--target-root', folder];
    const code = await main(['train', ...roots, ...args], { stdout: new Sink(), stderr, signal, handlers });
    return { code, err: stderr.text, calls };
  }

  test('takes a file, and partly if told so', async () => {
    const weights = path('mit_b0.safetensors');
    const { code, calls } = await train('--weights', weights, '--allow-partial');
    expect([code, calls]).toEqual([0, [expect.objectContaining({ weights, allowPartial: true })]]);
  });

  test('refuses --allow-partial without weights, and weights that are not there', async () => {
    expect(await train('--allow-partial')).toMatchObject({
      code: 2,
      err: 'pgpc: --allow-partial goes with --weights <file>\n',
    });
    const { code, err } = await train('--weights', 'mit_b5x');
    expect([code, err]).toEqual([
      2,
      "pgpc: --weights 'mit_b5x': there is no such file or folder, and no weights are known by this name (did you mean 'mit_b5'?)\n",
    ]);
  });
});
