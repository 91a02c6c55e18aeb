// A saved model on a labelled split: its scores, and its predictions as files.

import {
  type ClassInfo,
  type ClassMapping,
  checkSamples,
  classStatistics,
  DatasetError,
  type DatasetFault,
  type DatasetFormat,
  describeLayout,
  detectFormat,
  inspectLabels,
  isCityscapes,
  mapStatistics,
  openDataset,
  readMappingFile,
  type SegmentationDataset,
  type ValueRange,
  withoutSamples,
} from '@pgpc/datasets';
import { UsageError } from '../config/usage-error.js';
import { enterProcess, type ProcessOptions } from '../machine.js';
import { loadModel } from '../models/checkpoint.js';
import { asTrained, type ModelInferenceOptions } from './as-trained.js';
import { alignClasses, type CountedClasses, countMapped } from './classes.js';
import { type Evaluation, evaluateSegmentor } from './evaluate.js';
import { FiftyOneFolder } from './fiftyone.js';
import type { InferenceOptions } from './inference.js';
import { keepInputs } from './keep-inputs.js';
import { predictionFile, writePrediction } from './label-files.js';
import { PerImage } from './per-image.js';
import type { PredictionFormat } from './prediction-format.js';
import type { Protocol } from './protocols.js';

export interface EvaluateOptions extends ProcessOptions {
  /** Model file, a checkpoint folder with one, or a run directory. */
  checkpoint: string;
  /** Of a run directory its best checkpoint, not its last. */
  best?: boolean | undefined;
  /** Root of the labelled images. */
  target: string;
  /** Left out: told from the folder. */
  format?: DatasetFormat | undefined;
  /** 'val' by default. */
  split?: string | undefined;
  /** Of images of more than 8 bits: the stored numbers that are black and white; left out: the model's, or the whole scale. */
  range?: ValueRange | undefined;
  /** How an image goes through the network; by default whole, at the size that the model was trained at. */
  inference?: ModelInferenceOptions | undefined;
  /** Told once what was taken from the model's file, in a line or two. */
  onModel?: ((said: string) => void) | undefined;
  /**
   * A number: classes of Cityscapes to average over, which the images must then have. A mapping, or its file: which of the
   * images' classes each of the model's takes in; left out: what has its name.
   */
  classes?: Protocol | string | ClassMapping | undefined;
  /** Also boundary IoU. */
  boundary?: boolean | undefined;
  /** Folder for the predicted label maps, and what they hold; left out: none are written. */
  predictions?: { folder: string; format: PredictionFormat } | undefined;
  /** Also the scores of every image, and the label maps of so many that are worst. */
  perImage?: { worst: number } | undefined;
  /** Folder for images, labels and predictions as FiftyOne reads them; left out: none is written. */
  fiftyone?: string | undefined;
  /** Told once how the images' classes are brought to the model's, where they differ. */
  onClasses?: ((classes: CountedClasses) => void) | undefined;
  /** Told of every file that is read before, to leave out those with a fault. */
  onCheck?: ((done: number, total: number) => void) | undefined;
  /** Told of what is doubtful about the labels, and of files that are read in spite of a flaw; one line each. */
  onWarning?: ((message: string) => void) | undefined;
  /** Told of every image that is done. */
  onImage?: ((done: number, total: number) => void) | undefined;
}

/** Scores are fractions 0..1, in the order of `classes`; NaN for a class that does not occur. */
export interface ModelEvaluation extends Evaluation {
  classes: readonly ClassInfo[];
  /** In the model's classes; of the sound pairs alone. */
  dataset: SegmentationDataset;
  /** What was wrong with what was left out. */
  faults: readonly DatasetFault[];
  /** How the data set's own classes were brought to the model's; undefined where they are the same. */
  brought: CountedClasses | undefined;
  /** Of every image, in the order of the samples; undefined where it was not asked for. */
  perImage: PerImage | undefined;
  /** How images went through the network. */
  inference: InferenceOptions;
  /** Where it was computed: 'cpu', 'cuda:0', ... */
  device: string;
  seconds: number;
}

