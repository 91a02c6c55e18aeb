// The encoder that comes with this package, for networks that would else start from random values.
// Without libtorch, so that the command line knows it by name before anything is loaded.

import { fileURLToPath } from 'node:url';
import type { BackboneName } from '../../config/segmentor.js';
import { UsageError } from '../../config/usage-error.js';
import { findPulledFile } from './catalog.js';

/** `--weights none`: the encoder starts from random values. */
export const RANDOM_START = 'none';

/** The encoder that comes with this package. Runs record its name, as its path differs from machine to machine. */
export const shippedEncoder = {
  /** As `--weights` takes it. */
  name: 'street-synth',
  backbone: 'mit_b0' satisfies BackboneName as BackboneName,
  /** The same place from the sources, from what is compiled of them and in an installed package. */
  file: fileURLToPath(new URL('../../../weights/mit_b0-street-synth.safetensors', import.meta.url)),
  /** What it is, in words. */
  description:
    'the encoder street-synth, which comes with pgpc under the MIT licence: MiT-B0 trained on rendered streets of varied looks',
} as const;

/** Whether `--weights` means this by the name, also where there is a file that is called so: that is `./none`. */
export function isStartName(weights: string): boolean {
  return weights === RANDOM_START || weights === shippedEncoder.name;
}

/**
 * What an encoder starts from.
 * @param weights as `--weights` takes them; undefined: nothing was chosen.
 * @param backbone of the network.
 * @returns name or path of the weights; undefined: random values.
 * @throws UsageError for this package's encoder in a network with another.
 */
export function encoderStart(weights: string | undefined, backbone: BackboneName): string | undefined {
  const { name } = shippedEncoder;
  const fits = backbone === shippedEncoder.backbone;
  if (weights === undefined) return fits ? name : undefined;
  if (weights === name && !fits) {
    throw new UsageError(
      `--weights ${name}: an encoder of ${shippedEncoder.backbone}, and the network's is ${backbone}: leave it out, or take --network mit-b0`,
    );
  }
  return weights === RANDOM_START ? undefined : weights;
}

/** The path of weights by their name: this package's, or pulled ones; what is no such name is a path already. */
export function weightsPath(weights: string): string {
  return weights === shippedEncoder.name ? shippedEncoder.file : (findPulledFile(weights) ?? weights);
}
