// A pickle machine that builds tensors' descriptions and plain containers; any other object becomes an inert stub.
import type { DType } from '../dtype.js';
import { ForeignObject, type Plain, replaceLeaves } from './plain.js';
import { type ByteReader, isCounts, isShape, quoted } from './reader.js';

/** A storage that the pickle names: `numel` elements of `dtype`; a view sees [start, start + length). */
export class StorageSpec {
  constructor(
    readonly key: string,
    readonly dtype: DType,
    readonly numel: number,
    readonly start: number,
    readonly length: number,
  ) {}
}

/** A strided window on a storage; `offset` and `stride` count elements, `offset` from the storage's first. */
export class TensorSpec {
  constructor(
    readonly storage: StorageSpec,
    readonly offset: number,
    readonly size: readonly number[],
    readonly stride: readonly number[],
  ) {}
}

/** A name that the pickle may mention: a storage's type, or a function with our own meaning for it. */
class KnownGlobal {
  constructor(
    readonly name: string,
    readonly storageType: DType | null,
    readonly call: ((args: Node[], machine: Machine) => Node) | null,
  ) {}
}

/** A numpy scalar type such as `f8`, and its byte order. */
class NumpyType {
  littleEndian = true;
  constructor(readonly code: string) {}
}

type Leaf = TensorSpec | StorageSpec | KnownGlobal | NumpyType;
type Node = Plain<Leaf>;
type Foreign = ForeignObject<Leaf>;

/** The most bytes of pickle that are read; published checkpoints have under 2 MB. */
export const MOST_PICKLE_BYTES = 1 << 26;
// Two bytes of pickle make an object of some 200 in memory, so objects are counted too: 2 million at most.
const MOST_WORK = 1 << 26;
const OBJECT_WORK = 32;
const NUMBER_KEY_WORK = 1024;
const MOST_STACK = 1 << 20;
const MOST_MEMO = 1 << 22;
const MOST_LONG_BYTES = 1024;
const TENSOR_WORK = 128;
const MOST_GLOBAL_NAME = 1024;

/**
 * Reads one pickle (protocols 2 to 5; opcodes as in Python's pickletools) without ever running code. The names in
 * `GLOBALS` get a meaning of our own; what any other name makes is a {@link ForeignObject}, except for the names by which
 * pickles run commands (`CODE_RUNNERS`), which are refused. Time and memory are linear in the pickle's length.
 *
 * @param storages filled with the storages that the pickle names, by key
 * @throws WeightsFileError with the byte offset, for refused names, unknown opcodes and damaged or oversized pickles.
 */
export function unpickle(reader: ByteReader, storages = new Map<string, StorageSpec>()): Plain<TensorSpec> {
  const tree = new Machine(reader, storages).run();
  return replaceLeaves<Leaf, TensorSpec>(tree, (leaf) => {
    return leaf instanceof TensorSpec ? leaf : stubOf(leaf);
  });
}

function isLeaf(node: Node): node is Leaf {
  return [TensorSpec, StorageSpec, KnownGlobal, NumpyType].some((kind) => node instanceof kind);
}

/** In the place of what is no data for whoever reads the tree. */
function stubOf<T>(leaf: Leaf): ForeignObject<T> {
  if (leaf instanceof KnownGlobal) return new ForeignObject(leaf.name);
  if (leaf instanceof TensorSpec) return new ForeignObject('torch.Tensor');
  return new ForeignObject(leaf instanceof StorageSpec ? `a bare storage of ${leaf.dtype}` : 'numpy.dtype');
}

class Machine {
  readonly #stack: Node[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Node>();
  #opcodeAt = 0;
  #work = 0;

  constructor(
    private readonly reader: ByteReader,
    private readonly storages: Map<string, StorageSpec>,
  ) {}

