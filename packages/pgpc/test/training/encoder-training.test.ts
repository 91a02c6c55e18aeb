// How much of a DINO encoder is trained: groups and rates, what stays, and files that keep it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSafetensors, nn, noGrad, type Tensor, tensor, tidy } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { Learner } from '../../src/adaptation/learner.js';
import { adapters } from '../../src/config/encoder-training.js';
import { parseExperiment } from '../../src/config/experiment.js';
import { daformerFeatureDistance } from '../../src/config/feature-distance.js';
import { methodConfig } from '../../src/config/method.js';
import { type SegmentorConfig, segmentorConfig } from '../../src/config/segmentor.js';
import { loadSegmentor, saveSegmentor } from '../../src/models/checkpoint.js';
import { withoutInitialValues } from '../../src/models/initial-values.js';
import { loadSegmentorWeights } from '../../src/models/weights/fit.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { buildOptimizer, encoderLayers } from '../../src/training/optimizer.js';
import { normal } from '../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-encoder-training-'));
afterAll(() => rmSync(folder, { recursive: true }));

const linear = segmentorConfig('dinov2_vits14', 'linear', { classes: 3 });
const rates = { lr: 1e-3, headMultiplier: 10, weightDecay: 0.05 };
const built = (config: SegmentorConfig) => withoutInitialValues(() => new Learner(config, 1));

describe('layers of an encoder', () => {
  test.each([
    [
      'dinov2_vits14',
      13,
      {
        cls_token: 0,
        'patch_embed.proj.weight': 0,
        'blocks.0.ls1.gamma': 1,
        'blocks.11.mlp.fc1.bias': 12,
        'norm.weight': 13,
      },
    ],
    ['dinov3_vitl16', 25, { storage_tokens: 0, 'blocks.23.attn.qkv.weight': 24, 'norm.bias': 25 }],
    [
      'dinov3_convnext_tiny',
      7,
      {
        'downsample_layers.0.0.weight': 0,
        'stages.0.2.gamma': 1,
        'downsample_layers.2.1.bias': 3,
        'stages.2.2.gamma': 3,
        'stages.2.8.gamma': 5,
        'downsample_layers.3.0.weight': 6,
        'stages.3.0.gamma': 6,
        'norm.weight': 7,
      },
    ],
    ['dinov3_convnext_base', 13, { 'stages.2.26.gamma': 11, 'stages.3.2.gamma': 12, 'norm.weight': 13 }],
  ] as const)('%s', (backbone, count, of) => {
    const layers = encoderLayers(backbone)!;
    expect(layers.count).toBe(count);
    expect(Object.fromEntries(Object.keys(of).map((name) => [name, layers.of(name)]))).toEqual(of);
  });

  test('of other encoders there are none', () => expect(encoderLayers('mit_b0')).toBeUndefined());
});

test('rates fall from layer to layer, and vectors and tokens do not decay', () => {
  using learner = built(linear);
  const optimizer = buildOptimizer(learner, { ...rates, layerDecay: 0.5 });
  const groups = new Map(optimizer.groups.map((group) => [group.name, group]));
  // Layers 0 to 12, with decay and without; the closing norm; the decoder.
  expect(groups.size).toBe(2 * 13 + 1 + 1);
  expect(groups.get('encoder layer 12')).toMatchObject({ lr: 5e-4, weightDecay: 0.05 });
  expect(groups.get('encoder layer 0 without decay')).toMatchObject({ lr: 1e-3 / 2 ** 13, weightDecay: 0 });
  expect(groups.get('encoder layer 13 without decay')!.lr).toBe(1e-3);
  expect(groups.get('head')!.lr).toBe(1e-2);
  const all = optimizer.groups.reduce((sum, { params }) => sum + params.length, 0);
  expect(all).toBe(learner.parameters().length);
});

