// The layers and losses of make-library.py: starting values, outputs, gradients, buffers and their printed form, against
// PyTorch's.

import { describe, expect, test } from 'vitest';
import {
  Generator,
  globalRngState,
  liveTensors,
  manualSeed,
  ops,
  randn,
  Tensor,
  tensor,
  tidy,
  zeros,
} from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import { type Dumped, expectClose, load, loadAll, readReference } from '../support/reference.js';

interface ModuleCase {
  name: string;
  seed: number;
  repr: string;
  initial: Record<string, Dumped>;
  state?: Record<string, Dumped>;
  inputs: Dumped[];
  outputs: Dumped[];
  gradOutputs: Dumped[];
  gradInputs: Record<string, Dumped>;
  gradParameters: Record<string, Dumped>;
  buffersAfter: Record<string, Dumped>;
  evalOutputs?: Dumped[];
}

interface Reference {
  layers: ModuleCase[];
  losses: ModuleCase[];
  init: Record<string, { seed: number; value: Dumped }>;
}

const reference = readReference<Reference>('library.json');

/** How a layer is made and, where its inputs are not simply its arguments, called. */
interface Row {
  make: () => nn.AnyModule;
  run?: (layer: nn.AnyModule, inputs: Tensor[]) => unknown;
}

const lstmState = (layer: nn.AnyModule, [x, h, c]: Tensor[]) => layer.call(x, [h, c]);

