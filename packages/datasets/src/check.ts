// Reading every file of a dataset to find what is wrong before training does.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { DatasetError, type FaultKind } from './errors.js';
import { type ConcurrentOptions, forEachConcurrently } from './files/concurrent.js';
import { FileCache } from './files/file-cache.js';
import { Remarks } from './files/remarks.js';
import { decodeRgb } from './images/index.js';
import { decodeLabel } from './labels/decode.js';
import { type OpenOptions, openDataset } from './open.js';
import { labelFiles, sizeMismatch, withoutSamples } from './readers/file-dataset.js';
import type { LabelCoding, Sample, SegmentationDataset } from './types.js';

/** One thing that is wrong with one file. */
export interface DatasetFault {
  readonly file: string;
  readonly kind: FaultKind;
  /** One line that names the file, and says what to do. */
  readonly message: string;
}

/** Changes with the rules by which images are read: what an earlier rule found good may not be by this one. */
const READ_BY = 'orientation, range';

/** What reading a split found. */
export interface CheckedSplit {
  /** The samples without a fault; undefined where nothing could be opened. */
  readonly dataset: SegmentationDataset | undefined;
  /** Samples that were read, good and bad. */
  readonly samples: number;
  /** Samples that have a label. */
  readonly labelled: number;
  /** In the order of the files. */
  readonly faults: readonly DatasetFault[];
}

export interface CheckOptions extends ConcurrentOptions {
  /**
   * Pass over samples that an earlier check read without a fault, whose files have kept their size and time since;
   * default: read everything. A training run starts at once with it where `pgpc data check` has been run.
   */
  readonly trustEarlier?: boolean;
  /** Receives remarks on files that are read in spite of them: one line for each kind, with a path and a number. */
  readonly onNote?: ((note: string) => void) | undefined;
}

/**
 * Opens a split and reads all its images and labels, several at once: finds missing partners, links in a circle, files
 * that cannot be decoded, labels of another size than their image and label values that the dataset does not define.
 * A fault never ends the check.
 * @throws only what is no fault of the data: the reason of `signal`, or an unknown split
 */
export async function checkDataset(
  options: Omit<OpenOptions, 'onFault'>,
  check: CheckOptions = {},
): Promise<CheckedSplit> {
  const faults: DatasetFault[] = [];
  const note = (error: unknown) => faults.push(faultOf(error));
  let dataset: SegmentationDataset;
  try {
    dataset = await openDataset({ ...options, onFault: note });
  } catch (error) {
    note(error);
    return { dataset: undefined, samples: 0, labelled: 0, faults };
  }
  const bad = await checkSamples(dataset, { onNote: options.onNote, ...check });
  faults.push(...[...bad.values()].flat());
  const good = withoutSamples(dataset, new Set(bad.keys()));
  const { samples } = dataset;
  return {
    dataset: good,
    samples: samples.length,
    labelled: samples.filter(({ label }) => label !== undefined).length,
    faults,
  };
}

/**
 * Reads all images and labels of an opened dataset, and notes which were good for later checks.
 * @returns the faults by index of the sample, in order; samples without one are absent
 * @throws the reason of `signal` when it is aborted
 */
export async function checkSamples(
  dataset: SegmentationDataset,
  check: CheckOptions = {},
): Promise<Map<number, readonly DatasetFault[]>> {
  const found = new Map<number, readonly DatasetFault[]>();
  const good = await FileCache.open(dataset.root, 'checked', z.string());
  const common = digest(dataset.labelCoding, dataset);
  const remarks = check.onNote && new Remarks();
  try {
    await forEachConcurrently(
      dataset.samples,
      async (sample, index) => {
        const state = await stateOf(sample, sample.coding ? digest(sample.coding, dataset) : common);
        if (check.trustEarlier && state !== undefined && good.get(sample.image) === state) return;
        const faults = await faultsOf(sample, dataset, remarks);
        if (faults.length > 0) found.set(index, faults);
        else if (state !== undefined) good.set(sample.image, state);
      },
      check,
    );
  } finally {
    await good.save();
  }
  for (const line of remarks?.lines() ?? []) check.onNote!(line);
  return new Map([...found].sort(([a], [b]) => a - b));
}

/** Changes whenever the coding or a file of the sample may have; undefined where a file is missing. */
async function stateOf(sample: Sample, coding: string): Promise<string | undefined> {
  try {
    const files = await Promise.all([sample.image, ...labelFiles(sample)].map((file) => stat(file)));
    return [coding, ...files.flatMap(({ size, mtimeMs }) => [size, mtimeMs])].join(' ');
  } catch {
    return undefined;
  }
}

/** Of how files are read: with another range, or by another rule, they are read again. */
function digest(coding: LabelCoding, { range }: SegmentationDataset): string {
  const hash = createHash('sha256').update(`${READ_BY} ${range?.join(':')} ${coding.kind}`);
  if (coding.kind === 'colors') hash.update(Uint32Array.from(coding.colors)).update(coding.trainIds);
  else hash.update(coding.table);
  if (coding.kind === 'layers') hash.update(coding.files.join('\n'));
  return hash.digest('hex').slice(0, 16);
}

async function faultsOf(
  sample: Sample,
  { labelCoding, range }: SegmentationDataset,
  remarks: Remarks | undefined,
): Promise<DatasetFault[]> {
  const { image, label, coding = labelCoding } = sample;
  const read = await Promise.allSettled([
    decodeRgb(image, { range, onRemark: remarks && ((remark) => remarks.add(image, remark)) }),
    label === undefined ? undefined : decodeLabel(label, coding),
  ]);
  const faults = read.flatMap((part) => (part.status === 'rejected' ? [faultOf(part.reason)] : []));
  const [pixels, trainIds] = read.map((part) => (part.status === 'fulfilled' ? part.value : undefined));
  if (pixels && trainIds) {
    const fault = sizeMismatch(label!, trainIds, pixels);
    if (fault !== undefined) faults.push(faultOf(fault));
  }
  return faults;
}

function faultOf(error: unknown): DatasetFault {
  if (!(error instanceof DatasetError) || error.kind === undefined || error.file === undefined) throw error;
  return { file: error.file, kind: error.kind, message: error.message };
}
