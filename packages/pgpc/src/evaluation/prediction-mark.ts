// A mark in the PNG files of predicted label maps, by which they are told from photos and from labels that people drew.

import { open } from 'node:fs/promises';

/** A chunk of text, "Software: pgpc predict" (ISO/IEC 15948, 11.3.4.3), with its length before and its checksum behind. */
const MARK = Buffer.concat([
  Buffer.from([0, 0, 0, 21]),
  Buffer.from('tEXtSoftware\0pgpc predict', 'latin1'),
  Buffer.from([0xcc, 0x7a, 0x69, 0x9f]),
]);

/** Behind the signature and the header. */
const AT = 8 + 25;

/** A PNG file with the mark. */
export function marked(png: Uint8Array): Uint8Array {
  return Buffer.concat([png.subarray(0, AT), MARK, png.subarray(AT)]);
}

/** Whether a file is a label map that was predicted; false where there is none. */
export async function isPrediction(file: string): Promise<boolean> {
  try {
    const handle = await open(file);
    try {
      const { buffer } = await handle.read(Buffer.alloc(MARK.length), 0, MARK.length, AT);
      return buffer.equals(MARK);
    } finally {
      await handle.close();
    }
  } catch {
    return false;
  }
}
