// .pth files: PyTorch's own are read exactly, hostile and damaged ones are refused.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { liveTensors, memory, Tensor, tidy } from '../../src/index.js';
import {
  ForeignObject,
  indexWeights,
  loadPth,
  loadWeights,
  type PickleValue,
  WeightsFileError,
} from '../../src/serialize/index.js';

const folder = mkdtempSync(join(tmpdir(), 'pth-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'file.pth');

const fixture = (name: string) => new URL(`../reference/${name}`, import.meta.url).pathname;
const expected = JSON.parse(readFileSync(fixture('pth.json'), 'utf8'));

/** A value in the form that make-pth.py writes. */
function tagged(value: PickleValue): unknown {
  if (value instanceof Tensor) {
    return { tensor: value.dtype, shape: value.shape, values: [...value.toArray()].map(Number) };
  }
  if (value instanceof Map) return { map: [...value].map(([key, item]) => [tagged(key), tagged(item)]) };
  if (value instanceof Set) return { set: [...value].map(tagged) };
  if (value instanceof Uint8Array) return { bytes: [...value] };
  if (Array.isArray(value)) return value.map(tagged);
  if (value instanceof ForeignObject) return { foreign: value.name };
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (value === Number.POSITIVE_INFINITY) return { float: 'inf' };
  return value;
}

describe("PyTorch's own files", () => {
  it.each(['pth-zip.pth', 'pth-legacy.pth', 'pth-deflate.pth'])('%s holds what was saved', (name) => {
    for (const mmap of [true, false]) {
      tidy(() => expect(tagged(loadPth(fixture(name), { mmap }))).toEqual(expected.state));
    }
  });

  it.each(['pth-checkpoint.pth', 'pth-checkpoint-protocol4.pth', 'pth-checkpoint-legacy.pth'])(
    '%s holds what was saved',
    (name) => {
      tidy(() => expect(tagged(loadPth(fixture(name)))).toEqual(expected.checkpoint));
    },
  );

  it.each(['pth-zip.pth', 'pth-legacy.pth', 'pth-deflate.pth'])(
    '%s: tensors share storages as in the file',
    (name) => {
      tidy(() => {
        const { tensors } = loadWeights(fixture(name));
        const base = tensors.get('shared.base')!;
        expect(tensors.get('shared.again')).toBe(base);
        base.fill_(-1);
        expect(tensors.get('shared.transposed')!.tolist()).toEqual(new Array(4).fill([-1, -1, -1]));
        expect(tensors.get('shared.rows')!.tolist()).toEqual(new Array(2).fill([-1, -1]));
        tensors.get('expanded')!.select(0, 0).select(0, 0).fill_(4);
        expect(tensors.get('expanded')!.tolist()).toEqual(new Array(2).fill([4, 4, 4]));
        expect(tensors.get('weight')!.requiresGrad).toBe(false);
      });
      tidy(() => expect(tagged(loadPth(fixture(name)))).toEqual(expected.state));
    },
  );

  it('maps aligned storages and copies the others', () => {
    // Zip archives align storages at 64 bytes, so all tensors but the boolean one lie in the one mapping.
    const size = readFileSync(fixture('pth-zip.pth')).length;
    const before = memory().bytes;
    const { tensors } = loadWeights(fixture('pth-zip.pth'));
    expect(memory().bytes - before).toBe(size + tensors.get('typed.bool')!.numel);
    for (const value of tensors.values()) value.dispose();
    expect(memory().bytes).toBe(before);
  });

  it('keeps the tensors of the state dict alone', () => {
    const before = liveTensors();
    const { tensors, metadata } = loadWeights(fixture('pth-checkpoint.pth'));
    expect([...tensors].map(([name, value]) => [name, value.tolist()])).toEqual([
      ['backbone.weight', [[1, -2]]],
      ['head.bias', [0.5]],
    ]);
    expect({ ...metadata }).toEqual({
      epoch: '3',
      'meta.time': 'Mon',
      'meta.classes': '["road","sky"]',
      'meta.best': '0.25',
      'meta.ok': 'true',
      'meta.single': '-1.5',
      'meta.steps': '-7',
    });
    expect(liveTensors()).toBe(before + 2);
    for (const value of tensors.values()) value.dispose();
  });
});

/** Bytes of a pickle: numbers are opcodes, texts are ASCII. */
function bytes(...parts: (number | string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    parts.map((part) =>
      typeof part === 'number'
        ? Buffer.of(part)
        : typeof part === 'string'
          ? Buffer.from(part, 'latin1')
          : Buffer.from(part),
    ),
  );
}

const text = (value: string) => bytes(0x8c, value.length, value);
const u32 = (value: number) => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};
const u64 = (value: number) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
};
const pickle = (...parts: (number | string | Uint8Array)[]) => bytes(0x80, 2, ...parts, '.');

