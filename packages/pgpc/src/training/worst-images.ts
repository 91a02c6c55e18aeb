// The images that a network does worst on, small enough to stay with a run: the image, its truth and what was predicted.

import {
  type ClassInfo,
  type LabelMap,
  type RgbImage,
  type SegmentationDataset,
  writeWhole,
} from '@pgpc/datasets';
import sharp, { type Sharp } from 'sharp';
import {
  type CountedImage,
  type EvaluatedNetwork,
  type EvaluateOptions,
  type Evaluation,
  evaluateSegmentor,
} from '../evaluation/evaluate.js';
import { type ImageScores, PerImage } from '../evaluation/per-image.js';
import { coloured } from './run-directory/pictures.js';
import type { RunDirectory } from './run-directory/run-directory.js';
import type { MethodResult, PictureIndex } from './run-directory/schema.js';

/** Images that are kept of a network. */
const KEPT = 20;
/** Pixels that a picture has at most. */
const BOUNDS = { width: 320, height: 240, fit: 'inside', withoutEnlargement: true } as const;

/** An image with its scores and pictures, which are base64, since they travel from process to process. */
export interface WorstImage extends Pick<ImageScores, 'id' | 'miou' | 'iou' | 'accuracy'> {
  /** JPEG. */
  readonly image: string;
  /** PNG in the classes' colours, as is `prediction`. */
  readonly truth: string;
  readonly prediction: string;
}

/** Scores of a data set, and the images of it that are worst, the lowest mIoU first. */
export interface TargetEvaluation extends Evaluation {
  readonly worst: readonly WorstImage[];
}

/** Told how many images of how many are done, and of the last its place in the data set and what came of it. */
export type OnEvaluated = (done: number, total: number, index: number, counted: CountedImage) => void;

/** As `evaluateSegmentor`, with the worst twenty images. @throws as that does. */
export async function evaluateOnTarget(
  network: EvaluatedNetwork,
  dataset: SegmentationDataset,
  { onImage, ...options }: Omit<EvaluateOptions, 'onImage'> & { onImage?: OnEvaluated | undefined },
): Promise<TargetEvaluation> {
  const perImage = new PerImage(dataset, KEPT);
  const evaluation = await evaluateSegmentor(network, dataset, {
    ...options,
    onImage: (done, total, index, prediction, counted) => {
      onImage?.(done, total, index, counted);
      perImage.add(index, prediction, counted);
    },
  });
  const worst: WorstImage[] = [];
  for (const { index, scores, truth, prediction } of perImage.worst) {
    const { id, miou, iou, accuracy } = scores;
    const image = await photo(await dataset.readImage(index));
    const [is, guess] = [await labels(truth, dataset.classes), await labels(prediction, dataset.classes)];
    worst.push({ id, miou, iou, accuracy, image, truth: is, prediction: guess });
  }
  return { ...evaluation, worst };
}

/** What a run's results have of an evaluation. */
export function resultOf(
  of: Pick<MethodResult, 'name' | 'label' | 'seed' | 'seconds'>,
  { scores, confusion }: Evaluation,
): MethodResult {
  return { ...of, ...scores, confusion };
}

/** Writes a result's worst images among a run's pictures, and names them in its index, which is written, too. */
export async function keepWorst(
  run: RunDirectory,
  index: PictureIndex,
  { name: method, seed }: Pick<MethodResult, 'name' | 'seed'>,
  worst: readonly WorstImage[],
): Promise<void> {
  const images: NonNullable<PictureIndex['worst']>[number]['images'] = [];
  for (const [i, { image, truth, prediction, iou, ...scores }] of worst.entries()) {
    const file = (kind: string) => `worst-${method}-${i + 1}-${kind}`;
    const files = {
      image: file('image.jpg'),
      truth: file('truth.png'),
      prediction: file('prediction.png'),
    };
    for (const [kind, base64] of Object.entries({ image, truth, prediction })) {
      const { [kind as keyof typeof files]: name } = files;
      await writeWhole(run.picturePath(name), Buffer.from(base64, 'base64'));
    }
    images.push({ ...scores, iou: [...iou], ...files });
  }
  const others = index.worst?.filter((one) => one.method !== method) ?? [];
  index.worst = [...others, { method, ...(seed !== undefined && { seed }), images }];
  run.writePictureIndex(index);
}

async function photo({ width, height, data }: RgbImage): Promise<string> {
  return base64(
    sharp(data, { raw: { width, height, channels: 3 } })
      .resize(BOUNDS)
      .jpeg({ quality: 80 }),
  );
}

async function labels(map: LabelMap, classes: readonly ClassInfo[]): Promise<string> {
  const { width, height, data } = coloured(map, classes);
  const picture = sharp(data, { raw: { width, height, channels: 3 } });
  return base64(picture.resize({ ...BOUNDS, kernel: 'nearest' }).png({ compressionLevel: 9 }));
}

async function base64(picture: Sharp): Promise<string> {
  return (await picture.toBuffer()).toString('base64');
}
