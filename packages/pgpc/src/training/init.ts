// A whole trained network that a training starts from: found, described and compared before data is trained on.

import type { ClassInfo } from '@pgpc/datasets';
import { tidy } from '@pgpc/torch';
import { type SegmentorConfig, sameNetwork } from '../config/segmentor.js';
import { UsageError } from '../config/usage-error.js';
import { described } from '../models/weights/described.js';
import { describedConfig, openWeights } from '../models/weights/fit.js';

/** What a network file says of itself. */
export interface DescribedNetwork {
  config: SegmentorConfig;
  /** Names of its classes, where it has them. */
  classes: readonly string[] | undefined;
}

/** @throws Error naming the file, if it holds no network of this project's. */
export function describeNetworkFile(file: string): DescribedNetwork {
  return tidy(() => {
    const weights = openWeights(file);
    const config = describedConfig(weights);
    return { config, classes: described(weights, config.classes).classInfo?.map(({ name }) => name) };
  });
}

/**
 * @param config of the network to be trained, on these classes.
 * @throws UsageError that names every difference.
 */
export function refuseOtherNetwork(
  file: string,
  theirs: DescribedNetwork,
  config: SegmentorConfig,
  classes: readonly Pick<ClassInfo, 'name'>[],
): void {
  const differences: string[] = [];
  if (!sameNetwork(theirs.config, config)) {
    differences.push(
      `its network is ${networkInWords(theirs.config)}, the training's ${networkInWords(config)}`,
    );
  }
  const names = classes.map(({ name }) => name);
  if (theirs.config.classes !== names.length) {
    differences.push(
      `it has ${theirs.config.classes} classes, the source ${names.length} (${names.join(', ')})`,
    );
  } else {
    const other = names.flatMap((name, i) => {
      const before = theirs.classes?.[i] ?? name;
      return before === name ? [] : [`class ${i} is ${before} in it and ${name} in the source`];
    });
    differences.push(...other.slice(0, 3));
    if (other.length > 3) differences.push(`and ${other.length - 3} more classes differ`);
  }
  if (differences.length > 0) throw new UsageError(`--init ${file}: ${differences.join('; ')}`);
}

function networkInWords({ backbone, head, channels }: SegmentorConfig): string {
  return `${backbone} with the ${head} head of ${channels} channels`;
}
