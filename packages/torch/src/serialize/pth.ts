// PyTorch's own files (.pth, .pt): torch.save's zip archives and the format before version 1.6, read without Python.
import { itemSize } from '../dtype.js';
import { fromTypedArray } from '../factories.js';
import type { Tensor } from '../tensor.js';
import { asDtype, MappedFile } from './mapped-file.js';
import { type Plain, replaceLeaves } from './plain.js';
import { ByteReader, type ByteSource, FileSource, MemorySource, quoted, WeightsFileError } from './reader.js';
import { MOST_PICKLE_BYTES, type StorageSpec, type TensorSpec, unpickle } from './unpickle.js';
import { memberOffset, readMember, readZipDirectory, type ZipMember } from './zip.js';

/**
 * What a .pth file holds: dictionaries as Map, lists and tuples as arrays, bytes as Uint8Array, None as null, integers
 * beyond 2^53 as bigint, parameters and tensors as Tensor (on the CPU, no gradient asked), objects of programs as
 * {@link ForeignObject}.
 */
export type PickleValue = Plain<Tensor>;

/** Options of the readers of weights files. */
export interface LoadOptions {
  /**
   * Default true: tensors stand on a private mapping of the file, so that pages are read when first used; the file must
   * then keep its bytes while they live (replacing it by rename is safe). False copies them into memory of their own.
   */
  mmap?: boolean;
}

/** Weights hardly get smaller by deflate, which torch.save does not use: all packed storages may unpack to so many times the file. */
const MOST_UNPACKED = 16;
/** But always to so many bytes. */
const ALWAYS_UNPACKED = 2 ** 24;

/** 0x1950a86a20f9469cfc6c, the first pickle of the format before 1.6. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** Reads a storage's bytes from the file that it was found in. */
type StorageLoader = (file: ByteSource, mapped: MappedFile, storage: StorageSpec) => Tensor;

/** A .pth file that was looked into: what its pickle says, and how to read the tensors that it describes. */
export interface ParsedPth {
  readonly path: string;
  readonly tree: Plain<TensorSpec>;
  readonly size: number;
  readonly load: StorageLoader;
}

/**
 * Reads a file of torch.save, both the zip archives (since PyTorch 1.6) and the format before, without ever running
 * code: tensors and plain containers are built, and inert stubs in place of objects. Tensors that share a storage in the
 * file share it here too.
 *
 * @throws WeightsFileError naming the file and the byte or the member: for a pickle that would run commands, for damaged,
 * truncated, big-endian, TorchScript or other files.
 */
export function loadPth(path: string, options: LoadOptions = {}): PickleValue {
  const parsed = parsePth(path);
  return readTensors(parsed, (attach) => replaceLeaves(parsed.tree, attach), options);
}

/** Reads the pickle alone. @throws WeightsFileError as {@link loadPth} does. */
export function parsePth(path: string): ParsedPth {
  const file = new FileSource(path);
  try {
    const isZip = file.size >= 4 && file.read(0, 4).readUInt32LE() === 0x04034b50;
    return { path, size: file.size, ...(isZip ? parseZip(file) : parseLegacy(file)) };
  } finally {
    file.close();
  }
}

/**
 * Gives `use` the means to turn descriptions into tensors. If it throws, none of them stays allocated.
 * @throws WeightsFileError for storages that are missing or damaged, and where the file has changed since it was parsed
 */
export function readTensors<T>(
  { path, size, load }: ParsedPth,
  use: (attach: (spec: TensorSpec) => Tensor) => T,
  { mmap = true }: LoadOptions = {},
): T {
  const file = new FileSource(path);
  const mapped = new MappedFile(path, file.size, !mmap);
  const storages = new Map<string, Tensor>();
  const tensors: Tensor[] = [];
  try {
    if (file.size !== size) throw new WeightsFileError(`${path}: was replaced while it was being read`);
    return use(({ storage, offset, size, stride }) => {
      let elements = storages.get(storage.key);
      if (elements === undefined) {
        elements = load(file, mapped, storage);
        storages.set(storage.key, elements);
      }
      // as_strided counts an offset from the start of the whole mapping; without one it keeps that of its tensor.
      const rest = elements.narrow(0, offset, elements.numel - offset);
      const tensor = rest.asStrided(size, stride);
      rest.dispose();
      tensors.push(tensor);
      return tensor;
    });
  } catch (error) {
    for (const tensor of tensors) tensor.dispose();
    throw error;
  } finally {
    for (const elements of storages.values()) elements.dispose();
    mapped.dispose();
    file.close();
  }
}