/** The layers of make-library.py, by the names of its cases. */
const layers: Record<string, Row['make'] | Row> = {
  Conv1d: () => new nn.Conv1d(3, 4, 3, { stride: 2, padding: 1 }),
  'Conv1d same': () => new nn.Conv1d(2, 3, 4, { padding: 'same', dilation: 2 }),
  'Conv1d circular': () => new nn.Conv1d(2, 3, 3, { padding: 1, paddingMode: 'circular' }),
  'Conv2d tuple': () => new nn.Conv2d(2, 3, [3, 2], { stride: [2, 1], padding: [0, 1], dilation: [1, 2] }),
  'Conv2d same': () => new nn.Conv2d(2, 3, 3, { padding: 'same' }),
  'Conv2d reflect': () => new nn.Conv2d(2, 2, 3, { padding: [2, 1], paddingMode: 'reflect', bias: false }),
  'Conv2d replicate': () => new nn.Conv2d(2, 2, 3, { padding: 'same', paddingMode: 'replicate' }),
  'Conv2d depthwise tuple': () => new nn.Conv2d(3, 3, [3, 5], { padding: [1, 2], groups: 3 }),
  Conv3d: () => new nn.Conv3d(2, 4, 2, { stride: [1, 2, 1], padding: 1, groups: 2 }),
  ConvTranspose1d: () => new nn.ConvTranspose1d(3, 2, 3, { stride: 2, padding: 1, outputPadding: 1 }),
  ConvTranspose2d: () => new nn.ConvTranspose2d(4, 6, [2, 3], { stride: 2, groups: 2, bias: false }),
  ConvTranspose3d: () => new nn.ConvTranspose3d(2, 3, 2, { padding: 1, dilation: 2 }),
  Linear: () => new nn.Linear(4, 3, { bias: false }),
  Bilinear: () => new nn.Bilinear(3, 2, 4),
  Embedding: () => new nn.Embedding(5, 3, { paddingIdx: 1 }),
  'Embedding scaled': () => new nn.Embedding(4, 2, { paddingIdx: -1, scaleGradByFreq: true }),
  BatchNorm1d: () => new nn.BatchNorm1d(4),
  'BatchNorm1d sequence': () => new nn.BatchNorm1d(3, { eps: 1e-3, momentum: 0.3 }),
  BatchNorm3d: () => new nn.BatchNorm3d(2),
  GroupNorm: () => new nn.GroupNorm(2, 4),
  'GroupNorm plain': () => new nn.GroupNorm(3, 3, { eps: 1e-3, affine: false }),
  InstanceNorm1d: () => new nn.InstanceNorm1d(3),
  InstanceNorm2d: () => new nn.InstanceNorm2d(2, { affine: true, trackRunningStats: true }),
  InstanceNorm3d: () => new nn.InstanceNorm3d(2, { eps: 1e-3, momentum: 0.2, affine: true }),
  'LayerNorm of two axes': () => new nn.LayerNorm([3, 4], { eps: 1e-4 }),
  MaxPool1d: () => new nn.MaxPool1d(3, { stride: 2, padding: 1 }),
  MaxPool2d: () => new nn.MaxPool2d([2, 3], { stride: [1, 2], dilation: [2, 1], ceilMode: true }),
  MaxPool3d: () => new nn.MaxPool3d(2),
  AvgPool1d: () => new nn.AvgPool1d(2, { padding: 1 }),
  AvgPool2d: () => new nn.AvgPool2d([3, 2], { stride: 2, padding: 1, countIncludePad: false }),
  AvgPool3d: () => new nn.AvgPool3d(2, { ceilMode: true }),
  AdaptiveAvgPool1d: () => new nn.AdaptiveAvgPool1d(3),
  AdaptiveAvgPool2d: () => new nn.AdaptiveAvgPool2d([2, 3]),
  AdaptiveAvgPool3d: () => new nn.AdaptiveAvgPool3d(2),
  AdaptiveMaxPool1d: () => new nn.AdaptiveMaxPool1d(2),
  AdaptiveMaxPool2d: () => new nn.AdaptiveMaxPool2d([3, 1]),
  AdaptiveMaxPool3d: () => new nn.AdaptiveMaxPool3d(2),
  GELU: () => new nn.GELU(),
  'GELU tanh': () => new nn.GELU({ approximate: 'tanh' }),
  ReLU: () => new nn.ReLU(),
  ReLU6: () => new nn.ReLU6(),
  LeakyReLU: () => new nn.LeakyReLU(),
  'LeakyReLU steep': () => new nn.LeakyReLU({ negativeSlope: 0.3 }),
  PReLU: () => new nn.PReLU(),
  'PReLU by channel': () => new nn.PReLU({ numParameters: 3, init: 0.1 }),
  ELU: () => new nn.ELU({ alpha: 0.7 }),
  CELU: () => new nn.CELU({ alpha: 1.5 }),
  SELU: () => new nn.SELU(),
  SiLU: () => new nn.SiLU(),
  Mish: () => new nn.Mish(),
  Hardswish: () => new nn.Hardswish(),
  Hardsigmoid: () => new nn.Hardsigmoid(),
  Hardtanh: () => new nn.Hardtanh({ minVal: -0.5, maxVal: 2 }),
  Softplus: () => new nn.Softplus({ beta: 3, threshold: 2 }),
  Softsign: () => new nn.Softsign(),
  Sigmoid: () => new nn.Sigmoid(),
  LogSigmoid: () => new nn.LogSigmoid(),
  Tanh: () => new nn.Tanh(),
  Softmax: () => new nn.Softmax(0),
  LogSoftmax: () => new nn.LogSoftmax(1),
  Softmin: () => new nn.Softmin(-1),
  GLU: () => new nn.GLU(),
  Identity: () => new nn.Identity(),
  Dropout: () => new nn.Dropout(),
  Dropout1d: () => new nn.Dropout1d(0.4),
  Dropout2d: () => new nn.Dropout2d(0.4),
  Dropout3d: () => new nn.Dropout3d(0.4),
  ConstantPad1d: () => new nn.ConstantPad1d([1, 2], 0.5),
  ConstantPad2d: () => new nn.ConstantPad2d(1, -1.5),
  ConstantPad3d: () => new nn.ConstantPad3d([1, 0, 0, 1, 2, 0], 3.5),
  ZeroPad2d: () => new nn.ZeroPad2d([1, -1, 0, 2]),
  ReflectionPad1d: () => new nn.ReflectionPad1d(2),
  ReflectionPad2d: () => new nn.ReflectionPad2d([1, 2, 0, 1]),
  ReflectionPad3d: () => new nn.ReflectionPad3d(1),
  ReplicationPad1d: () => new nn.ReplicationPad1d([2, 1]),
  ReplicationPad2d: () => new nn.ReplicationPad2d(2),
  ReplicationPad3d: () => new nn.ReplicationPad3d(1),
  Flatten: () => new nn.Flatten(),
  'Flatten some': () => new nn.Flatten({ startDim: 0, endDim: 1 }),
  Unflatten: () => new nn.Unflatten(1, [2, 3]),
  PixelShuffle: () => new nn.PixelShuffle(2),
  PixelUnshuffle: () => new nn.PixelUnshuffle(2),
  Unfold: () => new nn.Unfold([2, 3], { padding: 1, stride: 2 }),
  Fold: () => new nn.Fold([4, 5], 2),
  'Upsample nearest': () => new nn.Upsample({ scaleFactor: 2 }),
  'Upsample nearest 2d': () => new nn.Upsample({ size: [3, 5] }),
  'Upsample nearest 3d': () => new nn.Upsample({ scaleFactor: [1, 2, 3] }),
  'Upsample linear': () => new nn.Upsample({ scaleFactor: 1.5, mode: 'linear' }),
  'Upsample bilinear': () => new nn.Upsample({ scaleFactor: 1.7, mode: 'bilinear' }),
  'Upsample bilinear aligned': () => new nn.Upsample({ size: 5, mode: 'bilinear', alignCorners: true }),
  'Upsample bicubic': () => new nn.Upsample({ scaleFactor: 2, mode: 'bicubic' }),
  'Upsample trilinear': () => new nn.Upsample({ size: [3, 4, 3], mode: 'trilinear' }),
  LSTM: () => new nn.LSTM(3, 4),
  'LSTM two layers, both ways': () =>
    new nn.LSTM(3, 2, { numLayers: 2, bidirectional: true, batchFirst: true }),
  'LSTM dropout': () => new nn.LSTM(3, 2, { numLayers: 3, dropout: 0.4, bias: false }),
  'LSTM from a state': { make: () => new nn.LSTM(3, 2, { numLayers: 2 }), run: lstmState },
  GRU: () => new nn.GRU(3, 4, { batchFirst: true }),
  'GRU dropout, both ways': () => new nn.GRU(3, 2, { numLayers: 2, dropout: 0.3, bidirectional: true }),
  'GRU from a state': () => new nn.GRU(3, 2),
  RNN: () => new nn.RNN(3, 4, { numLayers: 2 }),
  'RNN relu': () => new nn.RNN(3, 4, { nonlinearity: 'relu', bidirectional: true }),
  LSTMCell: { make: () => new nn.LSTMCell(3, 2), run: lstmState },
  GRUCell: () => new nn.GRUCell(3, 2),
  RNNCell: () => new nn.RNNCell(3, 2, { bias: false }),
  'RNNCell relu': () => new nn.RNNCell(3, 2, { nonlinearity: 'relu' }),
  MultiheadAttention: () => new nn.MultiheadAttention(4, 2),
  'MultiheadAttention other features': () =>
    new nn.MultiheadAttention(4, 2, { kdim: 3, vdim: 2, bias: false, batchFirst: true }),
  'MultiheadAttention masks, dropout': {
    make: () => new nn.MultiheadAttention(4, 2, { dropout: 0.3 }),
    run: (layer, [x, attnMask, keyPaddingMask]) =>
      layer.call(x, x, x, { attnMask, keyPaddingMask, averageAttnWeights: false }),
  },
  'MultiheadAttention added mask': {
    make: () => new nn.MultiheadAttention(4, 2),
    run: (layer, [x, attnMask]) => layer.call(x, x, x, { attnMask, needWeights: false }),
  },
  TransformerEncoderLayer: () => new nn.TransformerEncoderLayer(4, 2, { dimFeedforward: 6 }),
  'TransformerEncoderLayer norm first': {
    make: () =>
      new nn.TransformerEncoderLayer(4, 2, {
        dimFeedforward: 5,
        dropout: 0.2,
        activation: 'gelu',
        batchFirst: true,
        normFirst: true,
        layerNormEps: 1e-4,
      }),
    run: (layer, [x, mask, keyPaddingMask]) => layer.call(x, { mask, keyPaddingMask }),
  },
  TransformerDecoderLayer: () => new nn.TransformerDecoderLayer(4, 2, { dimFeedforward: 6 }),
  'TransformerDecoderLayer norm first': {
    make: () => new nn.TransformerDecoderLayer(4, 2, { dimFeedforward: 5, dropout: 0, normFirst: true }),
    run: (layer, [x, memory, tgtMask, memoryKeyPaddingMask]) =>
      layer.call(x, memory, { tgtMask, memoryKeyPaddingMask }),
  },
};

