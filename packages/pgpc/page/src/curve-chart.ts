// One chart on a canvas. Charts wait in a queue for their turn, so that no frame draws for long.

import uPlot from 'uplot';
import { number } from '../../src/report/format.js';
import { linearAxis, logTicks, ticks } from '../../src/report/series.js';
import type { Line } from './lines.js';
import { columnPositions, firstAtLeast, type Reduced, reduce } from './pixel-columns.js';

/** What a chart shows. */
export interface ChartView {
  readonly lines: readonly Line[];
  readonly low: number;
  readonly high: number;
  readonly scale: 'auto' | 'linear' | 'log';
}

/** Lines with fewer values in view show each as a dot. */
const DOTS_BELOW = 40;
/** With more lines the unsmoothed values behind them would hide them. */
const FAINT_UP_TO = 4;
/** Values beside the pointer. */
const TOLD = 8;
const HEIGHT = 200;
/** Milliseconds of a frame that charts may draw for: what is left is the browser's. */
const BUDGET_MS = 8;

const waiting = new Set<CurveChart>();
let asked = false;

function enqueue(chart: CurveChart): void {
  waiting.add(chart);
  if (!asked) requestAnimationFrame(drawWaiting);
  asked = true;
}

function drawWaiting(): void {
  const until = performance.now() + BUDGET_MS;
  for (const chart of waiting) {
    waiting.delete(chart);
    chart.draw();
    if (performance.now() > until) break;
  }
  asked = waiting.size > 0;
  if (asked) requestAnimationFrame(drawWaiting);
}

export class CurveChart {
  readonly #host: HTMLElement;
  readonly #told: HTMLElement;
  readonly #onZoom: (low: number, high: number) => void;
  readonly #seen: IntersectionObserver;
  readonly #sized: ResizeObserver;
  #view: ChartView | undefined;
  #plot: uPlot | undefined;
  /** What the plot was made for: it is made anew for another number of lines or another kind of scale. */
  #kind = '';
  #visible = false;
  #dirty = false;
  /** Values in view, by the plot's series. */
  #counts: number[] = [];

  constructor(host: HTMLElement, onZoom: (low: number, high: number) => void) {
    this.#host = host;
    this.#onZoom = onZoom;
    this.#told = document.createElement('div');
    this.#told.className = 'told';
    host.append(this.#told);
    this.#seen = new IntersectionObserver((entries) => {
      this.#visible = entries.at(-1)!.isIntersecting;
      if (this.#visible && this.#dirty) enqueue(this);
    });
    this.#seen.observe(host);
    this.#sized = new ResizeObserver(() => this.redraw());
    this.#sized.observe(host);
  }

  show(view: ChartView): void {
    this.#view = view;
    this.redraw();
  }

