// The prefixes and containers that training programs put around a network, in any order and nesting.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { liveTensors, loadPth, saveSafetensors, type Tensor, tidy, zeros } from '@pgpc/torch';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Segmentor } from '../../../src/models/segmentor.js';
import { findNetwork } from '../../../src/models/weights/find-network.js';
import { compareWithDescribed, describeSkipped, openWeights } from '../../../src/models/weights/fit.js';
import { toHuggingFace } from '../../../src/models/weights/huggingface.js';
import { tinySegmentor } from '../../support/method.js';
import { type Pickled, PickledObject, savePth } from '../../support/pth.js';

const folder = mkdtempSync(join(tmpdir(), 'pgpc-wrappings-'));
const network = new Segmentor(tinySegmentor, 1);
const state = network.stateDict();
const names = [...state.keys()];
const encoder = names.filter((name) => name.startsWith('backbone.'));
afterAll(() => {
  rmSync(folder, { recursive: true });
  network.dispose();
});

const under = (prefix: string, list = names) => list.map((name) => prefix + name);
/** The names within the network that is found. */
const found = (list: readonly string[], which?: string) =>
  findNetwork(list, undefined, which === undefined ? {} : { network: which });
const namesOf = (list: readonly string[], which?: string) => [...found(list, which).entries.keys()].sort();
const sorted = [...names].sort();

describe('prefixes', () => {
  test('any of them, in any order and nesting, are taken off', () => {
    const parts = [
      'module',
      '_orig_mod',
      'model',
      'net',
      'network',
      'ema',
      'ema_model',
      'student',
      'state_dict',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 5 }), (chain) => {
        const prefix = chain.map((part) => `${part}.`).join('');
        expect(namesOf(under(prefix))).toEqual(sorted);
      }),
      { numRuns: 25 },
    );
  });

  test.each([
    [
      'every module that is sharded or recomputed',
      (name: string) =>
        name
          .replace(/\.(block1|decode_head)/, '.$1._fsdp_wrapped_module')
          .replace('attn.', 'attn._checkpoint_wrapped_module.'),
    ],
    [
      'a sharded whole',
      (name: string) => `_fsdp_wrapped_module.${name.replace('backbone.', 'backbone._fsdp_wrapped_module.')}`,
    ],
    ['an encoder that is compiled alone', (name: string) => name.replace('backbone.', 'backbone._orig_mod.')],
    ['an encoder in data parallel', (name: string) => name.replace('backbone.', 'backbone.module.')],
    ["DeepSpeed's container", (name: string) => `module.${name}`],
    ["Fabric's", (name: string) => `_forward_module.model.${name}`],
  ])('%s', (_, wrap) => {
    expect(namesOf(names.map(wrap))).toEqual(sorted);
  });

  test('an encoder alone, at any depth', () => {
    const bare = encoder.map((name) => name.replace('backbone.', ''));
    expect(namesOf(under('net.encoder.', bare))).toEqual([...bare].sort());
    const smp = found([...under('encoder.', bare), 'decoder.conv.weight', 'segmentation_head.0.weight']);
    expect(smp.prefix).toBe('encoder.');
    expect(describeSkipped(smp.skipped)).toEqual([
      '2 of: outside of the network (decoder.conv.weight, segmentation_head.0.weight)',
    ]);
  });

  test("losses, metrics and optimizers beside it are left out by name, Lightning's and in one dictionary", () => {
    const beside = ['criterion.weight', 'val_iou.confmat', 'train_metrics.MulticlassJaccardIndex.confmat'];
    for (const prefix of ['state_dict.model.', 'state_dict.']) {
      const others = [...under('state_dict.', beside), 'optimizer_states.0.state.0.exp_avg'];
      const { entries, skipped } = found([...under(prefix), ...others]);
      expect([...entries.keys()].sort()).toEqual(sorted);
      expect(skipped.map(({ name }) => name)).toEqual(others);
      expect(new Set(skipped.map(({ reason }) => reason)).size).toBe(2);
    }
    // What may belong to a changed network is not.
    expect(namesOf([...names, 'backbone.extra.weight', 'gate.weight'])).toEqual(
      [...names, 'backbone.extra.weight', 'gate.weight'].sort(),
    );
  });
});

