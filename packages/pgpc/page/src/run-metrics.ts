// The metrics of one run as the page keeps them: numbers in lists, appended to as the run grows.

import type { MetricsPart } from '../../src/dashboard/protocol.js';

/** One metric of one phase and seed. */
export interface Curve {
  /** Numbers of its records among the series'. */
  readonly at: number[];
  /** NaN: logged, but not finite. */
  readonly y: number[];
}

export interface Series {
  readonly phase: string;
  readonly seed: number | undefined;
  readonly iterations: number[];
  /** Seconds. */
  readonly wall: number[];
  readonly curves: Map<string, Curve>;
}

export class RunMetrics {
  /** By phase and seed, in order of appearance. */
  readonly series: Series[] = [];
  /** What the next question for news begins from; undefined: nothing is known. */
  cursor: string | undefined;
  /** Counts what was taken in. */
  version = 0;

  /** Takes in an answer to {@link cursor}. */
  apply({ cursor, whole, series }: MetricsPart): void {
    this.cursor = cursor;
    if (whole) this.series.length = 0;
    if (whole || series.length > 0) this.version++;
    for (const part of series) {
      const target = this.#find(part.phase, part.seed);
      cut(target, part.from);
      append(target.iterations, part.iterations);
      append(target.wall, part.wall);
      for (const [name, { at, values }] of Object.entries(part.columns)) {
        let curve = target.curves.get(name);
        if (curve === undefined) {
          curve = { at: [], y: [] };
          target.curves.set(name, curve);
        }
        for (const [index, value] of values.entries()) {
          curve.at.push(part.from + (at?.[index] ?? index));
          curve.y.push(value ?? Number.NaN);
        }
      }
    }
  }

  #find(phase: string, seed: number | undefined): Series {
    let found = this.series.find((series) => series.phase === phase && series.seed === seed);
    if (found === undefined) {
      found = { phase, seed, iterations: [], wall: [], curves: new Map() };
      this.series.push(found);
    }
    return found;
  }
}

/** Drops the records from a number on. */
function cut({ iterations, wall, curves }: Series, from: number): void {
  iterations.length = Math.min(from, iterations.length);
  wall.length = iterations.length;
  for (const [name, { at, y }] of curves) {
    while (at.length > 0 && at.at(-1)! >= from) at.pop();
    y.length = at.length;
    if (at.length === 0) curves.delete(name);
  }
}

function append(target: number[], values: readonly number[]): void {
  for (const value of values) target.push(value);
}
