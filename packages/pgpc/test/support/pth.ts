// Writes what torch.save writes, without PyTorch: checkpoints of training programs, with their objects in them.

import { writeFileSync } from 'node:fs';
import { Tensor, tidy } from '@pgpc/torch';

/** An object of some program, with attributes. */
export class PickledObject {
  constructor(
    readonly name: string,
    readonly state: Pickled,
  ) {}
}

export type Pickled =
  | null
  | boolean
  | number
  | string
  | Tensor
  | PickledObject
  | Pickled[]
  | ReadonlyMap<string, Pickled>
  | { readonly [key: string]: Pickled };

const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const raw = (text: string) => Buffer.from(text, 'latin1');
const text = (value: string) =>
  Buffer.concat([raw('X'), u32(Buffer.byteLength(value)), Buffer.from(value, 'utf8')]);
const whole = (value: number) => Buffer.concat([raw('J'), u32(value >>> 0)]);
const tuple = (items: readonly Buffer[]) => Buffer.concat([raw('('), ...items, raw('t')]);
const call = (name: string) => {
  const dot = name.lastIndexOf('.');
  return raw(`c${name.slice(0, dot)}\n${name.slice(dot + 1)}\n`);
};

/** Writes float32 tensors (contiguous) and plain values as a zip archive of torch.save. */
export function savePth(path: string, value: Pickled): void {
  const storages: Buffer[] = [];
  const pickled = (node: Pickled): Buffer => {
    if (node === null) return raw('N');
    if (typeof node === 'boolean') return raw(node ? '\x88' : '\x89');
    if (typeof node === 'string') return text(node);
    if (typeof node === 'number') {
      if (Number.isInteger(node)) return whole(node);
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleBE(node);
      return Buffer.concat([raw('G'), bytes]);
    }
    if (node instanceof Tensor) {
      const { shape, numel } = node;
      const data = tidy(() => node.to('float32').contiguous().toArray() as Float32Array);
      const key = String(storages.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength)) - 1);
      const stride = shape.map((_, i) => shape.slice(i + 1).reduce((product, size) => product * size, 1));
      const id = tuple([text('storage'), call('torch.FloatStorage'), text(key), text('cpu'), whole(numel)]);
      const parts = [
        Buffer.concat([id, raw('Q')]),
        whole(0),
        tuple(shape.map(whole)),
        tuple(stride.map(whole)),
      ];
      const hooks = Buffer.concat([call('collections.OrderedDict'), raw(')R')]);
      return Buffer.concat([
        call('torch._utils._rebuild_tensor_v2'),
        tuple([...parts, raw('\x89'), hooks]),
        raw('R'),
      ]);
    }
    if (node instanceof PickledObject) {
      return Buffer.concat([call(node.name), raw(')\x81'), pickled(node.state), raw('b')]);
    }
    if (Array.isArray(node)) return tuple(node.map(pickled));
    const entries = node instanceof Map ? [...node] : Object.entries(node);
    return Buffer.concat([
      raw('}('),
      ...entries.flatMap(([key, item]) => [text(key), pickled(item as Pickled)]),
      raw('u'),
    ]);
  };
  const pickle = Buffer.concat([raw('\x80\x02'), pickled(value), raw('.')]);
  writeFileSync(
    path,
    zip([['a/data.pkl', pickle], ...storages.map((data, i) => [`a/data/${i}`, data] as const)]),
  );
}

function zip(members: readonly (readonly [name: string, data: Buffer])[]): Buffer {
  const local: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, data] of members) {
    const sizes = Buffer.concat([Buffer.alloc(8), u32(0), u32(data.length), u32(data.length)]);
    const lengths = Buffer.from([name.length, 0, 0, 0]);
    const start = Buffer.concat([raw('PK\x03\x04\x14\0'), sizes, lengths, raw(name)]);
    local.push(start, data);
    directory.push(
      Buffer.concat([
        raw('PK\x01\x02\x14\0\x14\0'),
        sizes,
        lengths,
        Buffer.alloc(10),
        u32(offset),
        raw(name),
      ]),
    );
    offset += start.length + data.length;
  }
  const size = Buffer.concat(directory).length;
  const count = Buffer.from([members.length & 255, members.length >> 8]);
  const end = Buffer.concat([
    raw('PK\x05\x06'),
    u32(0),
    count,
    count,
    u32(size),
    u32(offset),
    Buffer.alloc(2),
  ]);
  return Buffer.concat([...local, ...directory, end]);
}