const weight = () => tensor([0.5, 2, 1, 1.5]);

const losses: typeof layers = {
  MSELoss: () => new nn.MSELoss(),
  'MSELoss none': () => new nn.MSELoss({ reduction: 'none' }),
  L1Loss: () => new nn.L1Loss({ reduction: 'sum' }),
  SmoothL1Loss: () => new nn.SmoothL1Loss(),
  'SmoothL1Loss beta': () => new nn.SmoothL1Loss({ beta: 0.4, reduction: 'none' }),
  HuberLoss: () => new nn.HuberLoss({ delta: 0.6 }),
  CrossEntropyLoss: () => new nn.CrossEntropyLoss(),
  'CrossEntropyLoss weight, ignored, smoothed': () =>
    new nn.CrossEntropyLoss({ weight: weight(), ignoreIndex: 2, labelSmoothing: 0.2 }),
  'CrossEntropyLoss shares': () => new nn.CrossEntropyLoss({ reduction: 'sum' }),
  NLLLoss: () => new nn.NLLLoss({ weight: weight(), ignoreIndex: 1 }),
  BCELoss: () => new nn.BCELoss(),
  'BCELoss weight': () => new nn.BCELoss({ weight: weight(), reduction: 'none' }),
  BCEWithLogitsLoss: () => new nn.BCEWithLogitsLoss(),
  'BCEWithLogitsLoss weights': () =>
    new nn.BCEWithLogitsLoss({ weight: weight(), posWeight: tidy(() => weight().add(1)) }),
  KLDivLoss: () => new nn.KLDivLoss({ reduction: 'batchmean' }),
  'KLDivLoss logarithms': () => new nn.KLDivLoss({ reduction: 'sum', logTarget: true }),
  CosineEmbeddingLoss: () => new nn.CosineEmbeddingLoss({ margin: 0.2 }),
  MarginRankingLoss: () => new nn.MarginRankingLoss({ margin: 0.5 }),
  HingeEmbeddingLoss: () => new nn.HingeEmbeddingLoss(),
  SoftMarginLoss: () => new nn.SoftMarginLoss(),
  TripletMarginLoss: () => new nn.TripletMarginLoss(),
  'TripletMarginLoss swap': () =>
    new nn.TripletMarginLoss({ margin: 2, p: 1, swap: true, reduction: 'none' }),
  PoissonNLLLoss: () => new nn.PoissonNLLLoss(),
  'PoissonNLLLoss full': () => new nn.PoissonNLLLoss({ logInput: false, full: true, reduction: 'none' }),
  CTCLoss: { make: () => new nn.CTCLoss(), run: (loss, [x, y]) => loss.call(x, y, [6, 5], [3, 2]) },
  'CTCLoss infinite': {
    make: () => new nn.CTCLoss({ blank: 0, reduction: 'sum', zeroInfinity: true }),
    run: (loss, [x, y]) => loss.call(x, y, [2, 6], [3, 3]),
  },
};

