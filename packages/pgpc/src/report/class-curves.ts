// The IoU of every class at the checkpoints of a training, as one small chart a class.

import type { MetricRecord } from '../training/run-directory/schema.js';
import { keyOf, type Line, pathOf } from './chart.js';
import { css, number, percent } from './format.js';
import { type Html, html } from './html.js';
import { CLASS_METRIC } from './metric-titles.js';
import { thin } from './series.js';

/** A class as pages show it: `color` is RGB, 0..255 each. */
interface ShownClass {
  readonly name: string;
  readonly color: readonly [number, number, number];
}

/** Records of one training, with what its lines look like. */
interface CurveSource {
  readonly label: string;
  /** A CSS colour. */
  readonly color: string;
  readonly records: readonly MetricRecord[];
}

/** @returns undefined where no training has been scored by class. */
export function classCurves(
  sources: readonly CurveSource[],
  classes: readonly ShownClass[],
): Html | undefined {
  const curves = classes.map((shown) => ({
    ...shown,
    lines: sources
      .map(({ label, color, records }) => ({ label, color, points: pointsOf(records, shown.name) }))
      .filter(({ points }) => points.length > 0),
  }));
  const drawn = curves.filter(({ lines }) => lines.length > 0);
  if (drawn.length === 0) return undefined;
  const last = Math.max(
    1,
    ...drawn.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(({ x }) => x))),
  );
  const left = curves.filter(({ lines }) => lines.length === 0).map(({ name }) => name);
  const entries = drawn.flatMap(({ lines }) => lines);
  const several = new Set(entries.map(({ label }) => label)).size > 1;
  return html`<section>
<h2>IoU of every class over the training, %</h2>
<p class="facts">At each checkpoint, on up to 16 validation images: every chart goes from step 0 to ${number(last)} and from 0 to 100 %, its lines at 0, 50 and 100.${several ? '' : ' The number is the last.'}${
    left.length > 0 && ` Not in the truth of these images: ${left.join(', ')}.`
  }</p>
${several && html`<p class="key">${keyOf(entries)}</p>`}
<div class="class-curves">
${drawn.map((curve) => classCurve(curve, last))}
</div>
</section>`;
}

function classCurve(
  { name, color, lines }: ShownClass & { readonly lines: readonly Line[] },
  last: number,
): Html {
  const path = (points: Line['points']) =>
    pathOf(
      thin(points, 150),
      (x) => 2 + (96 * x) / last,
      (y) => 98 - 96 * y,
    );
  const told = lines.map(({ label, points }) => {
    const values = points.map(({ x, y }) => `${percent(y)} at step ${number(x)}`);
    return `${label}: ${values.length > 1 ? `${values[0]}, ` : ''}${values.at(-1)}`;
  });
  const now = lines.map(
    ({ color, points }) => html`<b style="color:${color}">${percent(points.at(-1)!.y)}</b>`,
  );
  return html`<figure>
<figcaption><span><i style="background:${css(color)}"></i>${name}</span> ${lines.length === 1 && now}</figcaption>
<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="IoU of ${name}, %: ${told.join('; ')}">
${[2, 50, 98].map((y) => html`<path class="grid" d="M0 ${y}H100"/>`)}
${lines.map(
  ({ color, points }) => html`<path class="line" style="stroke:${color}" d="${path(points)}"/>
${points.length <= 12 && html`<path class="dot" style="stroke:${color}" d="${dots(points, path)}"/>`}`,
)}
</svg>
</figure>
`;
}

/** Every point for itself. */
function dots(points: Line['points'], path: (points: Line['points']) => string): string {
  return points.map((point) => path([point])).join('');
}

function pointsOf(records: readonly MetricRecord[], name: string): Line['points'] {
  const metric = `${CLASS_METRIC}${name}`;
  return records
    .filter(({ values }) => Object.hasOwn(values, metric))
    .map(({ iteration, values }) => ({ x: iteration, y: values[metric]! }));
}
