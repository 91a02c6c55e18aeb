// Files of torch.save: the opcodes of their pickles, the members and records of their zip archives are changed.
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import { indexWeights, loadPth, loadWeights, tidy } from '@pgpc/torch';
import { described } from '../../../dist/models/weights/described.js';
import { findNetwork } from '../../../dist/models/weights/find-network.js';
import { judged } from '../judge.mjs';
import { changeBytes, EDGES } from '../random.mjs';
import { inFile, touch } from './safetensors.mjs';

const op = (...bytes) => Buffer.from(bytes);
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};
const text = (value) => Buffer.concat([op(0x58), u32(Buffer.byteLength(value)), Buffer.from(value)]);
const global = (module, name) => Buffer.from(`c${module}\n${name}\n`);
const small = (value) => op(0x4b, value & 255);
const int = (value) => Buffer.concat([op(0x4a), u32(value)]);

const STORAGES = [
  ['FloatStorage', 4],
  ['DoubleStorage', 8],
  ['HalfStorage', 2],
  ['LongStorage', 8],
  ['ByteStorage', 1],
  ['BoolStorage', 1],
];
const NAMES = [
  ['os', 'system'],
  ['builtins', 'eval'],
  ['collections', 'OrderedDict'],
  ['torch', 'FloatStorage'],
  ['torch', 'Size'],
  ['torch._utils', '_rebuild_tensor_v2'],
  ['torch._utils', '_rebuild_parameter'],
  ['torch._tensor', '_rebuild_from_type_v2'],
  ['argparse', 'Namespace'],
  ['numpy', 'dtype'],
  ['numpy.core.multiarray', 'scalar'],
  ['_codecs', 'encode'],
  ['builtins', 'set'],
  ['builtins', 'getattr'],
  ['copyreg', '_reconstructor'],
  ['__proto__', 'constructor'],
];
const OPCODES = [
  ...[
    0x28, 0x30, 0x31, 0x4e, 0x88, 0x89, 0x5d, 0x29, 0x7d, 0x8f, 0x61, 0x65, 0x85, 0x86, 0x87, 0x74, 0x73,
    0x75, 0x90,
  ],
  ...[0x91, 0x94, 0x93, 0x52, 0x81, 0x92, 0x62, 0x51, 0x2e, 0x69, 0x6f, 0x80, 0x82],
].map((code) => op(code));

/** An opcode with any argument. */
function anyOp(random) {
  switch (random.below(12)) {
    case 0:
      return global(...random.pick(NAMES));
    case 1:
      return text(
        random.pick(['state_dict', 'a', '', '__proto__', 'f8', 'latin1', '\u0000', 'x'.repeat(300)]),
      );
    case 2:
      return op(random.pick([0x68, 0x71]), random.below(12));
    case 3:
      return Buffer.concat([op(random.pick([0x6a, 0x72])), u32(random.pick(EDGES))]);
    case 4:
      return int(random.pick(EDGES));
    case 5:
      return Buffer.concat([op(0x8a, random.below(12)), random.bytes(random.below(12))]);
    case 6:
      return Buffer.concat([
        op(random.pick([0x58, 0x42, 0x54, 0x8b])),
        u32(random.pick(EDGES)),
        random.bytes(4),
      ]);
    case 7:
      return Buffer.concat([
        op(random.pick([0x8d, 0x8e, 0x96, 0x95])),
        random.bytes(random.chance(0.5) ? 8 : 1),
        Buffer.alloc(7),
      ]);
    case 8:
      return Buffer.concat([op(0x47), random.bytes(8)]);
    default:
      return random.pick(OPCODES);
  }
}

/** A tensor on a storage, as opcodes. */
function tensorOf(random, { type, key, numel }, isLegacy) {
  const size = random.pick([[numel], [1, numel], [numel >> 1, 2], [0], []]);
  const stride = size.map((_, i) => size.slice(i + 1).reduce((product, one) => product * one, 1));
  const list = (values) => [op(0x28), ...values.map(small), op(0x74)];
  return [
    global('torch._utils', '_rebuild_tensor_v2'),
    ...[op(0x28), op(0x28), text('storage'), global('torch', type), text(key), text('cpu'), small(numel)],
    ...[
      ...(isLegacy ? [op(0x4e)] : []),
      op(0x74),
      op(0x51),
      small(0),
      ...list(size),
      ...list(stride),
      op(0x89),
    ],
    ...[global('collections', 'OrderedDict'), op(0x29), op(0x52), op(0x74), op(0x52)],
  ];
}

function pickleOf(random, storages, isLegacy) {
  const entries = storages.flatMap((storage, i) => [
    text(random.pick(['backbone.block1.0.norm1.weight', 'decode_head.conv_seg.bias', 'x']) + i),
    ...tensorOf(random, storage, isLegacy),
  ]);
  const dict = [op(0x7d), op(0x71, 0), op(0x28), ...entries, op(0x75)];
  const meta = [
    op(0x7d),
    op(0x28),
    text('CLASSES'),
    op(0x5d),
    op(0x28),
    text('road'),
    text('car'),
    op(0x65),
    op(0x75),
  ];
  const root = random.chance(0.5)
    ? dict
    : [
        op(0x7d),
        op(0x28),
        text('state_dict'),
        ...dict,
        text('meta'),
        ...meta,
        text('epoch'),
        small(3),
        op(0x75),
      ];
  return [op(0x80, random.pick([2, 2, 2, 3, 4, 5])), ...root, op(0x2e)];
}

