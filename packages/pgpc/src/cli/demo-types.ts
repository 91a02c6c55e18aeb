// The contract between `pgpc demo` and the demo itself.
import type { CommandIo } from './io.js';

/** Options of `pgpc demo`, checked. */
export interface DemoOptions {
  /** A shorter run: fewer images and iterations, the same steps. */
  readonly quick: boolean;
  /** Steps on the source, from which all methods go on; undefined: the preset's. */
  readonly sourceSteps: number | undefined;
  /** Steps of each method; undefined: the preset's. */
  readonly steps: number | undefined;
  /** 0..2^32 - 1. */
  readonly seed: number;
  /** How many seeds to run, counted up from `seed`; at least 1. */
  readonly seeds: number;
  /** Undefined: the default name, made unique. */
  readonly name: string | undefined;
  /** Replace a run that has the name. */
  readonly overwrite: boolean;
  /** Folder of the run directories. */
  readonly out: string;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** Existing weights file to start the encoder from. */
  readonly weights: string | undefined;
}

/** Runs the demo: renders the data, trains every method, evaluates, writes the report. */
export type RunDemo = (options: DemoOptions, io: CommandIo) => Promise<void>;
