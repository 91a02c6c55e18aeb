// Label files as trainIds.

import { type DatasetError, fault } from '../errors.js';
import { type LabelMap, type Png, readPng, type Size, undecodable } from '../images/index.js';
import { IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
import { readLayers } from './layers.js';

/**
 * Decodes a label file, or the several of a coding of layers, to trainIds. Needs nothing but its arguments, so that it also runs in a worker thread.
 * @param coding of the dataset, see {@link LabelCoding}
 * @throws {DatasetError} when the file is missing, cannot be decoded, is not of the form that `coding` names, or
 * holds a value or colour that `coding` does not know (listed with their counts)
 */
export async function decodeLabel(file: string, coding: LabelCoding): Promise<LabelMap> {
  return labelMapOf(file, await readLabelValues(file, coding), coding);
}

/** What `readLabelValues` read of a file as trainIds. @throws {DatasetError} as {@link decodeLabel} */
export function labelMapOf(
  file: string,
  { width, height, values }: LabelValues,
  coding: LabelCoding,
): LabelMap {
  const data = toTrainIds(values, coding);
  // A Buffer finds a byte many times faster than a typed array does.
  if (Buffer.from(data.buffer).includes(UNKNOWN_LABEL)) {
    throw unknownValues(file, countValues(values), coding);
  }
  return { width, height, data };
}

type OneFileCoding = Exclude<LabelCoding, { kind: 'layers' }>;

/** What a label file holds before it is mapped to trainIds, row by row: ids, or colours as 0xRRGGBB. */
export interface LabelValues extends Size {
  readonly values: Uint8Array | Uint16Array | Uint32Array;
}

/**
 * Reads what a label file holds, known to `coding` or not.
 * @throws {DatasetError} when the file is missing, cannot be decoded or is not of the form that `coding` names
 */
export async function readLabelValues(file: string, coding: LabelCoding): Promise<LabelValues> {
  if (coding.kind === 'layers') return readLayers(coding.files);
  let png: Png;
  try {
    png = await readPng(file);
  } catch (error) {
    throw await undecodable(file, 'PNG label', error);
  }
  return { width: png.width, height: png.height, values: valuesOf(file, png, coding) };
}

function valuesOf(file: string, png: Png, { kind }: OneFileCoding): Uint8Array | Uint16Array | Uint32Array {
  const { channels, depth, samples } = png;
  const has = `this has ${channels} of ${depth} bits`;
  const refuse = (rule: string) => fault('label-format', file, rule);
  switch (kind) {
    case 'values':
      if (channels === 1 && samples instanceof Uint8Array) return samples;
      throw refuse(
        `a label must be a PNG of one 8-bit channel (grey or palette), ${has}; is it a coloured picture of the label?`,
      );
    case 'first-of-16-bit':
      if (depth === 16) return everyNth(samples as Uint16Array, channels);
      throw refuse(
        `a label must be a PNG of 16 bits a channel with the class in the first, ${has}; is it another rendering of the label?`,
      );
    case 'colors':
      if (samples instanceof Uint8Array && (channels >= 3 || png.palette !== undefined))
        return packColors(png);
      throw refuse(
        `a label must be a PNG of 8-bit colours or with a palette, ${has}; one-channel labels need classes without colours`,
      );
  }
}

function everyNth(samples: Uint16Array, channels: number): Uint16Array {
  return channels === 1
    ? samples
    : Uint16Array.from({ length: samples.length / channels }, (_, i) => samples[i * channels]!);
}

function packColors({ samples, channels, palette }: Png): Uint32Array {
  const pixels = new Uint32Array(samples.length / channels);
  if (palette !== undefined) {
    const color = Uint32Array.from({ length: 256 }, (_, i) => pack(palette, 3 * i));
    for (let i = 0; i < pixels.length; i++) pixels[i] = color[samples[i]!]!;
  } else {
    for (let i = 0; i < pixels.length; i++) pixels[i] = pack(samples, i * channels);
  }
  return pixels;
}

/** Entries beyond a palette's end are black, as libpng has it. */
function pack(rgb: ArrayLike<number>, at: number): number {
  return ((rgb[at] ?? 0) << 16) | ((rgb[at + 1] ?? 0) << 8) | (rgb[at + 2] ?? 0);
}

/**
 * Maps what {@link readLabelValues} reads to trainIds; {@link UNKNOWN_LABEL} marks what `coding` does not know.
 */
export function toTrainIds(values: LabelValues['values'], coding: LabelCoding): Uint8Array {
  const data = new Uint8Array(values.length);
  if (coding.kind !== 'colors') {
    const { table } = coding;
    if (values instanceof Uint8Array && table.length === 256) {
      // Every byte has its entry, so this is all that training does for most labels at every step.
      for (let i = 0; i < values.length; i++) data[i] = table[values[i]!]!;
    } else {
      for (let i = 0; i < values.length; i++) data[i] = table[values[i]!] ?? UNKNOWN_LABEL;
    }
    return data;
  }
  const known = new Map(Array.from(coding.colors, (color, i) => [color, coding.trainIds[i]!]));
  let last = -1;
  let trainId = UNKNOWN_LABEL;
  for (let i = 0; i < values.length; i++) {
    // Neighbours mostly share their colour.
    if (values[i] !== last) {
      last = values[i]!;
      trainId = known.get(last) ?? UNKNOWN_LABEL;
    }
    data[i] = trainId;
  }
  return data;
}

/** How often each value occurs, by value. */
export function countValues(values: LabelValues['values']): [value: number, count: number][] {
  const counts = new Map<number, number>();
  const note = (value: number, run: number) => counts.set(value, (counts.get(value) ?? 0) + run);
  let from = 0;
  for (let i = 1; i <= values.length; i++) {
    // Neighbours mostly share their value.
    if (i < values.length && values[i] === values[from]) continue;
    note(values[from]!, i - from);
    from = i;
  }
  return [...counts].sort(([a], [b]) => a - b);
}

/** The error for a label file that holds values that its dataset does not define. `counts` may hold others too. */
export function unknownValues(
  file: string,
  counts: readonly (readonly [value: number, count: number])[],
  coding: LabelCoding,
): DatasetError {
  const trainIds = toTrainIds(
    Uint32Array.from(counts, ([value]) => value),
    coding,
  );
  const unknown = counts.filter((_, i) => trainIds[i] === UNKNOWN_LABEL);
  const colored = coding.kind === 'colors';
  const name = (value: number) => (colored ? `#${value.toString(16).padStart(6, '0')}` : String(value));
  const listed = unknown
    .slice(0, 5)
    .map(([value, count]) => `${name(value)} (${count} ${count === 1 ? 'pixel' : 'pixels'})`);
  const more = unknown.length > listed.length ? ` and ${unknown.length - listed.length} more` : '';
  const [what, rule] = colored
    ? ['colours', 'name them in the list of classes, or ignore them there']
    : ['values', `the file must hold label ids, with ${IGNORE_INDEX} for pixels to ignore`];
  return fault(
    'unknown-value',
    file,
    `label ${what} this dataset does not define: ${listed.join(', ')}${more}; ${rule}`,
  );
}