  redraw(): void {
    this.#dirty = true;
    if (this.#visible) enqueue(this);
  }

  close(): void {
    waiting.delete(this);
    this.#seen.disconnect();
    this.#sized.disconnect();
    this.#plot?.destroy();
  }

  draw(): void {
    const view = this.#view;
    const width = this.#host.clientWidth;
    if (!view || width === 0) return;
    this.#dirty = false;
    const { lines, low, high } = view;
    const columns = Math.max(50, width - 60);
    const faint = lines.length <= FAINT_UP_TO;
    const raw = lines.map(({ x, y, smooth }) =>
      smooth && faint ? reduce({ x, y }, low, high, columns) : [],
    );
    const main = lines.map(({ x, y, smooth }) => reduce({ x, y: smooth ?? y }, low, high, columns));
    this.#counts = lines.map(({ x }) => firstAtLeast(x, high, true) - firstAtLeast(x, low));
    const range = rangeOf(main);
    const log =
      view.scale === 'log'
        ? range.low > 0
        : view.scale === 'auto' && range.low > 0 && range.high > 30 * range.low;
    const kind = JSON.stringify([
      log,
      lines.map(({ color, dash, smooth }) => [color, dash, smooth && faint]),
    ]);
    if (kind !== this.#kind) {
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#options(lines, log, faint, width), undefined, this.#host);
      this.#kind = kind;
    }
    const plot = this.#plot!;
    const vertical = log
      ? range
      : linearAxis(range.low > 0 && range.low < 0.5 * range.high ? 0 : range.low, range.high);
    const data = [columnPositions(low, high, columns), ...raw.filter(({ length }) => length > 0), ...main];
    plot.batch(() => {
      if (plot.width !== width) plot.setSize({ width, height: HEIGHT });
      plot.setData(data as uPlot.AlignedData, false);
      plot.setScale('x', { min: low, max: high });
      plot.setScale('y', { min: vertical.low, max: vertical.high });
    });
  }

  #options(lines: readonly Line[], log: boolean, faint: boolean, width: number): uPlot.Options {
    const css = (name: string) => () => getComputedStyle(this.#host).getPropertyValue(name);
    const axis: uPlot.Axis = {
      font: "12px system-ui, 'DejaVu Sans', sans-serif",
      stroke: css('--soft'),
      grid: { stroke: css('--grid'), width: 1 },
      ticks: { show: false },
      values: (_, values) => values.map(number),
    };
    const raw = lines.filter(({ smooth }) => smooth && faint);
    const line = ({ color, dash }: Line, index: number): uPlot.Series => ({
      stroke: css(color),
      width: 1.6,
      dash: [...dash],
      points: { show: () => this.#counts[index]! < DOTS_BELOW, size: 5, fill: css(color) },
    });
    return {
      width,
      height: HEIGHT,
      padding: [10, 20, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: false },
        sync: { key: 'curves' },
      },
      scales: { x: { time: false, auto: false }, y: { auto: false, distr: log ? 3 : 1 } },
      axes: [
        {
          ...axis,
          size: 26,
          splits: (_, __, low, high) => ticks(low, high, Math.max(2, Math.floor(width / 90))),
        },
        {
          ...axis,
          size: 52,
          splits: (_, __, low, high) => (log ? logTicks(low, high) : ticks(low, high, 4)),
        },
      ],
      series: [
        {},
        ...raw.map(({ color }) => ({ stroke: css(color), width: 1, alpha: 0.28, points: { show: false } })),
        ...lines.map(line),
      ],
      hooks: {
        setSelect: [(plot) => this.#zoomTo(plot)],
        setCursor: [(plot) => this.#tell(plot)],
      },
    };
  }

  #zoomTo(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 3) return;
    this.#onZoom(plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x'));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  /** The values at the pointer, the nearest to it first. */
  #tell(plot: uPlot): void {
    const { left = -1, top = -1 } = plot.cursor;
    const pointed = plot.over.matches(':hover') && left >= 0;
    this.#told.hidden = !pointed;
    if (!pointed || !this.#view) return;
    const at = plot.posToVal(left, 'x');
    const values = this.#view.lines.flatMap(({ label, color, x, y, smooth }) => {
      const next = firstAtLeast(x, at);
      const nearest = next > 0 && (next === x.length || at - x[next - 1]! < x[next]! - at) ? next - 1 : next;
      const value = (smooth ?? y)[nearest];
      if (value === undefined) return [];
      return [
        {
          label,
          color,
          x: x[nearest]!,
          value,
          y: y[nearest]!,
          far: Math.abs(plot.valToPos(value, 'y') - top),
        },
      ];
    });
    const told = values.sort((a, b) => a.far - b.far).slice(0, TOLD);
    const rows = told.map(({ label, color, value, x, y }) => {
      const row = document.createElement('div');
      const swatch = document.createElement('i');
      swatch.style.background = `var(${color})`;
      const exact = y === value ? '' : ` (${number(y)})`;
      row.append(swatch, `${number(value)}${exact}  ${label}, at ${number(x)}`);
      return row;
    });
    if (values.length > told.length)
      rows.push(
        Object.assign(document.createElement('div'), {
          textContent: `and ${values.length - told.length} more`,
        }),
      );
    this.#told.replaceChildren(...rows);
    const right = left > plot.over.clientWidth / 2;
    this.#told.style.left = right ? '' : `${left + 68}px`;
    this.#told.style.right = right ? `${plot.over.clientWidth - left + 20}px` : '';
  }
}

function rangeOf(lines: readonly Reduced[]): { low: number; high: number } {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const line of lines) {
    for (const value of line) {
      if (value === undefined || value === null) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return { low: 0, high: 1 };
  // A scale needs two ends.
  return low === high
    ? { low: low - Math.abs(low) * 0.1 - 1e-9, high: high + Math.abs(high) * 0.1 + 1e-9 }
    : { low, high };
}
