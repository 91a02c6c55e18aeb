// The view of curves: a chart for every metric, all over the same stretch of training.

import { useEffect, useRef } from 'preact/hooks';
import { number } from '../../src/report/format.js';
import { type ChartView, CurveChart } from './curve-chart.js';
import { type ChartContent, chartsOf, type Line, phaseStyle, phasesOf } from './lines.js';
import type { Model } from './model.js';

export function Curves({ model }: { model: Model }) {
  const { state } = model;
  const charts = chartsOf(model);
  const whole = extentOf(charts);
  model.extent = whole;
  const { low, high } = state.zoom ?? whole;
  const onZoom = (from: number, to: number) => {
    const narrow = { low: Math.max(whole.low, from), high: Math.min(whole.high, to) };
    if (narrow.high > narrow.low) model.look({ zoom: narrow });
  };
  const phases = phasesOf(model);
  const runs = model.chosenRuns;
  const waiting = runs.filter(({ id }) => !model.metrics.has(id)).length;
  const broken = charts.flatMap(({ lines }) => lines).reduce((sum, { y }) => sum + notFinite(y), 0);
  return (
    <>
      <div class="tools">
        <label>
          over{' '}
          <select
            value={state.axis}
            onChange={(event) => model.look({ axis: event.currentTarget.value as 'step', zoom: undefined })}
          >
            <option value="step">steps</option>
            <option value="hours">hours</option>
          </select>
        </label>
        <label>
          scale{' '}
          <select
            value={state.scale}
            onChange={(event) => model.look({ scale: event.currentTarget.value as 'auto' })}
          >
            <option value="auto">by the values</option>
            <option value="linear">linear</option>
            <option value="log">logarithmic</option>
          </select>
        </label>
        <label>
          smoothing{' '}
          <input
            type="range"
            min="0"
            max="0.2"
            step="0.01"
            value={state.smoothing}
            onInput={(event) => model.look({ smoothing: Number(event.currentTarget.value) })}
          />{' '}
          {Math.round(state.smoothing * 100)} %
        </label>
        <label>
          from{' '}
          <input
            type="number"
            step="any"
            value={rounded(low)}
            onChange={(event) => onZoom(Number(event.currentTarget.value), high)}
          />
        </label>
        <label>
          to{' '}
          <input
            type="number"
            step="any"
            value={rounded(high)}
            onChange={(event) => onZoom(low, Number(event.currentTarget.value))}
          />
        </label>
        {state.zoom && (
          <button type="button" onClick={() => model.look({ zoom: undefined })}>
            show all
          </button>
        )}
      </div>
      {phases.length > 1 && (
        <div class="tools">
          {phases.map((phase, index) => (
            <label key={phase}>
              <input
                type="checkbox"
                checked={!state.hidden.includes(phase)}
                onChange={() =>
                  model.look({
                    hidden: state.hidden.includes(phase)
                      ? state.hidden.filter((other) => other !== phase)
                      : [...state.hidden, phase],
                  })
                }
              />{' '}
              <Stroke {...phaseStyle(index, runs.length)} />
              {phase}
            </label>
          ))}
        </div>
      )}
      {waiting > 0 && <p class="muted">{waiting} of the chosen runs are being read ...</p>}
      {runs.length > 0 && waiting === 0 && charts.length === 0 && (
        <p class="muted">No metric is logged yet: the charts appear with the first.</p>
      )}
      {broken > 0 && <p class="warning">{number(broken)} values are not finite (left out)</p>}
      <div class="charts">
        {charts.map((chart) => (
          <Chart key={chart.metric} {...chart} low={low} high={high} scale={state.scale} onZoom={onZoom} />
        ))}
      </div>
    </>
  );
}

/** How a line looks. */
function Stroke({ color, dash }: Pick<Line, 'color' | 'dash'>) {
  return (
    <svg width="26" height="8" aria-hidden="true">
      <path d="M0 4H26" stroke={`var(${color})`} stroke-width="2" stroke-dasharray={dash.join(' ')} />
    </svg>
  );
}

interface ChartProps extends ChartContent, Omit<ChartView, 'lines'> {
  readonly onZoom: (low: number, high: number) => void;
}

function Chart({ title, lines, low, high, scale, onZoom }: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<CurveChart>(undefined);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const shown = useRef<readonly unknown[]>([]);
  useEffect(() => {
    const made = new CurveChart(host.current!, (from, to) => zoom.current(from, to));
    chart.current = made;
    const dark = matchMedia('(prefers-color-scheme: dark)');
    const onTheme = () => made.redraw();
    dark.addEventListener('change', onTheme);
    return () => {
      dark.removeEventListener('change', onTheme);
      made.close();
    };
  }, []);
  useEffect(() => {
    // The page is drawn again for any change; a chart only for its own.
    const now = [
      low,
      high,
      scale,
      ...lines.flatMap(({ x, y, smooth, label, color, dash }) => [x, y, smooth, label, color, dash]),
    ];
    if (now.length === shown.current.length && now.every((value, i) => value === shown.current[i])) return;
    shown.current = now;
    chart.current!.show({ lines, low, high, scale });
  });
  return (
    <figure class="chart">
      <figcaption>
        <strong>{title}</strong> {last(lines)}
      </figcaption>
      <div class="plot" ref={host} role="img" aria-label={`${title}, ${lines.length} lines`} />
    </figure>
  );
}

/** The newest value, where there is one line. */
function last(lines: ChartContent['lines']) {
  const [line] = lines;
  if (lines.length !== 1 || !line || line.y.length === 0) return null;
  return <span class="muted">{number(line.y[line.y.length - 1]!)}</span>;
}

function extentOf(charts: readonly ChartContent[]): { low: number; high: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const { lines } of charts) {
    for (const { x } of lines) {
      if (x.length === 0) continue;
      low = Math.min(low, x[0]!);
      high = Math.max(high, x[x.length - 1]!);
    }
  }
  // A run's first record may be iteration 0, 1 or 50: all of them are the beginning.
  if (low < 0.2 * high || low === high) low = 0;
  return high > low ? { low, high } : { low: 0, high: 1 };
}

const counted = new WeakMap<ArrayLike<number>, { length: number; count: number }>();

function notFinite(y: ArrayLike<number>): number {
  const before = counted.get(y);
  if (before?.length === y.length) return before.count;
  let count = 0;
  for (let i = 0; i < y.length; i++) if (!Number.isFinite(y[i])) count++;
  counted.set(y, { length: y.length, count });
  return count;
}

function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
