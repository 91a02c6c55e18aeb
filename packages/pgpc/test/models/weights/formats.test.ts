// Weights of other projects: names recognized, matrices cut and joined, strict and partial loading.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveTensors, ops, saveSafetensors, type Tensor, tidy, zeros } from '@pgpc/torch';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Learner } from '../../../src/adaptation/learner.js';
import { hrda } from '../../../src/config/multi-resolution.js';
import { segmentorConfig } from '../../../src/config/segmentor.js';
import { mitConfigs } from '../../../src/models/mit.js';
import { Segmentor } from '../../../src/models/segmentor.js';
import { licenceOfFile } from '../../../src/models/weights/catalog.js';
import {
  compareWeights,
  compareWithDescribed,
  describeReport,
  importSegmentor,
  loadBackboneWeights,
  loadSegmentorWeights,
  openWeights,
} from '../../../src/models/weights/fit.js';
import { describeNetwork, recognizeWeights } from '../../../src/models/weights/formats.js';
import { toHuggingFace } from '../../../src/models/weights/huggingface.js';
import type { WeightFormat } from '../../../src/models/weights/namings.js';
import { digests, normal, tinySegmentor } from '../../support/method.js';

type Entries = Map<string, Tensor>;

const folder = mkdtempSync(join(tmpdir(), 'pgpc-weight-formats-'));
const daformer = new Segmentor(tinySegmentor, 1);
const segformer = new Segmentor({ ...segmentorConfig('mit_b0', 'segformer'), channels: 12, classes: 5 }, 2);
afterAll(() => {
  rmSync(folder, { recursive: true });
  daformer.dispose();
  segformer.dispose();
});

const encoder = (segmentor = daformer): Entries => segmentor.backbone.stateDict();
const prefixed = (prefix: string, entries: ReadonlyMap<string, Tensor>): Entries =>
  new Map([...entries].map(([name, t]) => [prefix + name, t]));
const renamed = (entries: ReadonlyMap<string, Tensor>, rename: (name: string) => string): Entries =>
  new Map([...entries].map(([name, t]) => [rename(name), t]));

/** Whether both have the same names, shapes and values. */
function expectSame(actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, tensor] of expected) {
    const other = actual.get(name)!;
    expect(other.shape, name).toEqual(tensor.shape);
    expect(other.equal(tensor), name).toBe(true);
  }
}

/** The official names' way to HuggingFace's, as a chain of replacements: how its conversion script describes it. */
function slowHuggingFaceName(name: string): string {
  return name
    .replace(/^backbone\./, 'segformer.encoder.')
    .replace(/patch_embed(\d)/, (_, n) => `patch_embeddings.${n - 1}`)
    .replaceAll('norm', 'layer_norm')
    .replace(/encoder\.layer_norm(\d)/, (_, n) => `encoder.layer_norm.${n - 1}`)
    .replace(/layer_norm([12])\./, 'layer_norm_$1.')
    .replace(/block(\d)/, (_, n) => `block.${n - 1}`)
    .replace('attn.q', 'attention.self.query')
    .replace('attn.proj', 'attention.output.dense')
    .replace('attn', 'attention.self')
    .replace('fc1', 'dense1')
    .replace('fc2', 'dense2')
    .replace('linear_pred', 'classifier')
    .replace('linear_fuse.conv', 'linear_fuse')
    .replace('linear_fuse.bn', 'batch_norm')
    .replace(/linear_c(\d)/, (_, n) => `linear_c.${n - 1}`);
}

function slowHuggingFace(official: ReadonlyMap<string, Tensor>): Entries {
  const theirs: Entries = new Map();
  for (const [name, tensor] of official) {
    const renamed = slowHuggingFaceName(name);
    if (!renamed.includes('self.kv')) {
      theirs.set(renamed, tensor);
      continue;
    }
    const half = tensor.shape[0]! / 2;
    theirs.set(renamed.replace('self.kv', 'self.key'), tensor.narrow(0, 0, half));
    theirs.set(renamed.replace('self.kv', 'self.value'), tensor.narrow(0, half, half));
  }
  return theirs;
}

