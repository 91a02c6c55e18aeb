// Why a file is no image that can be read, as its error says.
import { open } from 'node:fs/promises';
import { type DatasetError, fault } from '../errors.js';

/** What files begin with that are no images, or none that are read, and what to do about them. */
const OTHER_KINDS: readonly (readonly [at: number, bytes: string, why: string])[] = [
  [0, '\0\0\0\0\0\0\0\0', 'it holds zero bytes, as a copy that was cut off does; copy it again'],
  [0, 'version https://git-lfs', 'it only points to a file in Git LFS; run: git lfs pull'],
  [0, '\0\x05\x16\x07', 'it holds what macOS notes about a file, no picture; delete it'],
  [4, 'ftyphe', 'it is a HEIC picture; convert it to JPEG or PNG'],
  [4, 'ftypmif1', 'it is a HEIF picture; convert it to JPEG or PNG'],
  [0, 'BM', 'it is a BMP picture; convert it to PNG'],
  [0, '\x93NUMPY', 'it is an array of NumPy; save it as PNG'],
  [0, '<', 'it is text, such as a web page in place of a download; download it again'],
  [0, '{', 'it is text, such as an error in place of a download; download it again'],
  [0, 'PK\x03\x04', 'it is a zip archive; unpack it'],
  [0, '\x1f\x8b', 'it is a gzip archive; unpack it'],
];

/** The error for a file that is missing or no image. @param what it should be, such as 'image' */
export async function undecodable(file: string, what: string, error: unknown): Promise<DatasetError> {
  const text = error instanceof Error ? error.message : String(error);
  const missing =
    (error as NodeJS.ErrnoException).code === 'ENOENT' || text.startsWith('Input file is missing');
  if (missing) return fault('missing', file, `not found, though it was listed; put it back`, error);
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') {
    return fault('undecodable', file, `may not be read (${code}); give yourself the right to`, error);
  }
  if (text.includes('pixel limit')) {
    return fault('undecodable', file, `has more than 268 million pixels; cut it into smaller images`, error);
  }
  const why = await kindOf(file);
  const explained =
    why ?? `${text.trim().split('\n')[0]}); copy it again from where it came, or export it again`;
  return fault(
    'undecodable',
    file,
    why === undefined ? `not a readable ${what} (${explained}` : `not a readable ${what}: ${why}`,
    error,
  );
}

async function kindOf(file: string): Promise<string | undefined> {
  try {
    const handle = await open(file);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(64), 0, 64, 0);
      if (bytesRead === 0) return 'the file is empty; copy it again';
      const head = buffer.toString('latin1', 0, bytesRead);
      return OTHER_KINDS.find(([at, bytes]) => head.startsWith(bytes, at))?.[2];
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}