/**
 * @throws UsageError if `classes` are asked for of images that have others; DatasetError for images that cannot be read;
 *   Error for a file that is no model, or a model of other classes; the signal's reason once it is aborted.
 */
export async function evaluate(options: EvaluateOptions): Promise<ModelEvaluation> {
  const { checkpoint, best, target, split = 'val', boundary, predictions, signal, onImage } = options;
  const { onClasses } = options;
  // A file with a fault is refused before libtorch is set up and the images are listed.
  const mapping = await mappingOf(options.classes);
  const device = enterProcess(options);
  using segmentor = loadModel(checkpoint, { best }).to({ device });
  const format = options.format ?? (await detectFormat(target));
  const faults: DatasetFault[] = [];
  const note = ({ file, kind, message }: DatasetError) => {
    if (file !== undefined && kind !== undefined) faults.push({ file, kind, message });
  };
  const { range = segmentor.about?.range, onCheck, onWarning } = options;
  const data = { format, root: target, split, range, labels: 'required' } as const;
  const listed = await openDataset({ ...data, onFault: note, onNote: onWarning });
  // What does not fit is refused before all files are read.
  if (typeof options.classes === 'number' && !isCityscapes(listed.classes)) {
    throw new UsageError(`--classes ${options.classes}: the classes of ${target} are not Cityscapes'`);
  }
  alignClasses(listed, segmentor, mapping);
  const bad = await checkSamples(listed, {
    signal,
    trustEarlier: true,
    onProgress: onCheck,
    onNote: onWarning,
  });
  faults.push(...[...bad.values()].flat());
  const own = withoutSamples(listed, new Set(bad.keys()));
  if (own.samples.length === 0) throw nothingSound(listed, faults);
  const { dataset, mapped } = alignClasses(own, segmentor, mapping);
  const { inference, said } = asTrained(segmentor, options.inference, false);
  for (const line of said) options.onModel?.(line);
  if (predictions) {
    await keepInputs(
      dataset.samples.flatMap(({ image, label }) => (label === undefined ? [image] : [image, label])),
      dataset.samples.map(({ id }) => predictionFile(predictions.folder, id)),
    );
  }
  const fiftyone =
    options.fiftyone === undefined ? undefined : await FiftyOneFolder.create(options.fiftyone, dataset);
  const perImage = options.perImage && new PerImage(dataset, options.perImage.worst);
  const statistics = await classStatistics(own, { signal });
  const brought = mapped && countMapped(mapped, statistics);
  if (brought) onClasses?.(brought);
  const counted = mapped ? mapStatistics(statistics, mapped) : statistics;
  const findings = inspectLabels(dataset, counted, await describeLayout(format, target));
  const useless = findings.find(({ level }) => level === 'error');
  if (useless) throw new DatasetError(useless.message);
  for (const { message } of findings) options.onWarning?.(message);
  const began = performance.now();
  const evaluation = await evaluateSegmentor(segmentor, dataset, {
    ...inference,
    boundary,
    signal,
    onImage: async (done, total, index, prediction, counted) => {
      onImage?.(done, total);
      perImage?.add(index, prediction, counted);
      await fiftyone?.add(index, counted.label, prediction);
      if (!predictions) return;
      const { id } = dataset.samples[index]!;
      await writePrediction(predictions.folder, id, prediction, dataset.classes, predictions.format);
    },
  });
  const seconds = (performance.now() - began) / 1000;
  return {
    ...evaluation,
    classes: dataset.classes,
    dataset,
    faults,
    brought,
    perImage,
    inference,
    device,
    seconds,
  };
}

function nothingSound({ root, split }: SegmentationDataset, [first]: readonly DatasetFault[]): DatasetError {
  if (first === undefined) return new DatasetError(`${root}: '${split}' holds no labelled image`);
  return new DatasetError(first.message, { kind: first.kind, file: first.file });
}

async function mappingOf(classes: EvaluateOptions['classes']): Promise<ClassMapping | undefined> {
  if (typeof classes === 'number') return undefined;
  return typeof classes === 'string' ? readMappingFile(classes) : classes;
}