/** The official encoder as open-mmlab keeps it: query, key and value in one, linear layers as 1x1 convolutions. */
function slowOpenMmlab(official: ReadonlyMap<string, Tensor>): Entries {
  const theirs: Entries = new Map();
  for (const [name, tensor] of official) {
    if (name.includes('attn.kv')) continue;
    const stage = Number(/\d/.exec(name)![0]) - 1;
    let to = name
      .replace(/^patch_embed\d/, `layers.${stage}.0`)
      .replace(/^block\d/, `layers.${stage}.1`)
      .replace(/^norm\d/, `layers.${stage}.2`)
      .replace('attn.proj', 'attn.attn.out_proj')
      .replace('attn.q.', 'attn.attn.in_proj_')
      .replace('mlp.fc1', 'ffn.layers.0')
      .replace('mlp.dwconv.dwconv', 'ffn.layers.1')
      .replace('mlp.fc2', 'ffn.layers.4');
    if (name.startsWith('patch_embed')) to = to.replace('.proj.', '.projection.');
    let value = tensor;
    if (to.includes('in_proj_')) value = ops.cat([tensor, official.get(name.replace('.q.', '.kv.'))!], 0);
    if (/ffn\.layers\.[04]\.weight/.test(to)) value = tensor.reshape([...tensor.shape, 1, 1]);
    theirs.set(to, value);
  }
  return theirs;
}

/** Names and shapes of a network with zeros of no memory of their own. */
function shapesOf(build: () => { stateDict(): Entries; dispose(): void }): Entries {
  const network = build();
  const zero = zeros([]);
  const shapes = new Map(
    [...network.stateDict()].map(([name, { shape }]) => [name, zero.expand([...shape])]),
  );
  network.dispose();
  return shapes;
}

function expectForm(entries: ReadonlyMap<string, Tensor>, format: WeightFormat, metadata = {}) {
  const recognized = recognizeWeights(entries, metadata);
  expect(recognized.format).toBe(format);
  return recognized;
}

describe('MiT and SegFormer', () => {
  const ours = (segmentor = daformer) => prefixed('backbone.', encoder(segmentor));

  test('official files of ImageNet: no prefix, and a classifier that is left out', () => {
    tidy(() => {
      const classifier = new Map([
        ['head.weight', zeros([10, 256])],
        ['head.bias', zeros([10])],
      ]);
      const { tensors, skipped } = expectForm(new Map([...encoder(), ...classifier]), 'mit-official');
      expectSame(tensors, ours());
      expect(skipped.map(({ name }) => name)).toEqual(['head.weight', 'head.bias']);
    });
  });

  test('official SegFormer checkpoints have a classifier that nothing uses', () => {
    tidy(() => {
      const unused = new Map([
        ['decode_head.conv_seg.weight', zeros([5, 128, 1, 1])],
        ['decode_head.conv_seg.bias', zeros([5])],
      ]);
      const { tensors, skipped } = expectForm(new Map([...segformer.stateDict(), ...unused]), 'mit-official');
      expectSame(tensors, segformer.stateDict());
      expect(skipped).toHaveLength(2);
    });
  });

  test("DAFormer's SegFormer head joins its levels in the other order: the same logits from it", () => {
    tidy(() => {
      const { channels } = segformer.config;
      const fuse = 'decode_head.linear_fuse.conv.weight';
      const theirs = renamed(segformer.stateDict(), (name) =>
        name.replace(/linear_c(\d)/, (_, n) => `linear_c.${n - 1}`),
      );
      const official = theirs.get(fuse)!;
      const blocks = [3, 2, 1, 0].map((i) => official.narrow(1, i * channels, channels));
      theirs.set(fuse, ops.cat(blocks, 1));
      expectSame(expectForm(theirs, 'mit-official').tensors, segformer.stateDict());
    });
  });

  test("HuggingFace's names, with and without the prefix of a task model", () => {
    tidy(() => {
      const theirs = slowHuggingFace(segformer.stateDict());
      expectSame(toHuggingFace(segformer.stateDict()).tensors, theirs);
      expectSame(expectForm(theirs, 'mit-huggingface').tensors, segformer.stateDict());

      const classification = new Map([
        ...slowHuggingFace(ours()),
        ['classifier.weight', zeros([10, 256])] as const,
        ['classifier.bias', zeros([10])] as const,
      ]);
      const { tensors, skipped } = expectForm(classification, 'mit-huggingface');
      expectSame(tensors, ours());
      expect(skipped.map(({ reason }) => reason)).toEqual(['ImageNet classifier', 'ImageNet classifier']);

      const bare = renamed(slowHuggingFace(ours()), (name) => name.replace('segformer.', ''));
      expectSame(expectForm(bare, 'mit-huggingface').tensors, ours());
    });
  });

  test('a key without its value is not taken for a whole matrix', () => {
    tidy(() => {
      const theirs = slowHuggingFace(ours());
      theirs.delete('segformer.encoder.block.1.0.attention.self.value.weight');
      const { missing, unexpected } = compareWeights(ours(), recognizeWeights(theirs, {}).tensors);
      expect(missing).toEqual(['backbone.block2.0.attn.kv.weight']);
      expect(unexpected).toEqual(['segformer.encoder.block.1.0.attention.self.key.weight']);
    });
  });

  test("HuggingFace has no names for DAFormer's head", () => {
    tidy(() => {
      const { tensors, leftOut } = toHuggingFace(daformer.stateDict());
      expectSame(tensors, slowHuggingFace(ours()));
      expect(leftOut).toEqual([...daformer.stateDict().keys()].filter((n) => n.startsWith('decode_head.')));
    });
  });

  test("open-mmlab's names", () => {
    tidy(() => {
      expectSame(expectForm(slowOpenMmlab(encoder()), 'mit-open-mmlab').tensors, ours());
      const whole = prefixed('backbone.', slowOpenMmlab(encoder()));
      expectSame(expectForm(whole, 'mit-open-mmlab').tensors, ours());
    });
  });

  test.each(Object.entries(mitConfigs))('%s is told from the others', (name, { embedDims, depths }) => {
    tidy(() => {
      const blocks = depths.flatMap((depth, stage) =>
        Array.from({ length: depth }, (_, i) => `backbone.block${stage + 1}.${i}.norm1.weight`),
      );
      const entries = new Map([
        ['backbone.patch_embed1.proj.weight', zeros([embedDims[0], 3, 7, 7])],
        ...blocks.map((block) => [block, zeros([1])] as const),
      ]);
      expect(describeNetwork(entries)).toMatchObject({ backbone: name, head: undefined });
    });
  });
});