  /** The error of the opcode being run. */
  fault(message: string): Error {
    return this.reader.fault(message, this.#opcodeAt);
  }

  /** Counts copied elements: copies of memoized values could otherwise cost the square of the pickle's length. */
  charge(elements: number): void {
    this.#work += elements;
    if (this.#work > MOST_WORK)
      throw this.fault('the pickle makes more objects than a weights file does; refused');
  }

  #pushObject(object: Node): void {
    this.charge(OBJECT_WORK);
    this.#stack.push(object);
  }

  run(): Node {
    const { reader } = this;
    this.#opcodeAt = reader.position;
    if (reader.u8() !== 0x80) throw this.fault('not a pickle of protocol 2 or later');
    const protocol = reader.u8();
    if (protocol < 2 || protocol > 5) throw this.fault(`pickle protocol ${protocol}; 2 to 5 are read`);
    for (;;) {
      this.#opcodeAt = reader.position;
      const opcode = reader.u8();
      if (opcode === 0x2e) {
        if (this.#marks.length !== 0 || this.#stack.length !== 1) {
          throw this.fault(`the pickle stops with ${this.#stack.length} values, not one: corrupt`);
        }
        return this.#pop();
      }
      this.#step(opcode);
      if (this.#stack.length > MOST_STACK || this.#marks.length > MOST_STACK || this.#memo.size > MOST_MEMO) {
        throw this.fault('the pickle needs more stack or memo than a weights file does; refused');
      }
    }
  }

  #step(opcode: number): void {
    const { reader } = this;
    const stack = this.#stack;
    switch (opcode) {
      case 0x95: // FRAME: only a hint for buffering
        reader.u64();
        return;
      case 0x28: // MARK
        this.#marks.push(stack.length);
        return;
      case 0x30: // POP
        // As in Python, a mark on top is what gets popped.
        if (this.#marks.at(-1) === stack.length) this.#marks.pop();
        else this.#pop();
        return;
      case 0x31: // POP_MARK
        this.#popMark();
        return;
      case 0x4e: // NONE
        stack.push(null);
        return;
      case 0x88: // NEWTRUE
        stack.push(true);
        return;
      case 0x89: // NEWFALSE
        stack.push(false);
        return;
      case 0x4a: // BININT
        stack.push(reader.i32());
        return;
      case 0x4b: // BININT1
        stack.push(reader.u8());
        return;
      case 0x4d: // BININT2
        stack.push(reader.u16());
        return;
      case 0x8a: // LONG1
        stack.push(this.#long(reader.u8()));
        return;
      case 0x8b: // LONG4
        stack.push(this.#long(reader.u32()));
        return;
      case 0x47: // BINFLOAT
        stack.push(reader.f64());
        return;
      case 0x55: // SHORT_BINSTRING, Python 2's text
      case 0x8c: // SHORT_BINUNICODE
        stack.push(reader.text(reader.u8()));
        return;
      case 0x54: // BINSTRING, Python 2's text
      case 0x58: // BINUNICODE
        stack.push(reader.text(reader.u32()));
        return;
      case 0x8d: // BINUNICODE8
        stack.push(reader.text(reader.u64()));
        return;
      case 0x43: // SHORT_BINBYTES
        this.#pushObject(new Uint8Array(reader.bytes(reader.u8())));
        return;
      case 0x42: // BINBYTES
        this.#pushObject(new Uint8Array(reader.bytes(reader.u32())));
        return;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        this.#pushObject(new Uint8Array(reader.bytes(reader.u64())));
        return;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        this.#pushObject([]);
        return;
      case 0x7d: // EMPTY_DICT
        this.#pushObject(new Map());
        return;
      case 0x8f: // EMPTY_SET
        this.#pushObject(new Set());
        return;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return;
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items: Node[] = [];
        for (let count = opcode - 0x84; count > 0; count--) items.unshift(this.#pop());
        this.#pushObject(items);
        return;
      }
      case 0x74: // TUPLE
        this.#pushObject(this.#popMark());
        return;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        this.#setItems([this.#pop(), value]);
        return;
      }
      case 0x75: // SETITEMS
        this.#setItems(this.#popMark());
        return;
      case 0x90: {
        // ADDITEMS
        const items = this.#popMark();
        const set = this.#top();
        if (set instanceof ForeignObject) return;
        if (!(set instanceof Set)) throw this.fault('adds items to what is no set: corrupt');
        for (const item of items) set.add(this.key(item));
        return;
      }
      case 0x91: // FROZENSET
        this.#pushObject(new Set(this.#popMark().map((item) => this.key(item))));
        return;
      case 0x71: // BINPUT
        this.#memo.set(reader.u8(), this.#top());
        return;
      case 0x72: // LONG_BINPUT
        this.#memo.set(reader.u32(), this.#top());
        return;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case 0x68: // BINGET
        stack.push(this.#recall(reader.u8()));
        return;
      case 0x6a: // LONG_BINGET
        stack.push(this.#recall(reader.u32()));
        return;
      case 0x63: {
        // GLOBAL
        const module = reader.line(MOST_GLOBAL_NAME);
        stack.push(this.#global(module, reader.line(MOST_GLOBAL_NAME)));
        return;
      }
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof name !== 'string' || typeof module !== 'string') {
          throw this.fault('a name that is no text: corrupt');
        }
        stack.push(this.#global(module, name));
        return;
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = this.#pop();
        this.#pushObject(this.#call(this.#pop(), args));
        return;
      }
      case 0x92: {
        // NEWOBJ_EX, with arguments by name
        const named = this.#pop();
        const args = this.#pop();
        const callee = this.#pop();
        if (!(callee instanceof ForeignObject && named instanceof Map)) {
          throw this.fault('the pickle makes an object with arguments by name; refused');
        }
        this.#pushObject(this.#call(callee, args));
        return;
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        const target = this.#top();
        if (target instanceof ForeignObject) {
          target.state = state;
        } else if (target instanceof NumpyType && Array.isArray(state)) {
          target.littleEndian = state[1] !== '>';
        } else if (!(target instanceof Map || target instanceof TensorSpec)) {
          // A state dict's attributes (module versions) and a parameter's flags are not data, so they are left out.
          throw this.fault(
            'the pickle sets the state of an object, which a weights file has no business doing; refused',
          );
        }
        return;
      }
      case 0x51: // BINPERSID
        this.#pushObject(this.#storage(this.#pop()));
        return;
      default:
        throw this.fault(
          `pickle opcode 0x${opcode.toString(16).padStart(2, '0')} is not one that weights files use; refused`,
        );
    }
  }

  #pop(): Node {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.fault('the pickle takes a value that is not there: corrupt');
    }
    return this.#stack.pop()!;
  }

  #top(): Node {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.fault('the pickle takes a value that is not there: corrupt');
    }
    return this.#stack.at(-1)!;
  }

