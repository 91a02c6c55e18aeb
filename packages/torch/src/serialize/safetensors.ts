// The safetensors format, both ways: a JSON header of names, dtypes, shapes and offsets, then the raw bytes.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { type DType, itemSize } from '../dtype.js';
import { native } from '../native.js';
import type { Tensor } from '../tensor.js';
import { FollowingHash } from './hash-thread.js';
import { walkJson } from './json-walk.js';
import { MappedFile } from './mapped-file.js';
import type { LoadOptions } from './pth.js';
import {
  type ByteSource,
  decodeUtf8,
  FileSource,
  isCounts,
  isShape,
  quoted,
  WeightsFileError,
} from './reader.js';
import { eachChunk, writeAll, writeWhole } from './write-file.js';

/** Tensors by name, in the file's order, and the texts that a weights file carries beside them. */
export interface Weights {
  tensors: Map<string, Tensor>;
  /** Without prototype, so that any key is safe. */
  metadata: Record<string, string>;
}

/** Where a tensor lies; `start` and `end` count bytes from the end of the header. */
interface Entry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

const METADATA = '__metadata__';
/** Files from so many bytes on are hashed by a thread: 20 ms of hashing, about what it takes to start one. */
const THREAD_BYTES = 1 << 25;
/** The disk writes so many while the next are hashed: else it would begin only at the flush, which waits for it. */
const WRITEBACK_BYTES = 1 << 24;
const MOST_HEADER_BYTES = 100_000_000;
const ALIGNMENT = 64;
const READ_BYTES = 1 << 22;

/** The text of a file's header that holds its checksum. */
const CHECKSUM = 'sha256';
/** What stands in the checksum's place while it is computed: of its length. */
const NO_CHECKSUM = '0'.repeat(64);

const CODES: readonly (readonly [DType, string])[] = [
  ['float64', 'F64'],
  ['float32', 'F32'],
  ['float16', 'F16'],
  ['bfloat16', 'BF16'],
  ['int64', 'I64'],
  ['int32', 'I32'],
  ['int16', 'I16'],
  ['int8', 'I8'],
  ['uint8', 'U8'],
  ['bool', 'BOOL'],
];
const CODE_OF = new Map(CODES);
const DTYPE_OF = new Map(CODES.map(([dtype, code]) => [code, dtype]));

export interface SaveOptions {
  /** Keep SHA-256 over the whole file in its header, as the text `sha256`, which {@link checkSafetensors} compares. */
  readonly checksum?: boolean | undefined;
}

/**
 * Writes tensors, of any device, to a safetensors file; views are written in full. The file takes its name only when
 * its bytes are complete and on disk (a temporary file beside it, then a rename). The header keeps the order given;
 * the data starts at a multiple of 64 bytes, wide elements first, so that a reader can map all of it.
 *
 * @param metadata texts by key, kept in the header under `__metadata__`
 * @throws WeightsFileError for the reserved names `__metadata__` and, with a checksum, `sha256`; a dtype that the format lacks or metadata that is no
 * text; the system's error where the disk refuses. In each case `path` is left as it was.
 */
export function saveSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
  { checksum = false }: SaveOptions = {},
): void {
  if (checksum && CHECKSUM in metadata) {
    throw new WeightsFileError(`${path}: the text ${CHECKSUM} is the checksum's`);
  }
  const named: [string, Tensor][] = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const wideFirst = named.toSorted(([, a], [, b]) => itemSize(b.dtype) - itemSize(a.dtype));
  const { header, dataBytes } = encodeHeader(path, named, wideFirst, metadata, checksum);
  writeWhole(path, (fd) => {
    using hash = checksum ? sumOf(fd, header.length + dataBytes) : undefined;
    let unsent = 0;
    const write = (bytes: Uint8Array) => {
      writeAll(fd, bytes);
      hash?.wrote(bytes);
      unsent += bytes.length;
      if (unsent < WRITEBACK_BYTES) return;
      native.startWriteback(fd);
      unsent = 0;
    };
    write(header);
    for (const [, tensor] of wideFirst) eachChunk(tensor, write);
    if (hash) writeSync(fd, hash.digest(), placeOfChecksum(header)!);
  });
}

interface Sum extends Disposable {
  /** These are the file's next bytes, and already there. */
  wrote(bytes: Uint8Array): void;
  /** SHA-256 in hexadecimal digits. */
  digest(): string;
}

