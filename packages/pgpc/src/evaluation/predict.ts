// A saved model on images and videos of one's own, of any sizes: pictures, label maps and a line of numbers for each.

import { stat } from 'node:fs/promises';
import path from 'node:path';
import {
  type ClassInfo,
  DatasetError,
  decodeRgb,
  type OnFault,
  Remarks,
  type RgbImage,
  type ValueRange,
} from '@pgpc/datasets';
import { tidy } from '@pgpc/torch';
import { enterProcess, type ProcessOptions } from '../machine.js';
import { loadModel } from '../models/checkpoint.js';
import { locateModel } from '../models/locate.js';
import { asTrained, type ModelInferenceOptions } from './as-trained.js';
import { ahead, grouped, UnderWay } from './batches.js';
import { occurrences } from './counts.js';
import { classify } from './inference.js';
import { keepInputs } from './keep-inputs.js';
import { writePicture } from './label-files.js';
import { hasLetters } from './overlay.js';
import { findInputs, type PredictInput } from './predict-inputs.js';
import { fingerprint, PredictionJournal, type PredictionLine } from './predict-journal.js';
import { type LabelFormat, PICTURE_KINDS, type PictureKind } from './prediction-format.js';
import { pictureOf, picturesOf } from './prediction-pictures.js';
import type { Classified } from './row-map.js';
import { countFrames, videoFrames } from './video.js';

/**
 * `onFault` receives what is wrong with single files, and the rest is done; without it the first fault is thrown. `onNote`
 * receives what was passed over.
 */
export interface PredictOptions extends ProcessOptions {
  /** Model file, a checkpoint folder with one, or a run directory. */
  checkpoint: string;
  /** Of a run directory its best checkpoint, not its last. */
  best?: boolean | undefined;
  /** Images and videos: files, folders and patterns. */
  images: string | readonly string[];
  /** Folder for what is written. */
  out: string;
  /** The pictures to write: overlays and label maps by default. */
  write?: readonly PictureKind[] | undefined;
  /** What label maps hold: 'trainIds' by default. */
  labels?: LabelFormat | undefined;
  /** Of a video every so many frames: 1 by default. */
  every?: number | undefined;
  /** Images of one size that go through the network together: 1 on the CPU and 8 on a GPU by default. */
  batch?: number | undefined;
  /** Of images of more than 8 bits: the stored numbers that are black and white; left out: the model's, or the whole scale. */
  range?: ValueRange | undefined;
  /** How an image goes through the network; by default whole, at the size that the model was trained at. */
  inference?: ModelInferenceOptions | undefined;
  /** Told once what was taken from the model's file, in a line or two. */
  onModel?: ((said: string) => void) | undefined;
  /** Told of every image that is done, or failed; a frame of a video is one. */
  onImage?: ((done: number, total: number) => void) | undefined;
  onFault?: OnFault | undefined;
  onNote?: ((note: string) => void) | undefined;
}

export interface Predictions {
  /** Of every image that is done, by this call or an earlier one, in the order of the images. */
  lines: PredictionLine[];
  /** How many of them an earlier call has done. */
  before: number;
  /** The model's classes; what is taken for them where its file does not say. */
  classes: readonly ClassInfo[];
}

/** One image or frame to be predicted. */
interface Work {
  readonly id: string;
  readonly file: string;
  readonly frame?: number;
  readonly source: PredictionLine['source'];
}

/** An image or a video with what is left to do of it. */
interface Planned {
  readonly input: PredictInput;
  readonly work: readonly Work[];
}

/** Pictures that are encoded at once, beside the network. */
const WRITING = 8;

/** Frames are numbered so that names sort. */
const frameId = (id: string, frame: number) => `${id}/${String(frame).padStart(6, '0')}`;

/**
 * Predicts images and frames, and writes into `out` the chosen pictures, each kind in a folder of its name, and
 * `predictions.jsonl` with a line for each ({@link PredictionLine}). What an earlier call with the same model and options has
 * written there is not done again.
 * @throws UsageError for paths that are not there, and where a picture would take the place of an image or of a file that is
 *   not pgpc's; DatasetError for a folder without images, two of one name and, unless there is an `onFault`, an image that
 *   cannot be read or labelled; Error for a file that is no model, and for a video where ffmpeg is not installed; the signal's
 *   reason once it is aborted, with what was done recorded.
 */