  #popMark(): Node[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.fault('the pickle closes a group that was not opened: corrupt');
    return this.#stack.splice(mark);
  }

  #recall(index: number): Node {
    const value = this.#memo.get(index);
    if (value === undefined) {
      throw this.fault(`the pickle recalls entry ${index}, which it never stored: corrupt`);
    }
    return value;
  }

  #append(items: Node[]): void {
    const list = this.#top();
    if (list instanceof ForeignObject) return;
    if (!Array.isArray(list)) throw this.fault('appends to what is no list: corrupt');
    for (const item of items) list.push(item);
  }

  #setItems(items: Node[]): void {
    const target = this.#top();
    // A kind of dictionary: its items are kept, as a state dict may be one.
    if (target instanceof ForeignObject && target.items === null) target.items = new Map();
    const map = target instanceof ForeignObject ? target.items : target;
    if (!(map instanceof Map) || items.length % 2 !== 0) {
      throw this.fault('sets items of what is no dictionary: corrupt');
    }
    for (let index = 0; index < items.length; index += 2) map.set(this.key(items[index]!), items[index + 1]!);
  }

  /** A value that serves as a dictionary's key or a set's member; what is no plain data is so by its stub. */
  key(value: Node): Node {
    if (value instanceof Map) throw this.fault('a dictionary as a key or set member: corrupt');
    // Numbers hash without a secret, so a file can choose many that collide; that makes each of them dear.
    if (typeof value === 'number' || typeof value === 'bigint') this.charge(NUMBER_KEY_WORK);
    return isLeaf(value) ? stubOf(value) : value;
  }

  #long(length: number): number | bigint {
    if (length > MOST_LONG_BYTES) throw this.fault(`an integer of ${length} bytes; refused`);
    if (length === 0) return 0;
    const digits = Buffer.from(this.reader.bytes(length)).reverse().toString('hex');
    return safeNumber(BigInt.asIntN(8 * length, BigInt(`0x${digits}`)));
  }

  #global(module: string, name: string): KnownGlobal | Foreign {
    const full = `${module}.${name}`;
    const known = GLOBALS.get(full);
    if (known !== undefined) return known;
    const shown = /^[\w.]{1,120}$/.test(full) ? full : quoted(full);
    if (CODE_RUNNERS.test(full)) {
      throw this.fault(
        `the pickle would run ${shown}, which a weights file has no business doing; refused. Nothing was run here; ` +
          'Python would run it on opening the file, so do not',
      );
    }
    this.charge(OBJECT_WORK);
    return new ForeignObject(shown);
  }

  /** What comes of calling `callee`: of a known name our own meaning, of any other a stub. */
  #call(callee: Node, args: Node): Node {
    if (callee instanceof ForeignObject) {
      const [of] = Array.isArray(args) ? args : [];
      // Python's general makers of objects take the class as their first argument.
      return new ForeignObject(
        MAKERS.has(callee.name) && of instanceof ForeignObject ? of.name : callee.name,
      );
    }
    if (!(callee instanceof KnownGlobal) || callee.call === null || !Array.isArray(args)) {
      throw this.fault('the pickle calls something that is no function of a weights file; refused');
    }
    return callee.call(args, this);
  }

  /** ('storage', type, key, location, numel[, view]) as torch.save writes it; the location (device) is left out. */
  #storage(id: Node): StorageSpec | Foreign {
    const [tag, type, key, , numel, view] = Array.isArray(id) ? id : [];
    // Elements that libtorch's bridge does not have, such as quantized ones; and the class of a module of before 1.6.
    if ((tag === 'storage' || tag === 'module') && type instanceof ForeignObject) return type;
    if (
      tag !== 'storage' ||
      !(type instanceof KnownGlobal) ||
      type.storageType === null ||
      typeof key !== 'string' ||
      !isCount(numel)
    ) {
      throw this.fault('a persistent id that names no storage: corrupt, or not a weights file');
    }
    const dtype = type.storageType;
    const whole = this.storages.get(key) ?? new StorageSpec(key, dtype, numel, 0, numel);
    if (whole.dtype !== dtype || whole.numel !== numel) {
      throw this.fault(
        `storage ${quoted(key)} is used as ${whole.numel} elements of ${whole.dtype} and as ${numel} of ${dtype}: corrupt`,
      );
    }
    this.storages.set(key, whole);
    if (view === undefined || view === null) return whole;
    const [, start, length] = Array.isArray(view) ? view : [];
    if (!isCount(start) || !isCount(length) || start + length > numel) {
      throw this.fault(`a view outside of storage ${quoted(key)}: corrupt`);
    }
    return new StorageSpec(key, dtype, numel, start, length);
  }
}