interface Member {
  name: string;
  data: Uint8Array;
  deflate?: boolean;
  /** The uncompressed size that the directory claims. */
  claim?: number;
  encrypted?: boolean;
  method?: number;
}

/** A zip file; `wide` writes the sizes and offsets in zip64's form. */
function zip(members: Member[], { wide = false, comment = '' } = {}): Buffer {
  const local: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, data, deflate = false, claim, encrypted = false, method } of members) {
    const packed = deflate ? deflateRawSync(data) : Buffer.from(data);
    const size = claim ?? data.length;
    const sizes = wide ? bytes(u32(0xffffffff), u32(0xffffffff)) : bytes(u32(packed.length), u32(size));
    const extra = wide
      ? bytes('\x01\x00\x18\x00', u64(size), u64(packed.length), u64(offset))
      : Buffer.alloc(0);
    const how = bytes(encrypted ? 1 : 0, 0, method ?? (deflate ? 8 : 0), 0, u32(0), u32(0), sizes);
    const start = bytes('PK\x03\x04', 20, 0, how, name.length, 0, 0, 0, name);
    local.push(start, packed);
    directory.push(
      bytes('PK\x01\x02', 20, 0, 20, 0, how, name.length, 0, extra.length, 0, Buffer.alloc(10)),
      bytes(wide ? u32(0xffffffff) : u32(offset), name, extra),
    );
    offset += start.length + packed.length;
  }
  const size = Buffer.concat(directory).length;
  const count = members.length;
  const wideEnd = bytes(
    'PK\x06\x06',
    u64(44),
    45,
    0,
    45,
    0,
    u32(0),
    u32(0),
    u64(count),
    u64(count),
    u64(size),
  );
  const locator = bytes(u64(offset), 'PK\x06\x07', u32(0), u64(offset + size), u32(1));
  const end = wide
    ? bytes(wideEnd, locator, 'PK\x05\x06', u32(0), '\xff\xff\xff\xff', u32(0xffffffff), u32(0xffffffff))
    : bytes('PK\x05\x06', u32(0), count, 0, count, 0, u32(size), u32(offset));
  return Buffer.concat([...local, ...directory, end, bytes(comment.length, 0, comment)]);
}

function writePth(data: Uint8Array, ...members: Member[]): void {
  writeFileSync(path, zip([{ name: 'a/data.pkl', data }, ...members]));
}

/** The opcodes of a float tensor [2] on storage `key`. */
function tensorOf(key: string, type = 'FloatStorage', [numel, offset, size, stride] = [2, 0, 2, 1]): Buffer {
  return bytes(
    'ctorch._utils\n_rebuild_tensor_v2\n(',
    bytes('(', text('storage'), `ctorch\n${type}\n`, text(key), text('cpu'), 'J', u32(numel!), 'tQ'),
    bytes('J', u32(offset!), 'J', u32(size!), 0x85, 'J', u32(stride!), 0x85),
    bytes(0x89, 'ccollections\nOrderedDict\n)RtR'),
  );
}

const twoFloats = new Uint8Array(Float32Array.of(1.5, -2).buffer);
const storage = (data: Uint8Array = twoFloats, name = 'a/data/0'): Member => ({ name, data });

function load(): unknown {
  return tidy(() => tagged(loadPth(path)));
}