describe('checkpoints of self-training', () => {
  test("HRDA's and MIC's, whose network sees two resolutions, with their windows", () => {
    using hrdaNetwork = new Segmentor({ ...tinySegmentor, multiResolution: hrda }, 4);
    tidy(() => {
      const checkpoint = new Map([
        ...prefixed('model.', hrdaNetwork.stateDict()),
        ...prefixed('ema_model.', hrdaNetwork.stateDict()),
      ]);
      const student = expectForm(checkpoint, 'daformer');
      expectSame(student.tensors, hrdaNetwork.stateDict());
      const file = join(folder, 'hrda.safetensors');
      saveSafetensors(file, checkpoint);
      const { segmentor, report } = importSegmentor(file);
      expect(segmentor.config).toMatchObject({ head: 'daformer', channels: 16, multiResolution: hrda });
      expect(report.network).toBe('mit_b0 with daformer at two resolutions (HRDA)');
      expectSame(segmentor.stateDict(), hrdaNetwork.stateDict());
      segmentor.dispose();
    });
  });

  test("DAFormer's: the student unless the teacher is asked for", () => {
    using other = new Segmentor(tinySegmentor, 9);
    tidy(() => {
      const checkpoint = new Map([
        ...prefixed('model.', daformer.stateDict()),
        ...prefixed('ema_model.', other.stateDict()),
        ...prefixed('imnet_model.', other.stateDict()),
      ]);
      const student = expectForm(checkpoint, 'daformer');
      expect(student.naming).toBe('mit-official');
      expectSame(student.tensors, daformer.stateDict());
      expect(student.skipped).toHaveLength(2 * other.stateDict().size);
      expectSame(recognizeWeights(checkpoint, {}, { network: 'teacher' }).tensors, other.stateDict());
      const { backbone, head, channels, classes } = describeNetwork(student.tensors);
      expect({ backbone, head, channels, classes }).toEqual({
        backbone: 'mit_b0',
        head: 'daformer',
        channels: tinySegmentor.channels,
        classes: tinySegmentor.classes,
      });
    });
  });

  test('a network that is not there is refused', () => {
    tidy(() => {
      const teacher = { network: 'teacher' } as const;
      expect(() => recognizeWeights(encoder(), {}, teacher)).toThrow('one network and no teacher');
      const halves = prefixed('imnet_model.', daformer.stateDict());
      expect(() => recognizeWeights(halves, {})).toThrow('it holds no student; there is: imnet_model.');
    });
  });

  test("this project's own", () => {
    using learner = new Learner(tinySegmentor, 3, { width: 8, depth: 2 });
    using teacher = new Learner(tinySegmentor, 4, { width: 8, depth: 2 });
    tidy(() => {
      const checkpoint = new Map([
        ...prefixed('student.', learner.stateDict()),
        ...prefixed('teacher.', teacher.stateDict()),
        ['optimizer.step', zeros([1])] as const,
      ]);
      const metadata = { format: 'pgpc-training/1' };
      expectSame(expectForm(checkpoint, 'pgpc-training', metadata).tensors, learner.segmentor.stateDict());
      const other = recognizeWeights(checkpoint, metadata, { network: 'teacher' });
      expectSame(other.tensors, teacher.segmentor.stateDict());
      const model = expectForm(daformer.stateDict(), 'pgpc-model', { format: 'pgpc-segmentor/1' });
      expectSame(model.tensors, daformer.stateDict());
    });
  });
});

