// Checkpoints for PyTorch's DAFormer code: its names and shapes, its meta, and back to the same network.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { indexWeights, loadPth, noGrad, type Tensor, tidy } from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { segmentorConfig } from '../../../src/config/segmentor.js';
import { loadModel } from '../../../src/models/checkpoint.js';
import { withoutInitialValues } from '../../../src/models/initial-values.js';
import { Segmentor } from '../../../src/models/segmentor.js';
import { saveDaformer, saveDaformerEncoder } from '../../../src/models/weights/daformer.js';
import { openWeights, trainedNetwork } from '../../../src/models/weights/fit.js';
import { fill, manifests } from '../../support/goldens.js';
import { differing, normal, tinySegmentor } from '../../support/method.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-daformer-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = (name: string) => join(folder, name);
const reference = manifests();

const entries = (file: string) =>
  [...indexWeights(file).entries].map(([name, { shape, dtype }]) => [name, [...shape], dtype]);

describe("a network with DAFormer's head", () => {
  const file = path('daformer.pth');
  const segmentor = fill(withoutInitialValues(() => new Segmentor(segmentorConfig('mit_b0', 'daformer'), 1)));
  let notes: string[];
  beforeAll(() => {
    segmentor.classInfo = CITYSCAPES_CLASSES;
    segmentor.about = { inputSize: { width: 96, height: 64 }, licence: 'free', run: 'mine', method: 'pgpc' };
    notes = saveDaformer(file, segmentor);
  });
  afterAll(() => segmentor.dispose());

  test('has the names and shapes of the official network in their order, under model.', () => {
    expect(entries(file)).toEqual(
      reference
        .get('daformer_mitb0')!
        .map(([name, shape]) => [
          `state_dict.model.${name}`,
          shape,
          name.endsWith('num_batches_tracked') ? 'int64' : 'float32',
        ]),
    );
  });

  test('has classes and colours where mmcv looks for them', () => {
    tidy(() => {
      const { meta } = Object.fromEntries(loadPth(file) as Map<string, Map<string, unknown>>);
      expect(meta!.get('CLASSES')).toEqual(CITYSCAPES_CLASSES.map(({ name }) => name));
      expect((meta!.get('PALETTE') as unknown[]).slice(0, 2)).toEqual([
        [128, 64, 128],
        [244, 35, 232],
      ]);
    });
  });

  test('says the configuration that it needs there', () => {
    expect(notes).toEqual([
      'configuration there: configs/_base_/models/daformer_sepaspp_mitb5.py with model.backbone.type=mit_b0 ' +
        'model.decode_head.in_channels=[32,64,160,256] model.decode_head.channels=256 ' +
        'model.decode_head.decoder_params.embed_dims=256 model.decode_head.num_classes=19',
    ]);
  });

  test('comes back with equal logits, and all that is known of it', () => {
    using back = loadModel(file);
    expect([back.config, back.classInfo, back.about]).toEqual([
      segmentor.config,
      segmentor.classInfo,
      segmentor.about,
    ]);
    tidy(() => {
      const image = normal([1, 3, 64, 96], 1);
      const logits = (network: Segmentor) => noGrad(() => network.eval().call(image)).logits.tolist();
      expect(logits(back)).toEqual(logits(segmentor));
    });
  });

  test('without classes and licence, none are made up', () => {
    using unknown = new Segmentor(tinySegmentor, 1);
    saveDaformer(path('unknown.pth'), unknown);
    tidy(() => {
      const { metadata, licence } = openWeights(path('unknown.pth'));
      expect(Object.keys(metadata).filter((key) => !key.startsWith('meta.pgpc.'))).toEqual([]);
      expect(licence).toBeUndefined();
    });
    using back = loadModel(path('unknown.pth'));
    expect([back.classInfo, back.about]).toEqual([undefined, undefined]);
  });
});