/** Loading throws a WeightsFileError that names the file and leaves no tensor behind. */
function expectRefused(message: RegExp): void {
  const before = liveTensors();
  let error: unknown;
  try {
    loadPth(path);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(WeightsFileError);
  expect((error as Error).message).toMatch(message);
  expect((error as Error).message).toContain(path);
  expect(liveTensors()).toBe(before);
}

beforeEach(() => rmSync(path, { force: true }));

describe('pickles by hand', () => {
  it('reads a tensor (so that the refusals below are for their reason)', () => {
    writePth(pickle('}', text('w'), tensorOf('0'), 's'), storage());
    expect(load()).toEqual({ map: [['w', { tensor: 'float32', shape: [2], values: [1.5, -2] }]] });
  });

  it('reads the parameters of PyTorch 0.1, whose flags come as state', () => {
    const old = bytes(
      'ctorch.nn.parameter\nParameter\n',
      tensorOf('0'),
      0x85,
      'R',
      0x88,
      0x89,
      'N',
      0x87,
      'b',
    );
    writePth(pickle(old), storage());
    expect(load()).toEqual({ tensor: 'float32', shape: [2], values: [1.5, -2] });
  });

  it('reads a storage view of the legacy format', () => {
    const view = bytes('(', text('storage'), 'ctorch\nFloatStorage\n', text('7'), text('cpu'), 'K\x04');
    const data = pickle(
      'ctorch._utils\n_rebuild_tensor\n(',
      view,
      bytes('(', text('8'), 'K\x01K\x02ttQ'),
      'K\x01K\x01',
      0x85,
      'K\x01',
      0x85,
      'tR',
    );
    const magic = '\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19';
    const floats = new Uint8Array(Float32Array.of(5, 6, 7, 8).buffer);
    const head = [pickle(magic), pickle('M\xe9\x03'), pickle('}', text('little_endian'), 0x88, 's')];
    writeFileSync(path, bytes(...head, data, pickle(']', text('7'), 'a'), u64(4), floats));
    expect(load()).toEqual({ tensor: 'float32', shape: [1], values: [7] });
  });

  it('makes booleans of any byte sound', () => {
    writePth(pickle(tensorOf('0', 'BoolStorage')), storage(Uint8Array.of(0, 255)));
    expect(load()).toEqual({ tensor: 'bool', shape: [2], values: [0, 1] });
  });

  it('reads numpy scalars of either byte order', () => {
    const type = (order: string) =>
      bytes(
        'cnumpy\ndtype\n',
        text('i2'),
        0x85,
        'R(K\x03',
        text(order),
        'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb',
      );
    const scalar = (order: string) =>
      bytes('cnumpy.core.multiarray\nscalar\n', type(order), 'C\x02\x01\x02', 0x86, 'R');
    writePth(pickle(scalar('<'), scalar('>'), 0x86));
    expect(load()).toEqual([0x201, 0x102]);
  });

  it('keeps keys that name object members as plain keys', () => {
    writePth(pickle('}', text('__proto__'), '}', text('polluted'), 0x88, 'ss'));
    const value = loadPth(path);
    expect(tagged(value)).toEqual({ map: [['__proto__', { map: [['polluted', true]] }]] });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    writePth(pickle('}', text('__proto__'), tensorOf('0'), 's', text('epoch'), 'K\x03s'), storage());
    const { tensors, metadata } = loadWeights(path);
    expect([...tensors.keys()]).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(metadata)).toBeNull();
    tensors.get('__proto__')!.dispose();
  });

  it('reads cycles and deep nesting', () => {
    writePth(pickle(']q\x00h\x00a'));
    const list = loadPth(path) as PickleValue[];
    expect(list[0]).toBe(list);
    const depth = 200_000;
    writePth(pickle(']q\x000', ']h\x00aq\x000'.repeat(depth), 'h\x00'));
    let value = loadPth(path);
    let levels = 0;
    for (; Array.isArray(value) && value.length > 0; value = value[0]!) levels++;
    expect(levels).toBe(depth);
  });

  it('agrees with every integer that Python writes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 100n), max: 2n ** 100n }), (integer) => {
        const length = 14;
        const digits = BigInt.asUintN(8 * length, integer)
          .toString(16)
          .padStart(2 * length, '0');
        writePth(pickle(0x8a, length, Buffer.from(digits, 'hex').reverse()));
        const value = loadPth(path) as number | bigint;
        expect(BigInt(value)).toBe(integer);
        expect(typeof value).toBe(Number.isSafeInteger(Number(integer)) ? 'number' : 'bigint');
      }),
      { numRuns: 200 },
    );
  });
});

