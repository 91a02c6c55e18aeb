// What a training tells while it is under way, and what it gives at its end.

import type { ClassInfo, DatasetFault } from '@pgpc/datasets';
import type { UnlabelledScoreName } from '../config/scores.js';
import type { TrainingConfig } from '../config/training.js';
import type { UnlabelledScores } from '../evaluation/unlabelled.js';
import type { WeightsReport } from '../models/weights/fit.js';
import type { OpenedData } from './data.js';
import type { MethodResult } from './run-directory/schema.js';
import type { LogEntry } from './trainer.js';

/** What a training tells while it is under way. Of several processes rank 0 alone tells. */
export type TrainingEvent =
  /** The folder that the run has taken; before data is read. It is removed where nothing comes to be in it. */
  | { kind: 'run'; directory: string }
  /** Something begins that may take seconds, and tells nothing more. */
  | { kind: 'stage'; stage: string }
  /** Files of the data are read, by stage: 'check source', 'check target', 'count classes'. */
  | { kind: 'data'; stage: string; done: number; total: number }
  /** Bad files: left out with `skipBad`, or else about to end the training with a `BadFilesError`. */
  | { kind: 'bad-files'; faults: readonly DatasetFault[]; leftOut: boolean }
  /** What is going to be trained; once, before anything is written. */
  | {
      kind: 'description';
      config: TrainingConfig;
      data: OpenedData;
      device: string;
      processes: number;
      /** The encoder starts from weights, of whatever origin. */
      weights: boolean;
    }
  /**
   * What a step takes: bytes, and seconds on random images; undefined: it could not be measured, as the bridge was built
   * without CUDA's headers.
   */
  | {
      kind: 'memory';
      device: string;
      iterations: number;
      measured: { needed: number; available: number; seconds: number } | undefined;
    }
  /** What was loaded of a weights file. */
  | { kind: 'weights'; report: WeightsReport }
  /** A whole network was loaded; `entries` is all of it. */
  | { kind: 'init'; file: string; entries: number }
  /** How a resumed run differs from what it was, or may do so. */
  | { kind: 'remark'; message: string }
  /** The first step comes next; `iteration` steps were done before. */
  | { kind: 'begin'; phase: string; iteration: number; iterations: number; forecast: ScoringForecast }
  | { kind: 'step'; done: number }
  /** Losses and the rest of the log, as `metrics.jsonl` has them. */
  | ({ kind: 'log' } & LogEntry)
  /** The network is scored without labels: so many images are done. */
  | { kind: 'score'; done: number; total: number }
  /** A checkpoint has been written to the run directory, and scored without labels; `best`: it is the best so far. */
  | { kind: 'checkpoint'; iteration: number; folder: string; scores: UnlabelledScores; best: boolean }
  /** A checkpoint has been written that is not scored. */
  | { kind: 'saved'; iteration: number; folder: string }
  /** A sign that adaptation is collapsing, or a step that was skipped. */
  | { kind: 'warning'; iteration: number; message: string }
  /** The last step is done, or the training was stopped; the evaluation comes next. */
  | { kind: 'end'; outcome: 'finished' | 'stopped' }
  /** The network is evaluated with labels: so many images are done. */
  | { kind: 'evaluate'; done: number; total: number };

/** What comes besides the steps, for a forecast of the time. */
export interface ScoringForecast {
  /** Steps between two checkpoints that are scored, and images that each is scored on. */
  every: number;
  scored: number;
  /** Images of the evaluation at the end. */
  evaluated: number;
}

export interface TrainingResult {
  outcome: 'finished' | 'stopped';
  /** The run directory; undefined in ranks above 0, which write none. */
  run: string | undefined;
  /** Folder of the last checkpoint. */
  checkpoint: string | undefined;
  /** The checkpoint that is best by the score without labels. */
  best: { score: UnlabelledScoreName; iteration: number; value: number; folder: string } | undefined;
  /** On the target's labelled validation split; undefined where there is none, or the training was stopped. */
  result: MethodResult | undefined;
  /** The same of `best`, where that is not the last checkpoint. */
  bestResult: MethodResult | undefined;
  /** Why a finished training has no result, in words. */
  withoutResult: string | undefined;
  classes: readonly ClassInfo[];
  config: TrainingConfig;
}