/** The sum of a file that is written to `fd`: by a thread where that is worth it. @param length the file's, in bytes. */
function sumOf(fd: number, length: number): Sum {
  if (length >= THREAD_BYTES) return new FollowingHash(fd);
  const hash = createHash('sha256');
  return { wrote: (bytes) => hash.update(bytes), digest: () => hash.digest('hex'), [Symbol.dispose]() {} };
}

function encodeHeader(
  path: string,
  named: readonly [string, Tensor][],
  writeOrder: readonly [string, Tensor][],
  metadata: Readonly<Record<string, string>>,
  checksum: boolean,
): { header: Buffer; dataBytes: number } {
  const offsets = new Map<string, readonly [number, number]>();
  let end = 0;
  for (const [name, tensor] of writeOrder) {
    const start = end;
    end += tensor.numel * itemSize(tensor.dtype);
    offsets.set(name, [start, end]);
  }
  const parts: string[] = [];
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') {
      throw new WeightsFileError(`${path}: metadata ${quoted(key)} must be a text`);
    }
  }
  // The checksum first, which an object's keys could not promise.
  const texts = [...(checksum ? [[CHECKSUM, NO_CHECKSUM] as const] : []), ...Object.entries(metadata)];
  const pairs = texts.map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`);
  if (pairs.length > 0) parts.push(`"${METADATA}":{${pairs.join(',')}}`);
  for (const [name, { dtype, shape }] of named) {
    const code = CODE_OF.get(dtype);
    if (code === undefined) {
      throw new WeightsFileError(`${path}: ${quoted(name)}: safetensors has no dtype ${dtype}`);
    }
    if (name === METADATA) {
      throw new WeightsFileError(`${path}: the name ${METADATA} is reserved by the format`);
    }
    parts.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: code, shape, data_offsets: offsets.get(name) })}`,
    );
  }
  const json = Buffer.from(`{${parts.join(',')}}`, 'utf8');
  const length = Math.ceil((8 + json.length) / ALIGNMENT) * ALIGNMENT - 8;
  if (length > MOST_HEADER_BYTES) {
    throw new WeightsFileError(
      `${path}: a header of ${length} bytes is over the format's ${MOST_HEADER_BYTES}`,
    );
  }
  const header = Buffer.alloc(8 + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, 8);
  return { header, dataBytes: end };
}

/** Where in a file's first bytes the checksum stands: before all other texts. Another text of its name is none. */
function placeOfChecksum(header: Buffer): number | undefined {
  const start = `{"${METADATA}":{"${CHECKSUM}":"`;
  const text = header.toString('latin1', 8, 8 + start.length + NO_CHECKSUM.length + 1);
  return text.startsWith(start) && /[0-9a-f]{64}"$/.test(text) ? 8 + start.length : undefined;
}

/**
 * Compares a file with the checksum that {@link saveSafetensors} put into it: SHA-256 over all of the file, the checksum's
 * own digits counted as zeros.
 * @returns undefined where the file has none.
 * @throws the system's error if the file cannot be read.
 */
export function checkSafetensors(path: string): boolean | undefined {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(READ_BYTES);
    let hash: Hash | undefined;
    let expected = '';
    for (let at = 0; ; ) {
      const bytes = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, at));
      if (at === 0) {
        const place = placeOfChecksum(bytes);
        if (place === undefined) return undefined;
        hash = createHash('sha256');
        expected = bytes.toString('latin1', place, place + NO_CHECKSUM.length);
        bytes.write(NO_CHECKSUM, place, 'latin1');
      }
      if (bytes.length === 0) return hash!.digest('hex') === expected;
      hash!.update(bytes);
      at += bytes.length;
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a safetensors file; the whole header is checked before any tensor is made.
 *
 * @throws WeightsFileError naming the file and the entry: for a header that is too long or no JSON object, unknown
 * dtypes, repeated names, and offsets that do not fit the shapes or do not tile the data without gap and overlap.
 */
export function loadSafetensors(path: string, options: LoadOptions = {}): Weights {
  const { metadata, read } = indexSafetensors(path, options);
  return { tensors: read(), metadata };
}

/** Reads and checks the header alone. @throws WeightsFileError as {@link loadSafetensors} does. */
export function indexSafetensors(
  path: string,
  { mmap = true }: LoadOptions = {},
): {
  entries: Map<string, Entry>;
  metadata: Record<string, string>;
  read(names?: Iterable<string>): Map<string, Tensor>;
} {
  const file = new FileSource(path);
  let header: Header;
  try {
    header = readHeader(file);
  } finally {
    file.close();
  }
  const { metadata, dataStart } = header;
  const entries = new Map(header.entries.map((entry) => [entry.name, entry]));
  const read = (names: Iterable<string> = entries.keys()) => {
    const mapped = new MappedFile(path, file.size, !mmap);
    const tensors = new Map<string, Tensor>();
    try {
      for (const name of names) {
        const { shape, dtype, start } = entries.get(name)!;
        const numel = shape.reduce((product, size) => product * size, 1);
        const flat = mapped.tensor(dataStart + start, numel, dtype);
        tensors.set(name, flat.view([...shape]));
        flat.dispose();
      }
      return tensors;
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    } finally {
      mapped.dispose();
    }
  };
  return { entries, metadata, read };
}