describe('hostile pickles', () => {
  it.each([
    ['os.system', pickle('cos\nsystem\n', text('true'), 0x85, 'R'), /would run os\.system, .* no business/],
    [
      'posix.system by stack',
      pickle(text('posix'), text('system'), 0x93, text('true'), 0x85, 'R'),
      /would run posix\.system/,
    ],
    ['builtins.eval', pickle('cbuiltins\neval\n', text('1'), 0x85, 'R'), /would run builtins\.eval/],
    ['__builtin__.exec', pickle('c__builtin__\nexec\n', text('1'), 0x85, 'R'), /would run __builtin__\.exec/],
    [
      'subprocess.Popen',
      pickle('csubprocess\nPopen\n', text('x'), 0x85, 0x81),
      /would run subprocess\.Popen/,
    ],
    [
      'os.system beside a state dict',
      pickle('}', text('w'), tensorOf('0'), 's', text('x'), 'cos\nsystem\n', text('true'), 0x85, 'Rs'),
      /would run os\.system/,
    ],
    ['a command that is only named', pickle('cos\npopen\n'), /would run os\.popen/],
    ['control characters in a name', pickle('cos\nb\x1b[2J\n'), /would run "os\.b\\u001b\[2J"/],
    ['a name without end', bytes(0x80, 2, 'c', 'a'.repeat(5000)), /a line longer than 1024 bytes/],
    [
      'a storage type that is called',
      pickle('ctorch\nFloatStorage\nK\x05', 0x85, 'R'),
      /calls something that is no/,
    ],
    ['a text that is called', pickle(text('eval'), ')R'), /calls something that is no function/],
    [
      'arguments that are no tuple',
      pickle('ccollections\nOrderedDict\nNR'),
      /calls something that is no function/,
    ],
    ['INST', bytes(0x80, 2, '(ios\nsystem\n.'), /opcode 0x69/],
    ['OBJ', bytes(0x80, 2, '(o.'), /opcode 0x6f/],
    ['NEWOBJ_EX', pickle('ctorch\nSize\n)}', 0x92), /arguments by name/],
    ['EXT1', pickle(0x82, 1), /opcode 0x82/],
    ['PERSID of protocol 0', pickle('Px\n'), /opcode 0x50/],
    ['NEXT_BUFFER', pickle(0x97), /opcode 0x97/],
    ['protocol 0', bytes('(lp0\n.'), /not a pickle of protocol 2/],
    ['protocol 9', bytes(0x80, 9, 'N.'), /pickle protocol 9/],
    ['state of a list', pickle(']}b'), /sets the state of an object/],
    ['state of a function', pickle('ctorch\nSize\n}b'), /sets the state of an object/],
    ['an unknown memo entry', pickle('h\x05'), /recalls entry 5/],
    ['a memo of nothing', pickle('q\x00'), /takes a value that is not there/],
    ['an empty stack', bytes(0x80, 2, '.'), /stops with 0 values/],
    ['two values', pickle('NN'), /stops with 2 values/],
    ['an open group', pickle('N('), /stops with 1 values/],
    ['a group that was not opened', pickle('t'), /closes a group that was not opened/],
    ['a value below the mark', pickle('N(0a'), /appends to what is no list|not there/],
    ['a key without value', pickle('}(Nu'), /sets items of what is no dictionary/],
    ['items of a list', pickle(']NNs'), /sets items of what is no dictionary/],
    ['an append to a dictionary', pickle('}Na'), /appends to what is no list/],
    ['a dictionary as a key', pickle('}}Ns'), /as a key or set member/],
    ['4 GB of text', bytes(0x80, 2, 'X\xff\xff\xff\xff'), /more than 67108864 bytes of pickle/],
    ['an impossible length', bytes(0x80, 2, 0x8d, '\xff'.repeat(8)), /impossible/],
    ['a huge integer', bytes(0x80, 2, 0x8b, u32(1 << 20)), /an integer of 1048576 bytes/],
    ['text that is not UTF-8', pickle('U\x01\xff'), /not UTF-8/],
    ['no end', bytes(0x80, 2, 'N'), /truncated/],
  ])('%s is refused', (_, data, message) => {
    writePth(data);
    expectRefused(message);
    expectRefused(/a\/data\.pkl: byte \d+/);
  });

  it.each<[string, Buffer, RegExp]>([
    ['an id of another kind', pickle('(', text('module'), 'NNNNtQ'), /persistent id that names no storage/],
    ['an id that is no tuple', pickle('NQ'), /persistent id that names no storage/],
    ['a storage of another type', pickle(tensorOf('0', 'Size')), /persistent id that names no storage/],
    ['one storage as two types', pickle(tensorOf('0'), tensorOf('0', 'IntStorage'), 0x86), /as 2 of int32/],
    [
      'one storage with two lengths',
      pickle(tensorOf('0'), tensorOf('0', undefined, [3, 0, 2, 1]), 0x86),
      /as 3 of/,
    ],
    [
      'a tensor past its storage',
      pickle(tensorOf('0', undefined, [2, 1, 2, 1])),
      /lies outside of its storage of 2/,
    ],
    ['a stride past its storage', pickle(tensorOf('0', undefined, [2, 0, 2, 2])), /lies outside/],
    ['an offset past its storage', pickle(tensorOf('0', undefined, [2, 3, 0, 1])), /lies outside/],
    ['a negative offset', pickle(tensorOf('0', undefined, [2, 0xffffffff, 1, 1])), /without sound storage/],
    ['a negative stride', pickle(tensorOf('0', undefined, [2, 1, 2, 0xffffffff])), /without sound storage/],
    ['a negative size', pickle(tensorOf('0', undefined, [2, 0, 0xffffffff, 1])), /without sound storage/],
    [
      'a storage of another length',
      pickle(tensorOf('0', undefined, [3, 0, 2, 1])),
      /has 8 bytes, where 3.* need 12/,
    ],
    ['a storage that is missing', pickle(tensorOf('1')), /storage "a\/data\/1" is missing/],
    ['a storage outside of the archive', pickle(tensorOf('../../etc/passwd')), /is missing/],
    [
      'a view past its storage',
      pickle(
        '(',
        text('storage'),
        'ctorch\nFloatStorage\n',
        text('0'),
        'NK\x02',
        text('v'),
        'K\x01K\x02',
        0x87,
        'tQ',
      ),
      /a view outside of storage "0"/,
    ],
    [
      'a tensor that goes, one that fails',
      pickle(tensorOf('0'), tensorOf('1'), 0x86),
      /"a\/data\/1" is missing/,
    ],
  ])('%s is refused', (_, data, message) => {
    writePth(data, storage());
    expectRefused(message);
  });

  it.each([
    ['maps', pickle('(', '}'.repeat(4_000_000), 't'), /more objects|more stack/],
    ['maps in a list', pickle(']', '}a'.repeat(4_000_000)), /more objects/],
    ['marks', pickle('('.repeat(2_000_000)), /more stack/],
    ['values', pickle('N'.repeat(2_000_000)), /more stack/],
    ['copies of one long list', quadratic(), /more objects/],
    [
      'number keys',
      pickle(0x8f, '(', Buffer.concat(Array.from({ length: 70_000 }, (_, i) => bytes('J', u32(i)))), 0x90),
      /objects/,
    ],
  ])('a pickle of millions of %s is refused before time or memory run out', (_, data, message) => {
    writePth(data);
    expectRefused(message);
  });

  it('is refused for dictionaries doubled at each level', () => {
    const before = liveTensors();
    // 2^15 paths to each of 40 tensors.
    const leaves = Array.from({ length: 40 }, (_, index) => bytes(text(`t${index}`), tensorOf('0'), 's'));
    const leaf = bytes('}q\x00', ...leaves, '0');
    const doubled = bytes('}', text('a'), 'h\x00s', text('b'), 'h\x00sq\x000');
    writePth(pickle(leaf, ...new Array(15).fill(doubled), 'h\x00'), storage());
    expect(() => loadWeights(path)).toThrow(/has more than 1048576 entries/);
    expect(liveTensors()).toBe(before);
  });
});