describe('several networks', () => {
  test.each([
    ['model', 'ema_model'],
    ['student', 'teacher'],
    ['state_dict', 'state_dict_ema'],
    ['model', 'model_ema'],
    ['state_dict.net', 'state_dict.ema.module'],
    ['model_state_dict', 'ema_state_dict'],
  ])('%s and %s: the student, or the teacher when asked', (student, teacher) => {
    const list = [...under(`${teacher}.`), ...under(`${student}.`)];
    const { prefix, others } = found(list);
    expect([prefix, others]).toEqual([`${student}.`, [`${teacher.replace('.module', '')}.`]]);
    expect(found(list, 'teacher').prefix).toBe(others[0]);
    expect(found(list, teacher).prefix).toBe(others[0]);
    expect(found(list, student).skipped.length).toBe(names.length);
  });

  test('two students: the first, and the other by its prefix', () => {
    const list = [...under('seg_a.'), ...under('seg_b.')];
    expect(found(list).prefix).toBe('seg_a.');
    expect(found(list, 'seg_b').prefix).toBe('seg_b.');
    expect(() => found(list, 'seg_c')).toThrow("no network under 'seg_c'; there is: seg_a., seg_b.");
    expect(() => found(list, 'teacher')).toThrow(
      'it holds no teacher; there are networks under: seg_a., seg_b.',
    );
  });

  test('a lone mean of the weights is what there is, unless the student is asked for', () => {
    expect(namesOf(under('state_dict_ema.'))).toEqual(sorted);
    expect(() => found(under('state_dict_ema.'), 'student')).toThrow('it holds no student');
  });
});

/** A file of torch.save as it opens: every entry fits, and what is left out. */
function opened(value: Pickled, which?: string): string[] {
  const path = join(folder, 'checkpoint.pth');
  savePth(path, value);
  const before = liveTensors();
  const left = tidy(() => {
    const file = openWeights(path, which === undefined ? {} : { network: which });
    const compared = compareWithDescribed(file)!;
    expect(compared.network).toBe('mit_b0 with daformer');
    expect({ ...compared.fit, loaded: compared.fit.loaded.length }).toEqual({
      loaded: names.length,
      missing: [],
      unexpected: [],
      misshaped: [],
    });
    return describeSkipped(file.skipped);
  });
  expect(liveTensors()).toBe(before);
  return left;
}

const dict = (prefix = ''): Map<string, Pickled> =>
  new Map([...state].map(([name, t]) => [prefix + name, t]));

