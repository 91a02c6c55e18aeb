// The program of one training of several side by side: takes its task by message, tells of its steps, answers with scores.

import { mkdirSync } from 'node:fs';
import {
  classStatistics,
  openCityscapes,
  openGta5,
  type RgbImage,
  type SegmentationDataset,
  type Size,
} from '@pgpc/datasets';
import { dims, indexWeights, type Tensor, tidy } from '@pgpc/torch';
import type { AdaptationStep } from '../adaptation/step.js';
import type { DataConfig } from '../config/data.js';
import type { Experiment } from '../config/experiment.js';
import { describeDevice, useCores, versions } from '../machine.js';
import type { WeightsReport } from '../models/weights/fit.js';
import { PixelStore } from '../pipeline/pixels.js';
import { CheckpointClock } from './checkpoint-clock.js';
import { findCheckpoint, setAside } from './checkpoint-files.js';
import { type SavedBeside, type SavedTask, savedBeside, savedState } from './checkpoint-texts.js';
import { openData } from './data.js';
import { loadPlugins } from './plugins.js';
import { describeMachine } from './run-directory/origin.js';
import { RunPictures } from './run-directory/pictures.js';
import { surroundingChanges } from './surroundings.js';
import { type KindsOfPictures, shownOf, type WatchedImage, writeCheckpoint } from './target-pictures.js';
import { type TrainedTask, type TrainingStart, train } from './train.js';
import type { LogEntry, Trainer, TrainingData } from './trainer.js';
import { ScoresOfSome, someOf, validationScores } from './validation-scores.js';

/** What is to be trained. */
export interface RunTask {
  /** What errors and events call it by. */
  name: string;
  experiment: Experiment;
  /** Module files that register the parts of the experiment. */
  plugins?: readonly string[] | undefined;
  data: TaskData;
  /** 'cpu', or 'cuda:N', which several trainings can share. */
  device: string;
  /** Threads that decode; 0: that of the training. */
  workers: number;
  /** Train on the target with its labels, as the oracle does. */
  onTarget: boolean;
  start: TrainingStart;
  /**
   * Folder of the model and of the states from which training resumes, every few minutes and however it ends. What is there of
   * an earlier try, killed or stopped, is resumed from.
   */
  checkpoint: string;
  /** Minutes between two states. */
  minutesBetween?: number | undefined;
  evaluate: boolean;
  /** Looks at the student on its way and at its end; left out: none. */
  watch?: TaskWatch | undefined;
}

/** What is kept of a training on its way. */
export interface TaskWatch {
  /** Steps between two looks; each scores the student on a few validation images, where there are labels. */
  every: number;
  /** Run directory in which each look leaves pictures of a few target images; left out: none. */
  pictures?: string | undefined;
}

/** Rendered streets by their roots; or data of any layout, whose files were checked before. */
export type TaskData = { source: string; target: string } | { config: DataConfig; skipBad: boolean };

export type RunEvent =
  | { kind: 'weights'; report: WeightsReport }
  | { kind: 'step'; done: number }
  /** In order from the first step on, also of a training that is resumed. */
  | ({ kind: 'log' } & LogEntry)
  /** Scores of the student on a few validation images; in order as well. */
  | ({ kind: 'validation' } & LogEntry)
  /** The files of pictures by kind, of each image that is shown; in order as well. */
  | { kind: 'pictures'; iteration: number; images: { id: string; pictures: KindsOfPictures }[] }
  /** Where it resumes, or why it does not, in words. */
  | { kind: 'remark'; message: string };

export type RunEnd = { kind: 'end' } & TrainedTask;

const send = (message: RunEvent | RunEnd) => process.send!(message);

/** Resolves once the message has left: what is still on its way when the channel closes is lost. */
const sent = (message: RunEnd) =>
  new Promise<void>((resolve, reject) => {
    process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()));
  });

