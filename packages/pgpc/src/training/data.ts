// Where a run's images come from: opened, checked, counted and looked at as a whole before training starts.

import {
  availableSplits,
  type CheckedSplit,
  type CheckOptions,
  type ClassDefinition,
  checkDataset,
  classStatistics,
  DatasetError,
  type DatasetFault,
  describeLayout,
  type Finding,
  inspectImages,
  inspectLabels,
  type SegmentationDataset,
  type Size,
} from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import { MIT_SMALLEST_SIDE } from '../config/segmentor.js';
import type { CountedClasses } from '../evaluation/classes.js';
import { PixelStore } from '../pipeline/pixels.js';
import { refuseOtherClasses, toRunClasses } from './class-mapping.js';
import { cropFindings, roleFindings, sourceError, withoutSmallImages } from './data-findings.js';
import type { TrainingData } from './trainer.js';

/** What a run reads. */
export interface OpenedData extends TrainingData {
  classes: SegmentationDataset['classes'];
  /** How the own classes of source and validation split (or target) were brought to these; none without a mapping. */
  brought: readonly CountedClasses[];
  /** The target's labelled validation split; undefined where there is none. */
  validation: SegmentationDataset | undefined;
  /** Why there is no validation split, in words. */
  withoutValidation: string | undefined;
  /** What was wrong and left out. */
  faults: readonly DatasetFault[];
  /** What each domain was read as, and what told it. */
  layouts: readonly string[];
  /** What a look at the whole makes doubtful; one line each. */
  warnings: readonly string[];
  /** Remarks on files that are read in spite of them, or passed over. */
  notes: readonly string[];
}

export interface OpenDataOptions {
  /** Leave bad files out instead of refusing to start. */
  skipBad?: boolean;
  /** Size of the training crops, to say how much of them is padding. */
  crop?: Size;
  /** Pixels a side that the network needs of whole images: smaller ones of the target are bad files; default: what every network takes. */
  smallest?: number;
  signal?: AbortSignal;
  /** Told of each stage: reading a domain's files, counting classes. */
  onProgress?: (stage: string, done: number, total: number) => void;
}

/**
 * Opens both domains, reads every file once to find what is wrong, counts the source's classes (from a cache where the
 * files are as they were), and looks at the whole. The source's labels are needed; the target's are not looked for, so
 * they do not decide which images there are; of the validation split the sound pairs are kept.
 * Images of the target that are too small for the network are bad files.
 * @throws BadFilesError if a file of the source or target is bad and `skipBad` is not set; DatasetError if nothing is
 * left, if source and validation split do not have the same classes, if the mapping leaves out a class, or if no label of the source
 * shows a class
 */
