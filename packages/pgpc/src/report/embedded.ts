// Pictures within an HTML page.

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import type { Run } from '../training/run-directory/open-run.js';
import { type Html, html } from './html.js';

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

/** A picture of a run, {@link embedded}; in its place, where it is missing, that it is. @param file its name in the run. */
export async function pictureOf(
  { directory }: Pick<Run, 'directory'>,
  file: string,
  content: PictureContent,
  { alt, mostWidth }: { alt: string; mostWidth?: number },
): Promise<Html> {
  const place = path.join(directory, 'pictures', file);
  if (!existsSync(place)) return html`<div class="missing">${file} is missing</div>`;
  return html`<img src="${await embedded(await readFile(place), content, mostWidth)}" alt="${alt}">`;
}

/** The bytes of a PNG or JPEG file, told apart by its name, as a data URI; undefined where it is missing. */
export async function embeddedAsIs(file: string): Promise<string | undefined> {
  if (!existsSync(file)) return undefined;
  const type = file.endsWith('.jpg') ? 'jpeg' : 'png';
  return `data:image/${type};base64,${(await readFile(file)).toString('base64')}`;
}
