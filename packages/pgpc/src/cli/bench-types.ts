// The options of `pgpc bench`, checked.

import type { MethodName } from '../config/method.js';
import type { Precision } from '../config/precision.js';
import type { NetworkName } from '../config/segmentor.js';
import type { CommandIo } from './io.js';
import type { Size } from './values.js';

export interface BenchOptions {
  readonly network: NetworkName;
  readonly method: MethodName;
  readonly crop: Size;
  /** Source images a step, and as many target images. */
  readonly batch: number;
  readonly steps: number;
  /** Undefined: as many as the device takes to settle. */
  readonly warmUp: number | undefined;
  /** Undefined: the cores, or what OMP_NUM_THREADS says. */
  readonly threads: number | undefined;
  readonly seed: number;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** Undefined: bfloat16 on a GPU, float32 on the CPU. */
  readonly precision: Precision | undefined;
  /** Run most of the student twice to save memory. */
  readonly activationCheckpointing: boolean;
  /** Tell where the time goes, instead of how much it is; undefined: do not. */
  readonly profile: ProfileOptions | undefined;
  /** File for all results; undefined: none is written. */
  readonly json: string | undefined;
}

export interface ProfileOptions {
  /** Rows of each table. */
  readonly top: number;
  /** File for a Chrome trace; undefined: none is written. */
  readonly trace: string | undefined;
}

/** Measures a configuration's steps on random data. */
export type Bench = (options: BenchOptions, io: CommandIo) => Promise<void>;
