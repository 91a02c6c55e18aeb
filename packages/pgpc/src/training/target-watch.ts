// The same few target images through a training: what the student and its teacher make of them at each checkpoint.

import type { SegmentationDataset, Size } from '@pgpc/datasets';
import type { PixelContrast } from '../adaptation/contrast/contrast.js';
import type { AdaptationStep } from '../adaptation/step.js';
import { saveMemory, savePrototypes } from './contrast-record.js';
import { readPictureIndex } from './run-directory/open-run.js';
import type { RunDirectory } from './run-directory/run-directory.js';
import { type MethodResult, type PictureIndex, picturesIn } from './run-directory/schema.js';
import { SHOWN, shownOf, type WatchedImage, writeCheckpoint } from './target-pictures.js';
import { someOf, validationScores } from './validation-scores.js';
import { keepWorst, type WorstImage } from './worst-images.js';

/** Checkpoints that are shown at most. */
const KEPT = 6;

export interface WatchedTarget {
  /** The target's images, and its labelled ones where it has a validation split. */
  readonly target: SegmentationDataset;
  readonly validation: SegmentationDataset | undefined;
  /** Bounds within which images enter the network. */
  readonly size: Size | undefined;
  /** Steps between two checkpoints. */
  readonly every: number;
}

type Entry = PictureIndex['target'][number];

/** A target image that is shown, with what the run's index says of it. */
interface Shown extends WatchedImage {
  readonly entry: Entry;
}

/** Writes the pictures of a run's target images, and scores the student on a few validation images. */
export class TargetWatch {
  /** Of what is still being written, and of what failed. */
  readonly #pending = new Set<Promise<unknown>>();

  private constructor(
    readonly run: RunDirectory,
    readonly watched: WatchedTarget,
    readonly shown: readonly Shown[],
    readonly index: PictureIndex,
    readonly few: SegmentationDataset | undefined,
  ) {}

  /** Reads the images, and writes them with their labels; of a run that is resumed, what was written before stays. */
  static async open(run: RunDirectory, watched: WatchedTarget): Promise<TargetWatch> {
    const { target, validation } = watched;
    const dataset = validation ?? target;
    const index: PictureIndex = readPictureIndex(run.path) ?? { source: [], target: [] };
    const shown: Shown[] = [];
    for (const i of shownOf(dataset)) {
      const image = await dataset.readImage(i);
      const label = validation && (await validation.readLabel(i));
      const { id } = dataset.samples[i]!;
      let entry = index.target.find((one) => one.id === id);
      if (!entry) {
        const file = freeName(i, picturesIn(index));
        const truth = label && file.replace('.png', '-truth.png');
        entry = { id, image: file, ...(truth && { truth }), predictions: {} };
        await run.writePicture(file, image);
        if (label) await run.writeLabelPicture(truth!, label);
        index.target.push(entry);
      }
      shown.push({ image, truth: label?.data, stem: entry.image.replace('.png', ''), entry });
    }
    run.writePictureIndex(index);
    await run.removeUnlistedPictures(index);
    return new TargetWatch(run, watched, shown, index, validation && someOf(validation));
  }

  /**
   * The student's prediction and where it is wrong, of a method with a teacher also its pseudo-label with its confidence, of one
   * with contrast also what that chooses from and what it has stored; and the student's scores on a few validation images. The
   * networks are read before it returns.
   * @param iteration steps done. @returns for the log; nothing without a validation split.
   */
  async checkpoint(iteration: number, step: AdaptationStep): Promise<Record<string, number>> {
    const { student, parts } = step;
    const { size, every } = this.watched;
    const { pictures, written } = writeCheckpoint(this.run, this.shown, { iteration, step, size });
    this.#wait(written);
    if (parts.contrast) this.#record(iteration, parts.contrast);
    for (const [i, { entry }] of this.shown.entries()) {
      const others = entry.checkpoints?.filter((one) => one.iteration !== iteration) ?? [];
      const checkpoints = [...others, { iteration, pictures: pictures[i]! }];
      entry.checkpoints = evenlySpread(checkpoints, iteration, every);
    }
    this.run.writePictureIndex(this.index);
    // Once what is still being written is there, since it may be among what is shown no more.
    this.#wait(Promise.all(this.#pending).then(() => this.run.removeUnlistedPictures(this.index)));
    if (!this.few) return {};
    return validationScores(student.segmentor, this.few, size);
  }

  /** Keeps the images that a result is worst on. */
  async keepWorst(result: MethodResult, worst: readonly WorstImage[]): Promise<void> {
    await keepWorst(this.run, this.index, result, worst);
  }

  /** Waits for the pictures. */
  async close(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** The prototypes and what the banks hold, in files that the index names. */
  #record(iteration: number, contrast: PixelContrast): void {
    const prototypes = `prototypes-${iteration}.safetensors`;
    const memory = `memory-${iteration}.safetensors`;
    savePrototypes(this.run.picturePath(prototypes), contrast);
    saveMemory(this.run.picturePath(memory), contrast);
    const others = this.index.contrast?.checkpoints.filter((one) => one.iteration !== iteration) ?? [];
    const checkpoints = evenlySpread([...others, { iteration, prototypes }], iteration, this.watched.every);
    this.index.contrast = { checkpoints, memory };
  }

  #wait(written: Promise<unknown>): void {
    this.#pending.add(written);
    // A failure stays, and is thrown where they are awaited.
    written.then(
      () => this.#pending.delete(written),
      () => {},
    );
  }
}

/** Roughly what the pictures of a run take: half a byte a pixel, of as many kinds as the most talkative method has. */
export async function picturesBytes(dataset: SegmentationDataset): Promise<number> {
  const KINDS = 7;
  const [first] = shownOf(dataset);
  const { width, height } = await dataset.readImage(first!);
  return 0.5 * width * height * SHOWN * KEPT * KINDS;
}

/** A file for the picture of image `i`; of a run whose images are others now, another may have that name. */
function freeName(i: number, taken: ReadonlySet<string>): string {
  let n = i;
  while (taken.has(`target-${n}.png`)) n++;
  return `target-${n}.png`;
}

/** Of these checkpoints as many as are shown: evenly spread ones, and the newest; rising. */
function evenlySpread<T extends { iteration: number }>(
  checkpoints: readonly T[],
  newest: number,
  between: number,
): T[] {
  let every = between;
  while (newest / every >= KEPT) every *= 2;
  return checkpoints
    .filter(({ iteration }) => iteration % every === 0 || iteration === newest)
    .sort((a, b) => a.iteration - b.iteration);
}
