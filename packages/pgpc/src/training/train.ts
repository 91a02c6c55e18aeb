// One training from its start to its scores: what a run, a resumed run and each of several runs side by side share.

import type { SegmentationDataset, Size } from '@pgpc/datasets';
import type { ProcessGroup } from '@pgpc/torch';
import type { Experiment } from '../config/experiment.js';
import type { ModelAbout } from '../models/about.js';
import { loadModel } from '../models/checkpoint.js';
import {
  licenceSentence,
  loadBackboneWeights,
  loadSegmentorWeights,
  type WeightsReport,
} from '../models/weights/fit.js';
import { weightsPath } from '../models/weights/shipped.js';
import { describeNetworkFile, refuseOtherNetwork, refuseTrainedNetwork } from './init.js';
import { type LogEntry, type RunOptions, type SkippedStep, Trainer, type TrainingData } from './trainer.js';
import { evaluateOnTarget, type OnEvaluated, type TargetEvaluation } from './worst-images.js';

/** What a training starts from; with nothing given, from random values. */
export interface TrainingStart {
  /** Checkpoint of the same training, which is resumed: its folder, or a file in it. */
  checkpoint?: string | undefined;
  /** Model file, or a folder with one, of the same network. */
  model?: string | undefined;
  /** File of a whole trained network of any form that is read. */
  init?: string | undefined;
  /** Weights file for the encoder, or the name of pulled weights or of this package's own. */
  weights?: string | undefined;
  /** Load what fits of `weights` where the file and the encoder differ, instead of refusing it. */
  allowPartial?: boolean | undefined;
}

export interface TrainingTask {
  experiment: Experiment;
  /** What the model's file says of where it comes from. */
  origin?: Pick<ModelAbout, 'run' | 'method'>;
  data: TrainingData;
  start: TrainingStart;
  /** 'cpu', 'cuda:0', ... */
  device: string;
  group?: ProcessGroup | undefined;
  /** Stops the training at a whole step. */
  signal: AbortSignal;
  /** What the finished network is scored on. */
  evaluation?:
    | {
        dataset: SegmentationDataset;
        size?: Size | undefined;
        signal?: AbortSignal | undefined;
        onImage?: OnEvaluated | undefined;
      }
    | undefined;
  onWeights?: (report: WeightsReport) => void;
  /** @param entries of the network; all were loaded. */
  onInit?: (file: string, entries: number) => void;
  /** Called once with what is about to be trained. */
  onBegin?: (trainer: Trainer) => void | Promise<void>;
  onLog?: (entry: LogEntry) => void;
  onSkipped?: (step: SkippedStep) => void;
  onThreadsLost?: RunOptions['onThreadsLost'];
  /** A promise is waited for before the next step. @param done steps done. */
  onStep?: (done: number, trainer: Trainer) => unknown;
  /** Called once after the last step, before the evaluation. */
  onTrained?: (trainer: Trainer, outcome: 'finished' | 'stopped') => void;
}

export interface TrainedTask {
  outcome: 'finished' | 'stopped';
  /** Of the steps, without start and evaluation. */
  seconds: number;
  /** Of a finished network where there is something to evaluate on. */
  evaluated: TargetEvaluation | undefined;
}

/** Trains, evaluates and frees everything but the data, however it ends. @throws what a hook or a step throws. */
export async function train(task: TrainingTask): Promise<TrainedTask> {
  const { experiment, data, device, group, signal, evaluation } = task;
  const trainer = new Trainer(experiment, data, { group, device });
  try {
    startFrom(trainer, task);
    const { segmentor } = trainer.learner;
    segmentor.about = { ...segmentor.about, ...task.origin };
    await task.onBegin?.(trainer);
    const began = performance.now();
    const outcome = await trainer.run({
      signal,
      onLog: task.onLog,
      onSkipped: task.onSkipped,
      onThreadsLost: task.onThreadsLost,
      onStep: (done) => task.onStep?.(done, trainer),
    });
    const seconds = (performance.now() - began) / 1000;
    task.onTrained?.(trainer, outcome);
    if (outcome === 'stopped' || !evaluation) return { outcome, seconds, evaluated: undefined };
    // In float32, as what is saved is evaluated later.
    trainer.learner.autocast_(undefined);
    const evaluated = await evaluateOnTarget(segmentor, evaluation.dataset, evaluation);
    return { outcome, seconds, evaluated };
  } finally {
    await trainer.dispose();
  }
}

function startFrom(trainer: Trainer, { start, onWeights, onInit }: TrainingTask): void {
  const { checkpoint, model, init, weights, allowPartial = false } = start;
  if (checkpoint !== undefined) {
    trainer.restore(checkpoint);
    return;
  }
  const { segmentor } = trainer.learner;
  const startedFrom = (licence: string | undefined) => {
    segmentor.about = { ...segmentor.about, licence };
  };
  if (model !== undefined) {
    using start = loadModel(model);
    segmentor.loadStateDict(start.stateDict());
    startedFrom(start.about?.licence);
  } else if (init !== undefined) {
    refuseOtherNetwork(init, describeNetworkFile(init), segmentor.config, segmentor.classInfo ?? []);
    const { loaded, licence } = loadSegmentorWeights(segmentor, init);
    startedFrom(licence && licenceSentence(licence));
    onInit?.(init, loaded.length);
  } else if (weights !== undefined) {
    if (trainer.experiment.method.featureDistance) refuseTrainedNetwork(weights);
    const report = loadBackboneWeights(segmentor, weightsPath(weights), { allowPartial });
    startedFrom(report.licence && licenceSentence(report.licence));
    onWeights?.(report);
  }
  trainer.step.adoptStudent();
}
