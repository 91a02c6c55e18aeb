// A whole trained network that a training starts from: found, described and compared before data is trained on.

import { existsSync } from 'node:fs';
import type { ClassInfo } from '@pgpc/datasets';
import { tidy } from '@pgpc/torch';
import { type SegmentorConfig, sameNetwork } from '../config/segmentor.js';
import { UsageError } from '../config/usage-error.js';
import { locateModel } from '../models/locate.js';
import { described } from '../models/weights/described.js';
import { describedConfig, hasDecoder, openWeights, trainedNetwork } from '../models/weights/fit.js';
import { weightsPath } from '../models/weights/shipped.js';

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
 * The feature distance holds the encoder near to what its weights are. They must be ImageNet's for that.
 * @param weights a file, or the name of pulled weights or of this package's own.
 * @throws UsageError for a whole trained network, and for the encoder of one, with the way out.
 */
export function refuseTrainedNetwork(weights: string): void {
  const given = weightsPath(weights);
  // What is not there is refused where it is loaded.
  if (!existsSync(given)) return;
  const path = locateModel(given);
  const { isWhole, network } = tidy(() => {
    const file = openWeights(path);
    return { isWhole: hasDecoder(file), network: trainedNetwork(file) };
  });
  if (network === undefined) return;
  const what = isWhole ? 'a whole trained network' : 'the encoder of a trained network';
  const whole = isWhole ? `start from all of it with --init ${weights}, or ` : '';
  throw new UsageError(
    `--weights ${weights}: ${what} (${network}), and the feature distance would hold to it as if it were ImageNet's: ${whole}take its encoder without a feature distance, --set method.featureDistance=null`,
  );
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
