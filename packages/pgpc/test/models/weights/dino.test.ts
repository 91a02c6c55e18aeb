// Weights of DINOv2 and DINOv3: which encoder a file holds, its licence, and an encoder whose file has no pyramid.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Generator, saveSafetensors, type Tensor, tidy, zeros } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { segmentorConfig } from '../../../src/config/segmentor.js';
import { vitConfigs } from '../../../src/config/vit.js';
import { convnextConfigs } from '../../../src/models/convnext.js';
import { withoutInitialValues } from '../../../src/models/initial-values.js';
import { Segmentor } from '../../../src/models/segmentor.js';
import { VisionTransformer } from '../../../src/models/vit.js';
import { findCatalogEntry, licenceOfFile } from '../../../src/models/weights/catalog.js';
import {
  compareWithDescribed,
  describeLicence,
  describeReport,
  loadBackboneWeights,
  openWeights,
} from '../../../src/models/weights/fit.js';
import { describeNetwork } from '../../../src/models/weights/formats.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-dino-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Entries of these names, all of a shape that takes no memory. */
const named = (shapes: Readonly<Record<string, readonly number[]>>): Map<string, Tensor> =>
  new Map(Object.entries(shapes).map(([name, shape]) => [`backbone.${name}`, zeros([]).expand([...shape])]));

describe('an encoder is told by its names and shapes', () => {
  test.each(Object.entries(vitConfigs))('%s', (name, { dim, depth, registers, ffn, positions, hidden }) => {
    const layers = {
      mlp: { 'blocks.0.mlp.fc1.weight': [hidden, dim] },
      swiglu: { 'blocks.0.mlp.w1.weight': [hidden, dim] },
      'swiglu joined': { 'blocks.0.mlp.w12.weight': [2 * hidden, dim] },
    };
    tidy(() => {
      const entries = named({
        cls_token: [1, 1, dim],
        ...(positions !== 'rotary' && { pos_embed: [1, 1 + positions.side ** 2, dim] }),
        ...(registers > 0 && {
          [positions === 'rotary' ? 'storage_tokens' : 'register_tokens']: [1, registers, dim],
        }),
        ...layers[ffn],
        [`blocks.${depth - 1}.norm1.weight`]: [dim],
      });
      expect(describeNetwork(entries).backbone).toBe(name);
    });
  });

  test.each(Object.entries(convnextConfigs))('%s', (name, { dims, depths }) => {
    tidy(() => {
      const last = depths.map((depth, i) => [`stages.${i}.${depth - 1}.gamma`, [dims[i]!]]);
      const entries = named({
        'downsample_layers.0.0.weight': [dims[0], 3, 4, 4],
        ...Object.fromEntries(last),
      });
      expect(describeNetwork(entries).backbone).toBe(name);
    });
  });
});

test('an official file fills the encoder, and not the pyramid on it; its licence is told', () => {
  tidy(() => {
    using generator = new Generator(3);
    using vit = withoutInitialValues(() => new VisionTransformer(vitConfigs.dinov2_vits14, generator));
    const entries = new Map([...vit.stateDict(), ['mask_token', zeros([1, 384])]]);
    const path = join(folder, 'mine.safetensors');
    saveSafetensors(path, entries);
    const file = openWeights(path);
    expect(file.format).toBe('dinov2-official');
    expect(describeLicence(file.licence!)).toMatch(/if these are.*Apache License 2\.0/);
    expect(compareWithDescribed(file)).toMatchObject({
      network: 'dinov2_vits14',
      fit: { missing: [], unexpected: [], misshaped: [] },
    });
    using segmentor = withoutInitialValues(
      () => new Segmentor(segmentorConfig('dinov2_vits14', 'daformer'), 4),
    );
    const pyramid = [...segmentor.backbone.namedParameters()].filter(([name]) => name.startsWith('pyramid.'));
    const before = pyramid.map(([, parameter]) => parameter.clone());
    const report = loadBackboneWeights(segmentor, path);
    expect(report.loaded).toHaveLength(entries.size - 1);
    expect(describeReport(report)[1]).toBe('left out: 1 of: used in pretraining only (mask_token)');
    expect(pyramid.every(([, parameter], i) => parameter.equal(before[i]!))).toBe(true);
    const loaded = segmentor.backbone.stateDict();
    for (const [name, tensor] of vit.stateDict()) expect(loaded.get(name)!.equal(tensor), name).toBe(true);
  });
});

test('published files and repositories are known by name', () => {
  expect(licenceOfFile('dinov2_vitb14_reg4_pretrain.pth')?.text).toBe('Apache License 2.0');
  expect(licenceOfFile('dinov3_vits16_pretrain_lvd1689m-08c60483.pth')?.text).toMatch(
    /^Meta's DINOv3 License/,
  );
  expect(licenceOfFile('dinov3_convnext_tiny_pretrain_lvd1689m-21b726bb.pth')?.text).toMatch(
    /DINOv3 License/,
  );
  expect(findCatalogEntry('dinov2_vitl14_reg')?.name).toBe('facebook/dinov2-with-registers-large');
  expect(findCatalogEntry('facebook/dinov3-vitb16-pretrain-lvd1689m')?.licence.text).toMatch(
    /DINOv3 License/,
  );
});
