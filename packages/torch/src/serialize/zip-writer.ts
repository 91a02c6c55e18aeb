// Writes zip archives as torch.save does: stored members, each content at a multiple of 64 bytes, so that it can be mapped.
import { writeSync } from 'node:fs';
import * as zlib from 'node:zlib';
import { WeightsFileError } from './reader.js';
import { writeAll } from './write-file.js';

/** A member whose content is told of in parts. */
export interface StoredMember {
  /** ASCII. */
  readonly name: string;
  /** Bytes of content. */
  readonly size: number;
  /** Gives exactly `size` bytes to `sink`, in order. */
  readonly write: (sink: (bytes: Uint8Array) => void) => void;
}

// Node has it from 20.15 on.
const { crc32 } = zlib as { crc32?: typeof zlib.crc32 };

const ALIGNMENT = 64;
const LOCAL_SIZE = 30;
const ENTRY_SIZE = 46;
const END_SIZE = 22;
const CRC_OFFSET = 14;
/** 1 January 1980, the first day that the format knows: no date, so that equal weights are equal files. */
const DATE = 0x21;
/** The id under which torch.save keeps its padding, `FB`. */
const PADDING_FIELD = 0x4246;
const MOST_MEMBERS = 0xfffe;
const MOST_BYTES = 0xfffffffe;

/**
 * Writes the members in their order to an empty file (PKWARE APPNOTE 6.3, without zip64).
 * @throws WeightsFileError before anything is written, for more than 65,534 members or 4 GiB, and on Node before 20.15
 */
export function writeZip(fd: number, members: readonly StoredMember[]): void {
  if (crc32 === undefined) throw new WeightsFileError('it takes Node 20.15 or newer to write a .pth');
  let offset = 0;
  const placed = members.map((member) => {
    const header = offset;
    const bare = header + LOCAL_SIZE + member.name.length + 4;
    const padding = (ALIGNMENT - (bare % ALIGNMENT)) % ALIGNMENT;
    offset = bare + padding + member.size;
    return { ...member, header, padding };
  });
  const directoryStart = offset;
  const directorySize = members.reduce((sum, { name }) => sum + ENTRY_SIZE + name.length, 0);
  if (members.length > MOST_MEMBERS || directoryStart + directorySize > MOST_BYTES) {
    throw new WeightsFileError(
      `${members.length} members of ${directoryStart} bytes are more than a .pth is written with here, ${MOST_MEMBERS} and 4 GiB: safetensors has no such limit`,
    );
  }
  const directory = placed.map((member) => {
    writeAll(fd, localHeader(member, member.padding));
    let crc = 0;
    member.write((bytes) => {
      crc = crc32(bytes, crc);
      writeAll(fd, bytes);
    });
    const sum = Buffer.alloc(4);
    sum.writeUInt32LE(crc);
    writeSync(fd, sum, 0, 4, member.header + CRC_OFFSET);
    return entry(member, crc);
  });
  writeAll(fd, Buffer.concat([...directory, end(members.length, directorySize, directoryStart)]));
}

/** What follows on the version in a local header and in the directory: method, time, checksum, sizes, length of the name. */
function describe(into: Buffer, at: number, { name, size }: StoredMember, crc: number): void {
  into.writeUInt16LE(DATE, at + 6);
  into.writeUInt32LE(crc, at + 8);
  into.writeUInt32LE(size, at + 12);
  into.writeUInt32LE(size, at + 16);
  into.writeUInt16LE(name.length, at + 20);
}

/** With a checksum of zero, which is known when the content is written. */
function localHeader(member: StoredMember, padding: number): Buffer {
  const header = Buffer.alloc(LOCAL_SIZE + member.name.length + 4 + padding);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(20, 4);
  describe(header, 6, member, 0);
  header.writeUInt16LE(4 + padding, 28);
  const extra = LOCAL_SIZE + header.write(member.name, LOCAL_SIZE, 'latin1');
  header.writeUInt16LE(PADDING_FIELD, extra);
  header.writeUInt16LE(padding, extra + 2);
  return header;
}

function entry(member: StoredMember & { readonly header: number }, crc: number): Buffer {
  const header = Buffer.alloc(ENTRY_SIZE + member.name.length);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(20, 4);
  header.writeUInt16LE(20, 6);
  describe(header, 8, member, crc);
  header.writeUInt32LE(member.header, 42);
  header.write(member.name, ENTRY_SIZE, 'latin1');
  return header;
}

function end(count: number, size: number, offset: number): Buffer {
  const record = Buffer.alloc(END_SIZE);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(count, 8);
  record.writeUInt16LE(count, 10);
  record.writeUInt32LE(size, 12);
  record.writeUInt32LE(offset, 16);
  return record;
}
