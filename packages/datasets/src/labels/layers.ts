// Labels that are several masks, one for each drawn region, read as one: each pixel's value is the last mask over it.
import { fault } from '../errors.js';
import { type Png, readSamples, type Size } from '../images/index.js';

/** Row by row: the number of the last file whose mask covers a pixel, from 1; 0 where none does. */
interface Layers extends Size {
  readonly values: Uint8Array | Uint16Array;
}

/**
 * Reads masks of the same size, see the coding `layers`.
 * @param files at least one, the lowest first
 * @throws {DatasetError} when one is missing, cannot be decoded or has another size than the first
 */
export async function readLayers(files: readonly string[]): Promise<Layers> {
  let merged: Layers | undefined;
  for (const [i, file] of files.entries()) {
    const mask = await readSamples(file);
    const { width, height } = mask;
    merged ??= { width, height, values: new (files.length < 256 ? Uint8Array : Uint16Array)(width * height) };
    if (width !== merged.width || height !== merged.height) {
      throw fault(
        'size-mismatch',
        file,
        `the mask is ${width}x${height} but ${files[0]} of the same image is ${merged.width}x${merged.height}; all masks of an image must have its size`,
      );
    }
    cover(merged.values, mask, i + 1);
  }
  return merged!;
}

/** A pixel is covered where more than half of the channel's range is reached: brushes have soft edges. */
function cover(values: Layers['values'], { samples, channels, depth }: Png, number: number): void {
  const channel = maskChannel(samples, channels, 2 ** depth - 1);
  const half = (2 ** depth - 1) / 2;
  for (let i = 0, at = channel; i < values.length; i++, at += channels) {
    if (samples[at]! > half) values[i] = number;
  }
}

/** The alpha channel where it tells something, else the first. */
function maskChannel(samples: Png['samples'], channels: number, opaque: number): number {
  if (channels === 1 || channels === 3) return 0;
  for (let at = channels - 1; at < samples.length; at += channels) {
    if (samples[at]! < opaque) return channels - 1;
  }
  return 0;
}