/** An object of some program: its class is called without arguments and then given `state`. */
const object = (name: string, state: Uint8Array | string = 'N') => {
  const dot = name.lastIndexOf('.');
  return bytes(`c${name.slice(0, dot)}\n${name.slice(dot + 1)}\n)`, 0x81, state, 'b');
};

describe('objects of other programs', () => {
  const weights = bytes('}', text('w'), tensorOf('0'), 's');
  const foreign = (name: string) => ({ foreign: name });

  it.each<[string, Buffer, unknown]>([
    ['an object with attributes', object('argparse.Namespace', '}'), foreign('argparse.Namespace')],
    ['a class that is only named', bytes('cargparse\nNamespace\n'), foreign('argparse.Namespace')],
    ['a function with our meaning', bytes('ctorch\nSize\n'), foreign('torch.Size')],
    ['a storage type', bytes('ctorch\nFloatStorage\n'), foreign('torch.FloatStorage')],
    [
      'arguments by name',
      bytes('comegaconf\nDictConfig\n)}', text('a'), 0x88, 's', 0x92),
      foreign('omegaconf.DictConfig'),
    ],
    [
      'a member of an enumeration',
      bytes('cbuiltins\ngetattr\n', 'cmine\nColour\n', text('RED'), 0x86, 'R'),
      foreign('mine.Colour'),
    ],
    [
      'a dictionary and a list of a kind of their own',
      bytes(object('mine.Dict'), text('a'), 'K\x01s', object('mine.List'), 'K\x02a', 0x86),
      [foreign('mine.Dict'), foreign('mine.List')],
    ],
    [
      'a numpy array',
      bytes(
        ...['cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n', 'K\x00', 0x85, 'C\x01b', 0x87, 'R'],
        ...['(K\x01K\x01', 0x85, 'cnumpy\ndtype\n', text('f8'), 0x85, 'R', 0x89, 'C\x01xtb'],
      ),
      foreign('numpy.ndarray'),
    ],
    ['a date', bytes('cdatetime\ndate\nC\x04\x07\xe9\x01\x01', 0x85, 'R'), foreign('datetime.date')],
    [
      'a numpy text',
      bytes('cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n', text('U1'), 0x85, 'RC\x04x...', 0x86, 'R'),
      foreign('numpy.generic'),
    ],
    ['a quantized tensor', tensorOf('0', 'QInt8Storage'), foreign('torch.QInt8Storage')],
    ['a tensor as a key', bytes('}', tensorOf('0'), 'Ns'), { map: [[foreign('torch.Tensor'), null]] }],
    ['a function as a member', bytes(0x8f, '(ctorch\nSize\n', 0x90), { set: [foreign('torch.Size')] }],
    [
      'an integer beyond 2^53 as a member',
      bytes(0x8f, '(', 0x8a, 9, '\xff'.repeat(8), 0, 0x90),
      { set: [{ bigint: '18446744073709551615' }] },
    ],
    ['an object as a key', bytes('}', object('mine.Key'), 'K\x01s'), { map: [[foreign('mine.Key'), 1]] }],
    ['a name with __proto__', bytes('c__proto__\nconstructor\n)R'), foreign('__proto__.constructor')],
    [
      'a path to what a function has',
      bytes(text('torch._utils'), text('_rebuild_tensor_v2.__globals__'), 0x93),
      foreign('torch._utils._rebuild_tensor_v2.__globals__'),
    ],
  ])('%s becomes a stub', (_, data, expected) => {
    writePth(pickle(data), storage());
    expect(load()).toEqual(expected);
  });

  it('leave a state dict beside them readable, and are named with their place', () => {
    const hub = bytes('}', text('loss'), object('mmengine.HistoryBuffer', '}'), 's');
    writePth(pickle('}', text('state_dict'), weights, 's', text('hub'), hub, 's'), storage());
    const { entries, foreign, stateDict } = indexWeights(path);
    expect([...entries]).toEqual([['state_dict.w', { shape: [2], dtype: 'float32' }]]);
    expect([stateDict, foreign]).toEqual([
      'state_dict.',
      [{ path: 'hub.loss', name: 'mmengine.HistoryBuffer' }],
    ]);
    tidy(() => expect([...loadWeights(path).tensors.keys()]).toEqual(['w']));
  });

  it('kinds of dictionaries give their texts as metadata, with short lists as JSON', () => {
    const options = bytes(object('mine.AttributeDict'), text('names'), ']', text('a'), 'a', text('b'), 'as');
    writePth(pickle('}', text('state_dict'), weights, 's', text('options'), options, 's'), storage());
    expect({ ...indexWeights(path).metadata }).toEqual({ 'options.names': '["a","b"]' });
  });

  it('inside of the state dict are refused by entry, but for what layers keep of their own', () => {
    const within = (key: string) =>
      pickle('}', text('model'), weights, text(key), object('torchao.Int4'), 'ss');
    writePth(within('q'), storage());
    expect(() => loadWeights(path)).toThrow(/entry "q" is torchao\.Int4, not a tensor/);
    writePth(within('q._extra_state'), storage());
    tidy(() => expect([...loadWeights(path).tensors.keys()]).toEqual(['w']));
  });

  it('a module that was saved as a whole gives the names of its state dict', () => {
    const module = (parameters: Uint8Array | string, modules: Uint8Array | string) =>
      object(
        'mine.Net',
        bytes(
          '}',
          text('_parameters'),
          parameters,
          's',
          text('_buffers'),
          '}s',
          text('_modules'),
          modules,
          's',
        ),
      );
    const inner = module(weights, '}');
    writePth(pickle(module(bytes('}', text('none'), 'Ns'), bytes('}', text('conv'), inner, 's'))), storage());
    tidy(() => expect([...loadWeights(path).tensors.keys()]).toEqual(['conv.w']));
  });

  it("tensors with attributes of Python's are read", () => {
    const args = bytes(
      ...['((', text('storage'), 'ctorch\nFloatStorage\n', text('0'), text('cpu'), 'K\x02tQ'],
      ...['K\x00K\x02', 0x85, 'K\x01', 0x85, 0x89, 'ccollections\nOrderedDict\n)Rt'],
    );
    const typed = bytes(
      ...['ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n'],
      ...['cmine\nTensor\n', args, '}tR'],
    );
    writePth(pickle(typed), storage());
    expect(load()).toEqual({ tensor: 'float32', shape: [2], values: [1.5, -2] });
  });

  it('dictionaries within themselves are met once', () => {
    writePth(pickle('}q\x00', text('self'), 'h\x00s', text('x'), tensorOf('0'), 's'), storage());
    tidy(() => expect([...loadWeights(path).tensors.keys()]).toEqual(['x']));
  });

  it('nothing of a file is run: no process, no file, no change of this program', () => {
    const witness = join(folder, 'witness');
    const call = (module: string, name: string, ...args: string[]) =>
      bytes(`c${module}\n${name}\n(`, ...args.map(text), 'tR');
    const attempts = [
      call('posix', 'system', `touch ${witness}`),
      call('builtins', 'eval', `open('${witness}', 'w')`),
      call('child_process', 'execSync', `touch ${witness}`),
      call('fs', 'writeFileSync', witness, 'x'),
      call('node:fs', 'writeFileSync', witness, 'x'),
      call('globalThis', 'eval', `require('fs').writeFileSync('${witness}', '')`),
      call('process', 'exit', '7'),
      call('torch.hub', 'load', 'mine/attack', 'run'),
      call('torch', 'load', witness),
      call('numpy.testing._private.utils', 'runstring', `open('${witness}', 'w')`),
      call('pip._internal', 'main', 'install'),
      object('mine.Trap', bytes('}', text('__setstate__'), call('mine', 'run', witness), 's')),
    ];
    for (const attempt of attempts) {
      writePth(pickle('}', text('w'), tensorOf('0'), 's', text('x'), attempt, 's'), storage());
      try {
        tidy(() => loadWeights(path));
      } catch (error) {
        expect(error).toBeInstanceOf(WeightsFileError);
      }
      expect(existsSync(witness)).toBe(false);
    }
  });
});