describe('ResNet and HRNet', () => {
  let resnet: Entries;
  let hrnet: Entries;
  beforeAll(() => {
    resnet = tidy(() => shapesOf(() => new Segmentor(segmentorConfig('resnet101', 'deeplabv2'), 0)));
    hrnet = tidy(() => shapesOf(() => new Segmentor(segmentorConfig('hrnet_w48', 'hrnet'), 0)));
  });
  afterAll(() => {
    for (const tensor of [...resnet.values(), ...hrnet.values()]) tensor.dispose();
  });
  const only = (entries: Entries, prefix: string) =>
    new Map(
      [...entries].flatMap(([name, t]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), t] as const] : [],
      ),
    );

  test("open-mmlab's ResNet-V1c, alone and in a network with an auxiliary head", () => {
    tidy(() => {
      const imagenet = new Map([...only(resnet, 'backbone.'), ['fc.weight', zeros([10, 2048])] as const]);
      const { tensors, skipped } = expectForm(imagenet, 'resnet-v1c');
      expectSame(tensors, new Map([...resnet].filter(([name]) => name.startsWith('backbone.'))));
      expect(skipped).toEqual([{ name: 'fc.weight', reason: 'ImageNet classifier' }]);
      const whole = new Map([...resnet, ['auxiliary_head.conv_seg.weight', zeros([1])] as const]);
      const network = expectForm(whole, 'resnet-v1c');
      expectSame(network.tensors, resnet);
      expect(describeNetwork(network.tensors)).toEqual({
        backbone: 'resnet101',
        head: 'deeplabv2',
        channels: undefined,
        classes: 19,
        twoResolutions: false,
      });
    });
  });

  test("torchvision's ResNet has another stem: all else fits, and the hint says so", () => {
    tidy(() => {
      const body = [...only(resnet, 'backbone.')].filter(([name]) => !name.startsWith('stem.'));
      const torchvision = new Map([
        ['conv1.weight', zeros([64, 3, 7, 7])] as const,
        ['bn1.weight', zeros([64])] as const,
        ...body,
        ['fc.weight', zeros([10, 2048])] as const,
      ]);
      const { tensors, hint } = expectForm(torchvision, 'resnet-torchvision');
      expect(hint).toContain('one 7x7 convolution');
      const own = new Map([...resnet].filter(([name]) => name.startsWith('backbone.')));
      const fit = compareWeights(own, tensors);
      expect(fit.loaded).toEqual(body.map(([name]) => `backbone.${name}`));
      expect(fit.unexpected).toEqual(['backbone.conv1.weight', 'backbone.bn1.weight']);
      expect(fit.missing.every((name) => name.startsWith('backbone.stem.'))).toBe(true);
      expect(fit.missing.length).toBeGreaterThan(10);
    });
  });

  test('files from before batch norms counted their batches fit', () => {
    tidy(() => {
      const old = new Map([...resnet].filter(([name]) => !name.endsWith('num_batches_tracked')));
      expect(old.size).toBeLessThan(resnet.size);
      const { missing, unexpected } = compareWeights(resnet, recognizeWeights(old, {}).tensors);
      expect([missing, unexpected]).toEqual([[], []]);
    });
  });

  test('official HRNet: of ImageNet, and whole in a wrapper', () => {
    tidy(() => {
      const imagenet = new Map([
        ...only(hrnet, 'backbone.'),
        ...['incre_modules.0.0.conv1.weight', 'downsamp_modules.0.0.weight', 'final_layer.0.weight']
          .concat('classifier.weight')
          .map((name) => [name, zeros([1])] as const),
      ]);
      const { tensors, skipped } = expectForm(imagenet, 'hrnet-official');
      expectSame(tensors, new Map([...hrnet].filter(([name]) => name.startsWith('backbone.'))));
      expect(skipped).toHaveLength(4);

      const whole = renamed(hrnet, (name) => `model.${name.replace(/^(backbone|decode_head)\./, '')}`);
      whole.set('loss.criterion.weight', zeros([19]));
      const network = expectForm(whole, 'hrnet-official');
      expectSame(network.tensors, hrnet);
      expect(network.skipped).toEqual([
        { name: 'loss.criterion.weight', reason: 'state of the training loss' },
      ]);
      expect(describeNetwork(network.tensors)).toMatchObject({ backbone: 'hrnet_w48', head: 'hrnet' });
    });
  });

  test("open-mmlab's HRNet: the head's first convolution has no bias there, so it is zero here", () => {
    tidy(() => {
      const theirs = renamed(hrnet, (name) =>
        name
          .replace('last_layer.0.', 'convs.0.conv.')
          .replace('last_layer.1.', 'convs.0.bn.')
          .replace('last_layer.3.', 'conv_seg.'),
      );
      theirs.delete('decode_head.convs.0.conv.bias');
      expectSame(expectForm(theirs, 'hrnet-open-mmlab').tensors, hrnet);
    });
  });
});

