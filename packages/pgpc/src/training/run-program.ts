// The program of one training of several side by side: takes its task by message, tells of its steps, answers with scores.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  classStatistics,
  openCityscapes,
  openGta5,
  type SegmentationDataset,
  type Size,
} from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import type { Experiment } from '../config/experiment.js';
import { useCores } from '../machine.js';
import { MODEL_FILE, saveSegmentor } from '../models/checkpoint.js';
import type { WeightsReport } from '../models/weights/fit.js';
import { PixelStore } from '../pipeline/pixels.js';
import { openData } from './data.js';
import { loadPlugins } from './plugins.js';
import { type TrainedTask, type TrainingStart, train } from './train.js';
import type { LogEntry, TrainingData } from './trainer.js';

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
  /** Checkpoint folder to save to. */
  checkpoint: string;
  /** What to save: all that training resumes from, however it ends; a finished training's network alone; nothing. */
  keep: 'training' | 'network' | 'nothing';
  evaluate: boolean;
}

/** Rendered streets by their roots; or data of any layout, whose files were checked before. */
export type TaskData = { source: string; target: string } | { config: DataConfig; skipBad: boolean };

export type RunEvent =
  | { kind: 'weights'; report: WeightsReport }
  | { kind: 'step'; done: number }
  | ({ kind: 'log' } & LogEntry);

export type RunEnd = { kind: 'end' } & TrainedTask;

const send = (message: RunEvent | RunEnd) => process.send!(message);

async function run(task: RunTask, signal: AbortSignal): Promise<void> {
  // Tensors of this size gain little from a second thread, and none on a GPU; the other cores have other trainings.
  useCores(1);
  await loadPlugins(task.plugins);
  const { experiment, device, workers, start, keep, checkpoint } = task;
  const { validation, ...data } = await (task.onTarget ? onTarget : onSource)(task.data);
  const trained = await train({
    experiment,
    data: { ...data, workers },
    start,
    device,
    signal,
    // Seconds, which a stop may wait for: the scores of a network that is finished are worth having.
    evaluation: task.evaluate ? validation : undefined,
    onWeights: (report) => send({ kind: 'weights', report }),
    onStep: (done) => send({ kind: 'step', done }),
    onLog: (entry) => send({ kind: 'log', ...entry }),
    onTrained: (trainer, outcome) => {
      if (keep === 'training') trainer.save(checkpoint);
      if (keep === 'network' && outcome === 'finished') {
        mkdirSync(checkpoint, { recursive: true });
        saveSegmentor(join(checkpoint, MODEL_FILE), trainer.learner.segmentor);
      }
    },
  });
  send({ kind: 'end', ...trained });
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
