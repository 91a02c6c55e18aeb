// The part of the zip format that weights files use: the central directory, stored and deflated members, zip64.
import { inflateRawSync } from 'node:zlib';
import { type ByteSource, decodeUtf8, quoted, WeightsFileError } from './reader.js';

const END = 0x06054b50;
const END_SIZE = 22;
const END64 = 0x06064b50;
const END64_SIZE = 56;
const LOCATOR64 = 0x07064b50;
const LOCATOR64_SIZE = 20;
const ENTRY = 0x02014b50;
const ENTRY_SIZE = 46;
const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
const ZIP64_FIELD = 1;
const MOST_DIRECTORY_BYTES = 1 << 28;
// Deflate cannot do better than 1032 to 1, so a larger claim is false.
const MOST_DEFLATE_RATIO = 1032;

/** A member of a zip file: where its bytes lie, and how. */
export interface ZipMember {
  readonly name: string;
  readonly deflated: boolean;
  /** Bytes in the file. */
  readonly packedSize: number;
  /** Bytes of content. */
  readonly size: number;
  readonly headerOffset: number;
}

/**
 * Reads a zip file's central directory (PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3): name to member, in the file's order.
 * Checksums are not verified: PyTorch can be told to write none.
 *
 * @throws WeightsFileError for truncated, encrypted, split or inconsistent archives and repeated names.
 */
export function readZipDirectory(source: ByteSource): Map<string, ZipMember> {
  const fault = (what: string) => new WeightsFileError(`${source.name}: ${what}`);
  const { count, size, offset } = findDirectory(source);
  if (size > MOST_DIRECTORY_BYTES) throw fault(`a zip directory of ${size} bytes is over the limit`);
  const directory = source.read(offset, size);
  const members = new Map<string, ZipMember>();
  let at = 0;
  for (let index = 0; index < count; index++) {
    const where = `zip entry ${index} of ${count}`;
    if (at + ENTRY_SIZE > size || directory.readUInt32LE(at) !== ENTRY) {
      throw fault(`${where}, byte ${offset + at}: not a directory entry: truncated or corrupt`);
    }
    const nameEnd = at + ENTRY_SIZE + directory.readUInt16LE(at + 28);
    const extraEnd = nameEnd + directory.readUInt16LE(at + 30);
    const end = extraEnd + directory.readUInt16LE(at + 32);
    if (end > size) {
      throw fault(`${where}, byte ${offset + at}: runs past the directory: truncated or corrupt`);
    }
    const name = decodeUtf8(directory.subarray(at + ENTRY_SIZE, nameEnd));
    if (name === null) throw fault(`${where}: a name that is not UTF-8`);
    if (members.has(name)) throw fault(`the zip has two members named ${quoted(name)}`);
    if ((directory.readUInt16LE(at + 8) & 1) !== 0) throw fault(`zip member ${quoted(name)} is encrypted`);
    const method = directory.readUInt16LE(at + 10);
    if (method !== 0 && method !== 8) {
      throw fault(
        `zip member ${quoted(name)} is packed by method ${method}; stored (0) and deflate (8) are read`,
      );
    }
    const wide = new Zip64Values(directory.subarray(nameEnd, extraEnd), () =>
      fault(`zip member ${quoted(name)} lacks its 64-bit sizes`),
    );
    const unpacked = wide.or(directory.readUInt32LE(at + 24));
    const packed = wide.or(directory.readUInt32LE(at + 20));
    const headerOffset = wide.or(directory.readUInt32LE(at + 42));
    if (method === 0 && packed !== unpacked) {
      throw fault(`zip member ${quoted(name)} is stored with two different sizes`);
    }
    if (headerOffset + LOCAL_SIZE + packed > offset) {
      throw fault(`zip member ${quoted(name)} runs into the directory: truncated or corrupt`);
    }
    members.set(name, { name, deflated: method === 8, packedSize: packed, size: unpacked, headerOffset });
    at = end;
  }
  if (at !== size) throw fault(`the zip directory has ${size - at} bytes more than its ${count} entries`);
  return members;
}

/** The offset of a member's first byte in the file. */
export function memberOffset(source: ByteSource, member: ZipMember): number {
  const local = source.read(member.headerOffset, LOCAL_SIZE);
  const nameLength = local.readUInt16LE(26);
  const start = member.headerOffset + LOCAL_SIZE;
  if (
    local.readUInt32LE(0) !== LOCAL ||
    !source.read(start, nameLength).equals(Buffer.from(member.name, 'utf8'))
  ) {
    throw new WeightsFileError(
      `${source.name}: byte ${member.headerOffset}: zip member ${quoted(member.name)} does not start where the directory says: corrupt`,
    );
  }
  const offset = start + nameLength + local.readUInt16LE(28);
  if (offset + member.packedSize > source.size) {
    throw new WeightsFileError(
      `${source.name}: zip member ${quoted(member.name)} runs past the end: truncated or corrupt`,
    );
  }
  return offset;
}

