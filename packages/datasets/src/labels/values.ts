// What a label file holds before it is mapped to trainIds: ids or colours.

import { type DatasetError, fault } from '../errors.js';
import { type Png, readSamples, type Size } from '../images/index.js';
import type { LabelCoding } from '../types.js';
import { describeColors } from './colors.js';
import { readLayers } from './layers.js';

/** Row by row: ids, or colours as 0xRRGGBB. */
export interface LabelValues extends Size {
  readonly values: Uint8Array | Uint16Array | Uint32Array;
}

/**
 * Reads what a label file holds, known to `coding` or not.
 * @throws {DatasetError} when the file is missing, cannot be decoded or is not of the form that `coding` names
 */
export async function readLabelValues(file: string, coding: LabelCoding): Promise<LabelValues> {
  if (coding.kind === 'layers') return readLayers(coding.files);
  const png = await readSamples(file);
  return { width: png.width, height: png.height, values: valuesOf(file, png, coding.kind) };
}

type Values = LabelValues['values'];
type OneFileKind = Exclude<LabelCoding['kind'], 'layers'>;

const refuse = (file: string, why: string): DatasetError => fault('label-format', file, why);

function valuesOf(file: string, png: Png, kind: OneFileKind): Values {
  const { channels, depth, samples } = png;
  if (kind === 'colors') return colorsOf(file, png);
  if (kind === 'first-of-16-bit') {
    if (depth === 16) return everyNth(samples as Uint16Array, channels);
    throw refuse(
      file,
      `a label must have 16 bits a channel with the class in the first, this has ${channels} of ${depth} bits; is it another rendering of the label?`,
    );
  }
  if (kind === 'first-channel') {
    if (depth >= 8 && channels > 1) return everyNth(samples, channels);
    throw refuse(
      file,
      `a label must have several channels with the class in the first, this has ${channels} of ${depth} bits; is it another rendering of the label?`,
    );
  }
  if (channels === 1 && samples instanceof Uint8Array) return samples;
  const values = oneChannel(png);
  if (values === undefined) {
    throw refuse(
      file,
      `a label must have one 8-bit channel, this is coloured (${describeColors(countColors(png))}); is it another rendering of the label? Of your own data, name the colours in classes.yaml with 'masks: colors': pgpc data check prints one`,
    );
  }
  return values instanceof Uint8Array ? values : inBytes(file, values);
}

/** The samples of the only channel that tells something: alpha does not, nor do others that are equal. */
function oneChannel({ channels, samples }: Png): Uint8Array | Uint16Array | undefined {
  if (channels >= 3) {
    for (let at = 0; at < samples.length; at += channels) {
      if (samples[at] !== samples[at + 1] || samples[at] !== samples[at + 2]) return undefined;
    }
  }
  return everyNth(samples, channels);
}

function inBytes(file: string, values: Uint16Array): Uint8Array {
  const largest = values.reduce((top, value) => Math.max(top, value), 0);
  if (largest <= 255) return Uint8Array.from(values);
  throw refuse(
    file,
    `16-bit values up to ${largest}, but label ids are at most 255; is it a map of instances, or of depth?`,
  );
}

function everyNth<T extends Uint8Array | Uint16Array>(samples: T, channels: number): T {
  if (channels === 1) return samples;
  const picked = samples.slice(0, samples.length / channels);
  for (let i = 0; i < picked.length; i++) picked[i] = samples[i * channels]!;
  return picked as T;
}

function colorsOf(file: string, png: Png): Uint32Array {
  const { samples, depth } = png;
  if (samples instanceof Uint8Array) return packColors(png, samples);
  // Bytes that a program stretched to 16 bits.
  if (samples.every((value) => value % 257 === 0))
    return packColors(
      png,
      Uint8Array.from(samples, (v) => v / 257),
    );
  throw refuse(file, `a label must be of 8-bit colours, this has ${depth} bits a channel; export it with 8`);
}

function packColors({ channels, palette, depth }: Png, samples: Uint8Array): Uint32Array {
  const pixels = new Uint32Array(samples.length / channels);
  if (channels >= 3) {
    for (let i = 0; i < pixels.length; i++) pixels[i] = pack(samples, i * channels);
    return pixels;
  }
  const grey = 255 / Math.min(255, 2 ** depth - 1);
  const color = Uint32Array.from({ length: 256 }, (_, i) =>
    palette === undefined ? Math.round(i * grey) * 0x10101 : pack(palette, 3 * i),
  );
  for (let i = 0; i < pixels.length; i++) pixels[i] = color[samples[i * channels]!]!;
  return pixels;
}

/** Entries beyond a palette's end are black, as libpng has it. */
function pack(rgb: ArrayLike<number>, at: number): number {
  return ((rgb[at] ?? 0) << 16) | ((rgb[at + 1] ?? 0) << 8) | (rgb[at + 2] ?? 0);
}

/** The colours of a picture of at least three channels by their numbers of pixels. */
function countColors(png: Png): Map<number, number> {
  const { samples, channels, depth } = png;
  const counts = new Map<number, number>();
  for (let at = 0; at < samples.length; at += channels) {
    const [r, g, b] = [samples[at]!, samples[at + 1]!, samples[at + 2]!].map((v) =>
      depth === 16 ? v >> 8 : v,
    );
    const color = (r! << 16) | (g! << 8) | b!;
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  return counts;
}