async function run(task: RunTask, signal: AbortSignal): Promise<void> {
  // Tensors of this size gain little from a second thread, and none on a GPU; the other cores have other trainings.
  useCores(1);
  await loadPlugins(task.plugins);
  const { experiment, device, workers, checkpoint, minutesBetween = MINUTES_BETWEEN, watch } = task;
  const { validation, ...data } = await (task.onTarget ? onTarget : onSource)(task.data);
  const few = validation && someOf(validation.dataset);
  // At its end all images are evaluated, and the few among them.
  const atEnd = few && watch && task.evaluate ? new ScoresOfSome(validation.dataset) : undefined;
  const takePictures = watch?.pictures && (await pictureTaker(watch.pictures, task.name, data, validation));
  const surroundings = { versions: versions(), device: describeDevice(device), machine: describeMachine() };
  const { start, remark } = startOf(task, surroundings);
  if (remark !== undefined) send({ kind: 'remark', message: `${task.name}: ${remark}` });
  mkdirSync(checkpoint, { recursive: true });
  const clock = new CheckpointClock(Number.POSITIVE_INFINITY, minutesBetween);
  const told: ToldEntry[] = [];
  const tell = (entry: ToldEntry) => {
    told.push(entry);
    send(entry);
  };
  let secondsBefore = 0;
  let began = performance.now();
  const seconds = () => secondsBefore + (performance.now() - began) / 1000;
  const save = (trainer: Trainer) => {
    trainer.save(checkpoint, { task: { told, seconds: seconds(), surroundings } } satisfies SavedBeside);
    clock.saved();
  };
  const trained = await train({
    experiment,
    data: { ...data, workers },
    start,
    device,
    signal,
    // Seconds, which a stop may wait for: the scores of a network that is finished are worth having.
    evaluation:
      task.evaluate && validation
        ? { ...validation, onImage: (_, __, index, counted) => atEnd?.add(index, counted) }
        : undefined,
    onWeights: (report) => send({ kind: 'weights', report }),
    onBegin: ({ iteration, beside }) => {
      began = performance.now();
      if (iteration === 0) return;
      const before = (beside as SavedBeside).task!;
      secondsBefore = before.seconds;
      for (const entry of before.told) tell(entry);
    },
    onStep: async (done, trainer) => {
      send({ kind: 'step', done });
      const isLast = done === experiment.iterations;
      if (watch && (done % watch.every === 0 || isLast)) {
        if (few && !(isLast && atEnd)) {
          const values = await validationScores(trainer.step.student.segmentor, few, validation.size);
          tell({ kind: 'validation', iteration: done, values });
        }
        if (takePictures) tell(await takePictures(done, trainer.step));
      }
      if (!isLast && clock.due(done, experiment.iterations)) save(trainer);
    },
    onLog: (entry) => tell({ kind: 'log', ...entry }),
    // Of a training that was stopped before its first step there is nothing to resume.
    onTrained: (trainer) => {
      if (trainer.iteration > 0) save(trainer);
    },
  });
  if (trained.evaluated && atEnd) {
    tell({ kind: 'validation', iteration: experiment.iterations, values: atEnd.values() });
  }
  await sent({ kind: 'end', ...trained, seconds: secondsBefore + trained.seconds });
}

/** The most that a crash may cost: trainings side by side are short, and are sometimes many. */
const MINUTES_BETWEEN = 2;