export async function predict(options: PredictOptions): Promise<Predictions> {
  const { checkpoint, best, images, out, write = ['overlays', 'labels'], labels = 'trainIds' } = options;
  const { every = 1, signal, onImage, onFault, onNote } = options;
  const kinds = PICTURE_KINDS.filter((kind) => write.includes(kind));
  const fail = (error: unknown) => {
    if (!(error instanceof DatasetError && onFault)) throw error;
    onFault(error);
  };
  const device = enterProcess(options);
  const inputs = await findInputs([images].flat(), { out, onFault, onNote });
  using segmentor = loadModel(checkpoint, { best }).to({ device });
  segmentor.eval();
  const { classes, inference, said } = asTrained(segmentor, options.inference);
  for (const line of said) options.onModel?.(line);
  const { range = segmentor.about?.range, batch = device === 'cpu' ? 1 : 8 } = options;
  const model = await fingerprint(locateModel(checkpoint, { best }));
  const all = await listWork(inputs, every, fail);
  await keepInputs(
    inputs.map(({ file }) => file),
    all.flatMap(({ work }) =>
      work.flatMap(({ id }) => kinds.map((kind) => path.join(out, pictureOf(kind, id)))),
    ),
  );
  if (kinds.includes('overlays') && !(await hasLetters())) {
    onNote?.('no font is installed, so overlays have no legend; apt-get install fonts-dejavu-core gives one');
  }
  const journal = await PredictionJournal.open(out, { model, inference, range, labels });
  const lines = new Map<string, PredictionLine>();
  const left = all.map(({ input, work }) => ({
    input,
    work: work.filter(({ id, source }) => {
      const line = journal.complete(id, source, kinds);
      if (line) lines.set(id, line);
      return line === undefined;
    }),
  }));
  const before = lines.size;
  const total = left.reduce((sum, { work }) => sum + work.length, 0);
  if (before > 0) {
    onNote?.(
      `${out}: ${before} of ${before + total} were done before by this model with these options: passed over`,
    );
  }

  let done = 0;
  const remarks = new Remarks();
  const writing = new UnderWay(WRITING);
  const decode = (file: string) =>
    decodeRgb(file, { range, onRemark: (remark) => remarks.add(file, remark) });
  const onMissing = (frames: number) => {
    done += frames;
    onImage?.(done, total);
  };
  const read = async function* () {
    const decoded = decodedWork(left, { decode, every, signal, fail, onNote, onMissing });
    for await (const { work, image } of ahead(decoded, 2 * batch)) {
      try {
        yield { work, image: await image };
      } catch (error) {
        fail(error);
        onImage?.(++done, total);
      }
    }
  };
  const sizeOf = ({ image }: { image: RgbImage }) => `${image.width}x${image.height}`;
  /** The classes of each image, or its fault. Where several fail together, they are tried one by one. */
  const classified = (group: readonly { work: Work; image: RgbImage }[]): (Classified | DatasetError)[] => {
    const pictures = group.map(({ image }) => image);
    try {
      return classify(segmentor, pictures, inference, true);
    } catch (error) {
      if (group.length === 1) return [faultOf(group[0]!.work, error)];
      return group.flatMap((one) => classified([one]));
    }
  };
  try {
    for await (const group of grouped(read(), batch, sizeOf)) {
      signal?.throwIfAborted();
      for (const [i, prediction] of classified(group).entries()) {
        if (prediction instanceof DatasetError) fail(prediction);
        else {
          const { work, image } = group[i]!;
          const line = lineOf(work, image, prediction, kinds, classes);
          const pictures = picturesOf(image, prediction, line.shares, { kinds, labels, classes });
          prediction.labels.dispose();
          prediction.confidence!.dispose();
          await writing.add(async () => {
            for (const [kind, picture] of await pictures) {
              await writePicture(path.join(out, pictureOf(kind, work.id)), picture);
            }
            await journal.add(line);
            lines.set(work.id, line);
          });
        }
        onImage?.(++done, total);
      }
    }
  } finally {
    await writing.end().finally(() => journal.close());
  }
  for (const line of remarks.lines()) onNote?.(line);
  return {
    lines: all.flatMap(({ work }) => work.flatMap(({ id }) => lines.get(id) ?? [])),
    before,
    classes,
  };
}

