// The metrics of one run as they grow: what is new since a reader last asked.

import {
  lengthOfWholeLines,
  MergedMetrics,
  type MetricSeries,
  parseMetricLine,
} from '../training/run-directory/metrics.js';
import type { MetricRecord } from '../training/run-directory/schema.js';
import { readFrom } from './files.js';
import type { MetricColumn, MetricsPart, SeriesPart } from './protocol.js';

/** So much of a file's end holds its last record: lines have a few hundred bytes. */
const TAIL_BYTES = 1 << 14;

/** Reads a file of metrics once, however often and by how many it is asked for. */
export class MetricsFeed {
  readonly #file: string;
  #merged = new MergedMetrics();
  /** By line, the series that it changed, and from which record on. */
  #changes: { series: number; from: number }[] = [];
  #offset = 0;
  #lines = 0;
  #identity = '';
  #generation = 0;

  constructor(file: string) {
    this.#file = file;
  }

  /**
   * What was added, or changed, since the cursor.
   * @param cursor of an earlier answer; undefined, or one from before the file was written anew: everything.
   * @param identity of the run: with another one the file counts as written anew.
   * @throws Error that names the line that does not have its form.
   */
  since(cursor: string | undefined, identity: string): MetricsPart {
    this.#read(identity);
    const [generation, line] = (cursor ?? '').split('.').map(Number);
    const known = generation === this.#generation && line! <= this.#changes.length;
    const from = new Map<number, number>();
    for (const change of known ? this.#changes.slice(line) : this.#changes) {
      from.set(change.series, Math.min(change.from, from.get(change.series) ?? change.from));
    }
    return {
      cursor: `${this.#generation}.${this.#changes.length}`,
      whole: !known,
      series: [...from].map(([series, first]) => partOf(this.#merged.series[series]!, first)),
    };
  }

  #read(run: string): void {
    const { bytes } = readFrom(this.#file, ({ ino, size }) => {
      const identity = `${ino} ${run}`;
      if (identity !== this.#identity || size < this.#offset) this.#restart(identity);
      return this.#offset;
    });
    const length = lengthOfWholeLines(bytes);
    if (length === 0) return;
    for (const line of bytes
      .subarray(0, length - 1)
      .toString('utf8')
      .split('\n')) {
      this.#lines++;
      // A line that is refused is met again at the next attempt.
      if (line !== '') this.#changes.push(this.#merged.add(this.#parsed(line)));
    }
    this.#offset += length;
  }

  #parsed(line: string): MetricRecord {
    try {
      return parseMetricLine(line, `${this.#file}:${this.#lines}`);
    } catch (error) {
      this.#restart('');
      throw error;
    }
  }

  #restart(identity: string): void {
    this.#merged = new MergedMetrics();
    this.#changes = [];
    this.#offset = 0;
    this.#lines = 0;
    this.#identity = identity;
    this.#generation++;
  }
}

function partOf({ phase, seed, records }: MetricSeries, from: number): SeriesPart {
  const part = records.slice(from);
  // Names are any that a run logs.
  const columns = new Map<string, { at: number[]; values: (number | null)[] }>();
  for (const [at, { values }] of part.entries()) {
    for (const [name, value] of Object.entries(values)) {
      const column = columns.get(name) ?? { at: [], values: [] };
      column.at.push(at);
      column.values.push(value);
      columns.set(name, column);
    }
  }
  return {
    phase,
    ...(seed === undefined ? {} : { seed }),
    from,
    iterations: part.map(({ iteration }) => iteration),
    wall: part.map(({ wall }) => wall),
    columns: Object.fromEntries(
      Array.from(columns, ([name, { at, values }]): [string, MetricColumn] => [
        name,
        at.length === part.length ? { values } : { at, values },
      ]),
    ),
  };
}

/** The last record of a file of metrics, from its end alone; undefined where there is none yet. @throws as the feed does. */
export function lastRecord(file: string): MetricRecord | undefined {
  const { bytes, start } = readFrom(file, ({ size }) => Math.max(0, size - TAIL_BYTES));
  const lines = bytes.subarray(0, lengthOfWholeLines(bytes)).toString('utf8').split('\n');
  // The first is cut off where the file begins before.
  const whole = (start > 0 ? lines.slice(1) : lines).filter((line) => line !== '');
  const merged = new MergedMetrics();
  const newest = whole.at(-1);
  if (newest === undefined) return undefined;
  const { phase, seed, iteration } = parseMetricLine(newest, `the end of ${file}`);
  for (const line of whole) {
    const record = parseMetricLine(line, `the end of ${file}`);
    if (record.phase === phase && record.seed === seed && record.iteration === iteration) merged.add(record);
  }
  return merged.series[0]!.records.at(-1);
}
