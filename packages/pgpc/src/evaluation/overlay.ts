// A prediction over its image, with a legend below.

import type { RgbImage } from '@pgpc/datasets';
import { fromTypedArray, ops, type Tensor, tidy } from '@pgpc/torch';
import sharp from 'sharp';
import { colorsOf } from './label-files.js';

/** A class as an overlay names it. */
export interface LegendEntry {
  readonly name: string;
  readonly color: readonly [red: number, green: number, blue: number];
  /** Of the image's pixels, 0 .. 1. */
  readonly share: number;
}

/**
 * The mean of image and class colours, computed where the labels are. Waits for the device.
 * @param labels (H, W), uint8, of the image's size. @returns interleaved rows, as of the image
 */
export function blended(image: RgbImage, labels: Tensor, classes: Parameters<typeof colorsOf>[1]): RgbImage {
  const { width, height, data } = image;
  using both = tidy(() => {
    const pixels = fromTypedArray(data, [height, width, 3]).to({ device: labels.device, nonBlocking: true });
    const half = (bytes: Tensor) => ops.call('bitwise_right_shift.Tensor_Scalar', bytes, 1) as Tensor;
    return half(pixels).add_(half(colorsOf(labels, classes)));
  });
  return { width, height, data: both.toArray() as Uint8Array };
}

/** Pixels of a legend's letters: a share of the picture's width, within what is still read and not yet loud. */
const letters = (width: number) => Math.round(Math.min(30, Math.max(12, width / 64)));

/** Roughly the width of a letter by its height, which SVG cannot measure. */
const WIDTH_OF_LETTER = 0.62;

/** The picture as JPEG, with the legend below it: a field of its colour, name and share of every entry, in rows. */
export async function withLegend(
  { width, height, data }: RgbImage,
  entries: readonly LegendEntry[],
): Promise<Uint8Array> {
  const picture = sharp(data, { raw: { width, height, channels: 3 } });
  const size = letters(width);
  const legend = (await hasLetters()) && entries.length > 0 ? legendOf(entries, width, size) : undefined;
  if (legend) {
    picture
      .extend({ bottom: legend.height, background: '#ffffff' })
      .composite([{ input: Buffer.from(legend.svg), top: height, left: 0 }]);
  }
  return picture.jpeg({ quality: 90, chromaSubsampling: '4:4:4' }).toBuffer();
}

function legendOf(
  entries: readonly LegendEntry[],
  width: number,
  size: number,
): { svg: string; height: number } {
  const texts = entries.map(({ name, share }) => `${name} ${(100 * share).toFixed(1)} %`);
  const gap = size / 2;
  const column = Math.max(...texts.map((text) => text.length)) * size * WIDTH_OF_LETTER + size + 2 * gap;
  const columns = Math.max(1, Math.floor((width - gap) / column));
  const line = Math.round(1.5 * size);
  const height = Math.ceil(entries.length / columns) * line + size;
  const fields = entries.map(({ color }, i) => {
    const x = gap + (i % columns) * column;
    const y = size / 2 + Math.floor(i / columns) * line;
    return (
      `<rect x="${x}" y="${y + size / 4}" width="${size}" height="${size}" fill="rgb(${color})" stroke="#888"/>` +
      `<text x="${x + size + gap}" y="${y + 1.1 * size}">${escaped(texts[i]!)}</text>`
    );
  });
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-size="${size}" ` +
    `font-family="DejaVu Sans, Liberation Sans, Arial, sans-serif" fill="#1d2023">${fields.join('')}</svg>`;
  return { svg, height };
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign]!);
}

let letterCheck: Promise<boolean> | undefined;

/** Whether the machine has a font: without any, libvips draws the same box for every letter. */
export function hasLetters(): Promise<boolean> {
  const drawn = (text: string) =>
    sharp({ text: { text, font: 'sans' } })
      .raw()
      .toBuffer();
  letterCheck ??= Promise.all([drawn('i'), drawn('W')]).then(([i, w]) => !i.equals(w));
  return letterCheck;
}