/** A set made again and again of one list of 60,000 elements. */
function quadratic(): Buffer {
  const list = bytes(']q\x00(', 'K\x01'.repeat(60_000), 'eh\x00', 0x85, 'q\x010');
  return pickle(list, 'c__builtin__\nset\nq\x020', 'h\x02h\x01R0'.repeat(100_000), 'N');
}

describe('the legacy format', () => {
  const magic = pickle('\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19');
  const protocol = pickle('M\xe9\x03');
  const little = pickle('}', text('little_endian'), 0x88, 's');
  const object = pickle(tensorOf('7'));
  const keys = pickle(']', text('7'), 'a');
  const data = bytes(u64(2), twoFloats);

  it('reads a file by hand (so that the refusals below are for their reason)', () => {
    writeFileSync(path, bytes(magic, protocol, little, object, keys, data));
    expect(load()).toEqual({ tensor: 'float32', shape: [2], values: [1.5, -2] });
  });

  it.each<[string, Buffer[], RegExp]>([
    ['another magic number', [pickle('K\x01')], /its magic number is missing/],
    ['another protocol', [magic, pickle('M\xea\x03')], /torch\.save protocol 1002; 1001 is read/],
    ['big-endian data', [magic, protocol, pickle('}', text('little_endian'), 0x89, 's')], /little-endian/],
    ['no list of storages', [magic, protocol, little, object, pickle('N')], /no list of storages/],
    [
      'an unknown storage',
      [magic, protocol, little, object, pickle(']', text('8'), 'a')],
      /storages has "8"/,
    ],
    [
      'a storage twice',
      [magic, protocol, little, object, pickle(']', text('7'), 'a', text('7'), 'a'), data],
      /or twice/,
    ],
    ['a storage that is missing', [magic, protocol, little, object, pickle(']')], /storage "7" is missing/],
    [
      'another length',
      [magic, protocol, little, object, keys, u64(3), data],
      /"7" has 3 elements, where .* 2/,
    ],
    [
      'too little data',
      [magic, protocol, little, object, keys, data.subarray(0, 15)],
      /past the file's .*truncated/,
    ],
  ])('%s is refused', (_, parts, message) => {
    writeFileSync(path, bytes(...parts));
    expectRefused(message);
  });
});

