// What each ATen operator is in ONNX, opset 17.

import type { GraphWriter } from './graph.js';
import type { Dim, Size } from './sizes.js';
import { Constant, type Step, Value } from './values.js';
import { windowOf } from './windows.js';

/** The version of ONNX's operators: the first with layer normalisation. */
export const OPSET = 17;

/** A step's arguments, each read by what the operator means by it. */
class Arguments {
  readonly #read = new Set<string>();

  constructor(readonly step: Step) {}

  get where(): string {
    return `${this.step.name} in '${this.step.module}'`;
  }

  #take(key: string): unknown {
    this.#read.add(key);
    return this.step.args.get(key);
  }

  tensor(key: string): Value | Constant {
    const value = this.optionalTensor(key);
    if (value === undefined) throw new Error(`${this.where}: ${key} is no tensor`);
    return value;
  }

  optionalTensor(key: string): Value | Constant | undefined {
    const value = this.#take(key);
    return value instanceof Value || value instanceof Constant ? value : undefined;
  }

  /** The tensor that the operator works on. */
  value(key: string): Value {
    const value = this.tensor(key);
    if (value instanceof Value) return value;
    throw new Error(`${this.where}: ${key} is a constant, which is not mapped`);
  }

  weight(key: string): Constant {
    const value = this.tensor(key);
    if (value instanceof Constant) return value;
    throw new Error(`${this.where}: ${key} depends on the input, which is not mapped`);
  }

  tensors(key: string): (Value | Constant)[] {
    return this.#take(key) as (Value | Constant)[];
  }

  number(key: string, fallback?: number): number {
    const value = this.#take(key) ?? fallback;
    if (typeof value === 'number') return value;
    throw new Error(`${this.where}: ${key} is no number that holds for every size of the input`);
  }

  numbers(key: string): number[] {
    return this.#take(key) as number[];
  }

  flag(key: string, fallback = false): boolean {
    return (this.#take(key) ?? fallback) as boolean;
  }

  /** Arguments that say nothing that the results' sizes, or a window, do not say. */
  known(...keys: string[]): void {
    for (const key of keys) this.#read.add(key);
  }

  /** @throws Error for a value of an argument that has no counterpart */
  only(key: string, allowed: unknown): void {
    const value = this.#take(key) ?? allowed;
    if (JSON.stringify(value) !== JSON.stringify(allowed)) {
      throw new Error(
        `${this.where}: ${key} ${JSON.stringify(value)} is not mapped, only ${JSON.stringify(allowed)}`,
      );
    }
  }

  /** @throws Error for an argument that nothing has read */
  end(): void {
    for (const key of this.step.args.keys()) {
      if (!this.#read.has(key)) throw new Error(`${this.where}: its argument ${key} is not mapped`);
    }
  }
}

/** Writes one operator. @returns the names of its results */
type Emit = (args: Arguments, graph: GraphWriter) => string | string[];

/** An axis from the front. */
function axisOf(axis: number, { sizes }: Value): number {
  return axis < 0 ? axis + sizes.length : axis;
}

const convolution: Emit = (args, graph) => {
  const weight = args.weight('weight');
  const bias = args.optionalTensor('bias');
  const depthwise = args.step.name === 'pgpc::depthwise_conv2d';
  const group = depthwise ? weight.shape[0]! : args.number('groups', 1);
  const inputs = [graph.name(args.value('input')), graph.weight(weight, { channels: 0 })];
  if (bias) inputs.push(graph.name(bias));
  return graph.node('Conv', inputs, { ...windowAttributes(args), group });
};

function windowAttributes(args: Arguments) {
  args.known('kernelSize', 'stride', 'padding', 'dilation');
  const { kernel, stride, padding, dilation } = windowOf(args.step.name, args.step.args)!;
  return {
    kernel_shape: kernel,
    strides: stride,
    pads: [...padding, ...padding],
    dilations: dilation,
  };
}

const linear: Emit = (args, graph) => {
  const weight = graph.weight(args.weight('weight'), { channels: 0, transpose: true });
  const product = graph.node('MatMul', [graph.name(args.value('input')), weight]);
  const bias = args.optionalTensor('bias');
  return bias ? graph.node('Add', [product, graph.name(bias)]) : product;
};

const layerNorm: Emit = (args, graph) => {
  const inputs = ['input', 'weight', 'bias'].map((key) => graph.name(args.tensor(key)));
  const axis = -args.numbers('normalizedShape').length;
  return graph.node('LayerNormalization', inputs, { axis, epsilon: { float: args.number('eps', 1e-5) } });
};

const batchNorm: Emit = (args, graph) => {
  args.only('training', false);
  args.known('momentum', 'cudnnEnabled');
  const keys = ['input', 'weight', 'bias', 'runningMean', 'runningVar'];
  const inputs = keys.map((key) => graph.name(args.tensor(key)));
  return graph.node('BatchNormalization', inputs, { epsilon: { float: args.number('eps') } });
};

/** x / 2 * (1 + erf(x / sqrt 2)), written as runtimes recognise it. */
const gelu: Emit = (args, graph) => {
  args.only('approximate', 'none');
  const x = graph.name(args.value('self'));
  const erf = graph.node('Erf', [graph.node('Div', [x, graph.number(Math.SQRT2)])]);
  const doubled = graph.node('Mul', [x, graph.node('Add', [erf, graph.number(1)])]);
  return graph.node('Mul', [doubled, graph.number(0.5)]);
};

const addition: Emit = (args, graph) => {
  args.only('alpha', 1);
  return graph.node('Add', [graph.name(args.tensor('self')), graph.name(args.tensor('other'))]);
};

/** An operator of two tensors of one type. */
const binary =
  (opType: string): Emit =>
  (args, graph) =>
    graph.node(opType, [graph.name(args.tensor('self')), graph.name(args.tensor('other'))]);

/** An operator of one tensor. */
const unary =
  (opType: string): Emit =>
  (args, graph) =>
    graph.node(opType, [graph.name(args.value('self'))]);

const addNumber: Emit = (args, graph) => {
  args.only('alpha', 1);
  return graph.node('Add', [graph.name(args.value('self')), graph.number(args.number('other'))]);
};

const narrow: Emit = (args, graph) => {
  const x = args.value('self');
  const [axis, start, length] = [axisOf(args.number('dim'), x), args.number('start'), args.number('length')];
  const bounds = [[start], [start + length], [axis]].map((list) => graph.whole(list));
  return graph.node('Slice', [graph.name(x), ...bounds]);
};

/** libtorch has pairs from the last axis on, ONNX all beginnings and then all ends. */
const pad: Emit = (args, graph) => {
  const x = args.value('self');
  args.only('value', 0);
  const pairs = args.numbers('pad');
  const at = (axis: number, end: 0 | 1) => pairs[2 * (x.sizes.length - 1 - axis) + end] ?? 0;
  const axes = x.sizes.map((_, axis) => axis);
  const pads = [...axes.map((axis) => at(axis, 0)), ...axes.map((axis) => at(axis, 1))];
  return graph.node('Pad', [graph.name(x), graph.whole(pads)]);
};

/** The same elements in another shape. */
const reshape: Emit = (args, graph) => {
  args.known('size', 'shape', 'startDim', 'endDim');
  const [result] = args.step.results as [Value];
  return reshaped(args.value('self'), result, graph);
};

function reshaped(x: Value, result: Value, graph: GraphWriter): string {
  // 0 is the input's size on the same axis, -1 what is left; only the rest has to be computed.
  const target = result.sizes.map((size, axis): Size => {
    const fixed = graph.fix(size);
    return typeof fixed !== 'number' && fixed === x.sizes[axis] ? 0 : fixed;
  });
  const open = target.filter((size): size is Dim => typeof size !== 'number');
  // At best one that no earlier value has.
  const rest = open.find(({ source }) => source.value === result) ?? open.at(-1);
  const sizes = target.map((size) => (size === rest ? -1 : size));
  return graph.node('Reshape', [graph.name(x), graph.sizes(sizes)]);
}

const transpose: Emit = (args, graph) => {
  const x = args.value('self');
  const perm = x.sizes.map((_, axis) => axis);
  const [a, b] = [axisOf(args.number('dim0'), x), axisOf(args.number('dim1'), x)];
  [perm[a], perm[b]] = [perm[b]!, perm[a]!];
  return graph.node('Transpose', [graph.name(x)], { perm });
};

const permute: Emit = (args, graph) => {
  const x = args.value('self');
  return graph.node('Transpose', [graph.name(x)], {
    perm: args.numbers('dims').map((axis) => axisOf(axis, x)),
  });
};

const unbind: Emit = (args, graph) => {
  const x = args.value('self');
  const axis = axisOf(args.number('dim', 0), x);
  return args.step.results.map((_, i) =>
    graph.node('Gather', [graph.name(x), graph.whole([i], [])], { axis }),
  );
};

const softmax: Emit = (args, graph) => {
  const x = args.value('self');
  return graph.node('Softmax', [graph.name(x)], { axis: axisOf(args.number('dim'), x) });
};

/** softmax(q k^T / sqrt(d)) v, which libtorch has in one operator from 2.0 on. */
const attention: Emit = (args, graph) => {
  const [q, k, v] = ['query', 'key', 'value'].map((key) => args.value(key)) as [Value, Value, Value];
  const last = k.sizes.length - 1;
  const perm = k.sizes.map((_, axis) => (axis === last ? last - 1 : axis === last - 1 ? last : axis));
  const scaled = graph.node('Mul', [graph.name(q), graph.number((q.sizes[last] as number) ** -0.5)]);
  const scores = graph.node('MatMul', [scaled, graph.node('Transpose', [graph.name(k)], { perm })]);
  return graph.node('MatMul', [graph.node('Softmax', [scores], { axis: last }), graph.name(v)]);
};

const resize: Emit = (args, graph) => {
  args.known('outputSize');
  args.only('scalesH', null);
  args.only('scalesW', null);
  const [result] = args.step.results as [Value];
  return graph.node('Resize', [graph.name(args.value('self')), '', '', graph.sizes(result.sizes)], {
    mode: 'linear',
    coordinate_transformation_mode: args.flag('alignCorners') ? 'align_corners' : 'half_pixel',
  });
};

/** Parts along an axis, one after the other. */
const split: Emit = (args, graph) => {
  args.known('chunks', 'splitSizes');
  const x = args.value('self');
  const axis = axisOf(args.number('dim', 0), x);
  let start = 0;
  return args.step.results.map(({ sizes }) => {
    const length = graph.fix(sizes[axis]!);
    if (typeof length !== 'number')
      throw new Error(`${args.where}: its parts change with the size of the input`);
    const bounds = [[start], [start + length], [axis]].map((list) => graph.whole(list));
    start += length;
    return graph.node('Slice', [graph.name(x), ...bounds]);
  });
};

const convTranspose: Emit = (args, graph) => {
  args.only('groups', 1);
  args.only('dilation', [1, 1]);
  const weight = args.weight('weight');
  const [padding, outputPadding] = [args.numbers('padding'), args.numbers('outputPadding')];
  const inputs = [graph.name(args.value('input')), graph.weight(weight, { channels: 1 })];
  const bias = args.optionalTensor('bias');
  if (bias) inputs.push(graph.name(bias));
  return graph.node('ConvTranspose', inputs, {
    kernel_shape: weight.shape.slice(2),
    strides: args.numbers('stride'),
    pads: [...padding, ...padding],
    output_padding: outputPadding,
  });
};

/** self + tensor1 * tensor2 */
const scaledAddition: Emit = (args, graph) => {
  args.only('value', 1);
  const product = graph.node('Mul', [graph.name(args.tensor('tensor1')), graph.name(args.tensor('tensor2'))]);
  return graph.node('Add', [graph.name(args.tensor('self')), product]);
};

const silu: Emit = (args, graph) => {
  const x = graph.name(args.value('self'));
  return graph.node('Mul', [x, graph.node('Sigmoid', [x])]);
};

const expand: Emit = (args, graph) => {
  args.known('size');
  const [result] = args.step.results as [Value];
  return graph.node('Expand', [graph.name(args.value('self')), graph.sizes(result.sizes)]);
};

const maxPool: Emit = (args, graph) => {
  args.only('ceilMode', false);
  return graph.node('MaxPool', [graph.name(args.value('self'))], windowAttributes(args));
};

const adaptivePool: Emit = (args, graph) => {
  args.only('outputSize', [1, 1]);
  return graph.node('GlobalAveragePool', [graph.name(args.value('self'))]);
};

const concat: Emit = (args, graph) => {
  const inputs = args.tensors('tensors').map((tensor) => graph.name(tensor));
  return graph.node('Concat', inputs, { axis: axisOf(args.number('dim', 0), args.step.results[0]!) });
};

/** How a tensor lies in memory does not show in a graph. */
const asItIs: Emit = (args, graph) => {
  args.known('memoryFormat');
  return graph.name(args.value('self'));
};

const cast: Emit = (args, graph) => {
  args.only('dtype', args.value('self').dtype);
  return graph.name(args.value('self'));
};

const emitters: Readonly<Record<string, Emit>> = {
  'aten::adaptive_avg_pool2d': adaptivePool,
  'aten::add.Scalar': addNumber,
  'aten::add.Tensor': addition,
  'aten::addcmul': scaledAddition,
  'aten::batch_norm': batchNorm,
  'aten::cat': concat,
  'aten::chunk': split,
  'aten::constant_pad_nd': pad,
  'aten::contiguous': asItIs,
  'aten::conv2d': convolution,
  'aten::conv_transpose2d.input': convTranspose,
  'aten::div.Tensor': binary('Div'),
  'aten::expand': expand,
  'aten::flatten.using_ints': reshape,
  'aten::gelu': gelu,
  'aten::layer_norm': layerNorm,
  'aten::linear': linear,
  'aten::matmul': binary('MatMul'),
  'aten::max_pool2d': maxPool,
  'aten::mul.Scalar': (args, graph) =>
    graph.node('Mul', [graph.name(args.value('self')), graph.number(args.number('other'))]),
  'aten::mul.Tensor': binary('Mul'),
  'aten::narrow': narrow,
  'aten::neg': unary('Neg'),
  'aten::permute': permute,
  'aten::relu': unary('Relu'),
  'aten::reshape': reshape,
  'aten::scaled_dot_product_attention': attention,
  'aten::sigmoid': unary('Sigmoid'),
  'aten::silu': silu,
  'aten::softmax.int': softmax,
  'aten::split_with_sizes': split,
  'aten::to.dtype': cast,
  'aten::transpose.int': transpose,
  'aten::unbind.int': unbind,
  'aten::upsample_bilinear2d': resize,
  'aten::view': reshape,
  'pgpc::depthwise_conv2d': convolution,
  'pgpc::winograd_conv2d': convolution,
};

/** Writes a step into a graph. @throws Error that names the operator and its module where it has no counterpart */
export function emitStep(step: Step, graph: GraphWriter): void {
  // In place or not is the same: the graph has a new value either way.
  const emit = emitters[step.name.replace(/_(?=\.|$)/, '')];
  const args = new Arguments(step);
  if (emit === undefined) throw new Error(`${args.where} has no counterpart in ONNX here`);
  graph.enter(step.module);
  const names = [emit(args, graph)].flat();
  args.end();
  for (const [i, result] of step.results.entries()) graph.bind(result, names[i]!);
}
