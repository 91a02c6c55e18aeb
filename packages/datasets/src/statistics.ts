// How often each class occurs: per image, as rare class sampling needs it, and over the dataset.

import { fault } from './errors.js';
import { toTrainIds, unknownValues } from './labels/decode.js';
import { type HistogramOptions, labelHistograms } from './labels/histograms.js';
import { IGNORE_INDEX, type SegmentationDataset, UNKNOWN_LABEL } from './types.js';
/** Class counts of the labelled images of a split, at the size of the label files. */
export interface ClassStatistics {
  /** Pixels of every class in every image: counts[image][trainId]. */
  readonly counts: readonly (readonly number[])[];
  /** Ignored pixels of every image. */
  readonly ignored: readonly number[];
  /** Pixels of the value 255, where it is ignored, in all images. */
  readonly ignored255: number;
  /** Width and height of every label. */
  readonly sizes: readonly (readonly [width: number, height: number])[];
}

/**
 * Counts the pixels of every class in every image, in parallel and from the cache where a file is as it was (see
 * `labelHistograms`).
 * @throws {DatasetError} when a sample has no label, or a label is missing, cannot be decoded or holds a value that
 * is no label of the dataset
 */
export async function classStatistics(
  dataset: SegmentationDataset,
  options: Omit<HistogramOptions, 'onFault'> = {},
): Promise<ClassStatistics> {
  const { root, samples, labelCoding, classes } = dataset;
  const files = samples.map(({ image, label }) => {
    if (label !== undefined) return label;
    throw fault('missing-pair', image, `no label, which class statistics need; use a split that has labels`);
  });
  const codings = new Map(samples.flatMap(({ coding }, i) => (coding ? [[files[i]!, coding]] : [])));
  const byFile = await labelHistograms(root, files, labelCoding, { ...options, codings });
  const histograms = files.map((file) => byFile.get(file)!);
  const ignored: number[] = [];
  let ignored255 = 0;
  const counts = histograms.map(({ counts: found }, image) => {
    const coding = samples[image]!.coding ?? labelCoding;
    const trainIds = toTrainIds(
      Uint32Array.from(found, ([value]) => value),
      coding,
    );
    if (trainIds.includes(UNKNOWN_LABEL)) throw unknownValues(files[image]!, found, coding);
    const row: number[] = new Array(classes.length).fill(0);
    let skipped = 0;
    for (const [i, [value, count]] of found.entries()) {
      if (trainIds[i] === IGNORE_INDEX) skipped += count;
      if (trainIds[i] === IGNORE_INDEX && value === IGNORE_INDEX && coding.kind === 'values')
        ignored255 += count;
      if (trainIds[i] !== IGNORE_INDEX) row[trainIds[i]!]! += count;
    }
    ignored.push(skipped);
    return row;
  });
  return { counts, ignored, ignored255, sizes: histograms.map(({ width, height }) => [width, height]) };
}