describe('any order of valid opcodes', () => {
  // Pieces that leave values of every kind, and opcodes that take them: what fits, loads; what does not, is refused.
  const pieces = [
    ...[
      'N',
      'K\x01',
      'K\x02',
      '}',
      ']',
      ')',
      '(',
      't',
      'u',
      's',
      'a',
      'e',
      '0',
      '1',
      'b',
      'R',
      'Q',
      'h\x00',
      'h\x01',
    ],
    ...[
      'q\x00',
      'q\x01',
      '\x81',
      '\x92',
      '\x85',
      '\x86',
      '\x87',
      '\x88',
      '\x8f',
      '\x90',
      '\x91',
      '\x93',
      '\x94',
    ],
    ...['cmine\nThing\n', 'cos\nsystem\n', 'ctorch._tensor\n_rebuild_from_type_v2\n'],
    ...['ctorch\nSize\n', 'ctorch\nFloatStorage\n', 'ccollections\nOrderedDict\n', 'c__builtin__\nset\n'],
    ...[
      'ctorch._utils\n_rebuild_parameter\n',
      'cnumpy\ndtype\n',
      'cnumpy.core.multiarray\nscalar\n',
      'C\x01x',
    ],
    ...['c_codecs\nencode\n', '\x8c\x06latin1', '\x8c\x010', '\x8c\x02f8', 'c__builtin__\nbytes\n'],
    tensorOf('0'),
  ].map((piece) => bytes(piece));

  it('loads or is refused, with no other error and no leak', () => {
    const before = liveTensors();
    let loaded = 0;
    const program = fc.array(fc.constantFrom(...pieces), { maxLength: 40 });
    fc.assert(
      fc.property(program, fc.boolean(), (parts, grouped) => {
        writePth(grouped ? pickle('(', ...parts, 't') : pickle(...parts), storage());
        try {
          load();
          loaded++;
        } catch (error) {
          expect(error).toBeInstanceOf(WeightsFileError);
        }
      }),
      { numRuns: 1000 },
    );

    expect(loaded).toBeGreaterThan(20);
    expect(liveTensors()).toBe(before);
  });
});