/** Trains one step, and says which parameters have changed. */
function changedBy(learner: Learner, options: Parameters<typeof buildOptimizer>[1]): string[] {
  return tidy(() => {
    const optimizer = buildOptimizer(learner, options);
    const before = new Map([...learner.namedParameters()].map(([name, value]) => [name, value.clone()]));
    const { logits } = learner.segmentor.call(normal([1, 3, 30, 30], 2));
    const label = tensor(
      Array.from({ length: logits.numel / 3 }, (_, i) => i % 3),
      { dtype: 'int64' },
    );
    nn.crossEntropy(logits, label.view([1, ...logits.shape.slice(2)])).backward();
    optimizer.step();
    const changed = [...learner.namedParameters()].filter(([name, value]) => !value.equal(before.get(name)!));
    return changed.map(([name]) => name);
  });
}

test('frozen, the decoder is trained and the encoder is not', () => {
  using learner = built(linear);
  const changed = changedBy(learner, { ...rates, encoder: 'frozen' });
  expect(changed.length).toBeGreaterThan(0);
  expect(changed.filter((name) => !name.startsWith('segmentor.decode_head.'))).toEqual([]);
});

test.each(['lora', 'rein'] as const)(
  '%s: what is beside the encoder is trained, saved, and read again',
  { timeout: 300_000 },
  (kind) => {
    tidy(() => {
      using learner = built({ ...linear, adapter: adapters[kind] });
      const options = { ...rates, lr: 1e-2 };
      const names = [...changedBy(learner, options), ...changedBy(learner, options)];
      const inEncoder = names.filter((name) => name.startsWith('segmentor.backbone.'));
      const beside = kind === 'lora' ? /\.blocks\.\d+\.attn\.lora\.[ab]$/ : /\.backbone\.adapter\./;
      expect(inEncoder.length).toBeGreaterThan(0);
      expect(inEncoder.filter((name) => !beside.test(name))).toEqual([]);
      const { segmentor } = learner;
      segmentor.eval();
      const path = join(folder, `${kind}.safetensors`);
      saveSegmentor(path, segmentor);
      using again = loadSegmentor(path).eval();
      expect(again.config.adapter?.kind).toBe(kind === 'lora' ? undefined : kind);
      const image = normal([1, 3, 30, 30], 5);
      const scores = (one: typeof again): Tensor => noGrad(() => one.call(image).logits);
      const most = scores(segmentor).abs().max().item();
      expect(scores(again).sub(scores(segmentor)).abs().max().item()).toBeLessThan(1e-5 * Math.max(1, most));
      // Into a network of the same form, whose own low-rank changes begin as nothing.
      using next = built({ ...linear, adapter: adapters[kind] });
      for (const [name, value] of next.namedParameters())
        if (name.endsWith('lora.b')) noGrad(() => value.zero_());
      loadSegmentorWeights(next.segmentor, path);
      expect(scores(next.segmentor.eval()).sub(scores(segmentor)).abs().max().item()).toBeLessThan(
        1e-5 * Math.max(1, most),
      );
      // A state to resume from has all of it.
      expect([...loadSafetensors(path).tensors.keys()].some((name) => /lora|adapter/.test(name))).toBe(true);
    });
  },
);

test('is refused where it does not fit, with the reason', () => {
  const recipe = (segmentor: SegmentorConfig) =>
    daformerRecipe({ segmentor, method: methodConfig('daformer', { featureDistance: false }) });
  const onMit = recipe(segmentorConfig('mit_b0', 'daformer'));
  const frozen = { ...onMit, optimizer: { ...onMit.optimizer, encoder: 'frozen' } };
  expect(() => parseExperiment(frozen)).toThrow(/DINOv2 and DINOv3, not for mit_b0/);
  const decayed = { ...onMit, optimizer: { ...onMit.optimizer, layerDecay: 0.9 } };
  expect(() => parseExperiment(decayed)).toThrow(/DINOv2 and DINOv3, not for mit_b0/);
  const adapted = { ...onMit, segmentor: { ...onMit.segmentor, adapter: adapters.lora } };
  expect(() => parseExperiment(adapted)).toThrow(/mit_b0 takes no lora/);
  const onVit = recipe(segmentorConfig('dinov2_vits14', 'daformer'));
  const held = { ...onVit, method: { ...onVit.method, featureDistance: daformerFeatureDistance } };
  expect(() => parseExperiment(held)).toThrow(/began at random/);
});
