// The format of a picture, by its first bytes: libvips reads many more than are wanted here, and some are programs.
import { open } from 'node:fs/promises';

/** What files of each format begin with. */
const SIGNATURES: readonly (readonly [format: string, begin: RegExp])[] = [
  ['PNG', /^\x89PNG/],
  ['JPEG', /^\xff\xd8\xff/],
  ['WebP', /^RIFF.{4}WEBP/s],
  ['TIFF', /^(II[*+]\0|MM\0[*+])/],
  ['AVIF', /^.{4}ftyp(.{4})*?avi[fs]/s],
  ['GIF', /^GIF8[79]a/],
];

/**
 * The format of a picture.
 * @throws Error that lists the formats for a file of another one; the system's error where there is no such file
 */
export async function formatOf(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(32), 0, 32, 0);
    const head = buffer.toString('latin1', 0, bytesRead);
    const found = SIGNATURES.find(([, begin]) => begin.test(head));
    if (found) return found[0];
  } finally {
    await handle.close();
  }
  throw new Error(`it is none of ${SIGNATURES.map(([format]) => format).join(', ')}`);
}
