// What the dashboard's server sends and its page reads. JSON has no NaN: it travels as null, and the page turns it back.

import type { MethodResult, MetricRecord, PictureIndex, RunInfo } from '../training/run-directory/schema.js';

/** One run in the list. */
export interface RunEntry {
  /** The path as it was given or found; unique. */
  readonly id: string;
  /** The path within the folder that was given. */
  readonly label: string;
  /** Milliseconds since 1970 at which a file of the run was last written. */
  readonly written: number;
  /** Why the run cannot be read; then it has nothing of the following. */
  readonly error?: string;
  readonly info?: RunInfo;
  readonly results?: readonly MethodResult[];
  readonly pictures?: PictureIndex;
  /** The last record of the metrics. */
  readonly last?: MetricRecord;
}

/** Answer of `/api/runs?since=CURSOR`: what has changed since then; all runs without a cursor, or where it is of another server. */
export interface RunList {
  readonly cursor: string;
  /** Whether `runs` are all there are. */
  readonly whole: boolean;
  readonly runs: readonly RunEntry[];
  /** Ids of runs that are gone. */
  readonly gone: readonly string[];
  /** The server's clock, milliseconds since 1970. */
  readonly now: number;
}

/** Values of one metric; `at` are the positions of their records in the part, left out where every record has one. */
export interface MetricColumn {
  readonly at?: readonly number[];
  readonly values: readonly (number | null)[];
}

/** Records of one phase and seed, from number `from` on: they take the place of all that were known from there. */
export interface SeriesPart {
  readonly phase: string;
  readonly seed?: number;
  readonly from: number;
  readonly iterations: readonly number[];
  /** Seconds. */
  readonly wall: readonly number[];
  readonly columns: Readonly<Record<string, MetricColumn>>;
}

/** Answer of `/api/metrics?run=ID&since=CURSOR`. */
export interface MetricsPart {
  readonly cursor: string;
  /** Whether all that was known of the run is void: it was written anew, or no cursor was given. */
  readonly whole: boolean;
  readonly series: readonly SeriesPart[];
}

/** Answer of `/api/diff?run=ID&run=ID`: a row for every entry of a configuration, with the runs' values in order. */
export interface ConfigDiff {
  readonly rows: readonly { readonly key: string; readonly values: readonly (string | null)[] }[];
}