export async function openData(config: DataConfig, options: OpenDataOptions = {}): Promise<OpenedData> {
  const { skipBad = false, crop, smallest = MIT_SMALLEST_SIDE, signal, onProgress } = options;
  const notes: string[] = [];
  const concurrent = (stage: string): CheckOptions => ({
    signal,
    // A file that was found good and has not been touched since is not read again.
    trustEarlier: true,
    onNote: (note) => notes.push(note),
    onProgress: (done, total) => onProgress?.(stage, done, total),
  });
  const source = await checkDataset({ ...config.source, labels: 'required' }, concurrent('check source'));
  const target = withoutSmallImages(
    await checkDataset(
      { ...config.target, labels: 'none', defaultClasses: definitionOf(source.dataset) },
      concurrent('check target'),
    ),
    smallest,
    config.target.scale,
  );
  const faults = [...source.faults, ...target.faults];
  const [ownSource, ownTarget] = [usable(source), usable(target)];
  if (ownSource === undefined) throw await sourceError(nothingLeft(source, config.source.root), config);
  if (ownTarget === undefined) throw nothingLeft(target, config.target.root);
  if (faults.length > 0 && !skipBad) throw new BadFilesError(faults);
  const sources = toRunClasses(ownSource, config.classes);
  const targets = toRunClasses(ownTarget, config.classes);
  // The target's labels are not read: its classes matter where it is evaluated on.
  const count = (stage: string, dataset: SegmentationDataset) =>
    classStatistics(dataset, { signal, onProgress: (done, total) => onProgress?.(stage, done, total) });
  const ownStatistics = await count('count classes', ownSource);
  const sourceStatistics = sources.statistics(ownStatistics);
  const { checked: validated, reason } = await openValidation(
    config,
    definitionOf(ownSource),
    smallest,
    concurrent('check validation'),
  );
  const validation = validated?.dataset && toRunClasses(validated.dataset, config.classes);
  if (validation) refuseOtherClasses(sources.dataset, validation.dataset);
  const validationStatistics = validation && (await count('count validation', validated.dataset!));
  const layouts = {
    source: await describeLayout(config.source.format, config.source.root),
    target: await describeLayout(config.target.format, config.target.root),
  };
  const findings = [
    ...roleFindings(config),
    ...inspectLabels(sources.dataset, sourceStatistics, layouts.source),
    ...inspectImages(ownSource, source.images),
    ...inspectImages(ownTarget, target.images),
    ...(validation
      ? asWarnings(
          inspectLabels(validation.dataset, validation.statistics(validationStatistics!), layouts.target),
        )
      : []),
    ...(crop ? cropFindings('source', crop, source.images, config.source.scale) : []),
    ...(crop ? cropFindings('target', crop, target.images, config.target.scale) : []),
  ];
  const errors = findings.filter(({ level }) => level === 'error');
  if (errors.length > 0) throw new DatasetError(errors.map(({ message }) => message).join('; '));
  const brought = [sources.count(ownStatistics)];
  if (validation) brought.push(validation.count(validationStatistics!));
  else if (ownTarget.classes !== ownSource.classes) brought.push(targets.count(undefined));
  return {
    source: new PixelStore(sources.dataset, { scale: config.source.scale }),
    sourceStatistics,
    target: new PixelStore(targets.dataset, { scale: config.target.scale }),
    classes: sources.dataset.classes,
    brought: brought.filter((one) => one !== undefined),
    validation: validation?.dataset,
    withoutValidation: reason,
    faults: [...faults, ...(validated?.faults ?? [])],
    layouts: [`source: ${layouts.source}`, `target: ${layouts.target}`],
    warnings: findings.map(({ message }) => message),
    notes,
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

/** A target of one's own that has no class file has the source's classes. */
function definitionOf(dataset: SegmentationDataset | undefined): ClassDefinition | undefined {
  return dataset && { classes: dataset.classes, labelCoding: dataset.labelCoding };
}

function usable({ dataset }: CheckedSplit): SegmentationDataset | undefined {
  return dataset && dataset.samples.length > 0 ? dataset : undefined;
}

/** Nothing is left, so leaving out bad files is no way out. */
function nothingLeft({ faults }: CheckedSplit, root: string): Error {
  const [first] = faults;
  if (first === undefined) return new DatasetError(`${root}: no usable image is left; the folder is empty`);
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more like it)` : '';
  const begin = first.message.startsWith(root) ? '' : `${root}: no usable image is left; `;
  return new DatasetError(`${begin}${first.message}${more}`, { kind: first.kind, file: first.file });
}

/** What makes training impossible makes an evaluation only doubtful: the network can still be trained. */
const asWarnings = (findings: readonly Finding[]): Finding[] =>
  findings.map(({ message }) => ({ level: 'warning', message }));

/** The sound pairs of the validation split; real targets may have none. */
async function openValidation(
  { target }: DataConfig,
  defaultClasses: ClassDefinition | undefined,
  smallest: number,
  check: CheckOptions,
): Promise<{ checked?: CheckedSplit; reason?: string }> {
  const { format, root, range, scale } = target;
  if (!(await availableSplits(format, root)).includes('val')) {
    return { reason: `${root} has no validation split` };
  }
  const options = { format, root, range, split: 'val', defaultClasses };
  const checked = withoutSmallImages(
    await checkDataset({ ...options, labels: 'required' }, check),
    smallest,
    scale,
  );
  if (usable(checked)) return { checked };
  const [first] = checked.faults;
  return { reason: `the validation split of ${root} has no usable pair${first ? `: ${first.message}` : ''}` };
}
