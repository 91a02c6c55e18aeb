// What a training starts from, as its configuration keeps it.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { BackboneName } from '../config/segmentor.js';
import type { TrainingConfig } from '../config/training.js';
import { encoderStart, shippedEncoder } from '../models/weights/shipped.js';

/**
 * @param weights as `--weights` takes them; undefined: nothing was chosen.
 * @param backbone of the network.
 * @returns with names as they are, which hold on other machines, and absolute paths; undefined: random values.
 * @throws UsageError as {@link encoderStart} does.
 */
export function startFromWeights(
  weights: string | undefined,
  backbone: BackboneName,
  allowPartial = false,
): TrainingConfig['start'] {
  const start = encoderStart(weights, backbone);
  if (start === undefined) return undefined;
  const isPath = start !== shippedEncoder.name && existsSync(start);
  return { weights: isPath ? resolve(start) : start, ...(allowPartial && { allowPartial }) };
}
