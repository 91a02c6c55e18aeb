// RGB images as PNG files whose rows can be read one by one: `pgpc data cache` writes them.
//
// Every PNG reader (ISO/IEC 15948) reads them. Each row is a chunk of its own, uncompressed and unfiltered: all rows have
// one length, which says where each begins.

import { type FileHandle, open } from 'node:fs/promises';
import { borrow, giveBack } from './memory.js';
import { SIGNATURE } from './png.js';
import { crc32 } from './png-codec.js';
import type { Rect, RgbImage } from './types.js';

/** Length of a chunk, its type, and behind its content its checksum. */
const AROUND = 12;
/** Of a row's content before its pixels: the head of a stored block (RFC 1951, 3.2.4) and the row's filter, none. */
const BEFORE_PIXELS = 6;
/** Signature, header, and a chunk with the two bytes that every stream of zlib begins with. */
const BEFORE_ROWS = 8 + AROUND + 13 + AROUND + 2;
/** A stored block has at most 65,535 bytes; the filter takes one. */
export const MOST_COLUMNS = Math.floor(65_534 / 3);

const rowLength = (width: number) => AROUND + BEFORE_PIXELS + 3 * width;

function chunk(type: string, content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(AROUND + content.length);
  bytes.writeUInt32BE(content.length, 0);
  bytes.write(type, 4, 'latin1');
  bytes.set(content, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4);
  return bytes;
}

/** All that stands before the rows. */
function fileHead(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits, RGB; compression, filters and rows in the one way that there is, and in their order.
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', Uint8Array.of(0x78, 0x01))]);
}

/** All that stands before a row's pixels: its chunk's length and type, the stored block's head, the filter. */
function rowHead(width: number, isLast: boolean): Buffer {
  const head = Buffer.alloc(8 + BEFORE_PIXELS);
  const stored = 1 + 3 * width;
  head.writeUInt32BE(BEFORE_PIXELS + 3 * width, 0);
  head.write('IDAT', 4, 'latin1');
  head[8] = isLast ? 1 : 0;
  head.writeUInt16LE(stored, 9);
  head.writeUInt16LE(0xffff - stored, 11);
  return head;
}

/** @throws RangeError for more than {@link MOST_COLUMNS} columns. */
export function encodeRowPng({ width, height, data }: RgbImage): Uint8Array {
  if (width > MOST_COLUMNS) throw new RangeError(`a row of ${width} pixels is more than one block can hold`);
  const bytes = Buffer.alloc(BEFORE_ROWS + height * rowLength(width) + AROUND + 4 + AROUND);
  let at = fileHead(width, height).copy(bytes);
  let [a, b] = [1, 0];
  for (let y = 0; y < height; y++) {
    const row = data.subarray(3 * y * width, 3 * (y + 1) * width);
    const begin = at + 4;
    at += rowHead(width, y === height - 1).copy(bytes, at);
    bytes.set(row, at);
    at += row.length;
    at = bytes.writeUInt32BE(crc32(bytes.subarray(begin, at)), at);
    // Adler-32 (RFC 1950) of the filter, a 0, and the row.
    b = (b + a) % 65_521;
    for (const byte of row) {
      a = (a + byte) % 65_521;
      b = (b + a) % 65_521;
    }
  }
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(b * 65_536 + a, 0);
  at += chunk('IDAT', sum).copy(bytes, at);
  chunk('IEND', new Uint8Array()).copy(bytes, at);
  return bytes;
}

/** Whether a file that begins so is of this form, as far as its first row tells. */
function isHead(head: Buffer, width: number, height: number): boolean {
  if (width === 0 || height === 0 || width > MOST_COLUMNS) return false;
  return head.equals(Buffer.concat([fileHead(width, height), rowHead(width, height === 1)]));
}

/** A file of this form that is open. */
export class RowPng {
  #rows: Buffer | undefined;

  private constructor(
    readonly width: number,
    readonly height: number,
    readonly handle: FileHandle,
  ) {}

  /** @returns undefined for files of any other form. @throws Error if there is no such file. */
  static async open(file: string): Promise<RowPng | undefined> {
    const handle = await open(file);
    try {
      const head = Buffer.alloc(BEFORE_ROWS + 8 + BEFORE_PIXELS);
      const { bytesRead } = await handle.read(head, 0, head.length, 0);
      if (bytesRead === head.length && head.subarray(0, 8).equals(SIGNATURE)) {
        const [width, height] = [head.readUInt32BE(16), head.readUInt32BE(20)];
        if (isHead(head, width, height)) {
          // Memory is taken by the header's size, which the file must hold.
          const { size } = await handle.stat();
          if (size < BEFORE_ROWS + height * rowLength(width)) throw new Error('the file ends early');
          return new RowPng(width, height, handle);
        }
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  }

  /**
   * The pixels of a region that lies inside; they are good until the file is closed.
   * @throws Error if the file ends early, or a row is not what was written.
   */
  async decode({ left, top, width, height }: Rect): Promise<RgbImage> {
    const length = rowLength(this.width);
    const needed = height * length;
    if (this.#rows) giveBack(this.#rows);
    const rows = borrow(needed);
    this.#rows = rows;
    const { bytesRead } = await this.handle.read(rows, 0, needed, BEFORE_ROWS + top * length);
    if (bytesRead < needed) throw new Error('the file ends early');
    const heads = [false, true].map((isLast) => rowHead(this.width, isLast));
    for (let y = 0; y < height; y++) {
      const at = y * length;
      if (rows.readUInt32BE(at + length - 4) !== crc32(rows.subarray(at + 4, at + length - 4))) {
        throw new Error(`wrong checksum in row ${top + y}`);
      }
      const head = heads[top + y === this.height - 1 ? 1 : 0]!;
      if (head.compare(rows, at, at + head.length) !== 0) {
        throw new Error(`row ${top + y} is not stored as the one before it`);
      }
      // In place: what it goes to has been read.
      const from = at + 8 + BEFORE_PIXELS + 3 * left;
      rows.copyWithin(3 * y * width, from, from + 3 * width);
    }
    const data = new Uint8Array(rows.buffer, rows.byteOffset, 3 * width * height);
    return { width, height, data };
  }

  async close(): Promise<void> {
    if (this.#rows) giveBack(this.#rows);
    this.#rows = undefined;
    await this.handle.close();
  }
}
