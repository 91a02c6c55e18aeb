// The methods of a run over their seeds, and which of them is what in a report.

import type { MethodResult } from '../training/run-directory/schema.js';
import { sumOf } from './confusion.js';
import { meanAndSpread } from './series.js';

/**
 * The methods with a part of their own in the report: what the gain is measured from, which is the first of these that was
 * scored, and the upper bound.
 */
const BASELINES = ['source-only', 'source'];
export const ORACLE = 'oracle';

/** A method over its seeds: means of fractions and of seconds; `spread` is the standard deviation of the mIoU. */
export interface MethodSummary {
  readonly name: string;
  readonly label: string;
  readonly color: string;
  readonly runs: number;
  readonly miou: number;
  readonly spread: number;
  readonly iou: readonly number[];
  readonly accuracy: number;
  readonly seconds: number;
  /** Pixels by true (row) and predicted class, of all seeds together. */
  readonly confusion: readonly (readonly number[])[] | undefined;
}

export function summarize(results: readonly MethodResult[]): MethodSummary[] {
  const names = [...new Set(results.map(({ name }) => name))];
  let adapted = 0;
  const summaries = names.map((name): MethodSummary => {
    const runs = results.filter((result) => result.name === name);
    const { mean, spread } = meanAndSpread(runs.map(({ miou }) => miou));
    const confusions = runs.flatMap(({ confusion }) => (confusion ? [confusion] : []));
    return {
      name,
      label: runs[0]!.label,
      color: BASELINES.includes(name)
        ? 'var(--baseline)'
        : name === ORACLE
          ? 'var(--oracle)'
          : `var(--method-${(adapted++ % 4) + 1})`,
      runs: runs.length,
      miou: mean,
      spread,
      iou: runs[0]!.iou.map((_, index) => meanAndSpread(runs.map(({ iou }) => iou[index]!)).mean),
      accuracy: meanAndSpread(runs.map(({ accuracy }) => accuracy)).mean,
      seconds: meanAndSpread(runs.map(({ seconds }) => seconds)).mean,
      confusion: confusions.length > 0 ? sumOf(confusions) : undefined,
    };
  });
  return [
    ...summaries.filter(({ name }) => name !== ORACLE),
    ...summaries.filter(({ name }) => name === ORACLE),
  ];
}

export function isAdapted({ name }: MethodSummary): boolean {
  return !BASELINES.includes(name) && name !== ORACLE;
}

export function baselineOf(methods: readonly MethodSummary[]): MethodSummary | undefined {
  return BASELINES.flatMap((baseline) => methods.filter(({ name }) => name === baseline))[0];
}

/** The method that a reader asks about first: the best adapted one, or else the best. */
export function foremost(methods: readonly MethodSummary[]): MethodSummary | undefined {
  const scored = methods.filter(({ miou }) => Number.isFinite(miou));
  return bestOf(scored.filter(isAdapted)) ?? bestOf(scored);
}

export function bestOf(methods: readonly MethodSummary[]): MethodSummary | undefined {
  return methods.reduce<MethodSummary | undefined>(
    (best, method) => (best === undefined || method.miou > best.miou ? method : best),
    undefined,
  );
}
