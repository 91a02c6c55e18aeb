// Fourier domain adaptation (Yang & Soatto 2020, arXiv 2004.05498): the source image with the target's low frequencies.

import { ops, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { denormalize, normalize } from '../../pipeline/normalize.js';

/** How many frequencies on each side of 0 are exchanged: floor(beta * min(H, W)). */
export function exchangedFrequencies(height: number, width: number, beta: number): number {
  return Math.floor(beta * Math.min(height, width));
}

/**
 * Gives each source image the amplitudes of its target image at low frequencies, channel by channel. Its phases, and its
 * amplitudes elsewhere, stay (eq 2 and 3). The window reaches `exchangedFrequencies` from frequency 0 to both sides in both
 * directions. For a small beta it is frequency 0 alone, the channel's mean. As in the authors' training, values are not cut
 * to the range of the images.
 * @param source (B, D, H, W), real. @param target as `source`. @param beta 0 .. 0.5; 0 leaves the source as it is.
 * @returns (B, D, H, W).
 */
export function exchangeAmplitude(source: Tensor, target: Tensor, beta: number): Tensor {
  if (beta === 0) return source;
  return tidy(() => {
    const [height, width] = sizeOf(source);
    const reach = exchangedFrequencies(height, width, beta);
    const [spectrum, wanted] = [source.fftRfft2(), target.fftRfft2()];
    // Of a real image's spectrum the right half says all. Rows start with frequency 0 and end with the negative ones.
    const columns = Math.min(reach, Math.floor(width / 2)) + 1;
    const top = Math.min(reach + 1, height);
    const bottom = Math.max(top, height - reach);
    for (const [from, to] of [
      [0, top],
      [bottom, height],
    ] as const) {
      if (from === to) continue;
      const window = (values: Tensor) => values.narrow(2, from, to - from).narrow(3, 0, columns);
      const kept = window(spectrum);
      kept.copy_(ops.polar(window(wanted).abs(), kept.angle()));
    }
    return spectrum.fftIrfft2([height, width]);
  });
}

/**
 * {@link exchangeAmplitude} on RGB values, as the authors do it: there frequency 0 is the brightness of a channel.
 * @param source (B, 3, H, W), normalised; so is the result. @param target as `source`.
 */
export function fourierStyle(source: Tensor, target: Tensor, beta: number): Tensor {
  if (beta === 0) return source;
  return tidy(() => normalize(exchangeAmplitude(denormalize(source), denormalize(target), beta)));
}