function faultOf({ file }: Work, error: unknown): DatasetError {
  const why = (error as Error).message.replace(/\s+/g, ' ');
  return new DatasetError(`${file}: ${why}`, { file, cause: error });
}

/** All images and frames. @param fail receives faults of single files. */
async function listWork(
  inputs: readonly PredictInput[],
  every: number,
  fail: (error: unknown) => void,
): Promise<Planned[]> {
  const planned: Planned[] = [];
  for (const input of inputs) {
    const { id, kind } = input;
    const file = path.resolve(input.file);
    try {
      const { size, mtime } = await stat(file);
      const source = { bytes: size, modified: mtime.toISOString() };
      if (kind === 'image') {
        planned.push({ input, work: [{ id, file, source }] });
        continue;
      }
      const frames = Math.ceil((await countFrames(input.file)) / every);
      const work = Array.from({ length: frames }, (_, i) => {
        const frame = i * every;
        return { id: frameId(id, frame), file, frame, source };
      });
      planned.push({ input, work });
    } catch (error) {
      fail(error);
    }
  }
  return planned;
}

interface Decoding {
  readonly decode: (file: string) => Promise<RgbImage>;
  readonly every: number;
  readonly signal: AbortSignal | undefined;
  /** Receives faults of videos. */
  readonly fail: (error: unknown) => void;
  readonly onNote: PredictOptions['onNote'];
  /** Told of how many frames a video does not have, of the ones that were to be done. */
  readonly onMissing: (frames: number) => void;
}

/** The work with its pixels, which are under way when it is given. */
async function* decodedWork(
  planned: readonly Planned[],
  { decode, every, signal, fail, onNote, onMissing }: Decoding,
): AsyncGenerator<{ work: Work; image: Promise<RgbImage> }> {
  for (const { input, work } of planned) {
    if (input.kind === 'image') {
      for (const one of work) {
        const image = decode(input.file);
        // Its failure is thrown where it is awaited.
        image.catch(() => {});
        yield { work: one, image };
      }
      continue;
    }
    const wanted = new Map(work.map((one) => [one.frame, one]));
    if (wanted.size === 0) continue;
    const { file } = input;
    let damage: string | undefined;
    const onDamage = (said: string) => {
      damage = said;
    };
    try {
      for await (const { number, image } of videoFrames(file, { every, signal, onDamage })) {
        const one = wanted.get(number);
        if (!one) continue;
        wanted.delete(number);
        yield { work: one, image: Promise.resolve(image) };
      }
      const missing = `${wanted.size} of its ${work.length} frames cannot be decoded`;
      if (damage !== undefined && wanted.size > 0) {
        throw new DatasetError(`${file}: damaged: ${missing}: ${damage}`, { kind: 'undecodable', file });
      }
      if (damage !== undefined) onNote?.(`${file}: damaged, which its frames may show: ${damage}`);
      else if (wanted.size > 0) onNote?.(`${file}: ${missing}`);
    } catch (error) {
      fail(error);
    }
    if (wanted.size > 0) onMissing(wanted.size);
  }
}

function lineOf(
  { id, file, frame, source }: Work,
  { width, height }: RgbImage,
  { labels, confidence }: Classified,
  kinds: readonly PictureKind[],
  classes: readonly ClassInfo[],
): PredictionLine {
  const counts = tidy(() => occurrences(labels.flatten(), classes.length).tolist()) as number[];
  const shares = classes.flatMap(({ name, trainId }) =>
    counts[trainId]! > 0 ? [[name, counts[trainId]! / (width * height)] as const] : [],
  );
  return {
    id,
    file,
    ...(frame !== undefined && { frame }),
    width,
    height,
    confidence: Math.min(
      1,
      tidy(() => confidence!.mean().item()),
    ),
    shares: Object.fromEntries(shares),
    pictures: Object.fromEntries(kinds.map((kind) => [kind, pictureOf(kind, id)])),
    source,
  };
}
