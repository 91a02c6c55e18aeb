// Charts as inline SVG that keep their text size at any width: marks in percent, labels in HTML.
import { number } from './format.js';
import { type Html, html } from './html.js';
import { type Axis, fitAxis, isNoisy, type Point, smooth, thin, ticks } from './series.js';

/** One line of a chart; `color` is a CSS colour. */
export interface Line {
  readonly label: string;
  readonly color: string;
  readonly points: readonly Point[];
}

/**
 * A line chart: noisy lines are smoothed, with their raw values faint behind them. Values that are not finite leave a gap and
 * are counted under the chart.
 *
 * @param axis - the vertical axis; fitted to the values if absent
 */
export function lineChart(title: string, lines: readonly Line[], axis?: Axis): Html {
  const drawn = lines.map((line) => {
    const span = Math.max(1, Math.round(line.points.length / 20));
    return { ...line, smoothed: span > 1 && isNoisy(line.points) ? smooth(line.points, span) : undefined };
  });
  const vertical =
    axis ??
    fitAxis(
      drawn.flatMap(({ points, smoothed }) => (smoothed ?? points).map(({ y }) => y)),
      drawn.flatMap(({ points }) => points.map(({ y }) => y)),
    );
  const xs = lines.flatMap(({ points }) => points.map(({ x }) => x));
  const right = Math.max(
    xs.reduce((a, b) => Math.max(a, b), 0),
    1,
  );
  const left = Math.min(
    xs.reduce((a, b) => Math.min(a, b), right),
    right - 1,
  );
  // A run's first record may be iteration 0, 1 or 50: all of them are the beginning.
  const start = left < 0.2 * right ? 0 : left;
  const across = (x: number) => ((x - start) / (right - start)) * 100;
  const down = (y: number) => 100 - vertical.at(y) * 100;
  const draw = (points: readonly Point[]) => pathOf(thin(points, 300), across, down);
  const broken = lines.flatMap(({ points }) => points).filter(({ y }) => !Number.isFinite(y)).length;
  return html`<figure class="chart">
<figcaption><strong>${title}</strong>${vertical.log && html` <span class="muted">log scale</span>`}</figcaption>
<div class="plot" role="img" aria-label="${title}">
<div class="y-axis">${vertical.ticks.map((tick) => html`<span style="top:${coordinate(down(tick))}%">${number(tick)}</span>`)}</div>
<svg viewBox="0 0 100 100" preserveAspectRatio="none">
${vertical.ticks.map((tick) => html`<path class="grid" d="M0 ${coordinate(down(tick))}H100"/>`)}
${drawn.map(({ color, points, smoothed }) => smoothed && html`<path class="raw" style="stroke:${color}" d="${draw(points)}"/>`)}
${drawn.map(({ color, points, smoothed }) => html`<path class="line" style="stroke:${color}" d="${draw(smoothed ?? points)}"/>`)}
</svg>
<div class="x-axis">${ticks(start, right, 4)
    .filter(Number.isInteger)
    .map((tick) => html`<span style="left:${coordinate(across(tick))}%">${number(tick)}</span>`)}</div>
</div>
${lines.length > 1 && html`<p class="key">${keyOf(lines)}</p>`}
${broken > 0 && html`<p class="warning">${broken} ${broken === 1 ? 'value is' : 'values are'} not finite (left out)</p>`}
</figure>`;
}

/** A group of horizontal bars: one `value` (fraction 0..1, NaN: no bar) for each method. */
export interface BarGroup {
  readonly label: string;
  readonly color: string;
  readonly values: readonly number[];
}

/** Horizontal bars from 0 to 100 %, grouped; `methods` gives the label and CSS colour of the bars of a group. */
export function barChart(
  title: string,
  methods: readonly { readonly label: string; readonly color: string }[],
  groups: readonly BarGroup[],
): Html {
  const thickness = methods.length > 3 ? 6 : 8;
  const height = methods.length * thickness + 10;
  return html`<figure class="bars" role="img" aria-label="${title}">
<p class="key">${keyOf(methods)}</p>
<div class="bar-rows">
${groups.map(
  (group) => html`<span class="bar-label"><i style="background:${group.color}"></i>${group.label}</span>
<svg width="100%" height="${height}">
${[0, 20, 40, 60, 80, 100].map((x) => html`<line class="grid" x1="${x}%" x2="${x}%" y1="0" y2="${height}"/>`)}
${group.values.map(
  (value, index) =>
    Number.isFinite(value) &&
    html`<rect x="0" y="${5 + index * thickness}" width="${coordinate(value * 100)}%" height="${thickness - 1}" rx="1" style="fill:${methods[index]!.color}"/>`,
)}
</svg>
`,
)}<span></span><div class="x-axis">${[0, 20, 40, 60, 80, 100].map((x) => html`<span style="left:${x}%">${x}</span>`)}</div>
</div>
</figure>`;
}

/** The entries of a key; lines of the same label and colour (one phase, several seeds) share one. */
export function keyOf(entries: readonly { readonly label: string; readonly color: string }[]): Html[] {
  const unique = entries.filter(
    (entry, index) =>
      entries.findIndex(({ label, color }) => label === entry.label && color === entry.color) === index,
  );
  return unique.map(({ label, color }) => html`<span><i style="background:${color}"></i>${label}</span> `);
}

/**
 * The path through points, as SVG has it: a new one after every gap; a lone point becomes a stroke of no length, which its
 * round cap turns into a dot.
 */
export function pathOf(
  points: readonly Point[],
  across: (x: number) => number,
  down: (y: number) => number,
): string {
  let path = '';
  let penDown = false;
  for (const { x, y } of points) {
    if (!Number.isFinite(y)) {
      penDown = false;
      continue;
    }
    const at = `${coordinate(across(x))} ${coordinate(down(y))}`;
    path += penDown ? `L${at}` : `M${at}h0`;
    penDown = true;
  }
  return path;
}

function coordinate(value: number): string {
  // Outliers beyond the axis leave the picture, but not so far that renderers lose precision.
  return String(Number(Math.min(1000, Math.max(-1000, value)).toFixed(2)));
}
