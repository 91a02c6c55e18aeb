// metrics.jsonl, line by line: what a line holds, and what counts where a resumed run repeats iterations.

import { parseJson as parse } from '@pgpc/datasets';
import { checked, type MetricRecord, metricRecordSchema } from './schema.js';

export const METRICS_FILE = 'metrics.jsonl';

/** The records of one phase and seed, iterations rising. */
export interface MetricSeries {
  readonly phase: string;
  readonly seed?: number;
  readonly records: MetricRecord[];
}

/** The records of metrics.jsonl, by phase and seed in order of appearance; they may be added while the file grows. */
export class MergedMetrics {
  readonly series: MetricSeries[] = [];
  readonly #places = new Map<string, number>();

  /**
   * Adds one record. A run that was resumed from an earlier checkpoint repeats iterations, and the later account counts:
   * records beyond are dropped. Two records of one iteration become one.
   * @returns the series that changed, and from which record on.
   */
  add(record: MetricRecord): { series: number; from: number } {
    const { phase, seed, iteration } = record;
    const key = JSON.stringify([phase, seed]);
    const place = this.#places.get(key) ?? this.series.length;
    if (place === this.series.length) {
      this.#places.set(key, place);
      this.series.push({ phase, ...(seed === undefined ? {} : { seed }), records: [] });
    }
    const { records } = this.series[place]!;
    while ((records.at(-1)?.iteration ?? -1) > iteration) records.pop();
    const before = records.at(-1)?.iteration === iteration ? records.pop()?.values : undefined;
    records.push(before ? { ...record, values: { ...before, ...record.values } } : record);
    return { series: place, from: records.length - 1 };
  }
}

/** @param where file and line, for the error. @throws Error if the line does not have its form. */
export function parseMetricLine(line: string, where: string): MetricRecord {
  const { phase, seed, iteration, wall, ...values } = checked(
    metricRecordSchema,
    parseJson(line, where),
    where,
  );
  return { phase, ...(seed === undefined ? {} : { seed }), iteration, wall, values };
}

/** A line without its newline was being written when the process died. */
export function lengthOfWholeLines(bytes: Uint8Array): number {
  return bytes.lastIndexOf(0x0a) + 1;
}

/** @throws Error that names the place. */
export function parseJson(text: string, where: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new Error(`${where} is not JSON: ${(error as Error).message}`, { cause: error });
  }
}