describe('loading', () => {
  const path = (name: string) => join(folder, name);
  const random = (shape: readonly number[]) => normal(shape, 5);

  test('strict refuses, partial loads what fits and says what it does not; nothing leaks', () => {
    using segmentor = new Segmentor(tinySegmentor, 6);
    tidy(() => {
      const entries = new Map([...encoder()].map(([name, t]) => [name, random(t.shape)]));
      entries.delete('norm1.weight');
      entries.set('norm2.bias', zeros([63]));
      entries.set('pos_embed', zeros([1]));
      saveSafetensors(path('mit_b0.safetensors'), entries);
    });
    const before = digests(segmentor);
    const live = liveTensors();
    const load = (allowPartial: boolean) =>
      loadBackboneWeights(segmentor, path('mit_b0.safetensors'), { allowPartial });
    expect(() => load(false)).toThrow(/1 missing .*; 1 unexpected .*; 1 of another shape/);
    expect(digests(segmentor)).toEqual(before);
    const report = load(true);
    expect(liveTensors()).toBe(live);
    expect(report.loaded).toHaveLength(encoder().size - 2);
    const after = digests(segmentor);
    const changed = [...after].filter(([name, digest]) => before.get(name) !== digest);
    expect(changed.map(([name]) => name)).toEqual(report.loaded);
    expect(describeReport(report)).toEqual([
      expect.stringMatching(/mit_b0\.safetensors: official MiT.*; \d+ entries loaded into mit_b0$/),
      'not loaded: 1 missing (backbone.norm1.weight)',
      'not loaded: 1 unexpected (pos_embed)',
      'not loaded: 1 of another shape (backbone.norm2.bias: the network has [64], the file [63])',
      expect.stringMatching(/^licence: NVIDIA .*non-commercial use only/),
    ]);
  });

  test('partial loading of a file with nothing that fits is refused', () => {
    using segmentor = new Segmentor(tinySegmentor, 6);
    tidy(() => {
      const entries = new Map([['patch_embed1.proj.weight', zeros([33, 3, 7, 7])]]);
      saveSafetensors(path('nothing.safetensors'), entries);
    });
    expect(() => loadBackboneWeights(segmentor, path('nothing.safetensors'), { allowPartial: true })).toThrow(
      'has no entry that fits mit_b0',
    );
  });

  test('a whole network from elsewhere computes what it computed there', () => {
    tidy(() => saveSafetensors(path('theirs.safetensors'), slowHuggingFace(segformer.stateDict())));
    const { segmentor, report } = importSegmentor(path('theirs.safetensors'));
    expect(segmentor.config).toMatchObject({
      backbone: 'mit_b0',
      head: 'segformer',
      channels: 12,
      classes: 5,
    });
    expect(report.loaded).toHaveLength(segformer.stateDict().size);
    tidy(() => {
      const image = normal([1, 3, 64, 32], 1);
      const [a, b] = [segformer, segmentor].map((model) => model.eval().call(image).logits) as [
        Tensor,
        Tensor,
      ];
      expect(a.equal(b)).toBe(true);
    });
    segmentor.dispose();
  });

  test('a decoder of another width is refused, naming both', () => {
    using segmentor = new Segmentor({ ...tinySegmentor, channels: 8 }, 6);
    tidy(() => saveSafetensors(path('wide.safetensors'), daformer.stateDict()));
    expect(() => loadSegmentorWeights(segmentor, path('wide.safetensors'))).toThrow(
      /does not fit mit_b0 with daformer: .* of another shape \(decode_head\.conv_seg\.weight: the network has \[\d+,8,1,1\], the file \[\d+,16,1,1\]/,
    );
  });

  test('an encoder alone is no segmentor', () => {
    tidy(() => saveSafetensors(path('alone.safetensors'), encoder()));
    expect(() => importSegmentor(path('alone.safetensors'))).toThrow(
      /alone\.safetensors: it has no decoder of a known form/,
    );
  });

  test('names of no known form are refused, naming file and names', () => {
    tidy(() => {
      saveSafetensors(path('bert.safetensors'), { 'bert.encoder.layer.0.key.weight': zeros([2]) });
      expect(() => openWeights(path('bert.safetensors'))).toThrow(
        /bert\.safetensors: its names are of no known form \(bert\.encoder\.layer\.0\.key\.weight, \.\.\.\)/,
      );
    });
  });

  test('what a file says that it holds is compared with the network of that name', () => {
    tidy(() => {
      saveSafetensors(path('mit_b0_short.safetensors'), new Map([...encoder()].slice(1)));
      const found = compareWithDescribed(openWeights(path('mit_b0_short.safetensors')));
      expect(found).toBeUndefined();
      const entries = new Map([...encoder()].filter(([name]) => name !== 'norm4.bias'));
      saveSafetensors(path('mit_b0_near.safetensors'), entries);
      const near = compareWithDescribed(openWeights(path('mit_b0_near.safetensors')))!;
      expect(near.network).toBe('mit_b0');
      expect(near.fit.missing).toEqual(['backbone.norm4.bias']);
    });
  });

  test('compares as a slow comparison of all pairs does', () => {
    const one = zeros([1]);
    const shapes = fc.constantFrom([1], [2], [1, 2]);
    const map = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'n.num_batches_tracked'), shapes);
    fc.assert(
      fc.property(map, map, (own, file) => {
        tidy(() => {
          const tensors = (shapes: Record<string, readonly number[]>) =>
            new Map(Object.entries(shapes).map(([name, shape]) => [name, one.expand(shape)]));
          const { loaded, missing, unexpected, misshaped } = compareWeights(tensors(own), tensors(file));
          for (const name of new Set([...Object.keys(own), ...Object.keys(file)])) {
            const [a, b] = [own[name], file[name]];
            const counted = !name.endsWith('tracked');
            expect(loaded.includes(name)).toBe(!!a && !!b && `${a}` === `${b}`);
            expect(missing.includes(name)).toBe(!!a && !b && counted);
            expect(unexpected.includes(name)).toBe(!a && !!b);
            expect(misshaped.some((entry) => entry.name === name)).toBe(!!a && !!b && `${a}` !== `${b}`);
          }
        });
      }),
      { numRuns: 100 },
    );
    one.dispose();
  });
});

describe('licences', () => {
  test.each([
    ['mit_b5.pth', /non-commercial/],
    ['nvidia-mit-b0.safetensors', /non-commercial/],
    ['mit_b0_20220624-7e0fe6dd.pth', /non-commercial/],
    ['segformer.b1.512x512.ade.160k.pth', /non-commercial/],
    ['resnet101_v1c-e67eebb6.pth', /unknown/],
    ['hrnetv2_w48_imagenet_pretrained.pth', /unknown/],
  ])('%s is known by name', (file, text) => {
    expect(licenceOfFile(file)?.text).toMatch(text);
  });

  test.each(['model.safetensors', 'mit_b01.pth', 'my-mit_b0.pth'])('%s is not', (file) => {
    expect(licenceOfFile(file)).toBeUndefined();
  });

  test('without a known name the form of the names gives a condition, not a claim', () => {
    tidy(() => {
      saveSafetensors(join(folder, 'mine.safetensors'), encoder());
      expect(openWeights(join(folder, 'mine.safetensors')).licence).toMatchObject({ certain: false });
    });
  });
});