function isCount(value: Node | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, ...). */
function rebuildTensor([storage, offset, size, stride]: Node[], machine: Machine): TensorSpec | Foreign {
  machine.charge(TENSOR_WORK);
  if (storage instanceof ForeignObject) return storage;
  if (
    !(storage instanceof StorageSpec) ||
    !isCount(offset) ||
    !isShape(size) ||
    !Array.isArray(stride) ||
    stride.length !== size.length ||
    !isCounts(stride)
  ) {
    throw machine.fault('a tensor without sound storage, offset, size and stride: corrupt');
  }
  const numel = size.reduce((product, length) => product * length, 1);
  const last = size.reduce((sum, length, dim) => sum + (length - 1) * stride[dim]!, offset);
  if (offset > storage.length || (numel > 0 && last >= storage.length)) {
    throw machine.fault(
      `a tensor of size [${size}], stride [${stride}] and offset ${offset} lies outside of its storage of ${storage.length} elements: corrupt`,
    );
  }
  return new TensorSpec(storage, storage.start + offset, [...size], [...stride]);
}

/** The tensor inside of a parameter, whose gradient flag is left out. */
function rebuildParameter([data]: Node[], machine: Machine): TensorSpec | Foreign {
  if (data instanceof ForeignObject) return data;
  if (!(data instanceof TensorSpec)) throw machine.fault('a parameter without a tensor: corrupt');
  return data;
}

