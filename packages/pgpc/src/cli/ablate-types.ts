// The contract between `pgpc ablate` and the sweeps.
import type { SweepName } from '../ablation/names.js';
import type { Precision } from '../config/precision.js';
import type { Settings } from '../config/settings.js';
import type { ScaleName } from '../recipes/street-synth.js';
import type { CommandIo } from './io.js';

/** Options of `pgpc ablate`, checked. */
export interface AblateOptions {
  readonly name: SweepName;
  /** Folder of all runs and tables. */
  readonly out: string;
  /** Folder of the rendered data; undefined: the scale's. */
  readonly data: string | undefined;
  /** How many seeds to run, counted up from `seed`; at least 1. */
  readonly seeds: number;
  /** 0..2^32 - 1. */
  readonly seed: number;
  /** The preset's size: images, network, steps. */
  readonly scale: ScaleName;
  /** Steps on the source, from which the cells go on; undefined: the preset's. */
  readonly sourceSteps: number | undefined;
  /** Steps of each cell; undefined: the preset's. */
  readonly steps: number | undefined;
  /** Names of the cells to run; undefined: all. */
  readonly cells: readonly string[] | undefined;
  /** Trainings at once; undefined: as many as there are cores, and four on a GPU. */
  readonly jobs: number | undefined;
  /** Minutes after which no run starts or goes on; undefined: no limit. */
  readonly minutes: number | undefined;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** Undefined: bfloat16 on a GPU, float32 on the CPU. */
  readonly precision: Precision | undefined;
  /** Folder with a source's network a seed, instead of training it. */
  readonly start: string | undefined;
  /** Keep the networks of the cells. */
  readonly checkpoints: boolean;
  /** Changes to every cell. */
  readonly set: Settings;
}

/** Runs what is missing of a sweep and writes its table and pictures. */
export type Ablate = (options: AblateOptions, io: CommandIo) => Promise<void>;
