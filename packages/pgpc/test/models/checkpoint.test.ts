// Model files: a segmentor's own, and encoder weights from elsewhere.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveTensors, saveSafetensors, type Tensor, tidy, zeros } from '@pgpc/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { loadModel, loadSegmentor, saveSegmentor } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { loadBackboneWeights } from '../../src/models/weights/fit.js';
import { differing, digests, normal, tinySegmentor } from '../support/method.js';
import { type Pickled, savePth } from '../support/pth.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-weights-'));
const original = new Segmentor({ ...tinySegmentor, dropout: 0.2, dropPath: 0.3 }, 1);
afterAll(() => {
  rmSync(folder, { recursive: true });
  original.dispose();
});
const file = (name: string) => join(folder, name);

const backbone = () => original.backbone.stateDict();

describe('saveSegmentor and loadSegmentor', () => {
  test('bring back every bit and the configuration', () => {
    // Batch statistics are part of a model: let them differ from what a new one has.
    tidy(() => original.call(normal([2, 3, 32, 32], 1)));
    saveSegmentor(file('model.safetensors'), original);
    const before = liveTensors();
    const loaded = loadSegmentor(file('model.safetensors'));
    expect(differing(loaded, original)).toEqual([]);
    expect(loaded.config).toEqual(original.config);
    loaded.dispose();
    expect(liveTensors()).toBe(before);
  });

  test('keep classes, input size and origin; older files know nothing of it', () => {
    using segmentor = new Segmentor(tinySegmentor, 1);
    segmentor.classInfo = ['a', 'b', 'c', 'd', 'e'].map((name, i) => ({
      ...{ name, trainId: i, labelId: 50 * i, kind: i === 1 ? 'thing' : 'stuff' },
      color: [i, 2 * i, 3 * i],
    }));
    for (const inputSize of [{ width: 96, height: 48 }, 'full', undefined] as const) {
      segmentor.about = { inputSize, licence: 'for nobody', run: 'mine', method: 'pgpc' };
      saveSegmentor(file('about.safetensors'), segmentor);
      using loaded = loadModel(file('about.safetensors'));
      expect([loaded.classInfo, loaded.about]).toEqual([segmentor.classInfo, segmentor.about]);
    }
    const config = JSON.stringify(tinySegmentor);
    saveSafetensors(file('old.safetensors'), segmentor.stateDict(), { format: 'pgpc-segmentor/1', config });
    using old = loadModel(file('old.safetensors'));
    expect([old.classInfo, old.about]).toEqual([undefined, undefined]);
    const other = { format: 'pgpc-segmentor/1', config, mean: '0,0,0', std: '1,1,1' };
    saveSafetensors(file('other.safetensors'), segmentor.stateDict(), other);
    expect(() => loadModel(file('other.safetensors'))).toThrow('its input is normalised by mean 0,0,0');
  });

  test('refuse a width that the file cannot fill before the network is built, and a configuration that is none', () => {
    const before = liveTensors();
    const config = JSON.stringify({ ...tinySegmentor, channels: 12_000 });
    const format = 'pgpc-segmentor/1';
    tidy(() => {
      saveSafetensors(file('wide.safetensors'), { a: zeros([2]) }, { format, config });
      saveSafetensors(file('text.safetensors'), { a: zeros([2]) }, { format, config: '{no' });
      const tensors = new Map(original.stateDict());
      tensors.set('decode_head.embed_layers.0.proj.weight', zeros([12_000, 0]));
      saveSafetensors(file('shape.safetensors'), tensors);
    });
    for (const name of ['wide.safetensors', 'shape.safetensors']) {
      expect(() => loadModel(file(name))).toThrow(
        new RegExp(`${name}: its \\d+ numbers cannot be a network whose decoder has 12000 channels`),
      );
    }
    expect(() => loadModel(file('text.safetensors'))).toThrow(
      /text\.safetensors: its configuration is no JSON/,
    );
    expect(liveTensors()).toBe(before);
  });

  test("loadModel also takes whole networks of others, with mmsegmentation's classes and colours", () => {
    const state = new Map(original.stateDict());
    const CLASSES = ['sky', 'sea', 'sand', 'wall', 'boat'];
    const PALETTE = CLASSES.map((_, i) => [i, 0, 9]);
    const metas: Pickled[] = [{ CLASSES, PALETTE }, { dataset_meta: { classes: CLASSES, palette: PALETTE } }];
    for (const meta of metas) {
      savePth(file('mmseg.pth'), { meta, state_dict: state });
      using loaded = loadModel(file('mmseg.pth'));
      expect(differing(loaded, original)).toEqual([]);
      expect(loaded.classInfo!.map(({ name, labelId, color }) => [name, labelId, color])).toEqual(
        CLASSES.map((name, i) => [name, i, [i, 0, 9]]),
      );
      expect(loaded.about?.licence).toContain('non-commercial');
    }
    // A list of another length is of something else.
    const others = Array.from({ length: 1000 }, (_, i) => `thing ${i}`);
    savePth(file('mmseg.pth'), { meta: { CLASSES: others }, state_dict: state });
    using unknown = loadModel(file('mmseg.pth'));
    expect(unknown.classInfo).toBeUndefined();
  });

  test.each([
    ['another kind of file', {}, 'lacks format pgpc-segmentor/1'],
    [
      'a configuration that is none',
      { format: 'pgpc-segmentor/1', config: '{"backbone":"resnet","channels":16,"classes":5}' },
      'backbone',
    ],
    [
      'weights of another size',
      { format: 'pgpc-segmentor/1', config: JSON.stringify({ ...original.config, channels: 8 }) },
      'decode_head.conv_seg.weight',
    ],
  ])('refuse %s, naming the file', (name, metadata, what) => {
    const path = file(`${name}.safetensors`);
    saveSafetensors(path, original.stateDict(), metadata as Record<string, string>);
    let message = '';
    try {
      loadSegmentor(path);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(path);
    expect(message).toContain(what);
  });

  test('refuse what is no weights file', () => {
    writeFileSync(file('text.safetensors'), 'not weights at all');
    expect(() => loadSegmentor(file('text.safetensors'))).toThrow(file('text.safetensors'));
  });
});

describe('loadBackboneWeights', () => {
  function fresh(): Segmentor {
    return new Segmentor(tinySegmentor, 2);
  }

  function expectOnlyBackbone(path: string): void {
    using segmentor = fresh();
    const head = digests(segmentor.decodeHead);
    loadBackboneWeights(segmentor, path);
    expect(differing(segmentor.backbone, original.backbone)).toEqual([]);
    expect(differing(segmentor.decodeHead, head)).toEqual([]);
  }

  test('takes names without prefix, and leaves out a classifier', () => {
    tidy(() => {
      const entries = new Map<string, Tensor>([
        ...backbone(),
        ['head.weight', zeros([10, 256])],
        ['head.bias', zeros([10])],
      ]);
      saveSafetensors(file('imagenet.safetensors'), entries);
    });
    expectOnlyBackbone(file('imagenet.safetensors'));
  });

  test('takes the encoder of a whole network', () => {
    saveSegmentor(file('whole.safetensors'), original);
    expectOnlyBackbone(file('whole.safetensors'));
  });

  test('refuses files that do not fit, naming file and entries, and changes nothing', () => {
    tidy(() => {
      const missing = backbone();
      missing.delete('norm1.weight');
      const misshaped = backbone().set('norm2.bias', zeros([63]));
      const unknown = backbone().set('pos_embed', zeros([1]));
      for (const [name, entries, what] of [
        ['missing', missing, '1 missing (backbone.norm1.weight)'],
        [
          'misshaped',
          misshaped,
          '1 of another shape (backbone.norm2.bias: the network has [64], the file [63])',
        ],
        ['unknown', unknown, '1 unexpected (pos_embed)'],
      ] as const) {
        const path = file(`${name}.safetensors`);
        saveSafetensors(path, entries);
        using segmentor = fresh();
        const before = digests(segmentor);
        const refusal = new RegExp(
          `^${path} .*does not fit mit_b0: ${what.replace(/[[\]().]/g, '\\$&')}; the other 17\\d could`,
        );
        expect(() => loadBackboneWeights(segmentor, path)).toThrow(refusal);
        expect(differing(segmentor, before)).toEqual([]);
      }
    });
  });
});
