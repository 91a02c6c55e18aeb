// A step's losses by the names that they are logged under.

import type { Tensor } from '@pgpc/torch';
import type { StepLosses } from '../adaptation/step.js';

/** A part of one's own is logged as `loss/NAME`. */
const LOGGED: Readonly<Record<string, string>> = {
  total: 'loss/total',
  source: 'loss/source',
  target: 'loss/target',
  contrast: 'loss/contrast',
  masked: 'loss/masked',
  featureDistance: 'loss/feature-distance',
  targetWeight: 'weight/target',
  contrastWeight: 'weight/contrast',
};

/** The losses that there are. */
export function namedLosses(losses: StepLosses): [name: string, value: Tensor][] {
  const present = Object.entries(losses).filter(([, value]) => value !== undefined);
  return present.map(([name, value]) => [LOGGED[name] ?? name.replace('parts.', 'loss/'), value]);
}
