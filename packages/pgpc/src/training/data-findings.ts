// What is doubtful about two domains and how they are trained on, besides what each of them shows.

import { resolve } from 'node:path';
import {
  type CheckedSplit,
  DatasetError,
  type Finding,
  type ImageFacts,
  openDataset,
  type SegmentationDataset,
  type Size,
  scaledSize,
  withoutSamples,
} from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import { MIT_SMALLEST_SIDE } from '../config/segmentor.js';

/** Rendered scenes, which are made to be a source. */
const RENDERED: readonly string[] = ['gta5', 'synthia'];
/** Photographs that are published as a target. */
const PHOTOGRAPHED: readonly string[] = ['cityscapes', 'acdc', 'dark-zurich', 'bdd100k'];
/** Padding that is not worth a word. */
const LITTLE_PADDING = 0.05;

/** Whether source and target are the same, or look swapped. */
export function roleFindings({ source, target }: DataConfig): Finding[] {
  if (resolve(source.root) === resolve(target.root)) {
    return [
      { level: 'warning', message: `${source.root} is both source and target: there is nothing to adapt to` },
    ];
  }
  if (PHOTOGRAPHED.includes(source.format) && RENDERED.includes(target.format)) {
    return [
      {
        level: 'warning',
        message: `the source ${source.root} is ${source.format}, photographs, and the target ${target.root} is ${target.format}, rendered: are they swapped?`,
      },
    ];
  }
  return [];
}

/** A source without labels beside a target that has them: they look swapped. @returns the error, with that behind it */
export async function sourceError(error: unknown, { target }: Pick<DataConfig, 'target'>): Promise<unknown> {
  if (!(error instanceof DatasetError) || !['missing', 'missing-pair'].includes(error.kind!)) return error;
  const opened = await openDataset({ ...target, onFault: () => {} }).catch(() => undefined);
  if (!opened?.samples.some(({ label }) => label !== undefined)) return error;
  return new DatasetError(`${error.message}; ${target.root} has labels: are source and target swapped?`, {
    kind: error.kind!,
    ...(error.file !== undefined && { file: error.file }),
  });
}

/** How much of the crops lies outside of the images. @param scale that images are brought to before */
export function cropFindings(
  role: string,
  crop: Size,
  images: readonly ImageFacts[],
  scale: Size | undefined,
): Finding[] {
  const shares = images.map((image) => {
    const { width, height } = scale ? scaledSize(image, scale) : image;
    return 1 - (Math.min(width, crop.width) * Math.min(height, crop.height)) / (crop.width * crop.height);
  });
  const padded = shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
  if (padded < LITTLE_PADDING) return [];
  const smaller = shares.filter((share) => share > 0).length;
  const percent = Math.round(100 * padded);
  return [
    {
      level: 'warning',
      message: `crops of ${crop.width}x${crop.height} are larger than ${smaller} of ${images.length} ${role} images: ${percent} % of the ${role} crops is padding; take a smaller --crop`,
    },
  ];
}

/** The images that have less than `side` pixels in a direction, by index. @param scale that images are brought to before */
function smallImages(
  images: readonly ImageFacts[],
  side: number,
  scale: Size | undefined,
): { index: number; width: number; height: number }[] {
  return images.flatMap((image, index) => {
    const { width, height } = scale ? scaledSize(image, scale) : image;
    return Math.min(width, height) < side ? [{ index, width, height }] : [];
  });
}

/**
 * A split without images that a network cannot take whole, as checkpoints' scores and evaluation need: each is a fault.
 * @param side pixels that both sides must have. @param scale that images are brought to before
 */
export function withoutSmallImages(
  checked: CheckedSplit,
  side: number,
  scale: Size | undefined,
): CheckedSplit {
  const { dataset, images } = checked;
  const small = smallImages(images, side, scale);
  if (dataset === undefined || small.length === 0) return checked;
  const faults = small.map(({ index, width, height }) => {
    const file = dataset.samples[index]!.image;
    const size = `${width}x${height}${scale ? ' as it is scaled' : ''}`;
    const message = `${file}: ${size}, too small for the network, which takes ${side} pixels a side at least; enlarge it or leave it out`;
    return { file, kind: 'too-small' as const, message };
  });
  const indices = new Set(small.map(({ index }) => index));
  return {
    ...checked,
    dataset: withoutSamples(dataset, indices),
    images: images.filter((_, index) => !indices.has(index)),
    faults: [...checked.faults, ...faults],
  };
}

const MOST_NAMED = 6;

/** Images that some network cannot take whole, where no network is known yet. */
export function smallImageFindings(
  { root, split, samples }: SegmentationDataset,
  images: readonly ImageFacts[],
): Finding[] {
  const small = smallImages(images, MIT_SMALLEST_SIDE, undefined);
  if (small.length === 0) return [];
  const named = small
    .slice(0, MOST_NAMED)
    .map(({ index, width, height }) => `${samples[index]!.image} of ${width}x${height}`);
  const more = small.length > MOST_NAMED ? ` and ${small.length - MOST_NAMED} more` : '';
  return [
    {
      level: 'warning',
      message: `${root}, ${split}: networks on MiT take ${MIT_SMALLEST_SIDE} pixels a side at least, and training refuses as target ${named.join(', ')}${more}; enlarge or leave out`,
    },
  ];
}
