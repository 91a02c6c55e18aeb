// The lines of the charts: the curves of the chosen runs, their colours, smoothed or not.

import { metricTitle } from '../../src/report/metric-titles.js';
import type { Model } from './model.js';
import type { Curve, Series } from './run-metrics.js';
import { isNoisy, smoothed } from './smoothing.js';

/** One line of a chart. */
export interface Line {
  readonly label: string;
  /** A CSS variable. */
  readonly color: string;
  readonly dash: readonly number[];
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  /** What is drawn in place of `y`, which is faint behind it. */
  readonly smooth: ArrayLike<number> | undefined;
}

export interface ChartContent {
  readonly metric: string;
  readonly title: string;
  readonly lines: readonly Line[];
}

const COLORS = 8;
const DASHES: readonly (readonly number[])[] = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/** What is computed from two records next to each other, not logged. */
const SPEED = 'steps a second';

/** The order of the charts; by name after these. */
const FIRST = ['loss/total', 'loss/source', 'loss/target', 'loss/contrast', 'val/miou', 'q', 'lr'];

/** Colour and dash of a chosen run. */
export function styleOf(slot: number): Pick<Line, 'color' | 'dash'> {
  return {
    color: `--method-${(slot % COLORS) + 1}`,
    dash: DASHES[Math.floor(slot / COLORS) % DASHES.length]!,
  };
}

/** How the lines of a phase differ from the others: by colour within a single run, by dash within several. */
export function phaseStyle(place: number, runs: number): Pick<Line, 'color' | 'dash'> {
  return runs === 1 ? styleOf(place) : { color: '--ink', dash: DASHES[place % DASHES.length]! };
}

/** All phases of the chosen runs, in order of appearance. */
export function phasesOf(model: Model): string[] {
  const series = model.state.chosen.flatMap((id) => model.metrics.get(id)?.series ?? []);
  return [...new Set(series.map(({ phase }) => phase))];
}

/** A chart for every metric that a chosen run has, and one for the speed. */
export function chartsOf(model: Model): ChartContent[] {
  const { hidden } = model.state;
  const phases = phasesOf(model);
  const charts = new Map<string, Line[]>();
  const runs = model.chosenRuns;
  for (const { id, label } of runs) {
    const metrics = model.metrics.get(id);
    if (!metrics) continue;
    const { series } = metrics;
    const several = new Set(series.map(({ phase }) => phase)).size > 1;
    for (const one of series) {
      const { phase, seed } = one;
      if (hidden.includes(phase)) continue;
      const seeds = series.filter((other) => other.phase === phase).length;
      // Runs have the colours; within a single one its phases have.
      const style =
        runs.length === 1
          ? phaseStyle(phases.indexOf(phase), 1)
          : {
              ...styleOf(model.slotOf(id)),
              ...(several && { dash: phaseStyle(phases.indexOf(phase), runs.length).dash }),
            };
      const name = [
        ...(runs.length > 1 || !several ? [label] : []),
        ...(several ? [phase] : []),
        ...(seeds > 1 ? [`seed ${seed}`] : []),
      ].join(' · ');
      const add = (metric: string, curve: Curve) => {
        const lines = charts.get(metric) ?? [];
        charts.set(metric, lines);
        lines.push({ label: name, ...style, ...drawn(one, curve, metrics.version, model) });
      };
      for (const [metric, curve] of one.curves) add(metric, curve);
      if (one.iterations.length > 1) add(SPEED, speedOf(one, metrics.version));
    }
  }
  const place = (metric: string) => {
    if (metric === SPEED) return FIRST.length + 2;
    const known = FIRST.indexOf(metric);
    return known >= 0 ? known : FIRST.length + (metric.startsWith('loss/') ? 0 : 1);
  };
  return [...charts]
    .sort(([a], [b]) => place(a) - place(b) || a.localeCompare(b))
    .map(([metric, lines]) => ({ metric, title: titleOf(metric), lines }));
}

function titleOf(metric: string): string {
  if (metric === SPEED) return 'Steps a second';
  return metricTitle(metric);
}

type Drawn = Pick<Line, 'x' | 'y' | 'smooth'>;
const drawnBefore = new WeakMap<Curve, { key: string; drawn: Drawn }>();

/** Computed again only where the curve or the way it is looked at has changed. */
function drawn({ iterations, wall }: Series, curve: Curve, version: number, { state }: Model): Drawn {
  const key = `${version} ${state.axis} ${state.smoothing}`;
  const before = drawnBefore.get(curve);
  if (before?.key === key) return before.drawn;
  const { at, y } = curve;
  const x = Float64Array.from(at, (i) => (state.axis === 'step' ? iterations[i]! : wall[i]! / 3600));
  const span = Math.round(y.length * state.smoothing);
  const made = { x, y, smooth: span > 1 && isNoisy(y) ? smoothed(y, span) : undefined };
  drawnBefore.set(curve, { key, drawn: made });
  return made;
}

const speeds = new WeakMap<Series, { version: number; curve: Curve }>();

function speedOf(series: Series, version: number): Curve {
  const before = speeds.get(series);
  if (before?.version === version) return before.curve;
  const { iterations, wall } = series;
  const curve: Curve = { at: [], y: [] };
  for (let i = 1; i < iterations.length; i++) {
    const seconds = wall[i]! - wall[i - 1]!;
    // Records that were written together have no time between them.
    if (!(seconds > 0)) continue;
    curve.at.push(i);
    curve.y.push((iterations[i]! - iterations[i - 1]!) / seconds);
  }
  speeds.set(series, { version, curve });
  return curve;
}