describe('archives', () => {
  const data = pickle('}', text('w'), tensorOf('0'), 's');
  const good = { map: [['w', { tensor: 'float32', shape: [2], values: [1.5, -2] }]] };
  const pkl: Member = { name: 'a/data.pkl', data };

  it('reads zip64, deflated members and comments', () => {
    writeFileSync(path, zip([pkl, storage()], { wide: true }));
    expect(load()).toEqual(good);
    writeFileSync(
      path,
      zip([
        { ...pkl, deflate: true },
        { ...storage(), deflate: true },
      ]),
    );
    expect(load()).toEqual(good);
    writeFileSync(path, zip([pkl, storage()], { comment: 'PK\x05\x06 and more, longer than an end record' }));
    expect(load()).toEqual(good);
    writeFileSync(path, zip([pkl, storage(), { name: 'a/byteorder', data: Buffer.from('little') }]));
    expect(load()).toEqual(good);
  });

  it.each<[string, Member[], RegExp]>([
    ['no pickle', [storage()], /0 members <name>\/data\.pkl/],
    ['two pickles', [pkl, { ...pkl, name: 'b/data.pkl' }], /2 members <name>\/data\.pkl/],
    ['a name twice', [pkl, storage(), storage()], /two members named "a\/data\/0"/],
    ['TorchScript', [pkl, { name: 'a/constants.pkl', data }], /a TorchScript program/],
    ['big-endian storages', [pkl, { name: 'a/byteorder', data: Buffer.from('big') }], /big-endian/],
    ['an encrypted member', [pkl, { ...storage(), encrypted: true }], /"a\/data\/0" is encrypted/],
    ['another packing', [pkl, { ...storage(), method: 12 }], /packed by method 12/],
    ['a false stored size', [pkl, { ...storage(), claim: 9 }], /stored with two different sizes/],
    ['a bomb', [{ ...pkl, deflate: true, claim: 60_000_000 }], /claims 60000000 bytes from/],
    [
      'packed storages that add up',
      [
        pkl,
        { ...storage(new Uint8Array(9_000_000)), deflate: true },
        { ...storage(new Uint8Array(9_000_000), 'a/data/1'), deflate: true },
      ],
      /packed storages claim 18000000 bytes, more than 16 times/,
    ],
    ['a pickle over the limit', [{ ...pkl, deflate: true, claim: 70_000_000 }], /more than the limit of/],
    ['a member longer than it says', [{ ...pkl, deflate: true, claim: 20 }], /cannot be unpacked/],
    ['a member shorter than it says', [{ ...pkl, deflate: true, claim: 500 }], /unpacks to \d+ bytes, where/],
    ['damaged deflate', [{ ...pkl, method: 8 }], /cannot be unpacked/],
  ])('%s is refused', (_, members, message) => {
    writeFileSync(path, zip(members));
    expectRefused(message);
  });

  it('refuses offsets that disagree', () => {
    const file = zip([pkl, storage()]);
    const local = Buffer.from(file);
    local.write('X', local.indexOf('a/data/0'));
    writeFileSync(path, local);
    expectRefused(/"a\/data\/0" does not start where the directory says/);
    const end = Buffer.from(file);
    end.writeUInt32LE(file.length, file.length - 6);
    writeFileSync(path, end);
    expectRefused(/end record does not fit the file/);
  });
});

describe('damage', () => {
  const names = ['pth-checkpoint.pth', 'pth-checkpoint-legacy.pth', 'pth-legacy.pth'];

  it.each(names)('%s is refused when cut at any byte', (name) => {
    const whole = readFileSync(fixture(name));
    const before = liveTensors();
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      expect(() => loadPth(path), `cut to ${length}`).toThrow(WeightsFileError);
    }
    expect(liveTensors()).toBe(before);
  });

  it.each([...names, 'pth-checkpoint-protocol4.pth', 'pth-deflate.pth'])(
    '%s with changed bytes loads or is refused, with no other error and no leak',
    (name) => {
      const whole = readFileSync(fixture(name));
      const before = liveTensors();
      fc.assert(
        fc.property(
          fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
          (changes) => {
            const damaged = Buffer.from(whole);
            for (const [at, byte] of changes) damaged[at] = byte;
            writeFileSync(path, damaged);
            try {
              tidy(() => {
                for (const value of loadWeights(path).tensors.values()) value.toArray();
              });
            } catch (error) {
              expect(error).toBeInstanceOf(WeightsFileError);
            }
          },
        ),
        { numRuns: 400 },
      );
      expect(liveTensors()).toBe(before);
    },
  );
});
