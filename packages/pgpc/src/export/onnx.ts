// A segmentation network as an ONNX model: traced, written, with names for what enters and leaves.

import type { nn, Tensor } from '@pgpc/torch';
import { RGB_MEAN, RGB_STD } from '../config/normalisation.js';
import { packageVersion } from '../machine.js';
import { GraphWriter } from './graph.js';
import { encodeModel } from './onnx-schema.js';
import { emitStep, OPSET } from './operators.js';
import { traceProgram } from './program.js';
import { ChangingSizeError, type InputSize, type Size } from './sizes.js';
import type { Program, Value } from './values.js';
import type { WeightFormat } from './weight-formats.js';

/** A network by its class scores. */
export type ScoringNetwork = nn.Module<[image: Tensor], { readonly logits: Tensor }> & {
  /** Why it cannot be traced for all sizes together; left out where it is tried. */
  readonly oneSizeBecause?: string | undefined;
};

export interface OnnxOptions {
  /** The one size that the file is for; left out: any. */
  readonly size?: InputSize | undefined;
  /** How the weights of products are stored: 'float32' by default. */
  readonly weights?: WeightFormat | undefined;
  /** Whether the graph normalises its input itself, which is then RGB in 0 .. 255. */
  readonly foldPreprocessing?: boolean | undefined;
  /** Texts by key for the file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

export interface OnnxFile {
  readonly bytes: Uint8Array;
  readonly opset: number;
  /** Operators in the graph. */
  readonly nodes: number;
  /** Of `pixel_values` and `logits`: numbers, and names for sizes that may change. */
  readonly input: readonly (number | string)[];
  readonly output: readonly (number | string)[];
  /** Why the file is for one size although the network was looked at for all; undefined where it was not or serves all. */
  readonly fixedBecause: string | undefined;
}

export const INPUT = 'pixel_values';
export const OUTPUT = 'logits';

/**
 * Writes a network's forward pass: `pixel_values` (batch, 3, height, width), float32, to `logits` (batch, C, h, w), before
 * softmax and before any resizing to the image.
 * @param network in evaluation mode, on the CPU
 * @throws Error that names an operator without a counterpart, and its module; ChangingSizeError for a network that can be
 * exported for one size alone, and no size
 */
export function toOnnx(network: ScoringNetwork, options: OnnxOptions = {}): OnnxFile {
  const { size, weights = 'float32', foldPreprocessing = false, metadata = {} } = options;
  const { program, fixedBecause } = traced(network, size);
  const graph = new GraphWriter(weights, size);
  graph.bind(program.input, foldPreprocessing ? normalised(graph) : INPUT);
  for (const step of program.steps) emitStep(step, graph);
  graph.enter('');
  graph.nodes.push({
    opType: 'Identity',
    name: `/${OUTPUT}`,
    input: [graph.name(program.output)],
    output: [OUTPUT],
    attributes: {},
  });
  const input = named(program.input, graph, ['batch', undefined, 'height', 'width']);
  const output = named(program.output, graph, ['batch', undefined, 'logits_height', 'logits_width']);
  const bytes = encodeModel({
    producer: 'pgpc',
    producerVersion: packageVersion(),
    opset: OPSET,
    name: 'segmentation',
    nodes: graph.nodes,
    constants: graph.constants,
    inputs: [{ name: INPUT, type: 'float32', dims: input }],
    outputs: [{ name: OUTPUT, type: 'float32', dims: output }],
    metadata,
  });
  return { bytes, opset: OPSET, nodes: graph.nodes.length, input, output, fixedBecause };
}

function traced(
  network: ScoringNetwork,
  size: InputSize | undefined,
): { program: Program; fixedBecause: string | undefined } {
  const run = (image: Tensor) => network.call(image).logits;
  try {
    if (network.oneSizeBecause !== undefined) throw new ChangingSizeError(network.oneSizeBecause);
    return { program: traceProgram(network, run), fixedBecause: undefined };
  } catch (error) {
    if (!(error instanceof ChangingSizeError)) throw error;
    if (size === undefined) {
      throw new ChangingSizeError(
        `${error.message}; so the network cannot be exported for all sizes: give the one that it is for (--size)`,
      );
    }
    return { program: traceProgram(network, run, size), fixedBecause: error.message };
  }
}

/** RGB in 0 .. 255 to zero mean and unit variance. */
function normalised(graph: GraphWriter): string {
  graph.enter('preprocessing');
  const mean = graph.numbers('mean', [1, 3, 1, 1], RGB_MEAN);
  const std = graph.numbers('std', [1, 3, 1, 1], RGB_STD);
  return graph.node('Div', [graph.node('Sub', [INPUT, mean]), std]);
}

function named(
  { sizes }: Value,
  graph: GraphWriter,
  names: readonly (string | undefined)[],
): (number | string)[] {
  return sizes.map((size: Size, axis) => {
    const fixed = graph.fix(size);
    return typeof fixed === 'number' ? fixed : names[axis]!;
  });
}
