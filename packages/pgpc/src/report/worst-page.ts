// The page of the images that a network does worst on: each with its truth, its prediction and where they differ.

import type { LabelMap, RgbImage } from '@pgpc/datasets';
import { encodeRgb, IGNORE_INDEX } from '@pgpc/datasets';
import sharp from 'sharp';
import { embedded } from './embedded.js';
import { css, percent } from './format.js';
import { type Html, html } from './html.js';
import { lowestClasses } from './lowest-classes.js';
import { page } from './page.js';

/** A class as pages show it: `color` is RGB, 0..255 each. */
interface ShownClass {
  readonly name: string;
  readonly color: readonly [number, number, number];
}

/** One image of the page; scores are fractions, NaN for a class that is not in its truth. */
export interface WorstImage {
  readonly id: string;
  readonly image: RgbImage;
  readonly truth: LabelMap;
  readonly prediction: LabelMap;
  readonly miou: number;
  readonly accuracy: number;
  readonly iou: readonly number[];
}

export interface WorstPage {
  readonly title: string;
  /** What was evaluated on what. */
  readonly facts: string;
  /** In the order of their indices. */
  readonly classes: readonly ShownClass[];
  readonly images: readonly WorstImage[];
}

const PICTURE_WIDTH = 480;
const RIGHT = [225, 227, 226] as const;
const BLACK = [0, 0, 0] as const;

/** The page as the text of a file, with the pictures in it, reduced to 480 pixels in width. */
export async function worstPage({ title, facts, classes, images }: WorstPage): Promise<string> {
  const rows: Html[] = [];
  for (const one of images) rows.push(await row(one, classes));
  return page(
    title,
    html`<header>
<h1>${title}</h1>
<p class="lede">The ${images.length} images with the lowest IoU, averaged over the classes that are in each image's truth.</p>
<p class="facts">${facts}</p>
</header>
<ul class="legend">${classes.map(({ name, color }) => html`<li><i style="background:${css(color)}"></i>${name}</li>`)}<li><i style="background:#000"></i>ignored</li></ul>
<p class="facts">Difference: pixels that are wrong, in the colour of their true class.</p>
${rows}`,
  );
}

async function row(one: WorstImage, classes: readonly ShownClass[]): Promise<Html> {
  const { id, image, truth, prediction, miou, accuracy, iou } = one;
  const colors = Array.from({ length: 256 }, (_, trainId) => classes[trainId]?.color ?? BLACK);
  const pictures = [
    [id, await photo(image)],
    ['Truth', await labelPicture(truth, (at) => colors[truth.data[at]!]!)],
    ['Prediction', await labelPicture(prediction, (at) => colors[prediction.data[at]!]!)],
    [
      'Difference',
      await labelPicture(truth, (at) => {
        const is = truth.data[at]!;
        return is !== IGNORE_INDEX && is === prediction.data[at] ? RIGHT : colors[is]!;
      }),
    ],
  ] as const;
  return html`<h3>mIoU ${percent(miou)} %, pixel accuracy ${percent(accuracy)} %; lowest: ${lowestClasses(
    iou,
    classes,
    4,
  )
    .map(({ name, value }) => `${name} ${percent(value)}`)
    .join(', ')}</h3>
<div class="sample" style="--columns:4">${pictures.map(
    ([caption, data]) =>
      html`<figure><img src="${data}" alt="${caption}"><figcaption>${caption}</figcaption></figure>`,
  )}</div>
`;
}

async function photo(image: RgbImage): Promise<string> {
  return embedded(Buffer.from(await encodeRgb(image, 3)), 'photo', PICTURE_WIDTH);
}

/** Reduced to the page's width first, so that few pixels are coloured. @param colorAt the colour of a pixel by its index */
async function labelPicture(
  { width, height }: LabelMap,
  colorAt: (at: number) => readonly [number, number, number],
): Promise<string> {
  const shown = { width: Math.min(width, PICTURE_WIDTH), height };
  shown.height = Math.max(1, Math.round((height * shown.width) / width));
  const data = new Uint8Array(3 * shown.width * shown.height);
  for (let y = 0; y < shown.height; y++) {
    const row = width * Math.floor(((y + 0.5) * height) / shown.height);
    for (let x = 0; x < shown.width; x++) {
      const at = row + Math.floor(((x + 0.5) * width) / shown.width);
      data.set(colorAt(at), 3 * (y * shown.width + x));
    }
  }
  const png = await sharp(data, { raw: { ...shown, channels: 3 } })
    .png()
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}
