// The images on which an exported file is compared with its network: real ones where there are any.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  DATASET_FORMATS,
  DatasetError,
  decodeRgb,
  IMAGE_ENDINGS,
  listFiles,
  openDataset,
  parsedBy,
  type RgbImage,
  resizeWindow,
  type Size,
  scaledSize,
} from '@pgpc/datasets';
import { fromTypedArray, Generator, ops, rand, type Tensor, tidy } from '@pgpc/torch';
import { z } from 'zod';
import { type SegmentorConfig, sizeFault, smallestSide } from '../config/segmentor.js';
import type { ModelAbout } from '../models/about.js';
import { openRun } from '../training/run-directory/open-run.js';

/** Images of one check: a forward pass of each takes seconds on a processor. */
const MOST = 4;

/** Of random images, in place of real ones. */
const RANDOM: Size = { width: 256, height: 128 };

/** Where images are, and that in words. */
interface Found {
  readonly files: readonly string[];
  readonly said: string;
}

export interface CheckImages {
  /** Batches of RGB in 0 .. 255, float32 (B, 3, H, W); each is freed when the next is asked for. */
  readonly batches: AsyncIterable<Tensor>;
  /** What they are, such as '4 images of photos'. */
  readonly said: string;
}

export interface CheckImagesOptions {
  /** Folder with images; left out: the target images of the run that the network is of, else random ones. */
  readonly images?: string | undefined;
  /** The one size of the file; undefined: images come as the network was trained, and once more at another size, two at once. */
  readonly size?: Size | undefined;
  /** What compares them. */
  readonly network: Pick<SegmentorConfig, 'backbone'>;
}

/**
 * @param model path of the model: of a run, or a file
 * @throws DatasetError for a folder without images, or an image that cannot be read
 */
export async function checkImages(
  model: string,
  about: ModelAbout | undefined,
  { images, size, network }: CheckImagesOptions,
): Promise<CheckImages> {
  const found = images === undefined ? await targetImages(model) : await imagesIn(images);
  return {
    batches: batches(found, about, size, network),
    said: found?.said ?? 'random images, as there are no others',
  };
}

async function* batches(
  found: Found | undefined,
  about: ModelAbout | undefined,
  fixed: Size | undefined,
  network: CheckImagesOptions['network'],
): AsyncGenerator<Tensor> {
  const generator = new Generator(0);
  const random = ({ width, height }: Size) => tidy(() => rand([1, 3, height, width], { generator }).mul(255));
  const sources = found?.files ?? [RANDOM];
  for (const [i, source] of sources.entries()) {
    using image = typeof source === 'string' ? await pixelsOf(source, about, fixed) : random(fixed ?? source);
    const [height, width] = [image.shape[2]!, image.shape[3]!];
    const fault = sizeFault(network, { width, height });
    if (fault !== undefined && typeof source === 'string') {
      throw new DatasetError(`${source}: ${fault}: compare on larger images (--images)`, { file: source });
    }
    yield image;
    if (i > 0 || fixed !== undefined) continue;
    using other = smaller(image, smallestSide(network));
    yield other;
  }
}

/** Seven tenths of an image, or what the network takes, beside their mirror image: a batch of two, of odd sides where that fits. */
function smaller(image: Tensor, smallest: number): Tensor {
  return tidy(() => {
    const part = (axis: number) => {
      const side = image.shape[axis]!;
      return Math.min(side, Math.max(smallest, Math.floor(0.7 * side)) | 1);
    };
    const [height, width] = [part(2), part(3)];
    const corner = image.narrow(2, 0, height).narrow(3, 0, width);
    return ops.cat([corner, corner.flip([3])]);
  });
}

/** An image as it enters the network before it is normalised. */
async function pixelsOf(
  file: string,
  about: ModelAbout | undefined,
  fixed: Size | undefined,
): Promise<Tensor> {
  const image = await decodeRgb(file, { range: about?.range });
  const bounds = about?.inputSize;
  const size = fixed ?? (typeof bounds === 'object' ? scaledSize(image, bounds) : image);
  return tidy(() => fromTypedArray(resized(image, size), [1, 3, size.height, size.width]).to('float32'));
}

/** In planes. */
function resized(image: RgbImage, size: Size): Uint8Array {
  const { width, height } = size;
  const whole = { top: 0, left: 0, width: image.width, height: image.height };
  return resizeWindow(image, whole, image, size, { top: 0, left: 0, width, height }, false);
}

async function imagesIn(folder: string): Promise<Found> {
  const files = await listFiles(folder, { what: 'images', endings: IMAGE_ENDINGS });
  return chosen([...files.values()], folder);
}

/** A few that lie evenly in the list. */
function chosen(files: readonly string[], where: string): Found {
  const count = Math.min(MOST, files.length);
  const picked = Array.from({ length: count }, (_, i) => files[Math.floor((i * files.length) / count)]!);
  return { files: picked, said: `${count} ${count === 1 ? 'image' : 'images'} of ${where}` };
}

/** The part of a run's configuration that says where its target is. */
const targetSchema = z.object({
  data: z.object({
    target: z.object({
      format: z.enum(DATASET_FORMATS),
      root: z.string(),
      split: z.string().optional(),
    }),
  }),
});

/** The target's images of the run that a model lies in; undefined where there is no run, or its images are elsewhere now. */
async function targetImages(model: string): Promise<Found | undefined> {
  let folder = model;
  // model.safetensors lies in RUN/checkpoints/NAME.
  for (let i = 0; i < 3 && !existsSync(join(folder, 'run.json')); i++) folder = dirname(folder);
  if (!existsSync(join(folder, 'run.json'))) return undefined;
  const config = parsedBy(targetSchema, openRun(folder).info.config);
  if (!config.success) return undefined;
  const { target } = config.data.data;
  if (!existsSync(target.root)) return undefined;
  const { samples } = await openDataset({ ...target, labels: 'none' });
  return chosen(
    samples.map(({ image }) => image),
    `the run's target, ${target.root}`,
  );
}
