// Copies of a dataset that decode faster: resized once, and stored so that reading them costs little.
import { cp, mkdir, readdir, readFile, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { formatClassFile } from './classes/class-file.js';
import { CLASS_FILES } from './classes/find.js';
import { DatasetError } from './errors.js';
import { type ConcurrentOptions, forEachConcurrently } from './files/concurrent.js';
import { parseJson } from './files/json-text.js';
import { isFile, type OnFault, report } from './files/list.js';
import { writeJson, writeWhole } from './files/write-whole.js';
import {
  decodeRgb,
  encodePng,
  encodeRgb,
  encodeRowPng,
  MOST_COLUMNS,
  type RgbImage,
  resizeWindow,
  type Size,
  scaledSize,
  scaleLabel,
} from './images/index.js';
import { type LabelValues, readLabelValues } from './labels/values.js';
import { labelFiles, sizeMismatch } from './readers/file-dataset.js';
import type { LabelCoding, Sample, SegmentationDataset } from './types.js';

export interface CacheOptions extends ConcurrentOptions {
  /**
   * Images and labels are resized to the largest size of their ratio within these bounds, as training does, so that
   * the same `scale` there changes nothing; default: as they are.
   */
  readonly scale?: Size | undefined;
  /** Receives what is wrong with single files, which are not copied; default: the first fault is thrown. */
  readonly onFault?: OnFault | undefined;
}

/** What {@link cacheDataset} did. */
export interface CacheResult {
  /** Samples written now. */
  readonly written: number;
  /** Samples that were there already and whose files have not changed since. */
  readonly kept: number;
}

const MANIFEST = 'pgpc-cache.json';
const manifestSchema = z.object({
  version: z.literal(1),
  source: z.string(),
  /** Layout of the original and so of the copy; absent in the first copies. */
  format: z.string().optional(),
  scale: z.object({ width: z.number(), height: z.number() }).nullable(),
  range: z.tuple([z.number(), z.number()]).optional(),
});

/**
 * Writes copies of a split in the layout of its dataset, so that the same format reads them from `out`: images as PNG
 * without compression (exact, and several times faster to decode than compressed), labels with the values that they
 * had, picked by nearest neighbour. What is there and up to date is kept: a stopped copy resumes.
 * @param out a folder outside of the dataset's root: new, empty, or of an earlier copy of the same data and scale
 * @throws {DatasetError} when `out` is not as above, or a file is missing, cannot be decoded or does not fit its
 * partner
 */
export async function cacheDataset(
  dataset: SegmentationDataset,
  out: string,
  options: CacheOptions = {},
): Promise<CacheResult> {
  const { root, samples, labelCoding, range } = dataset;
  await claim(out, dataset, options.scale);
  await copyDefinitions(dataset, out);
  const { scale, onFault } = options;
  const target = (file: string) => path.join(out, path.relative(root, file)).replace(/\.[^.]+$/, '.png');
  let written = 0;
  let failed = 0;
  const copy = async (sample: Sample) => {
    const { image, label, coding = labelCoding } = sample;
    const labels = labelFiles(sample);
    const stale = await Promise.all([image, ...labels].map((file) => isStale(file, target(file))));
    if (!stale.includes(true)) return;
    const [pixels, values] = await Promise.all([
      decodeRgb(image, { range }),
      label === undefined ? undefined : readLabelValues(label, coding),
    ]);
    const mismatch = values && sizeMismatch(label!, values, pixels);
    if (mismatch !== undefined) throw mismatch;
    const scaled = scale ? scaledSize(pixels, scale) : pixels;
    await put(target(image), await encodeImage(resizeImage(pixels, scaled)), image);
    const resized = values && resizeValues(values, scaled);
    for (const [i, file] of labels.entries()) {
      await put(target(file), encodeValues(resized!, coding, i), file);
    }
    written++;
  };
  await forEachConcurrently(
    samples,
    (sample) =>
      copy(sample).catch((error: unknown) => {
        if (!(error instanceof DatasetError)) throw error;
        failed++;
        report(onFault, error);
      }),
    options,
  );
  return { written, kept: samples.length - written - failed };
}

/** Makes `out` this copy's folder, or finds that it is. */
async function claim(
  out: string,
  { root, name, range }: SegmentationDataset,
  scale: Size | undefined,
): Promise<void> {
  const inside = path.relative(path.resolve(root), path.resolve(out));
  if (inside === '' || (!inside.startsWith('..') && !path.isAbsolute(inside))) {
    throw new DatasetError(`${out}: lies in the dataset ${root}; name a folder outside of it`);
  }
  await mkdir(out, { recursive: true });
  const wanted = {
    version: 1,
    source: path.resolve(root),
    format: name,
    scale: scale ?? null,
    ...(range && { range }),
  };
  const file = path.join(out, MANIFEST);
  const existing = (await readdir(out)).filter((name) => !name.endsWith('.tmp'));
  if (!existing.includes(MANIFEST)) {
    if (existing.length > 0) {
      throw new DatasetError(`${out}: holds other files already; name a new or empty folder`);
    }
    writeJson(file, wanted);
    return;
  }
  const found = await readManifest(file);
  const same = (['source', 'scale', 'range'] as const).every(
    (key) => JSON.stringify(found?.[key]) === JSON.stringify(wanted[key]),
  );
  if (!same) {
    throw new DatasetError(
      `${out}: holds a copy of other data, or of another scale or range; name a new folder`,
    );
  }
}

/** Lists of samples and classes, without which the copy would not be the same dataset. */
async function copyDefinitions(dataset: SegmentationDataset, out: string): Promise<void> {
  const names = (await readdir(dataset.root)).filter((name) =>
    /^((train|val|test)\.txt|split\.mat|labelmap\.txt|ImageSets)$/.test(name),
  );
  for (const name of names) {
    await cp(path.join(dataset.root, name), path.join(out, name), { recursive: true });
  }
  for (const file of dataset.definitions ?? []) {
    const copy = path.join(out, path.relative(dataset.root, file));
    await mkdir(path.dirname(copy), { recursive: true });
    if (await isFile(file)) await cp(file, copy);
  }
  // Resized masks may no longer show every class.
  const listed = ['folder', 'camvid'].includes(dataset.name);
  if (listed) await writeWhole(path.join(out, CLASS_FILES[0]!), formatClassFile(dataset));
}

/** A copy has its original's time of modification. */
async function isStale(original: string, copy: string): Promise<boolean> {
  const [from, to] = await Promise.all([original, copy].map((file) => stat(file).catch(() => undefined)));
  return from === undefined || to === undefined || Math.abs(from.mtimeMs - to.mtimeMs) > 1;
}

async function put(file: string, bytes: Uint8Array, original: string): Promise<void> {
  const { atime, mtime } = await stat(original);
  await mkdir(path.dirname(file), { recursive: true });
  await writeWhole(file, bytes);
  await utimes(file, atime, mtime);
}

function resizeImage(image: RgbImage, scaled: Size): RgbImage {
  const { width, height } = scaled;
  if (image.width === width && image.height === height) return image;
  const planes = resizeWindow(
    image,
    { top: 0, left: 0, width: image.width, height: image.height },
    image,
    scaled,
    { top: 0, left: 0, width, height },
    false,
  );
  const size = width * height;
  const data = new Uint8Array(3 * size);
  for (let i = 0; i < size; i++) {
    data[3 * i] = planes[i]!;
    data[3 * i + 1] = planes[i + size]!;
    data[3 * i + 2] = planes[i + 2 * size]!;
  }
  return { width, height, data };
}

function resizeValues(label: LabelValues, scaled: Size): LabelValues {
  const { width, height } = scaled;
  if (label.width === width && label.height === height) return label;
  const from = { width: label.width, height: label.height, data: new Uint8Array(0) };
  const { rows, columns } = scaleLabel(from, scaled);
  const values = new (label.values.constructor as new (length: number) => LabelValues['values'])(
    width * height,
  );
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) values[i] = label.values[rows[y]! + columns[x]!]!;
  }
  return { width, height, values };
}

