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
import { PixelStore } from '../pipeline/pixels.js';
import type { TrainingData } from './trainer.js';

/** What a run reads. */
export interface OpenedData extends TrainingData {
  classes: SegmentationDataset['classes'];
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
 * @throws BadFilesError if any file is bad and `skipBad` is not set; DatasetError if nothing is left, or if source and
 * target do not have the same classes
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
  const source = usable(checked.source, config.source.root);
  const target = usable(checked.target, config.target.root);
  sameClasses(source, target);
  const sourceStatistics = await classStatistics(source, {
    signal,
    onProgress: (done, total) => onProgress?.('count classes', done, total),
  });
  const validation = await openValidation(config.target);
  if (validation) sameClasses(source, validation);
  return {
    source: new PixelStore(source, { scale: config.source.scale }),
    sourceStatistics,
    target: new PixelStore(target, { scale: config.target.scale }),
    classes: source.classes,
    validation,
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

function sameClasses(source: SegmentationDataset, target: SegmentationDataset): void {
  const names = ({ classes }: SegmentationDataset) => classes.map(({ name }) => name).join(', ');
  if (names(source) === names(target)) return;
  throw new DatasetError(
    `${source.root} and ${target.root} must have the same classes in the same order, but one has ${names(source)} and the other ${names(target)}`,
  );
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
