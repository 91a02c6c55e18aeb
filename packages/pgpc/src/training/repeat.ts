// A run's configuration, read back to be trained again, with changes.

import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { detectFormat } from '@pgpc/datasets';
import type { Experiment } from '../config/experiment.js';
import { type Settings, withSettings } from '../config/settings.js';
import { parseTraining, type TrainingConfig } from '../config/training.js';
import { UsageError } from '../config/usage-error.js';
import { loadPlugins } from './plugins.js';
import { openRun } from './run-directory/open-run.js';
import { startFromWeights } from './start.js';

/** What may differ from the run that is repeated; what is left out is as it was. */
export interface RepeatChanges
  extends Partial<
    Pick<
      Experiment,
      'seed' | 'iterations' | 'batch' | 'precision' | 'activationCheckpointing' | 'skipNotFinite'
    >
  > {
  /** Peak learning rate of the encoder. */
  lr?: number;
  /** Changes of any option of the experiment, applied last. */
  set?: Settings;
  sourceRoot?: string;
  targetRoot?: string;
  weights?: string;
  allowPartial?: boolean;
  init?: string;
  skipBad?: boolean;
  workers?: number;
  select?: TrainingConfig['select'];
}

/**
 * @param path a run directory, or its run.json.
 * @throws UsageError for a run that is no single training, or whose start is not known; Error for what is no run, or a
 *   change that does not fit.
 */
export async function repeatedTraining(path: string, changes: RepeatChanges = {}): Promise<TrainingConfig> {
  const directory = statSync(path).isDirectory() ? path : dirname(path);
  const given = openRun(directory).info.config as Partial<TrainingConfig>;
  if (given.experiment === undefined) {
    throw new UsageError(
      `--config ${path}: this run is no training of pgpc train; its command is in run.json`,
    );
  }
  await loadPlugins(given.plugins);
  const before = parseTraining(given);
  const { set, sourceRoot, targetRoot, weights, init, skipBad, workers, select, lr, allowPartial } = changes;
  const experiment = changedExperiment(before.experiment, { ...changes, lr, set });
  // A run that says nothing of its start began from random values, whatever is the default now.
  const start = init
    ? { init }
    : weights === undefined
      ? before.start
      : startFromWeights(weights, experiment.segmentor.backbone, allowPartial);
  if (experiment.method.featureDistance && start?.weights === undefined) {
    throw new UsageError(
      `--config ${path}: this run stays near to the features of the weights that it started from: name them with --weights <file>, or --set method.featureDistance=null`,
    );
  }
  // Another folder may be laid out in another way.
  const moved = async (domain: TrainingConfig['data']['source'], root: string | undefined) =>
    root === undefined ? domain : { ...domain, root, format: await detectFormat(root) };
  const { start: _, ...rest } = before;
  return parseTraining({
    ...rest,
    data: {
      ...before.data,
      source: await moved(before.data.source, sourceRoot),
      target: await moved(before.data.target, targetRoot),
    },
    reading: {
      ...before.reading,
      ...(skipBad !== undefined && { skipBad }),
      ...(workers !== undefined && { workers }),
    },
    ...(start && { start }),
    experiment,
    select: select ?? before.select,
  });
}

function changedExperiment(
  before: Experiment,
  { seed, iterations, batch, precision, activationCheckpointing, skipNotFinite, lr, set }: RepeatChanges,
): Experiment {
  const { warmupIters } = before.schedule;
  const changes: Settings = {
    seed,
    batch,
    precision,
    activationCheckpointing,
    skipNotFinite,
    'optimizer.lr': lr,
    iterations,
    // Warm-up is a share of a run, whatever its length.
    'schedule.warmupIters': iterations && Math.round((warmupIters / before.iterations) * iterations),
  };
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return withSettings(before, { ...Object.fromEntries(given), ...set });
}