const TENSOR_MAKERS: ReadonlySet<string> = new Set([
  'torch._utils._rebuild_tensor_v2',
  'torch._utils._rebuild_parameter',
  'torch._utils._rebuild_parameter_with_state',
]);

/** _rebuild_from_type_v2(function, type, args, state): a tensor with attributes of Python's, which are left out. */
function rebuildFromType([make, , args]: Node[], machine: Machine): Node {
  if (make instanceof ForeignObject) return new ForeignObject(make.name);
  if (!(make instanceof KnownGlobal) || !TENSOR_MAKERS.has(make.name) || !Array.isArray(args)) {
    throw machine.fault('a tensor that nothing rebuilds: corrupt');
  }
  return make.call!(args, machine);
}

function orderedDict([pairs]: Node[], machine: Machine): Node {
  const dict = new Map<Node, Node>();
  if (pairs === undefined) return dict;
  if (!Array.isArray(pairs)) throw machine.fault('an OrderedDict of what is no list: corrupt');
  machine.charge(pairs.length);
  for (const pair of pairs) {
    // Python 2 writes the pairs here; later versions set them as items.
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw machine.fault('an OrderedDict of what is no pair: corrupt');
    }
    const [key, value] = pair as [Node, Node];
    dict.set(machine.key(key), value);
  }
  return dict;
}

function set([items]: Node[], machine: Machine): Node {
  if (!Array.isArray(items)) throw machine.fault('a set of what is no list: corrupt');
  machine.charge(items.length);
  return new Set(items.map((item) => machine.key(item)));
}

function torchSize([size]: Node[], machine: Machine): Node {
  if (!isShape(size)) throw machine.fault('a torch.Size of what are no sizes: corrupt');
  machine.charge(size.length);
  return [...size];
}

