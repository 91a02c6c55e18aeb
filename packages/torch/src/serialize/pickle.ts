// Plain data and tensors as a pickle, which Python's own and PyTorch's restricted unpickler read.
import { Tensor } from '../tensor.js';
import { quoted, WeightsFileError } from './reader.js';
import { STORAGE_TYPES } from './unpickle.js';

/**
 * What is written to a .pth: a Map becomes an OrderedDict, as state dicts are, an object a dict, an array a list. Whole
 * numbers become int, others float.
 */
export type Picklable =
  | null
  | boolean
  | number
  | string
  | Tensor
  | readonly Picklable[]
  | ReadonlyMap<string, Picklable>
  | { readonly [key: string]: Picklable };

const STORAGE_NAMES = new Map(STORAGE_TYPES.map(([name, dtype]) => [dtype, name]));
const MOST_INT = 2 ** 31;

const raw = (text: string) => Buffer.from(text, 'latin1');
const global = (module: string, name: string) => raw(`c${module}\n${name}\n`);
const tuple = (items: readonly Buffer[]) => Buffer.concat([raw('('), ...items, raw('t')]);
const EMPTY_ORDERED_DICT = Buffer.concat([global('collections', 'OrderedDict'), raw(')R')]);

/**
 * One pickle of protocol 2 (opcodes as in Python's pickletools).
 * @param storageOf the key of the storage that a tensor's elements go to: all of them, in row-major order
 * @throws WeightsFileError naming the place, for a dtype that torch has no storage of, and for what is no data
 */
export function pickled(value: Picklable, storageOf: (tensor: Tensor) => string): Buffer {
  const visit = (node: Picklable, place: string): Buffer => {
    if (node === null) return raw('N');
    if (typeof node === 'boolean') return raw(node ? '\x88' : '\x89');
    if (typeof node === 'string') return text(node);
    if (typeof node === 'number') return number(node);
    if (node instanceof Tensor) return tensor(node, place, storageOf(node));
    const inner = (key: string | number) => (place === '' ? `${key}` : `${place}.${key}`);
    if (Array.isArray(node)) {
      return Buffer.concat([raw(']('), ...node.map((item, i) => visit(item, inner(i))), raw('e')]);
    }
    const isMap = node instanceof Map;
    if (!isMap && !isPlain(node)) {
      throw new WeightsFileError(`${quoted(place)} is ${String(node)}, which a .pth cannot hold`);
    }
    const entries: [string, Picklable][] = isMap ? [...node] : Object.entries(node);
    return Buffer.concat([
      isMap ? EMPTY_ORDERED_DICT : raw('}'),
      raw('('),
      ...entries.flatMap(([key, item]) => [text(key), visit(item, inner(key))]),
      raw('u'),
    ]);
  };
  return Buffer.concat([raw('\x80\x02'), visit(value, ''), raw('.')]);
}

function isPlain(node: unknown): node is { readonly [key: string]: Picklable } {
  const prototype = typeof node === 'object' && node !== null ? Object.getPrototypeOf(node) : undefined;
  return prototype === Object.prototype || prototype === null;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  const head = Buffer.from('X\0\0\0\0', 'latin1');
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function number(value: number): Buffer {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) {
    if (value < -MOST_INT || value >= MOST_INT) return long(value);
    const int = Buffer.from('J\0\0\0\0', 'latin1');
    int.writeInt32LE(value, 1);
    return int;
  }
  const float = Buffer.alloc(9, 'G');
  float.writeDoubleBE(value, 1);
  return float;
}

/** In eight bytes. */
function long(value: number): Buffer {
  const bytes = Buffer.from('\x8a\x08\0\0\0\0\0\0\0\0', 'latin1');
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
}

/** A call of torch._utils._rebuild_tensor_v2, as PyTorch writes it. */
function tensor({ shape, dtype, numel }: Tensor, place: string, key: string): Buffer {
  const type = STORAGE_NAMES.get(dtype);
  if (type === undefined)
    throw new WeightsFileError(`${quoted(place)}: torch.save has no storage of ${dtype}`);
  const stride = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
  const storage = tuple([text('storage'), global('torch', type), text(key), text('cpu'), number(numel)]);
  const requiresGrad = raw('\x89');
  return Buffer.concat([
    global('torch._utils', '_rebuild_tensor_v2'),
    tuple([
      Buffer.concat([storage, raw('Q')]),
      number(0),
      tuple(shape.map(number)),
      tuple(stride.map(number)),
      requiresGrad,
      EMPTY_ORDERED_DICT,
    ]),
    raw('R'),
  ]);
}
