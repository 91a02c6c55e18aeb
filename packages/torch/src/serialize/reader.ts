// Bounded reading of bytes from a file or from memory, and the error that says where a weights file is wrong.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** A weights file that cannot be read: the message names the file, the byte or entry, and the fault. */
export class WeightsFileError extends Error {
  override readonly name = 'WeightsFileError';
}

/** Random access to bytes; `name` is how errors call it. */
export interface ByteSource {
  readonly name: string;
  readonly size: number;
  /** The bytes [offset, offset + length); throws WeightsFileError where they are not all there. */
  read(offset: number, length: number): Buffer;
}

/** An open file as a byte source; close it when done. */
export class FileSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #fd: number;

  /** Opens a regular file for reading; throws WeightsFileError where there is none. */
  constructor(path: string) {
    this.name = path;
    try {
      this.#fd = openSync(path, 'r');
    } catch (error) {
      throw new WeightsFileError(`${path}: cannot be opened: ${(error as Error).message}`, { cause: error });
    }
    const stat = fstatSync(this.#fd);
    this.size = stat.size;
    if (!stat.isFile()) {
      this.close();
      throw new WeightsFileError(`${path}: not a regular file`);
    }
  }

  read(offset: number, length: number): Buffer {
    checkRange(this, offset, length);
    const bytes = Buffer.allocUnsafeSlow(length);
    let done = 0;
    while (done < length) {
      // One call reads less than 2 GiB at most.
      const count = readSync(this.#fd, bytes, done, Math.min(length - done, 1 << 30), offset + done);
      if (count === 0) {
        throw new WeightsFileError(`${this.name}: byte ${offset + done}: the file was cut while being read`);
      }
      done += count;
    }
    return bytes;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** Bytes in memory as a byte source; `name` is how errors call them. */
export class MemorySource implements ByteSource {
  readonly size: number;
  constructor(
    readonly name: string,
    private readonly bytes: Buffer,
  ) {
    this.size = bytes.length;
  }

  read(offset: number, length: number): Buffer {
    checkRange(this, offset, length);
    return this.bytes.subarray(offset, offset + length);
  }
}

function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size)) {
    throw new WeightsFileError(
      `${source.name}: byte ${offset}: ${length} bytes are expected here, but the data ends at ${source.size}: truncated or corrupt`,
    );
  }
}

/** Reads a byte source from front to back through a small window. */
export class ByteReader {
  #window: Buffer = Buffer.alloc(0);
  #windowStart = 0;
  #position: number;
  readonly #end: number;

  /** `limit`: the most bytes that may be read in all, which bounds work and memory on hostile files. */
  constructor(
    readonly source: ByteSource,
    start: number,
    private readonly limit: number,
  ) {
    this.#position = start;
    this.#end = start + limit;
  }

  /** The offset in the source of the next byte. */
  get position(): number {
    return this.#position;
  }

  /** A reader's fault at `position`, as an error to throw. */
  fault(message: string, position = this.#position): WeightsFileError {
    return new WeightsFileError(`${this.source.name}: byte ${position}: ${message}`);
  }

  /** The next `length` bytes: a view that the next call may not outlive, so copy what must stay. */
  bytes(length: number): Buffer {
    const start = this.#position;
    if (start + length > this.#end) throw this.fault(`more than ${this.limit} bytes of pickle, the limit`);
    let from = start - this.#windowStart;
    if (from + length > this.#window.length) {
      const ahead = Math.min(Math.max(length, 1 << 16), this.source.size - start);
      this.#window = this.source.read(start, Math.max(length, ahead));
      this.#windowStart = start;
      from = 0;
    }
    this.#position = start + length;
    return this.#window.subarray(from, from + length);
  }

  u8(): number {
    return this.bytes(1)[0]!;
  }

  u16(): number {
    return this.bytes(2).readUInt16LE();
  }

  u32(): number {
    return this.bytes(4).readUInt32LE();
  }

  i32(): number {
    return this.bytes(4).readInt32LE();
  }

  /** An unsigned 64-bit length. */
  u64(): number {
    const start = this.#position;
    const value = this.bytes(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.fault(`the length ${value} is impossible`, start);
    return Number(value);
  }

  f64(): number {
    return this.bytes(8).readDoubleBE();
  }

  /** UTF-8 text of `length` bytes. */
  text(length: number): string {
    const start = this.#position;
    const text = decodeUtf8(this.bytes(length));
    if (text === null) throw this.fault('text that is not UTF-8', start);
    return text;
  }

  /** UTF-8 text up to a newline, which is read too; at most `most` bytes. */
  line(most: number): string {
    const start = this.#position;
    const bytes: number[] = [];
    for (let byte = this.u8(); byte !== 0x0a; byte = this.u8()) {
      if (bytes.length === most) throw this.fault(`a line longer than ${most} bytes`, start);
      bytes.push(byte);
    }
    const text = decodeUtf8(Buffer.from(bytes));
    if (text === null) throw this.fault('text that is not UTF-8', start);
    return text;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Strict UTF-8 to text; null where the bytes are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  try {
    return UTF8.decode(bytes);
  } catch {
    return null;
  }
}

/** A name that came from a file, made fit for a message: quoted, escaped and cut to 120 characters. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
}

/** Whether a value of a file is a list of whole numbers from 0 that a number can hold. */
export function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** Whether a value of a file is a tensor's shape: at most 64 sizes, whose product a number can hold. */
export function isShape(value: unknown): value is number[] {
  return (
    Array.isArray(value) &&
    value.length <= 64 &&
    isCounts(value) &&
    Number.isSafeInteger(value.reduce((product, size) => product * (size || 1), 1))
  );
}
