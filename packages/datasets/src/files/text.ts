// Text files as people's programs write them: UTF-8, or UTF-16 with its mark.
import { readFile } from 'node:fs/promises';
import { fault } from '../errors.js';

/**
 * Reads a text file, without the mark of its encoding at the front.
 * @throws {DatasetError} for what is neither UTF-8 nor UTF-16 with a byte order mark; the system's error where there is
 * no such file
 */
export async function readText(file: string): Promise<string> {
  const bytes = await readFile(file);
  const encoding = encodingOf(bytes);
  try {
    const text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Said below.
  }
  const looks = bytes.includes(0) ? 'UTF-16 without its mark, or no text at all' : 'perhaps Latin-1 or GBK';
  throw fault('undecodable', file, `the text is not UTF-8 (${looks}); save the file as UTF-8`);
}

function encodingOf(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be';
  return 'utf-8';
}
