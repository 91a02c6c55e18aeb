// The contract between `pgpc train` and `pgpc eval` and the training library.

import type { DatasetFormat } from '@pgpc/datasets';
import type { denoiseNames } from '../config/denoise.js';
import type { lossWeightNames } from '../config/loss-weights.js';
import type { MethodName } from '../config/method.js';
import type { Precision } from '../config/precision.js';
import type { UnlabelledScoreName } from '../config/scores.js';
import type { NetworkName } from '../config/segmentor.js';
import type { Settings } from '../config/settings.js';
import type { styleNames } from '../config/style.js';
import type { InferenceOptions } from '../evaluation/inference.js';
import type { PredictionFormat } from '../evaluation/prediction-format.js';
import type { Protocol } from '../evaluation/protocols.js';
import type { DrivingPresetName } from '../recipes/driving.js';
import type { CommandIo } from './io.js';
import type { Size } from './values.js';

/** Options of a new run of `pgpc train`, checked: folders and files exist, numbers are in range. */
export interface NewTrainingOptions {
  readonly resume: undefined;
  /** Undefined: no preset; formats and scales are as given. */
  readonly preset: DrivingPresetName | undefined;
  readonly sourceRoot: string;
  /** Undefined: the preset's, or told from the folder. */
  readonly sourceFormat: DatasetFormat | undefined;
  /** Undefined: the preset's, or the images as they are. */
  readonly sourceScale: Size | undefined;
  readonly targetRoot: string;
  readonly targetFormat: DatasetFormat | undefined;
  readonly targetScale: Size | undefined;
  readonly method: MethodName;
  /** How the source is brought nearer to the target. */
  readonly style: (typeof styleNames)[number];
  /** FDA's window; undefined: the paper's 0.01. */
  readonly fdaBeta: number | undefined;
  /** How the teacher's pseudo-labels are cleaned. */
  readonly denoise: (typeof denoiseNames)[number];
  /** Whether the weights of the losses are the method's, or set themselves. */
  readonly lossWeights: (typeof lossWeightNames)[number];
  /** Score without labels by which the best checkpoint is kept. */
  readonly select: UnlabelledScoreName;
  /** Undefined: MiT-B5 of a preset, else MiT-B0. */
  readonly network: NetworkName | undefined;
  readonly iterations: number;
  /** Source images a step, and as many target images. */
  readonly batch: number;
  readonly crop: Size;
  /** Peak learning rate of the encoder. */
  readonly lr: number;
  readonly seed: number;
  readonly weights: string | undefined;
  /** Changes to the experiment, applied after all other options. */
  readonly set: Settings;
  /** Load what fits of `weights` where the file and the encoder differ, instead of refusing it. */
  readonly allowPartial: boolean;
  /** Leave bad files out instead of refusing to start. */
  readonly skipBad: boolean;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** Undefined: bfloat16 on a GPU, float32 on the CPU. */
  readonly precision: Precision | undefined;
  /** Run most of the student twice to save memory. */
  readonly activationCheckpointing: boolean;
  /** Measure a step's memory before the run. */
  readonly memoryCheck: boolean;
  /** Threads that decode; undefined: one less than the cores. */
  readonly workers: number | undefined;
  /** Undefined: the method's name, made unique. */
  readonly name: string | undefined;
  readonly overwrite: boolean;
  readonly out: string;
  /** Processes to start on this machine; undefined: train in this one. */
  readonly nproc: number | undefined;
}

/** `pgpc train --resume`: everything else comes from the run directory. */
export interface ResumeTrainingOptions {
  readonly resume: string;
  readonly device: string;
  readonly nproc: number | undefined;
}

export type TrainOptions = NewTrainingOptions | ResumeTrainingOptions;

/** Trains one method on two folders of images. */
export type Train = (options: TrainOptions, io: CommandIo) => Promise<void>;

/** Options of `pgpc eval`, checked. */
export interface EvaluateOptions {
  /** A checkpoint file, or a folder with one. */
  readonly checkpoint: string;
  readonly targetRoot: string;
  /** Undefined: told from the folder. */
  readonly format: DatasetFormat | undefined;
  readonly split: string;
  readonly inference: InferenceOptions;
  readonly device: string;
  /** The classes of Cityscapes that are shown and averaged; undefined: all of the dataset. */
  readonly classes: Protocol | undefined;
  /** Also boundary IoU. */
  readonly boundary: boolean;
  /** Folder for predicted label maps; undefined: none are written. */
  readonly savePredictions: string | undefined;
  readonly predictions: PredictionFormat;
  /** File for all results; undefined: none is written. */
  readonly json: string | undefined;
}

/** Evaluates a checkpoint on labelled images and prints scores by class. */
export type EvaluateCheckpoint = (options: EvaluateOptions, io: CommandIo) => Promise<void>;

/** Options of `pgpc predict`, checked. */
export interface PredictOptions {
  /** A checkpoint file, or a folder with one. */
  readonly checkpoint: string;
  readonly images: string;
  readonly out: string;
  readonly predictions: PredictionFormat;
  readonly inference: InferenceOptions;
  readonly device: string;
}

/** Writes the label map of every image in a folder. */
export type Predict = (options: PredictOptions, io: CommandIo) => Promise<void>;