function parseZip(file: ByteSource): Pick<ParsedPth, 'tree' | 'load'> {
  const members = readZipDirectory(file);
  const pickles = [...members.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  const pickle = pickles[0];
  if (pickle === undefined || pickles.length > 1) {
    throw new WeightsFileError(
      `${file.name}: a zip file with ${pickles.length} members <name>/data.pkl, where torch.save writes one`,
    );
  }
  const root = pickle.slice(0, -'data.pkl'.length);
  if (members.has(`${root}constants.pkl`)) {
    throw new WeightsFileError(
      `${file.name}: a TorchScript program, not weights; save them alone from Python: torch.save(module.state_dict(), path)`,
    );
  }
  const order = members.get(`${root}byteorder`);
  if (order !== undefined && readMember(file, order, 16).toString('latin1') !== 'little') {
    throw new WeightsFileError(
      `${file.name}: written on a big-endian machine; only little-endian files are read`,
    );
  }
  const unpacked = [...members.values()]
    .filter(({ name, deflated }) => deflated && name.startsWith(`${root}data/`))
    .reduce((sum, { size }) => sum + size, 0);
  if (unpacked > Math.max(ALWAYS_UNPACKED, MOST_UNPACKED * file.size)) {
    throw new WeightsFileError(
      `${file.name}: its packed storages claim ${unpacked} bytes, more than ${MOST_UNPACKED} times the file's ${file.size}: weights do not pack so well`,
    );
  }
  const content = readMember(file, members.get(pickle)!, MOST_PICKLE_BYTES);
  const source = new MemorySource(`${file.name}: ${pickle}`, content);
  const tree = unpickle(new ByteReader(source, 0, MOST_PICKLE_BYTES));
  return {
    tree,
    load: (opened, mapped, storage) => {
      const name = `${root}data/${storage.key}`;
      const member = members.get(name);
      if (member === undefined) {
        throw new WeightsFileError(`${opened.name}: storage ${quoted(name)} is missing`);
      }
      return loadMember(opened, mapped, member, storage);
    },
  };
}

function loadMember(file: ByteSource, mapped: MappedFile, member: ZipMember, storage: StorageSpec): Tensor {
  const { numel, dtype } = storage;
  const expected = numel * itemSize(dtype);
  if (member.size !== expected) {
    throw new WeightsFileError(
      `${file.name}: storage ${quoted(member.name)} has ${member.size} bytes, where ${numel} elements of ${dtype} need ${expected}: corrupt`,
    );
  }
  if (!member.deflated) return mapped.tensor(memberOffset(file, member), numel, dtype);
  const bytes = new Uint8Array(readMember(file, member, expected));
  return asDtype(fromTypedArray(bytes, [bytes.length]), dtype, false);
}

function parseLegacy(file: ByteSource): Pick<ParsedPth, 'tree' | 'load'> {
  const reader = new ByteReader(file, 0, MOST_PICKLE_BYTES);
  const magic = unpickle(reader);
  if (magic !== LEGACY_MAGIC) {
    throw new WeightsFileError(
      `${file.name}: a pickle, but not one of torch.save: its magic number is missing`,
    );
  }
  const protocol = unpickle(reader);
  if (protocol !== LEGACY_PROTOCOL) {
    throw new WeightsFileError(
      `${file.name}: torch.save protocol ${describe(protocol)}; ${LEGACY_PROTOCOL} is read`,
    );
  }
  const system = unpickle(reader);
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw new WeightsFileError(`${file.name}: not written on a little-endian machine, which alone is read`);
  }
  const types = new Map<string, StorageSpec>();
  const tree = unpickle(reader, types);
  const keys = unpickle(reader);
  if (!Array.isArray(keys)) throw reader.fault('no list of storages follows the object: corrupt');

  // A record does not say its element size: that is in the pickle, by key.
  const offsets = new Map<string, number>();
  let offset = reader.position;
  for (const key of keys) {
    const type = typeof key === 'string' ? types.get(key) : undefined;
    if (typeof key !== 'string' || type === undefined || offsets.has(key)) {
      throw reader.fault(`the list of storages has ${describe(key)}, which no tensor uses or twice: corrupt`);
    }
    const numel = file.read(offset, 8).readBigInt64LE();
    if (numel !== BigInt(type.numel)) {
      throw new WeightsFileError(
        `${file.name}: byte ${offset}: storage ${quoted(key)} has ${numel} elements, where its tensors say ${type.numel}: corrupt`,
      );
    }
    offsets.set(key, offset + 8);
    const end = offset + 8 + type.numel * itemSize(type.dtype);
    if (end > file.size) {
      throw new WeightsFileError(
        `${file.name}: byte ${offset}: storage ${quoted(key)} ends at byte ${end}, past the file's ${file.size}: truncated`,
      );
    }
    offset = end;
  }
  return {
    tree,
    load: (opened, mapped, { key, numel, dtype }) => {
      const start = offsets.get(key);
      if (start === undefined) {
        throw new WeightsFileError(`${opened.name}: storage ${quoted(key)} is missing`);
      }
      return mapped.tensor(start, numel, dtype);
    },
  };
}

function describe(value: Plain<TensorSpec>): string {
  return typeof value === 'string' ? quoted(value) : typeof value === 'object' ? 'an object' : String(value);
}
