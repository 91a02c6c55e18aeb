// One training sample from its files to the bytes of a crop: what a decoding thread does.

import {
  countValues,
  DatasetError,
  decodeRgb,
  type LabelCoding,
  type LabelMap,
  type LabelValues,
  labelMapOf,
  openImage,
  type RgbImage,
  readLabelValues,
  resizeWindow,
  type Size,
  scaledSize,
  scaleLabel,
  sizeMismatch,
  sourceRect,
  UNKNOWN_LABEL,
  unknownValues,
  type ValueRange,
} from '@pgpc/datasets';
import { Rng, type RngState } from '../random.js';
import { type CropOptions, cropLabel, drawWindow, seenSize, type Wanted } from './window.js';

/** How a crop is made, as plain data that can be posted to a thread. */
export interface CropRequest {
  crop: CropOptions;
  /** Images are resized, with their ratio kept, to the largest size within these bounds; undefined: as they are. */
  scale: Size | undefined;
  /** The label is read, looked at for the window, and returned. */
  labelled: boolean;
  wanted: Wanted | undefined;
  /** The state of the generator that draws the window. */
  rng: RngState;
}

export interface Crop extends Size {
  /** (3, height, width), RGB: what of the crop lies inside the image, at most the crop's size. */
  image: Uint8Array<ArrayBuffer>;
  /** (crop height, crop width): trainIds, padded with 255; undefined unless it was asked for. */
  label: Uint8Array<ArrayBuffer> | undefined;
  /** Where in the image, at the size that it is brought to, and whether mirrored. */
  place: { top: number; left: number; mirrored: boolean; of: Size };
}

/** Decoded files of a sample, in memory that threads share where they were made in one. */
export interface DecodedSample {
  image?: RgbImage;
  label?: LabelMap;
}

export interface CropTask {
  files: { image: string; label: string | undefined; coding: LabelCoding; range?: ValueRange | undefined };
  /** What is decoded already. */
  decoded: DecodedSample;
  /** Decode whole files and hand them back; otherwise no more of the image is decoded than the crop needs. */
  keep: boolean;
  request: CropRequest;
}

export interface CropResult {
  crop: Crop;
  /** What was decoded for this crop, if it was to be kept. */
  decoded: DecodedSample;
}

/** @throws DatasetError for files that do not decode or do not fit each other. */
export async function runCropTask({ files, decoded, keep, request }: CropTask): Promise<CropResult> {
  const read = request.labelled && !decoded.label ? await readLabel(files) : undefined;
  // Labels of bytes that are not kept become trainIds in the crop alone, which is a fraction of their pixels.
  const lazy = read && !keep && isByTable(read, files.coding) ? { ...read, data: read.values } : undefined;
  const whole = read && !lazy ? labelMapOf(files.label!, read, files.coding) : undefined;
  const label = request.labelled ? (lazy ?? whole ?? decoded.label) : undefined;
  const image = decoded.image ?? (keep ? await decodeRgb(files.image, files) : undefined);
  const file = image ? undefined : await openImage(files.image, files);
  try {
    const size: Size = image ?? file!;
    const mismatch = label && sizeMismatch(files.label!, label, size);
    if (mismatch) throw mismatch;
    const trainIds = lazy && (files.coding as ByTable).table;
    const plan = planCrop(size, label, request, trainIds);
    if (lazy && Buffer.from(plan.label!.buffer).includes(UNKNOWN_LABEL)) {
      throw unknownValues(files.label!, countValues(lazy.values), files.coding);
    }
    const rect = image ? { ...size, top: 0, left: 0 } : plan.rect;
    const crop = finishCrop(image ?? (await file!.decode(rect)), rect, size, plan);
    const fresh: DecodedSample = {};
    if (keep && image && !decoded.image) fresh.image = share(image);
    if (keep && whole) fresh.label = share(whole);
    return { crop, decoded: fresh };
  } finally {
    await file?.close();
  }
}

type ByTable = Extract<LabelCoding, { kind: 'values' }>;

/** Whether every value of a label is a byte that the coding's table has an entry for. */
function isByTable(read: LabelValues, coding: LabelCoding): read is LabelValues & { values: Uint8Array } {
  return coding.kind === 'values' && coding.table.length === 256 && read.values instanceof Uint8Array;
}

function readLabel({ image, label, coding }: CropTask['files']): Promise<LabelValues> {
  if (label === undefined) throw new DatasetError(`${image}: this image has no label`);
  return readLabelValues(label, coding);
}

/** A copy that threads read without copying it again. */
export function share<T extends { data: Uint8Array }>(pixels: T): T {
  if (pixels.data.buffer instanceof SharedArrayBuffer) return pixels;
  const data = new Uint8Array(new SharedArrayBuffer(pixels.data.length));
  data.set(pixels.data);
  return { ...pixels, data };
}

/** The crop of a sample that is decoded. */
export function cropDecoded(image: RgbImage, label: LabelMap | undefined, request: CropRequest): Crop {
  return finishCrop(image, { ...image, top: 0, left: 0 }, image, planCrop(image, label, request));
}

type CropPlan = ReturnType<typeof planCrop>;

/** Draws the window, which needs only the label; says which part of the image it needs. */
function planCrop(
  size: Size,
  label: LabelMap | undefined,
  { scale, crop, wanted, rng: state }: CropRequest,
  trainIds?: Uint8Array,
) {
  const scaled = scale ? scaledSize(size, scale) : { width: size.width, height: size.height };
  const scaledLabel = label && scaleLabel(label, scaled, trainIds);
  const rng = new Rng(0, '');
  rng.setState(state);
  const window = drawWindow(scaled, scaledLabel, crop, rng, wanted);
  const seen = { ...window, ...seenSize(scaled, crop) };
  return {
    scaled,
    seen,
    rect: sourceRect(size, scaled, seen),
    label: scaledLabel && cropLabel(scaledLabel, window, crop),
  };
}

function finishCrop(part: RgbImage, rect: CropPlan['rect'], size: Size, plan: CropPlan): Crop {
  const { scaled, seen, label } = plan;
  const image = resizeWindow(part, rect, size, scaled, seen, seen.mirrored);
  const { top, left, mirrored } = seen;
  return { width: seen.width, height: seen.height, image, label, place: { top, left, mirrored, of: scaled } };
}
