// The contract between `pgpc data` and the dataset library.
import type { DatasetFormat } from '@pgpc/datasets';
import type { CommandIo } from './io.js';
import type { Size } from './values.js';

/** Which data a command is about. */
export interface DataSelection {
  readonly root: string;
  /** Undefined: told from the folders in `root`. */
  readonly format: DatasetFormat | undefined;
  /** Undefined: those that the command is made for. */
  readonly split: string | undefined;
  /** Class file of a format without classes of its own. */
  readonly classes: string | undefined;
  /** Files read at once; undefined: two for every core. */
  readonly jobs: number | undefined;
}

export interface CheckDataOptions extends DataSelection {
  /** File for the faults; undefined: none is written. */
  readonly json: string | undefined;
}

export interface DataStatsOptions extends DataSelection {
  /** Size of the training crops that the printed constants are for. */
  readonly crop: Size;
  /** Tell by the files' contents, not their times, whether the cached counts hold. */
  readonly byContent: boolean;
  /** File for the counts; undefined: none is written. */
  readonly json: string | undefined;
}

export interface CacheDataOptions extends DataSelection {
  readonly out: string;
  /** Bounds to resize to; undefined: sizes stay. */
  readonly scale: Size | undefined;
}

/** Reads every file and reports what is wrong; rejects when something is. */
export type CheckData = (options: CheckDataOptions, io: CommandIo) => Promise<void>;
/** Counts the classes of a labelled split. */
export type DataStats = (options: DataStatsOptions, io: CommandIo) => Promise<void>;
/** Writes resized copies that decode fast. */
export type CacheData = (options: CacheDataOptions, io: CommandIo) => Promise<void>;