/** Reads the images that are shown, at the size at which the network sees them, and gives what looks at them. */
async function pictureTaker(
  run: string,
  name: string,
  { target }: Pick<Opened, 'target'>,
  validation: Opened['validation'],
): Promise<(iteration: number, step: AdaptationStep) => Promise<ToldPictures>> {
  const dataset = validation?.dataset ?? target!.dataset;
  const scale = validation ? validation.size : target!.options.scale;
  const store = new PixelStore(dataset, { ...(scale && { scale }), cacheBytes: 0 });
  const shown: (WatchedImage & { id: string })[] = [];
  for (const i of shownOf(dataset)) {
    const { image, label } = await store.get(i);
    shown.push({
      id: dataset.samples[i]!.id,
      image: toRgbImage(image),
      truth: label?.toArray() as Uint8Array | undefined,
      stem: `target-${i}-${name}`,
    });
    image.dispose();
    label?.dispose();
  }
  const pictures = new RunPictures(run, dataset.classes);
  return async (iteration, step) => {
    const written = writeCheckpoint(pictures, shown, { iteration, step, size: undefined });
    // What is told is there.
    await written.written;
    const images = shown.map(({ id }, i) => ({ id, pictures: written.pictures[i]! }));
    return { kind: 'pictures', iteration, images };
  };
}

/** @param image (3, H, W), uint8. */
function toRgbImage(image: Tensor): RgbImage {
  const [, height, width] = dims(image, 3);
  using data = tidy(() => image.permute([1, 2, 0]).contiguous());
  return { width, height, data: data.toArray() as Uint8Array };
}

/** What is told in order from the first step on. */
type ToldEntry = SavedTask['told'][number];
type ToldPictures = Extract<ToldEntry, { kind: 'pictures' }>;

/** The newest state of an earlier try, where it resumes exactly; else what the task starts from. */
function startOf(
  { start, checkpoint }: RunTask,
  surroundings: SavedTask['surroundings'],
): { start: TrainingStart; remark?: string } {
  try {
    const found = findCheckpoint(checkpoint);
    if (found === undefined) return { start };
    const { metadata } = indexWeights(found.file);
    const before = savedBeside(found.file, metadata).task?.surroundings;
    // Of a release that kept nothing beside it.
    if (before === undefined)
      return { start, remark: `begins anew: ${found.file} does not say what it computed with` };
    const changes = surroundingChanges(before, surroundings);
    if (changes.length > 0) {
      return { start, remark: `begins anew, as it would not resume exactly: ${changes.join('; ')}` };
    }
    const { iteration } = savedState(found.file, metadata);
    setAside(checkpoint, found.file);
    const why = found.instead === undefined ? '' : ` (${found.instead})`;
    return { start: { checkpoint: found.file }, remark: `resumes from step ${iteration}${why}` };
  } catch (error) {
    return { start, remark: `begins anew: ${(error as Error).message}` };
  }
}

type Opened = TrainingData & {
  validation: { dataset: SegmentationDataset; size?: Size | undefined } | undefined;
};

async function onSource(data: TaskData): Promise<Opened> {
  if ('config' in data) {
    const { validation, ...opened } = await openData(data.config, data);
    return {
      ...opened,
      validation: validation && { dataset: validation, size: data.config.target.scale },
    };
  }
  const [source, target, validation] = await Promise.all([
    openGta5(data.source),
    openCityscapes(data.target, 'train'),
    openCityscapes(data.target, 'val'),
  ]);
  return {
    source: new PixelStore(source),
    sourceStatistics: await classStatistics(source),
    target: new PixelStore(target),
    validation: { dataset: validation },
  };
}

/** The target's labelled images in the place of the source's. */
async function onTarget(data: TaskData): Promise<Opened> {
  if ('config' in data) {
    const { config, skipBad } = data;
    return await onSource({ config: { ...config, source: config.target }, skipBad });
  }
  const { target, validation } = await onSource(data);
  const sourceStatistics = await classStatistics(target!.dataset);
  return { source: target!, sourceStatistics, target: target!, validation };
}

const stop = new AbortController();
// Ctrl-C and a closed terminal reach every process of the terminal, a scheduler's SIGTERM every one of the job; when to
// stop is the parent's to say.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.on('disconnect', () => process.exit(1));
process.on('message', (message: RunTask | 'stop') => {
  if (message === 'stop') {
    stop.abort();
    return;
  }
  run(message, stop.signal).then(
    () => process.disconnect(),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
});