async function encodeImage(image: RgbImage): Promise<Uint8Array> {
  return image.width <= MOST_COLUMNS ? encodeRowPng(image) : encodeRgb(image, 0);
}

/**
 * In the form that the coding asks for.
 * @param index of the file, where several make the label
 */
function encodeValues(
  { width, height, values }: LabelValues,
  { kind }: LabelCoding,
  index: number,
): Uint8Array {
  switch (kind) {
    case 'values':
      return encodePng({ width, height, data: Uint8Array.from(values), channels: 1 });
    case 'first-of-16-bit':
      return encodePng({ width, height, data: Uint16Array.from(values), channels: 1, depth: 16 });
    case 'first-channel': {
      const data = new Uint16Array(3 * values.length);
      for (let i = 0; i < values.length; i++) data[3 * i] = values[i]!;
      return encodePng({ width, height, data, channels: 3, depth: 16 });
    }
    case 'colors':
      return encodeColors(width, height, values);
    case 'layers': {
      // What other layers cover is not seen again.
      const data = Uint8Array.from(values, (value) => (value === index + 1 ? 255 : 0));
      return encodePng({ width, height, data, channels: 1 });
    }
  }
}

function encodeColors(width: number, height: number, values: LabelValues['values']): Uint8Array {
  const colors = [...new Set(values)];
  const channels = (color: number) => [color >> 16, (color >> 8) & 255, color & 255];
  if (colors.length <= 256) {
    const index = new Map(colors.map((color, i) => [color, i]));
    const data = Uint8Array.from(values, (color) => index.get(color)!);
    return encodePng({ width, height, data, channels: 1, palette: colors.map(channels) });
  }
  const data = new Uint8Array(3 * values.length);
  for (let i = 0; i < values.length; i++) data.set(channels(values[i]!), 3 * i);
  return encodePng({ width, height, data, channels: 3 });
}

/** The layout that a copy was made of, as its manifest says; undefined for folders that are no copies. */
export async function formatOfCopy(root: string): Promise<string | undefined> {
  return (await readManifest(path.join(root, MANIFEST)))?.format;
}

/** Undefined where there is none, or it is no manifest. */
async function readManifest(file: string): Promise<z.infer<typeof manifestSchema> | undefined> {
  try {
    return manifestSchema.parse(parseJson(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}