/** A member's content, unpacked; `most` bounds its size in bytes. */
export function readMember(source: ByteSource, member: ZipMember, most: number): Buffer {
  const fault = (what: string, cause?: unknown) =>
    new WeightsFileError(`${source.name}: zip member ${quoted(member.name)} ${what}`, { cause });
  if (member.size > most) throw fault(`has ${member.size} bytes, more than the limit of ${most}`);
  if (member.size > member.packedSize * MOST_DEFLATE_RATIO) {
    throw fault(`claims ${member.size} bytes from ${member.packedSize} packed ones, which deflate cannot do`);
  }
  const packed = source.read(memberOffset(source, member), member.packedSize);
  if (!member.deflated) return packed;
  let content: Buffer;
  try {
    // The limit must be positive, also for a member of no bytes.
    content = inflateRawSync(packed, { maxOutputLength: Math.max(member.size, 1) });
  } catch (error) {
    throw fault(`cannot be unpacked: ${(error as Error).message}`, error);
  }
  if (content.length !== member.size) {
    throw fault(`unpacks to ${content.length} bytes, where the directory says ${member.size}`);
  }
  return content;
}

function findDirectory(source: ByteSource): { count: number; size: number; offset: number } {
  const tailSize = Math.min(source.size, END_SIZE + 0xffff);
  const tailStart = source.size - tailSize;
  const tail = source.read(tailStart, tailSize);
  for (let at = tailSize - END_SIZE; at >= 0; at--) {
    // The comment must reach the end exactly, so that no signature inside a comment is taken for the record.
    if (tail.readUInt32LE(at) !== END || at + END_SIZE + tail.readUInt16LE(at + 20) !== tailSize) continue;
    const endOffset = tailStart + at;
    const disks = tail.readUInt16LE(at + 4) | tail.readUInt16LE(at + 6);
    const found = {
      count: tail.readUInt16LE(at + 10),
      size: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
    const wide = found.count === 0xffff || found.size === 0xffffffff || found.offset === 0xffffffff;
    const [directory, limit] = wide ? readWideEnd(source, endOffset) : [found, endOffset];
    if ((!wide && disks !== 0) || directory.offset + directory.size > limit) {
      throw new WeightsFileError(
        `${source.name}: byte ${endOffset}: the zip's end record does not fit the file: corrupt`,
      );
    }
    return directory;
  }
  throw new WeightsFileError(`${source.name}: starts as a zip file but has no end record: truncated`);
}

function readWideEnd(
  source: ByteSource,
  endOffset: number,
): [{ count: number; size: number; offset: number }, number] {
  const locatorOffset = endOffset - LOCATOR64_SIZE;
  const corrupt = () =>
    new WeightsFileError(
      `${source.name}: byte ${locatorOffset}: the zip64 end record is missing or damaged: corrupt`,
    );
  if (locatorOffset < END64_SIZE) throw corrupt();
  const locator = source.read(locatorOffset, LOCATOR64_SIZE);
  const recordOffset = Number(locator.readBigUInt64LE(8));
  if (locator.readUInt32LE(0) !== LOCATOR64 || recordOffset + END64_SIZE > locatorOffset) throw corrupt();
  const record = source.read(recordOffset, END64_SIZE);
  if (record.readUInt32LE(0) !== END64) throw corrupt();
  const [count, size, offset] = [32, 40, 48].map((at) => Number(record.readBigUInt64LE(at))) as [
    number,
    number,
    number,
  ];
  return [{ count, size, offset }, recordOffset];
}

/** The 64-bit values of an entry's zip64 extra field, taken in order for the fields that say 0xffffffff. */
class Zip64Values {
  #values: Buffer | null = null;
  #at = 0;

  constructor(
    extra: Buffer,
    private readonly missing: () => WeightsFileError,
  ) {
    for (let at = 0; at + 4 <= extra.length; ) {
      const end = at + 4 + extra.readUInt16LE(at + 2);
      if (extra.readUInt16LE(at) === ZIP64_FIELD && end <= extra.length) {
        this.#values = extra.subarray(at + 4, end);
        return;
      }
      at = end;
    }
  }

  or(narrow: number): number {
    if (narrow !== 0xffffffff) return narrow;
    if (this.#values === null || this.#at + 8 > this.#values.length) throw this.missing();
    const value = this.#values.readBigUInt64LE(this.#at);
    this.#at += 8;
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.missing();
    return Number(value);
  }
}
