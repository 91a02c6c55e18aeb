// The part of ONNX's file format that is written here: messages, and their fields by number, as onnx.proto of ONNX 1.12
// (IR version 8) assigns them. Protobuf's wire format knows the numbers alone.

import { message, messages } from '../protobuf.js';

const onnx = messages({
  Model: message({
    irVersion: ['int64', 1],
    producerName: ['string', 2],
    producerVersion: ['string', 3],
    graph: ['Graph', 7],
    opsetImport: ['OperatorSet', 8, 'repeated'],
    metadataProps: ['Entry', 14, 'repeated'],
  }),
  OperatorSet: message({ domain: ['string', 1], version: ['int64', 2] }),
  Entry: message({ key: ['string', 1], value: ['string', 2] }),
  Graph: message({
    node: ['Node', 1, 'repeated'],
    name: ['string', 2],
    initializer: ['Tensor', 5, 'repeated'],
    input: ['ValueInfo', 11, 'repeated'],
    output: ['ValueInfo', 12, 'repeated'],
  }),
  Node: message({
    input: ['string', 1, 'repeated'],
    output: ['string', 2, 'repeated'],
    name: ['string', 3],
    opType: ['string', 4],
    attribute: ['Attribute', 5, 'repeated'],
  }),
  Attribute: message({
    name: ['string', 1],
    f: ['float', 2],
    i: ['int64', 3],
    s: ['bytes', 4],
    ints: ['int64', 8, 'repeated'],
    type: ['int32', 20],
  }),
  Tensor: message({
    dims: ['int64', 1, 'repeated'],
    dataType: ['int32', 2],
    name: ['string', 8],
    rawData: ['bytes', 9],
  }),
  ValueInfo: message({ name: ['string', 1], type: ['Type', 2] }),
  Type: message({ tensorType: ['TensorType', 1] }),
  TensorType: message({ elemType: ['int32', 1], shape: ['Shape', 2] }),
  Shape: message({ dim: ['Dimension', 1, 'repeated'] }),
  Dimension: message({}, { dimValue: ['int64', 1], dimParam: ['string', 2] }),
});

const Model = onnx('Model');

/** TensorProto.DataType. */
export const ELEMENT_TYPES = { float32: 1, int8: 3, int64: 7, float16: 10 } as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

/** Whole numbers as such; to have a float that is whole, `{ float }`. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

export interface OnnxNode {
  readonly opType: string;
  readonly name: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: ElementType;
  /** In C order, little-endian. */
  readonly bytes: Uint8Array;
}

/** A tensor that enters or leaves a graph; a size that changes has a name. */
export interface OnnxValue {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly (number | string)[];
}

export interface OnnxModel {
  readonly producer: string;
  readonly producerVersion: string;
  readonly opset: number;
  readonly name: string;
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly metadata: Readonly<Record<string, string>>;
}

const IR_VERSION = 8;

/** The bytes of a model file. */
export function encodeModel(model: OnnxModel): Uint8Array {
  const valueInfo = ({ name, type, dims }: OnnxValue) => ({
    name,
    type: {
      tensorType: {
        elemType: ELEMENT_TYPES[type],
        shape: {
          dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })),
        },
      },
    },
  });
  return Model.encode({
    irVersion: IR_VERSION,
    producerName: model.producer,
    producerVersion: model.producerVersion,
    opsetImport: [{ domain: '', version: model.opset }],
    metadataProps: Object.entries(model.metadata).map(([key, value]) => ({ key, value })),
    graph: {
      name: model.name,
      node: model.nodes.map(({ attributes, ...node }) => ({
        ...node,
        attribute: Object.entries(attributes).map(([name, value]) => attribute(name, value)),
      })),
      initializer: model.constants.map(({ name, dims, type, bytes }) => ({
        name,
        dims,
        dataType: ELEMENT_TYPES[type],
        rawData: bytes,
      })),
      input: model.inputs.map(valueInfo),
      output: model.outputs.map(valueInfo),
    },
  }).finish();
}

/** With the number of its type in AttributeProto.AttributeType. */
function attribute(name: string, value: Attribute): object {
  if (typeof value === 'number') return { name, i: value, type: 2 };
  if (typeof value === 'string') return { name, s: new TextEncoder().encode(value), type: 3 };
  if ('float' in value) return { name, f: value.float, type: 1 };
  return { name, ints: value, type: 7 };
}