test("SegFormer's head is numbered and joined as DAFormer's code does, and comes back", () => {
  using segformer = new Segmentor({ ...segmentorConfig('mit_b0', 'segformer'), channels: 12 }, 3);
  const notes = saveDaformer(path('segformer.pth'), segformer);
  expect(notes).toEqual([
    expect.stringMatching(/segformer_b5\.py .* model\.decode_head\.decoder_params\.embed_dim=12 /),
    'not in the file: decode_head.conv_seg, which the code there makes and never uses',
  ]);
  tidy(() => {
    const { state_dict: state } = Object.fromEntries(loadPth(path('segformer.pth')) as never);
    const decoder = [...(state as Map<string, Tensor>).keys()].filter((name) => name.includes('linear_c'));
    expect(decoder).toEqual(
      [0, 1, 2, 3].flatMap((level) =>
        ['weight', 'bias'].map((kind) => `model.decode_head.linear_c.${level}.proj.${kind}`),
      ),
    );
    const fuse = (state as Map<string, Tensor>).get('model.decode_head.linear_fuse.conv.weight')!;
    const own = segformer.stateDict().get('decode_head.linear_fuse.conv.weight')!;
    // The code there joins levels 1 to 4, ours 4 to 1.
    expect(fuse.narrow(1, 0, 12).tolist()).toEqual(own.narrow(1, 36, 12).tolist());
    expect(fuse.narrow(1, 24, 12).tolist()).toEqual(own.narrow(1, 12, 12).tolist());
  });
  using back = loadModel(path('segformer.pth'));
  expect(differing(back, segformer)).toEqual([]);
});

test('an encoder has the names that pretrained expects, and what it was converted from', () => {
  using segmentor = new Segmentor(tinySegmentor, 1);
  tidy(() => {
    const encoder = new Map(
      [...segmentor.backbone.stateDict()].map(([name, tensor]) => [`backbone.${name}`, tensor]),
    );
    const texts = { licence: 'free', trained: 'mit_b0 with daformer' };
    saveDaformerEncoder(path('new/encoder.pth'), 'mit_b0', encoder, texts);
    expect(entries(path('new/encoder.pth'))).toEqual(
      reference.get('mit_b0')!.map(([name, shape]) => [`state_dict.${name}`, shape, 'float32']),
    );
    const file = openWeights(path('new/encoder.pth'));
    expect([trainedNetwork(file), file.licence?.text]).toEqual(['mit_b0 with daformer', 'free']);
  });
});

test("networks that DAFormer's code has not are refused", () => {
  const hrnet = { config: segmentorConfig('hrnet_w48', 'hrnet') } as Segmentor;
  expect(() => saveDaformer(path('no/hrnet.pth'), hrnet)).toThrow(
    "DAFormer's code has no hrnet_w48 with hrnet; its decoders are daformer, segformer, deeplabv2, ",
  );
  expect(() => saveDaformerEncoder(path('no/hrnet.pth'), 'hrnet_w48', new Map(), {})).toThrow(
    "DAFormer's code has no hrnet_w48; its encoders are mit_b0, mit_b1, mit_b2, mit_b3, mit_b4, mit_b5, resnet101",
  );
  const vit = { config: segmentorConfig('dinov2_vits14', 'daformer') } as Segmentor;
  expect(() => saveDaformer(path('no/vit.pth'), vit)).toThrow(
    "DAFormer's code has no dinov2_vits14; its encoders are mit_b0",
  );
  expect(readdirSync(folder)).not.toContain('no');
});

test.each([
  ['deeplabv2', 'deeplabv2red_r50-d8.py with model.backbone.depth=101 model.decode_head.num_classes=5'],
  [
    'deeplabv3plus-nobn',
    'deeplabv3plus_r50-d8.py with model.backbone.depth=101 model.decode_head.norm_cfg=None model.decode_head.num_classes=5',
  ],
] as const)('%s on ResNet says its configuration', (head, configuration) => {
  const described = {
    config: segmentorConfig('resnet101', head, { classes: 5 }),
    stateDict: () => new Map(),
  } as unknown as Segmentor;
  expect(saveDaformer(path(`${head}.pth`), described)).toEqual([
    `configuration there: configs/_base_/models/${configuration}`,
  ]);
});
