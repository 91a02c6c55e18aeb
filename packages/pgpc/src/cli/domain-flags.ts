// The flags that say which data a command trains on.

import type { DatasetFormat } from '@pgpc/datasets/formats';
import type { TrainingChoice } from '../training/choice.js';
import type { Size } from './values.js';

/** As commander gives them. */
export interface DomainFlags {
  readonly sourceRoot?: string;
  readonly targetRoot?: string;
  readonly sourceFormat?: DatasetFormat;
  readonly targetFormat?: DatasetFormat;
  readonly sourceScale?: Size;
  readonly targetScale?: Size;
  readonly sourceRange?: [number, number];
  readonly targetRange?: [number, number];
  readonly classes?: string;
  readonly skipBad?: boolean;
}

/** The same as a library call takes it. */
export function domainsOf(
  flags: DomainFlags & { readonly sourceRoot: string; readonly targetRoot: string },
): Pick<TrainingChoice, 'source' | 'target' | 'classes'> & { skipBad: boolean } {
  const { sourceRoot, sourceFormat, sourceScale, sourceRange, classes, skipBad = false } = flags;
  const { targetRoot, targetFormat, targetScale, targetRange } = flags;
  return {
    source: { root: sourceRoot, format: sourceFormat, scale: sourceScale, range: sourceRange },
    target: { root: targetRoot, format: targetFormat, scale: targetScale, range: targetRange },
    classes,
    skipBad,
  };
}
