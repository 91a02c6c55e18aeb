// Anybody's data for a sweep: opened and checked once, and known by what it holds.

import { DatasetError } from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import type { TrainingChoice } from '../training/choice.js';
import { BadFilesError, openData } from '../training/data.js';
import { digestOf, recordData } from '../training/data-record.js';
import { type OpenEvent, openTelling } from '../training/open-data.js';
import { resolveData } from '../training/resolve.js';
import type { TaskData } from '../training/run-program.js';
import type { OwnData } from './plan.js';

/** Which data, as for a training. */
export interface SweepDomains extends Pick<TrainingChoice, 'source' | 'target' | 'classes'> {
  skipBad: boolean;
}

/** What a sweep needs to know of data. */
export interface SweepData {
  own: OwnData | undefined;
  task: TaskData;
  classes: readonly string[];
  /** Pixels of every class in every source image. */
  counts: readonly (readonly number[])[];
  /** Where it is, in words. */
  where: string;
}

/**
 * @throws BadFilesError, DatasetError for the data; Error for a target without a labelled validation split, on which a
 *   sweep's scores are computed.
 */
export async function openOwnData(
  { skipBad, ...choice }: SweepDomains,
  { signal, onEvent }: { signal: AbortSignal; onEvent: (event: OpenEvent) => void },
): Promise<SweepData> {
  const { data: config } = await resolveData(choice);
  const opened = await openTelling(config, { skipBad, signal }, onEvent);
  const { source, target } = config;
  if (!opened.validation) {
    throw new Error(
      `${target.root} has no labelled validation split (val): a sweep compares its cells by their scores on it`,
    );
  }
  const { classes, sourceStatistics } = opened;
  const digest = digestOf(await recordData(opened, signal));
  const oracle = await isLabelled(config, classes, { skipBad, signal });
  return {
    own: { digest, classes: classes.length, oracle },
    task: { config, skipBad },
    classes: classes.map(({ name }) => name),
    counts: sourceStatistics!.counts,
    where: `${source.root} to ${target.root}`,
  };
}

/** Whether the target's training images have labels, of the same classes. */
async function isLabelled(
  config: DataConfig,
  classes: readonly { readonly name: string }[],
  options: { skipBad: boolean; signal: AbortSignal },
): Promise<boolean> {
  try {
    const own = await openData({ ...config, source: config.target }, options);
    return own.classes.map(({ name }) => name).join() === classes.map(({ name }) => name).join();
  } catch (error) {
    if (error instanceof DatasetError || error instanceof BadFilesError) return false;
    throw error;
  }
}