describe('files of training programs', () => {
  test("mmengine's, with the objects of its log", () => {
    const scalar = new PickledObject('mmengine.logging.history_buffer.HistoryBuffer', {
      _max: 9,
      _log: [1.5],
    });
    const left = opened({
      meta: { iter: 40_000, seed: 0 },
      state_dict: dict(),
      message_hub: { log_scalars: { 'train/loss': scalar, 'train/acc': scalar }, runtime_info: { iter: 1 } },
    });
    expect(left).toEqual([
      '2 of: object of mmengine.logging.history_buffer.HistoryBuffer, never run (message_hub.log_scalars.train/loss, message_hub.log_scalars.train/acc)',
    ]);
  });

  test("torchvision's references, Lightning's and timm's", () => {
    const args = new PickledObject('argparse.Namespace', {
      lr: 0.01,
      path: new PickledObject('pathlib.PosixPath', null),
    });
    const optimizer = tidy(() => zeros([3]));
    try {
      expect(
        opened({ model: dict(), optimizer: { state: { exp_avg: optimizer } }, epoch: 29, args }),
      ).toEqual([
        '1 of: state of the optimizer or the training program (optimizer.state.exp_avg)',
        '1 of: object of argparse.Namespace, never run (args)',
      ]);
      const lightning = dict('model.').set('criterion.weight', optimizer);
      const parameters = { hyper_parameters: { lr: 1e-4 }, 'pytorch-lightning_version': '2.4.0' };
      expect(
        opened({ state_dict: lightning, optimizer_states: [{ state: { a: optimizer } }], ...parameters }),
      ).toEqual([
        '1 of: state of the training loss (state_dict.criterion.weight)',
        '1 of: state of the optimizer or the training program (optimizer_states.0.state.a)',
      ]);
    } finally {
      optimizer.dispose();
    }
    const timm = { state_dict: dict('module.'), state_dict_ema: dict() };
    const other = `${names.length} of: another network of the checkpoint`;
    expect(opened(timm)).toEqual([expect.stringContaining(other)]);
    expect(opened(timm, 'teacher')).toEqual([expect.stringContaining(other)]);
    expect(opened({ state_dict_ema: dict('_orig_mod.') })).toEqual([]);
  });

  test('a network that was saved as a whole object', () => {
    const module = (entries: [string, Tensor][], path = ''): PickledObject => {
      const own = entries.filter(([name]) => !name.slice(path.length).includes('.'));
      const children = new Set(
        entries
          .map(([name]) => name.slice(path.length))
          .filter((name) => name.includes('.'))
          .map((name) => name.split('.')[0]!),
      );
      return new PickledObject('mmseg.models.Part', {
        training: false,
        _parameters: new Map(own.map(([name, t]) => [name.slice(path.length), t])),
        _buffers: {},
        _modules: new Map(
          [...children].map((child) => [
            child,
            module(
              entries.filter(([name]) => name.startsWith(`${path}${child}.`)),
              `${path}${child}.`,
            ),
          ]),
        ),
      });
    };
    expect(opened(module([...state]))).toEqual([]);
  });

  test('an object in the place of a weight refuses the file, with the entry', () => {
    const broken = dict().set('decode_head.conv_seg.bias', new PickledObject('torchao.Int4Tensor', null));
    savePth(join(folder, 'int4.pth'), { state_dict: broken });
    expect(() => openWeights(join(folder, 'int4.pth'))).toThrow(
      /int4\.pth: its entry state_dict\.decode_head\.conv_seg\.bias is torchao\.Int4Tensor, which is not run/,
    );
  });

  test('only what belongs to the network is read: a damaged optimizer does not matter', () => {
    const path = join(folder, 'damaged.pth');
    const optimizer = tidy(() => zeros([3]));
    savePth(path, { model: dict(), optimizer: { state: optimizer } });
    optimizer.dispose();
    // The last storage is lost: its name is another one.
    const bytes = readFileSync(path);
    const name = `a/data/${names.length}`;
    for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name)) bytes.write('b', at, 'latin1');
    writeFileSync(path, bytes);
    expect(() => tidy(() => loadPth(path))).toThrow(`storage "${name}" is missing`);
    tidy(() => expect(openWeights(path).tensors.size).toBe(names.length));
  });
});

describe('folders', () => {
  test("HuggingFace's, with shards and their index or one file, and their faults", () => {
    const hub = join(folder, 'hub');
    mkdirSync(hub);
    tidy(() => {
      const { tensors } = toHuggingFace(new Map([...state].filter(([name]) => name.startsWith('backbone.'))));
      const list = [...tensors];
      const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
      const half = Math.floor(list.length / 2);
      saveSafetensors(join(hub, files[0]), new Map(list.slice(0, half)));
      saveSafetensors(join(hub, files[1]), new Map(list.slice(half)));
      const map = Object.fromEntries(list.map(([name], i) => [name, files[i < half ? 0 : 1]]));
      writeFileSync(join(hub, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
      for (const path of [hub, join(hub, 'model.safetensors.index.json')]) {
        const { fit, network: name } = compareWithDescribed(openWeights(path))!;
        expect([name, fit.loaded.length, fit.missing, fit.unexpected]).toEqual([
          'mit_b0',
          encoder.length,
          [],
          [],
        ]);
      }
      expect(() => openWeights(join(hub, files[0]))).toThrow('one of 2 shards');
    });
    const two = join(folder, 'two');
    mkdirSync(two);
    expect(() => openWeights(two)).toThrow(`${two}: a folder without weights`);
    tidy(() => {
      saveSafetensors(join(two, 'a.safetensors'), state);
      expect(openWeights(two).path).toBe(join(two, 'a.safetensors'));
      saveSafetensors(join(two, 'b.safetensors'), state);
    });
    expect(() => openWeights(two)).toThrow('2 weights files: name one of a.safetensors, b.safetensors');
  });
});