interface Header {
  readonly entries: Entry[];
  readonly metadata: Record<string, string>;
  readonly dataStart: number;
}

function readHeader(file: ByteSource): Header {
  const fault = (what: string) => new WeightsFileError(`${file.name}: ${what}`);
  if (file.size < 8) throw fault(`${file.size} bytes are too few for a safetensors file: truncated`);
  const length = file.read(0, 8).readBigUInt64LE();
  if (length > BigInt(MOST_HEADER_BYTES)) {
    throw fault(
      `a header of ${length} bytes is over the format's ${MOST_HEADER_BYTES}: corrupt, or no safetensors file`,
    );
  }
  const dataStart = 8 + Number(length);
  if (dataStart > file.size) {
    throw fault(`the header ends at byte ${dataStart}, past the file's ${file.size}: truncated`);
  }
  const text = decodeUtf8(file.read(8, Number(length)));
  if (text === null) throw fault('the header is not UTF-8');
  if (!text.startsWith('{')) throw fault('the header does not start with {: corrupt, or no safetensors file');
  // Parsed, a header takes many times its bytes.
  const { excess, keys } = walkJson(text);
  if (excess !== undefined) throw fault(`the header ${excess}: corrupt, or no safetensors file`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new WeightsFileError(`${file.name}: the header is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const header = new Map(Object.entries(json as Record<string, unknown>));
  const names = keys.map((key) => JSON.parse(key) as string);
  const unseen = new Set(names);
  const repeated = names.find((name) => !unseen.delete(name));
  if (repeated !== undefined) throw fault(`the header names ${quoted(repeated)} twice`);
  const metadata = checkMetadata(header.get(METADATA) ?? {}, fault);
  const entries = names
    .filter((name) => name !== METADATA)
    .map((name) => checkEntry(name, header.get(name), fault));
  checkTiling(entries, file.size - dataStart, fault);
  return { entries, metadata, dataStart };
}

type Fault = (what: string) => WeightsFileError;

function checkMetadata(value: unknown, fault: Fault): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fault(`${METADATA} is not an object`);
  }
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fault(`${METADATA}: ${quoted(key)} is not a text`);
    metadata[key] = text;
  }
  return metadata;
}

function checkEntry(name: string, value: unknown, fault: Fault): Entry {
  const where = `tensor ${quoted(name)}`;
  if (typeof value !== 'object' || value === null) throw fault(`${where}: its entry is not an object`);
  const { dtype: code, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const dtype = typeof code === 'string' ? DTYPE_OF.get(code) : undefined;
  if (dtype === undefined) {
    const known = CODES.map(([, each]) => each).join(', ');
    throw fault(
      `${where}: dtype ${quoted(typeof code === 'string' ? code : `${JSON.stringify(code)}`)} is not read; these are: ${known}`,
    );
  }
  if (!isShape(shape)) throw fault(`${where}: its shape is not a list of sizes`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw fault(`${where}: its data_offsets are not two positions`);
  }
  const [start, end] = offsets as [number, number];
  const bytes = shape.reduce((product, size) => product * size, itemSize(dtype));
  if (end - start !== bytes) {
    throw fault(
      `${where}: shape [${shape}] of ${code} needs ${bytes} bytes, its offsets [${start}, ${end}] hold ${end - start}`,
    );
  }
  return { name, dtype, shape, start, end };
}

/** Every byte of the data belongs to exactly one tensor. */
function checkTiling(entries: readonly Entry[], size: number, fault: Fault): void {
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const where = `tensor ${quoted(entry.name)}: its data starts at ${entry.start}`;
    if (entry.start < end) throw fault(`${where}, inside of the one before, which ends at ${end}`);
    if (entry.start > end) throw fault(`${where} and leaves a gap from ${end}`);
    end = entry.end;
  }
  if (end > size) throw fault(`the tensors need ${end} bytes of data and the file has ${size}: truncated`);
  if (end < size) throw fault(`${size - end} bytes follow the last tensor: corrupt`);
}
