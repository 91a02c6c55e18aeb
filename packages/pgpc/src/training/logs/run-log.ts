// The log of a training under way, for tools that people have, besides `metrics.jsonl`.

import { hostname } from 'node:os';
import { type RgbImage, writeWholeSync } from '@pgpc/datasets';
import { type Tensor, tidy } from '@pgpc/torch';
import sharp from 'sharp';
import type { AdaptationStep } from '../../adaptation/step.js';
import { predictLabels } from '../../evaluation/inference.js';
import { colorsOf } from '../../evaluation/label-files.js';
import { inEvaluation } from '../../evaluation/unlabelled.js';
import { openRun } from '../run-directory/open-run.js';
import type { RunClass } from '../run-directory/schema.js';
import { EventFile, type EventPicture } from './event-file.js';
import { csvOf, logPath } from './export.js';
import type { LogFormat } from './formats.js';

/** Target images that are shown, and their width in pixels at most. */
const SHOWN = 2;
const MOST_WIDTH = 640;

const now = () => Date.now() / 1000;

/** Event files of this process: a training may be stopped and resumed within one second. */
let files = 0;

/** Writes what is logged into the forms that were asked for. */
export class RunLog {
  readonly #events: EventFile | undefined;
  readonly #pictures: Promise<void>[] = [];
  #shownImages = false;

  /**
   * @param run its directory, where `metrics.jsonl` is written before anything is told here.
   * @param resumedAt steps done before, of a training that is resumed.
   */
  constructor(
    readonly run: string,
    readonly formats: readonly LogFormat[],
    readonly classes: readonly RunClass[],
    resumedAt?: number,
  ) {
    if (!formats.includes('tensorboard')) return;
    const wall = now();
    const name = `${Math.floor(wall)}.${hostname()}.${process.pid}.${files++}`;
    this.#events = EventFile.create(logPath(run, 'tensorboard'), name, wall, resumedAt);
  }

  /** Numbers by their names. */
  write(step: number, values: Readonly<Record<string, number>>): void {
    this.#events?.write({ step, wall: now() }, values);
  }

  /**
   * What the networks make of the first target images: once the images, and each time the student's prediction and, of a
   * method with a teacher, its pseudo-labels, in the classes' colours. The CSV file is brought up to date.
   * @param images (3, H, W), uint8, as of `scoringImages`.
   */
  checkpoint(step: number, { student, parts }: AdaptationStep, images: readonly Tensor[]): void {
    this.#writeTable();
    if (!this.#events) return;
    const networks = {
      prediction: student.segmentor,
      ...(parts.teacher && { 'pseudo-label': parts.teacher.network.segmentor }),
    };
    const shown: Record<string, Promise<EventPicture>> = {};
    inEvaluation(Object.values(networks), () => {
      for (const [i, tensor] of images.slice(0, SHOWN).entries()) {
        const image = pixelsOf(tensor);
        if (!this.#shownImages) shown[`target ${i + 1}/image`] = png(image, 'cubic');
        for (const [name, network] of Object.entries(networks)) {
          using labels = predictLabels(network, image);
          using colors = colorsOf(
            labels,
            this.classes.map(({ color }, trainId) => ({ color, trainId })),
          );
          const picture = { ...image, data: colors.toArray() as Uint8Array };
          shown[`target ${i + 1}/${name}`] = png(picture, 'nearest');
        }
      }
    });
    this.#shownImages = true;
    const time = { step, wall: now() };
    const written = Promise.all(
      Object.entries(shown).map(async ([tag, picture]) => [tag, await picture] as const),
    ).then((pictures) => this.#events!.write(time, Object.fromEntries(pictures)));
    // A failure is thrown where they are awaited.
    written.catch(() => {});
    this.#pictures.push(written);
  }

  /** Waits for the pictures and brings the CSV file up to date. */
  async close(): Promise<void> {
    await Promise.all(this.#pictures);
    this.#writeTable();
  }

  #writeTable(): void {
    if (this.formats.includes('csv'))
      writeWholeSync(logPath(this.run, 'csv'), csvOf(openRun(this.run).metrics));
  }
}

/** (3, H, W), uint8, as interleaved rows. */
function pixelsOf(image: Tensor): RgbImage {
  const [, height, width] = image.shape as [number, number, number];
  using rows = tidy(() => image.permute([1, 2, 0]).contiguous());
  return { width, height, data: rows.toArray() as Uint8Array };
}

async function png({ width, height, data }: RgbImage, kernel: 'cubic' | 'nearest'): Promise<EventPicture> {
  const { data: bytes, info } = await sharp(data, { raw: { width, height, channels: 3 } })
    .resize({ width: MOST_WIDTH, withoutEnlargement: true, kernel })
    .png()
    .toBuffer({ resolveWithObject: true });
  return { png: bytes, width: info.width, height: info.height };
}
