// Where a run's images come from: opened, checked and counted before training starts.

import {
  availableSplits,
  type CheckedSplit,
  type CheckOptions,
  checkDataset,
  classStatistics,
  DatasetError,
  type DatasetFault,
  openDataset,
  type SegmentationDataset,
} from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import type { CountedClasses } from '../evaluation/classes.js';
import { PixelStore } from '../pipeline/pixels.js';
import { refuseOtherClasses, toRunClasses } from './class-mapping.js';
import type { TrainingData } from './trainer.js';

/** What a run reads. */
export interface OpenedData extends TrainingData {
  classes: SegmentationDataset['classes'];
  /** How the source's and the validation split's own classes were brought to these; none where there is no mapping. */
  brought: readonly CountedClasses[];
  /** The target's labelled validation split; undefined where there is none. */
  validation: SegmentationDataset | undefined;
  /** What was wrong and left out. */
  faults: readonly DatasetFault[];
}

export interface OpenDataOptions {
  /** Leave bad files out instead of refusing to start. */
  skipBad?: boolean;
  signal?: AbortSignal;
  /** Told of each stage: reading a domain's files, counting the source's classes. */
  onProgress?: (stage: string, done: number, total: number) => void;
}

/**
 * Opens both domains, reads every file once to find what is wrong, and counts the source's classes (from a cache where
 * the files are as they were).
 * @throws BadFilesError if any file is bad and `skipBad` is not set; DatasetError if nothing is left, if source and
 * target do not have the same classes, or if the mapping leaves out a class
 */
export async function openData(config: DataConfig, options: OpenDataOptions = {}): Promise<OpenedData> {
  const { skipBad = false, signal, onProgress } = options;
  const concurrent = (stage: string): CheckOptions => ({
    signal,
    // A file that was found good and has not been touched since is not read again.
    trustEarlier: true,
    onProgress: (done, total) => onProgress?.(stage, done, total),
  });
  const checked = {
    source: await checkDataset(config.source, concurrent('check source')),
    target: await checkDataset(config.target, concurrent('check target')),
  };
  const faults = [...checked.source.faults, ...checked.target.faults];
  if (faults.length > 0 && !skipBad) throw new BadFilesError(faults);
  const ownSource = usable(checked.source, config.source.root);
  const source = toRunClasses(ownSource, config.classes);
  const target = toRunClasses(usable(checked.target, config.target.root), config.classes);
  refuseOtherClasses(source.dataset, target.dataset);
  const count = (stage: string, dataset: SegmentationDataset) =>
    classStatistics(dataset, { signal, onProgress: (done, total) => onProgress?.(stage, done, total) });
  const ownStatistics = await count('count classes', ownSource);
  const ownValidation = await openValidation(config.target);
  const validation = ownValidation && toRunClasses(ownValidation, config.classes);
  if (validation) refuseOtherClasses(source.dataset, validation.dataset);
  const brought = [source.count(ownStatistics)];
  if (validation && config.classes) {
    brought.push(validation.count(await count('count validation', ownValidation)));
  }
  return {
    source: new PixelStore(source.dataset, { scale: config.source.scale }),
    sourceStatistics: source.statistics(ownStatistics),
    target: new PixelStore(target.dataset, { scale: config.target.scale }),
    classes: source.dataset.classes,
    brought: brought.filter((one) => one !== undefined),
    validation: validation?.dataset,
    faults,
  };
}

/** Files are bad and were not to be left out. */
export class BadFilesError extends Error {
  override readonly name = 'BadFilesError';

  constructor(readonly faults: readonly DatasetFault[]) {
    super(
      `${faults.length} bad ${faults.length === 1 ? 'file' : 'files'}; with --skip-bad training leaves them out`,
    );
  }
}

function usable({ dataset, faults }: CheckedSplit, root: string): SegmentationDataset {
  if (dataset && dataset.samples.length > 0) return dataset;
  throw new DatasetError(`${root}: no usable image is left; ${faults[0]?.message ?? 'the folder is empty'}`);
}

/** Real targets may have no labelled split. */
async function openValidation({
  format,
  root,
  range,
}: DataConfig['target']): Promise<SegmentationDataset | undefined> {
  if (!(await availableSplits(format, root)).includes('val')) return undefined;
  try {
    const dataset = await openDataset({ format, root, split: 'val', range });
    return dataset.samples.every(({ label }) => label !== undefined) ? dataset : undefined;
  } catch (error) {
    // Cityscapes demands the labels of `val`; a target of one's own may have images alone.
    if (error instanceof DatasetError && (error.kind === 'missing' || error.kind === 'missing-pair'))
      return undefined;
    throw error;
  }
}
