// A mark in the picture files of predictions, by which they are told from photos and from labels that people drew.

import { open } from 'node:fs/promises';

/** A chunk of text, "Software: pgpc predict" (ISO/IEC 15948, 11.3.4.3), with its length before and its checksum behind. */
const PNG_MARK = Buffer.concat([
  Buffer.from([0, 0, 0, 21]),
  Buffer.from('tEXtSoftware\0pgpc predict', 'latin1'),
  Buffer.from([0xcc, 0x7a, 0x69, 0x9f]),
]);

/** Behind the signature and the header. */
const IN_PNG = 8 + 25;

/** A comment (ITU-T T.81, B.2.4.5), with its marker and length. */
const JPEG_MARK = Buffer.concat([Buffer.from([0xff, 0xfe, 0, 14]), Buffer.from('pgpc predict', 'latin1')]);

/** Behind the start of the image: libvips writes no segment of JFIF, which would have to come before. */
const IN_JPEG = 2;

/** A PNG or JPEG file as libvips writes them, with the mark. */
export function marked(picture: Uint8Array): Uint8Array {
  const [at, mark] = picture[0] === 0xff ? [IN_JPEG, JPEG_MARK] : [IN_PNG, PNG_MARK];
  return Buffer.concat([picture.subarray(0, at), mark, picture.subarray(at)]);
}

/** Whether a file is a picture that was predicted; false where there is none. */
export async function isPrediction(file: string): Promise<boolean> {
  try {
    const handle = await open(file);
    try {
      const head = Buffer.alloc(IN_PNG + PNG_MARK.length);
      await handle.read(head, 0, head.length, 0);
      return (
        head.subarray(IN_PNG).equals(PNG_MARK) ||
        head.subarray(IN_JPEG, IN_JPEG + JPEG_MARK.length).equals(JPEG_MARK)
      );
    } finally {
      await handle.close();
    }
  } catch {
    return false;
  }
}
