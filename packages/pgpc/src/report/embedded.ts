// Pictures within an HTML page.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import sharp from 'sharp';

/** Photographs are reduced smoothly and stored as JPEG; label maps keep their pure colours. */
export type PictureContent = 'photo' | 'labels';

/**
 * The bytes of a picture file as a data URI, reduced to a width in pixels; a PNG that is no wider stays as it is.
 * @param bytes of a PNG
 */
export async function embedded(bytes: Buffer, content: PictureContent, mostWidth = 768): Promise<string> {
  if ((await sharp(bytes).metadata()).width <= mostWidth) {
    return `data:image/png;base64,${bytes.toString('base64')}`;
  }
  const smaller = sharp(bytes);
  if (content === 'photo') {
    const jpeg = await smaller.resize({ width: mostWidth }).jpeg({ quality: 88 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  }
  const png = await smaller.resize({ width: mostWidth, kernel: 'nearest' }).png().toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

/** {@link embedded} of a file; undefined where it is missing. */
export async function embeddedFile(
  file: string,
  content: PictureContent,
  mostWidth?: number,
): Promise<string | undefined> {
  return existsSync(file) ? embedded(await readFile(file), content, mostWidth) : undefined;
}

/** The bytes of a PNG or JPEG file, told apart by its name, as a data URI; undefined where it is missing. */
export async function embeddedAsIs(file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  const type = file.endsWith('.jpg') ? 'jpeg' : 'png';
  return `data:image/${type};base64,${(await readFile(file)).toString('base64')}`;
}
