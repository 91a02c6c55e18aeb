// Reading every file of a dataset to find what is wrong before training does.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { DatasetError, type FaultKind } from './errors.js';
import { type ConcurrentOptions, forEachConcurrently } from './files/concurrent.js';
import { FileCache } from './files/file-cache.js';
import { Remarks } from './files/remarks.js';
import { decodeRgb, READ_BY_RANGE, type RgbImage, type Size } from './images/index.js';
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

/** What an image shows at a glance: its size in pixels, and its least and largest value, 0..255, of those looked at. */
export interface ImageFacts extends Size {
  readonly low: number;
  readonly high: number;
}

const entrySchema = z.object({
  state: z.string(),
  facts: z.object({ width: z.number(), height: z.number(), low: z.number(), high: z.number() }),
});

/** What reading a split found. */
export interface CheckedSplit {
  /** The samples without a fault; undefined where nothing could be opened. */
  readonly dataset: SegmentationDataset | undefined;
  /** What the images of `dataset` show, in its order. */
  readonly images: readonly ImageFacts[];
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
    dataset = await openDataset({ onNote: check.onNote, ...options, onFault: note });
  } catch (error) {
    note(error);
    return { dataset: undefined, images: [], samples: 0, labelled: 0, faults };
  }
  const { bad, facts } = await readSamples(dataset, { onNote: options.onNote, ...check });
  faults.push(...[...bad.values()].flat());
  const good = withoutSamples(dataset, new Set(bad.keys()));
  const { samples } = dataset;
  return {
    dataset: good,
    images: facts.filter((_, index) => !bad.has(index)) as ImageFacts[],
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
  return (await readSamples(dataset, check)).bad;
}

/** As {@link checkSamples}; also what the images show, where they can be read. */
async function readSamples(dataset: SegmentationDataset, check: CheckOptions) {
  const bad = new Map<number, readonly DatasetFault[]>();
  const facts: (ImageFacts | undefined)[] = new Array(dataset.samples.length).fill(undefined);
  const good = await FileCache.open(dataset.root, 'checked-images', entrySchema);
  const common = digest(dataset.labelCoding, dataset);
  const remarks = check.onNote && new Remarks();
  try {
    await forEachConcurrently(
      dataset.samples,
      async (sample, index) => {
        const state = await stateOf(sample, sample.coding ? digest(sample.coding, dataset) : common);
        const earlier = check.trustEarlier && state !== undefined ? good.get(sample.image) : undefined;
        if (earlier?.state === state && earlier !== undefined) {
          facts[index] = earlier.facts;
          return;
        }
        const read = await readSample(sample, dataset, remarks);
        facts[index] = read.facts;
        if (read.faults.length > 0) bad.set(index, read.faults);
        else if (state !== undefined && read.facts) good.set(sample.image, { state, facts: read.facts });
      },
      check,
    );
  } finally {
    await good.save();
  }
  if (remarks) tell(remarks, dataset, check);
  return { bad: new Map([...bad].sort(([a], [b]) => a - b)), facts };
}

/** Remarks on files, and a range that no file has a use for. */
function tell(
  remarks: Remarks,
  { root, range }: SegmentationDataset,
  { onNote, trustEarlier }: CheckOptions,
) {
  const lines = remarks.lines();
  for (const line of lines) onNote?.(line);
  if (!range || trustEarlier || lines.some((line) => line.includes(READ_BY_RANGE))) return;
  onNote?.(`${root}: no image has more than 8 bits, so the range ${range.join(':')} changes nothing`);
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

async function readSample(
  sample: Sample,
  { labelCoding, range }: SegmentationDataset,
  remarks: Remarks | undefined,
): Promise<{ faults: DatasetFault[]; facts: ImageFacts | undefined }> {
  const { image, label, coding = labelCoding } = sample;
  const [pixels, trainIds] = await Promise.allSettled([
    decodeRgb(image, { range, onRemark: remarks && ((remark) => remarks.add(image, remark)) }),
    label === undefined ? undefined : decodeLabel(label, coding),
  ]);
  const faults = [pixels, trainIds].flatMap((part) =>
    part.status === 'rejected' ? [faultOf(part.reason)] : [],
  );
  if (pixels.status === 'rejected') return { faults, facts: undefined };
  if (trainIds.status === 'fulfilled' && trainIds.value) {
    const fault = sizeMismatch(label!, trainIds.value, pixels.value);
    if (fault !== undefined) faults.push(faultOf(fault));
  }
  return { faults, facts: factsOf(pixels.value) };
}

/** Enough to tell a flat image from one that shows something. */
const MOST_LOOKED_AT = 50_000;

function factsOf({ width, height, data }: RgbImage): ImageFacts {
  // No multiple of 3, so that all channels are looked at.
  const step = 3 * Math.floor(data.length / 3 / MOST_LOOKED_AT) + 1;
  let [low, high] = [255, 0];
  for (let i = 0; i < data.length; i += step) {
    const value = data[i]!;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { width, height, low, high };
}

function faultOf(error: unknown): DatasetFault {
  if (!(error instanceof DatasetError) || error.kind === undefined || error.file === undefined) throw error;
  return { file: error.file, kind: error.kind, message: error.message };
}