function changedOps(random, ops) {
  if (random.chance(0.3)) return Buffer.concat(ops);
  for (let n = random.between(1, 4); n > 0; n--) {
    const at = random.below(ops.length);
    switch (random.below(5)) {
      case 0:
        ops.splice(at, 1);
        break;
      case 1:
        ops.splice(at, 0, anyOp(random));
        break;
      case 2:
        ops[at] = anyOp(random);
        break;
      case 3:
        ops.splice(at, 0, ...ops.slice(at, at + random.below(12)));
        break;
      default: {
        const times = random.pick([2, 10, 500]);
        const part = Array.from({ length: random.between(1, 3) }, () => anyOp(random));
        ops.splice(at, 0, ...Array.from({ length: times }, () => part).flat());
      }
    }
    if (ops.length === 0) ops.push(anyOp(random));
  }
  return Buffer.concat(ops);
}

/** A zip archive by hand, whose every field may be another. */
function zipOf(random, members) {
  const odd = (value, share = 0.01) => (random.chance(share) ? random.pick(EDGES) : value);
  const locals = [];
  const entries = [];
  let at = 0;
  for (const [name, content] of members) {
    const deflated = random.chance(0.05);
    const packed = deflated ? deflateRawSync(content) : content;
    const label = Buffer.from(name);
    const head = Buffer.alloc(30);
    head.writeUInt32LE(odd(0x04034b50, 0.003), 0);
    head.writeUInt16LE(deflated ? 8 : 0, 8);
    head.writeUInt32LE(packed.length, 18);
    head.writeUInt32LE(content.length, 22);
    head.writeUInt16LE(label.length, 26);
    const extra = Buffer.alloc(random.below(20));
    head.writeUInt16LE(extra.length, 28);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(odd(0x02014b50, 0.003), 0);
    entry.writeUInt16LE(odd(0, 0.005) & 0xffff, 8);
    entry.writeUInt16LE(odd(deflated ? 8 : 0, 0.005) & 0xffff, 10);
    entry.writeUInt32LE(odd(packed.length), 20);
    entry.writeUInt32LE(odd(content.length), 24);
    entry.writeUInt16LE(odd(label.length, 0.005) & 0xffff, 28);
    entry.writeUInt32LE(odd(at), 42);
    locals.push(head, label, extra, packed);
    entries.push(entry, label);
    at += head.length + label.length + extra.length + packed.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(odd(members.length, 0.005) & 0xffff, 8);
  end.writeUInt16LE(odd(members.length, 0.005) & 0xffff, 10);
  end.writeUInt32LE(odd(directory.length, 0.005), 12);
  end.writeUInt32LE(odd(at, 0.005), 16);
  return Buffer.concat([...locals, directory, end]);
}

function zipFile(random, storages) {
  const members = [
    ['archive/data.pkl', changedOps(random, pickleOf(random, storages, false))],
    ['archive/byteorder', Buffer.from(random.chance(0.98) ? 'little' : 'big')],
    ...storages.map(({ key, bytes }) => [`archive/data/${key}`, bytes]),
    ['archive/version', Buffer.from('3\n')],
  ];
  if (random.chance(0.05)) members.splice(random.below(members.length), 1);
  if (random.chance(0.05)) members.push([...random.pick(members)]);
  return zipOf(random, members);
}

/** As torch.save wrote before 1.6: five pickles, then the storages. */
function legacyFile(random, storages) {
  const magic = Buffer.concat([op(0x80, 2, 0x8a, 10), Buffer.from('6cfc9c46f9206aa85019', 'hex'), op(0x2e)]);
  const protocol = Buffer.from('80024de9032e', 'hex');
  const system = Buffer.concat([
    ...[
      op(0x80, 2, 0x7d, 0x28),
      text('protocol_version'),
      op(0x4d, 0xe9, 3),
      text('little_endian'),
      op(0x88),
    ],
    ...[text('type_sizes'), op(0x7d), op(0x75), op(0x2e)],
  ]);
  const keys = [op(0x80, 2), op(0x5d), op(0x28), ...storages.map(({ key }) => text(key)), op(0x65), op(0x2e)];
  const data = storages.flatMap(({ numel, bytes }) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(random.chance(0.02) ? random.pick(EDGES) : numel));
    return [count, bytes];
  });
  const object = changedOps(random, pickleOf(random, storages, true));
  const list = random.chance(0.1) ? changedOps(random, keys) : Buffer.concat(keys);
  return Buffer.concat([magic, protocol, system, object, list, ...data]);
}

function make(random) {
  const storages = Array.from({ length: random.below(4) }, (_, i) => {
    const [type, size] = random.pick(STORAGES);
    const numel = random.below(8);
    return { type, key: `${i}`, numel, bytes: random.bytes(numel * size) };
  });
  const whole = random.chance(0.7) ? zipFile(random, storages) : legacyFile(random, storages);
  return new Map([['a.pth', random.chance(0.3) ? changeBytes(random, whole, 4) : whole]]);
}

async function read(folder, random) {
  const file = join(folder, 'a.pth');
  return tidy(async () => {
    if (random.chance(0.4)) {
      return (await judged('loadPth', file, () => loadPth(file, { mmap: random.chance(0.5) }))) !== undefined;
    }
    if (random.chance(0.5)) {
      const weights = await judged('loadWeights', file, () => loadWeights(file));
      if (weights) touch(weights.tensors);
      return weights !== undefined;
    }
    const index = await judged('indexWeights', file, () => indexWeights(file));
    if (index === undefined) return false;
    const { metadata } = index;
    const names = [...index.entries.keys()];
    await judged('findNetwork', file, () => inFile(file, () => findNetwork(names, undefined)));
    await judged('described', file, () =>
      inFile(file, () => described({ path: file, naming: 'daformer', metadata }, 2)),
    );
    return true;
  });
}

export const pth = { make, read };
