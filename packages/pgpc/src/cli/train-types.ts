// The contract between `pgpc train` and `pgpc eval` and the training library.
import type { CommandIo } from './io.js';
import type { Size } from './values.js';

/** The methods that `pgpc train` offers, from no adaptation to all of it. */
export const METHODS = ['source-only', 'self-training', 'pgpc'] as const;
export type Method = (typeof METHODS)[number];

/** The layouts of labelled source data. */
export const SOURCE_FORMATS = ['gta5', 'cityscapes'] as const;
export type SourceFormat = (typeof SOURCE_FORMATS)[number];

/** The splits of Cityscapes' layout that have labels. */
export const SPLITS = ['train', 'val'] as const;
export type Split = (typeof SPLITS)[number];

/** Options of a new run of `pgpc train`, checked: folders and files exist, numbers are in range. */
export interface NewTrainingOptions {
  readonly resume: undefined;
  readonly sourceRoot: string;
  readonly sourceFormat: SourceFormat;
  readonly targetRoot: string;
  readonly method: Method;
  readonly iterations: number;
  /** Source images a step, and as many target images. */
  readonly batch: number;
  readonly crop: Size;
  /** Peak learning rate of the encoder. */
  readonly lr: number;
  readonly seed: number;
  readonly weights: string | undefined;
  /** Undefined: the method's name, made unique. */
  readonly name: string | undefined;
  readonly overwrite: boolean;
  readonly out: string;
}

/** `pgpc train --resume`: everything else comes from the run directory. */
export interface ResumeTrainingOptions {
  readonly resume: string;
}

export type TrainOptions = NewTrainingOptions | ResumeTrainingOptions;

/** Trains one method on two folders of images. */
export type Train = (options: TrainOptions, io: CommandIo) => Promise<void>;

/** Options of `pgpc eval`, checked. */
export interface EvaluateOptions {
  /** A checkpoint file, or a folder with one. */
  readonly checkpoint: string;
  readonly targetRoot: string;
  readonly split: Split;
  /** Folder for predicted label maps; undefined: none are written. */
  readonly savePredictions: string | undefined;
}

/** Evaluates a checkpoint on labelled images and prints IoU by class. */
export type EvaluateCheckpoint = (options: EvaluateOptions, io: CommandIo) => Promise<void>;