/** _codecs.encode(text, 'latin1'): how protocol 2 writes bytes. */
function encode([text, encoding]: Node[], machine: Machine): Node {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Latin-1 is all code points up to 255
  if (typeof text !== 'string' || encoding !== 'latin1' || !/^[\u0000-\u00ff]*$/.test(text)) {
    throw machine.fault('bytes that are not written as Latin-1: corrupt');
  }
  machine.charge(text.length);
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** bytes(): how protocol 2 writes no bytes. */
function noBytes(args: Node[], machine: Machine): Node {
  if (args.length !== 0) throw machine.fault('bytes of something: corrupt');
  return new Uint8Array();
}

function numpyType([code]: Node[], machine: Machine): Node {
  if (typeof code !== 'string') throw machine.fault('a numpy type without a code: corrupt');
  return new NumpyType(code);
}

const NUMPY_READERS = new Map<
  string,
  [bytes: number, read: (v: DataView, little: boolean) => number | bigint | boolean]
>([
  ['f8', [8, (v, little) => v.getFloat64(0, little)]],
  ['f4', [4, (v, little) => v.getFloat32(0, little)]],
  ['i8', [8, (v, little) => safeNumber(v.getBigInt64(0, little))]],
  ['u8', [8, (v, little) => safeNumber(v.getBigUint64(0, little))]],
  ['i4', [4, (v, little) => v.getInt32(0, little)]],
  ['u4', [4, (v, little) => v.getUint32(0, little)]],
  ['i2', [2, (v, little) => v.getInt16(0, little)]],
  ['u2', [2, (v, little) => v.getUint16(0, little)]],
  ['i1', [1, (v) => v.getInt8(0)]],
  ['u1', [1, (v) => v.getUint8(0)]],
  ['b1', [1, (v) => v.getUint8(0) !== 0]],
]);

/** numpy.core.multiarray.scalar(dtype, bytes), as a plain number or boolean; of texts, dates and objects a stub. */
function numpyScalar([type, bytes]: Node[], machine: Machine): Node {
  if (!(type instanceof NumpyType)) throw machine.fault('a numpy scalar without a type: corrupt');
  const reader = NUMPY_READERS.get(type.code);
  if (reader === undefined) return new ForeignObject('numpy.generic');
  const [length, read] = reader;
  if (!(bytes instanceof Uint8Array) || bytes.length !== length) {
    throw machine.fault(`a numpy ${type.code} without ${length} bytes: corrupt`);
  }
  return read(new DataView(bytes.buffer, bytes.byteOffset, length), type.littleEndian);
}

function safeNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The types that `torch` has for storages, and what their elements are here. */
export const STORAGE_TYPES: readonly [string, DType][] = [
  ['FloatStorage', 'float32'],
  ['DoubleStorage', 'float64'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['LongStorage', 'int64'],
  ['IntStorage', 'int32'],
  ['ShortStorage', 'int16'],
  ['CharStorage', 'int8'],
  ['ByteStorage', 'uint8'],
  ['BoolStorage', 'bool'],
];

// `__builtin__` is what protocol 2 calls Python 3's `builtins`.
const FUNCTIONS: readonly [string, (args: Node[], machine: Machine) => Node][] = [
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['torch.nn.parameter.Parameter', rebuildParameter],
  ['torch.Size', torchSize],
  ['__builtin__.set', set],
  ['builtins.set', set],
  ['__builtin__.frozenset', set],
  ['builtins.frozenset', set],
  ['__builtin__.bytes', noBytes],
  ['_codecs.encode', encode],
  ['numpy.dtype', numpyType],
  ['numpy.core.multiarray.scalar', numpyScalar],
  ['numpy._core.multiarray.scalar', numpyScalar],
];

/** Functions that make an object of the class that is their first argument. */
const MAKERS: ReadonlySet<string> = new Set([
  'copyreg._reconstructor',
  'copy_reg._reconstructor',
  'copyreg.__newobj__',
  'numpy.core.multiarray._reconstruct',
  'numpy._core.multiarray._reconstruct',
  'builtins.getattr',
  '__builtin__.getattr',
]);

/**
 * Names with which a pickle runs commands or code when Python opens it. They would be as inert here as any other, but a
 * file that has one is an attack.
 */
const CODE_RUNNERS =
  /^((os|posix|nt|subprocess|pty|runpy|importlib|shutil|socket|ctypes|webbrowser)\.|(builtins|__builtin__)\.(eval|exec|execfile|compile|open|__import__|breakpoint|input|apply)$)/;

const GLOBALS = new Map<string, KnownGlobal>([
  ...STORAGE_TYPES.map(
    ([name, dtype]) => [`torch.${name}`, new KnownGlobal(`torch.${name}`, dtype, null)] as const,
  ),
  ...FUNCTIONS.map(([name, call]) => [name, new KnownGlobal(name, null, call)] as const),
]);