/** All tensors of nested arrays, in order. */
function flat(result: unknown): Tensor[] {
  if (result instanceof Tensor) return [result];
  return Array.isArray(result) ? result.flatMap(flat) : [];
}

/** What PyTorch prints, in the spelling of this package. */
function translated(repr: string): string {
  return repr
    .replaceAll('NonDynamicallyQuantizableLinear', 'Linear')
    .replaceAll(/(, )?inplace=False/g, '')
    .replaceAll(/(?<=[=(])\(([-\d., ]+?),?\)/g, '[$1]')
    .replaceAll(/\w+(?==)/g, (name) => name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()))
    .replaceAll(/(?<![\w(])-?\d+\.?\d*(e-?\d+)?(?![\w)])|(?<=[=[ ])-?\d+\.\d*(e-?\d+)?/g, (number) =>
      String(Number(number)),
    )
    .replaceAll(/\b(True|False|None)\b/g, (word) => ({ True: 'true', False: 'false' })[word] ?? 'null');
}

describe.each([
  ['layers', layers, reference.layers],
  ['losses', losses, reference.losses],
] as const)('%s compute what PyTorch computes', (_kind, table, cases) => {
  test('each has a reference and the other way round', () => {
    expect(cases.map(({ name }) => name)).toEqual(Object.keys(table));
  });

  test.each(cases)('$name', (wanted) => {
    const row = table[wanted.name]!;
    const { make, run = (layer: nn.AnyModule, inputs: Tensor[]) => layer.call(...inputs) }: Row =
      typeof row === 'function' ? { make: row } : row;
    manualSeed(wanted.seed);
    const layer = make();
    const state = layer.stateDict();
    expect([...state.keys()]).toEqual(Object.keys(wanted.initial));
    for (const [key, value] of state) expectClose(value, wanted.initial[key]!, `starting value of ${key}`);
    expect(String(layer)).toBe(translated(wanted.repr));
    if (wanted.state) layer.loadStateDict(loadAll(wanted.state));

    const inputs = wanted.inputs.map((input, i) => {
      const x = load(input);
      return i in wanted.gradInputs ? x.requiresGrad_() : x;
    });
    manualSeed(wanted.seed + 1000);
    const outputs = flat(run(layer, inputs));
    expect(outputs).toHaveLength(wanted.outputs.length);
    for (const [i, output] of outputs.entries()) expectClose(output, wanted.outputs[i]!, `output ${i}`);
    const weighted = outputs.map((output, i) => output.mul(load(wanted.gradOutputs[i]!)).sum());
    ops.stack(weighted).sum().backward();
    for (const [i, value] of Object.entries(wanted.gradInputs))
      expectClose(inputs[Number(i)]!.grad, value, `gradient of input ${i}`);
    for (const [name, value] of layer.namedParameters())
      expectClose(value.grad, wanted.gradParameters[name]!, `gradient of ${name}`);
    const buffers = layer.namedBuffers();
    expect([...buffers.keys()]).toEqual(Object.keys(wanted.buffersAfter));
    for (const [name, value] of buffers) expectClose(value, wanted.buffersAfter[name]!, name);
    if (wanted.evalOutputs) {
      const evaluated = flat(run(layer.eval(), inputs));
      for (const [i, output] of evaluated.entries())
        expectClose(output, wanted.evalOutputs[i]!, `output ${i} in evaluation mode`);
    }
  });
});

describe('starting values', () => {
  const fills: Record<string, (t: Tensor) => Tensor> = {
    xavierNormal_: (t) => nn.xavierNormal_(t, { gain: 2 }),
    xavierUniform_: (t) => nn.xavierUniform_(t),
    'orthogonal_ wide': (t) => nn.orthogonal_(t, { gain: 1.5 }),
    'orthogonal_ tall': (t) => nn.orthogonal_(t),
  };

  test.each(Object.entries(reference.init))('%s', (name, { seed, value }) => {
    const filled = zeros(value.shape).requiresGrad_();
    manualSeed(seed);
    expect(fills[name]!(filled)).toBe(filled);
    expectClose(filled, value, name);
  });
});

describe('layers that draw', () => {
  const masks = () => ({ mask: tidy(() => ops.ones([5, 5]).triu(1).to('bool')) });
  const makers: [string, (generator: Generator) => nn.AnyModule, unknown[]][] = [
    [
      'TransformerEncoderLayer',
      (generator) => new nn.TransformerEncoderLayer(4, 2, { dropout: 0.4, generator }),
      [masks()],
    ],
    ['LSTM', (generator) => new nn.LSTM(4, 3, { numLayers: 3, dropout: 0.4, generator }), []],
  ];

  test.each(makers)(
    '%s draws all from its generator, and leaves the global one alone',
    (_name, make, args) => {
      const x = tidy(() => randn([5, 2, 4], { generator: new Generator(1) }));
      const run = (seed: number) => {
        const layer = make(new Generator(seed));
        return [flat(layer.call(x, ...args))[0]!.tolist(), flat(layer.call(x, ...args))[0]!.tolist()];
      };
      manualSeed(1);
      const before = globalRngState();
      const [first, second] = run(3);
      expect(globalRngState()).toEqual(before);
      expect(run(3)).toEqual([first, second]);
      expect(second).not.toEqual(first);
    },
  );

  /** The outputs alone: what is checkpointed gives one tensor. */
  class Outputs extends nn.Module<[x: Tensor, ...rest: unknown[]]> {
    constructor(readonly inner: nn.AnyModule) {
      super();
    }
    forward(x: Tensor, ...rest: unknown[]): Tensor {
      return flat(this.inner.call(x, ...rest))[0]!;
    }
  }

  test.each(makers)('%s drops the same values when a checkpoint runs it twice', (_name, make, args) => {
    const x = tidy(() => randn([5, 2, 4], { generator: new Generator(1) })).requiresGrad_();
    const gradients = (train: (layer: Outputs) => void) => {
      const layer = new Outputs(make(new Generator(5)));
      x.grad = null;
      train(layer);
      return [x, ...layer.parameters()].map(({ grad }) => grad!.tolist());
    };
    const loss = (layer: Outputs) =>
      layer
        .call(x, ...args)
        .square()
        .sum();
    const plain = gradients((layer) => loss(layer).backward());
    const twice = gradients((layer) => {
      const checkpoints = new nn.ActivationCheckpoints([layer]);
      checkpoints.record(() => checkpoints.backward(loss(layer)));
    });
    expect(twice).toEqual(plain);
  });
});

describe('layers leave nothing behind', () => {
  test.each(['LSTM two layers, both ways', 'MultiheadAttention masks, dropout', 'TransformerDecoderLayer'])(
    '%s',
    (name) => {
      const row = layers[name]!;
      const { make, run = (layer: nn.AnyModule, inputs: Tensor[]) => layer.call(...inputs) }: Row =
        typeof row === 'function' ? { make: row } : row;
      const before = liveTensors();
      const layer = make();
      const inputs = reference.layers
        .find((wanted) => wanted.name === name)!
        .inputs.map((input) => load(input));
      const made = liveTensors();
      const outputs = flat(run(layer, inputs));
      expect(liveTensors()).toBe(made + outputs.length);
      for (const tensor of [...outputs, ...inputs]) tensor.dispose();
      layer.dispose();
      expect(liveTensors()).toBe(before);
    },
  );
});

describe('what cannot be right is refused in plain words', () => {
  const map = () => zeros([1, 2, 4, 4]);
  test.each<[what: string, wrong: () => unknown, says: string]>([
    [
      'a kernel of three sizes',
      () => new nn.Conv2d(1, 1, [1, 2, 3] as never),
      "Conv2d's kernelSize must be a whole number from 1, or 2 of them",
    ],
    ['a stride of 0', () => new nn.MaxPool1d(2, { stride: 0 }), "MaxPool1d's stride"],
    [
      'padding same with a stride',
      () => new nn.Conv1d(1, 1, 3, { padding: 'same', stride: 2 }),
      "padding 'same' needs a stride of 1",
    ],
    ['channels and groups', () => new nn.ConvTranspose2d(3, 4, 1, { groups: 2 }), 'multiples of groups = 2'],
    ['group norm', () => new nn.GroupNorm(2, 3), '3 channels do not divide into 2 groups'],
    [
      'batch norm of maps for rows',
      () => new nn.BatchNorm1d(2).call(map()),
      'takes an input of 2 or 3 axes, but the shape is [1,2,4,4]',
    ],
    [
      'instance norm',
      () => new nn.InstanceNorm2d(3).call(map()),
      'with 3 channels, but the shape is [1,2,4,4]',
    ],
    ['padding', () => new nn.ReflectionPad2d([1, 2]), 'ReflectionPad2d takes one whole number, or 4'],
    ['a padding row', () => new nn.Embedding(3, 2, { paddingIdx: 3 }), 'paddingIdx 3 is no row: there are 3'],
    ['heads', () => new nn.MultiheadAttention(5, 2), '5 features do not divide into 2 heads'],
    [
      'a sequence',
      () => new nn.GRU(3, 2).call(zeros([4, 1, 2])),
      'GRU takes an input of (length, batch, 3), but the shape is [4,1,2]',
    ],
    ['layers', () => new nn.LSTM(3, 2, { numLayers: 0 }), "LSTM's numLayers"],
    ['bounds', () => new nn.Hardtanh({ minVal: 1 }), 'minVal must be below its maxVal'],
    ['no size', () => new nn.Upsample({}), 'either a size or a scaleFactor'],
    [
      'a mode',
      () => nn.interpolate(map(), [2, 2], { mode: 'linear' }),
      "The mode 'linear' is not for 2 axes",
    ],
    [
      'shapes of a loss',
      () => nn.mseLoss(zeros([2, 1]), zeros([2])),
      'mseLoss: input and target must have one shape, but the input is [2,1]',
    ],
    [
      'a reduction',
      () => nn.l1Loss(map(), map(), { reduction: 'avg' as never }),
      'none, mean or sum, not avg',
    ],
    ['starting values', () => nn.orthogonal_(zeros([3])), 'the shape is [3]'],
  ])('%s', (_what, wrong, says) => {
    expect(wrong).toThrow(says);
  });
});
