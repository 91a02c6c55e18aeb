// A saved model on images of one's own, of any sizes: label maps as files.

import {
  type ClassInfo,
  DatasetError,
  decodeRgb,
  forEachConcurrently,
  IMAGE_ENDINGS,
  type LabelMap,
  listFiles,
  type ReaderOptions,
  Remarks,
  type ValueRange,
} from '@pgpc/datasets';
import { enterProcess, type ProcessOptions } from '../machine.js';
import { loadModel } from '../models/checkpoint.js';
import type { Segmentor } from '../models/segmentor.js';
import { asTrained, type ModelInferenceOptions } from './as-trained.js';
import { toLabelMap } from './evaluate.js';
import { type InferenceOptions, predictLabels } from './inference.js';
import { keepInputFolder, keepInputs } from './keep-inputs.js';
import { predictionFile, writePrediction } from './label-files.js';
import type { PredictionFormat } from './prediction-format.js';
import { isPrediction } from './prediction-mark.js';

/**
 * `onFault` receives what is wrong with single images, and the rest is done; without it the first fault is thrown. `onNote`
 * receives what was passed over.
 */
export interface PredictOptions extends ProcessOptions, ReaderOptions {
  /** Model file, a checkpoint folder with one, or a run directory. */
  checkpoint: string;
  /** Of a run directory its best checkpoint, not its last. */
  best?: boolean | undefined;
  /** Folder with images. */
  images: string;
  /** Folder for the label maps. */
  out: string;
  /** What they hold: 'trainIds' by default. */
  format?: PredictionFormat | undefined;
  /** Of images of more than 8 bits: the stored numbers that are black and white; left out: the model's, or the whole scale. */
  range?: ValueRange | undefined;
  /** How an image goes through the network; by default whole, at the size that the model was trained at. */
  inference?: ModelInferenceOptions | undefined;
  /** Told once what was taken from the model's file, in a line or two. */
  onModel?: ((said: string) => void) | undefined;
  /** Told of every image that is done, or failed. */
  onImage?: ((done: number, total: number) => void) | undefined;
}

export interface Predictions {
  /** Paths of the label maps, in the order of the images. */
  files: string[];
  /** The model's classes; what is taken for them where its file does not say. */
  classes: readonly ClassInfo[];
}

/**
 * The images in a folder and its subfolders by the ids of their label maps. What lies in `out` is left out, and what was
 * predicted before, wherever it lies.
 * @throws UsageError where a label map would take the place of an image; DatasetError where two images share an id
 */
async function listImages({ images, out, onFault, onNote }: PredictOptions): Promise<Map<string, string>> {
  await keepInputFolder(images, out);
  const found = await listFiles(images, {
    what: 'images',
    endings: IMAGE_ENDINGS,
    leaveOut: out,
    onNote,
    onFault:
      onFault &&
      ((fault) => {
        // Of two images of one name none is the one that is meant.
        if (fault.kind === 'same-name') throw fault;
        onFault(fault);
      }),
  });
  const predicted = await predictionsAmong(found);
  if (predicted.length > 0) {
    onNote?.(
      `${images}: ${predicted.length} of an earlier predict passed over (${predicted.slice(0, 2).join(', ')})`,
    );
  }
  const passedOver = new Set(predicted);
  const sources = new Map([...found].filter(([, file]) => !passedOver.has(file)));
  if (sources.size === 0) throw new DatasetError(`${images}: no images here, only label maps of predict`);
  await keepInputs(
    sources.values(),
    Array.from(sources.keys(), (id) => predictionFile(out, id)),
  );
  return sources;
}

async function predictionsAmong(files: ReadonlyMap<string, string>): Promise<string[]> {
  const predicted: string[] = [];
  await forEachConcurrently([...files.values()], async (file) => {
    if (/\.png$/i.test(file) && (await isPrediction(file))) predicted.push(file);
  });
  return predicted.sort();
}

/**
 * Writes a label map for every image in a folder and its subfolders, under the image's name.
 * @throws UsageError where a label map would take the place of an image; DatasetError for a folder without images, two
 *   images of one name and, unless there is an `onFault`, an image that cannot be read or labelled; Error for a file that
 *   is no model; the signal's reason once it is aborted.
 */
export async function predict(options: PredictOptions): Promise<Predictions> {
  const { checkpoint, best, out, format = 'trainIds', signal, onImage, onFault, onNote } = options;
  const device = enterProcess(options);
  const sources = await listImages(options);
  using segmentor = loadModel(checkpoint, { best }).to({ device });
  segmentor.eval();
  const { classes, inference, said } = asTrained(segmentor, options.inference);
  for (const line of said) options.onModel?.(line);
  const range = options.range ?? segmentor.about?.range;
  const files: string[] = [];
  const remarks = new Remarks();
  let done = 0;
  for (const [id, file] of sources) {
    signal?.throwIfAborted();
    const labels = await labelled(segmentor, file, { inference, range }, remarks).catch((error) => {
      if (!(error instanceof DatasetError && onFault)) throw error;
      onFault(error);
    });
    if (labels) files.push(await writePrediction(out, id, labels, classes, format));
    onImage?.(++done, sources.size);
  }
  for (const line of remarks.lines()) onNote?.(line);
  return { files, classes };
}

/** @throws DatasetError that names the file. */
async function labelled(
  segmentor: Segmentor,
  file: string,
  { inference, range }: Pick<PredictOptions, 'range'> & { inference: InferenceOptions },
  remarks: Remarks,
): Promise<LabelMap> {
  const image = await decodeRgb(file, { range, onRemark: (remark) => remarks.add(file, remark) });
  try {
    using labels = predictLabels(segmentor, image, inference);
    return toLabelMap(labels);
  } catch (error) {
    const why = (error as Error).message.replace(/\s+/g, ' ');
    throw new DatasetError(`${file}: ${why}`, { file, cause: error });
  }
}
