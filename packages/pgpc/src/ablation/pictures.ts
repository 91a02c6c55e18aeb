// Pictures of a sweep as SVG files of their own: a row for each cell, a dot for each seed, mean and spread over them.

import { type Html, html } from '../report/html.js';
import { type Axis, linearAxis } from '../report/series.js';
import { type Row, type SeedScores, type Stat, type SweepTable, withSpread } from './table.js';

/** One quantity of all cells. */
interface Panel {
  readonly title: string;
  readonly of: (scores: SeedScores) => number;
  readonly stat: (row: Row) => Stat;
}

const MIOU: Panel = { title: 'mIoU, %', of: ({ miou }) => miou, stat: ({ miou }) => miou };
const MINORITY: Panel = {
  title: 'IoU of minority classes, %',
  of: ({ minority }) => minority,
  stat: ({ minority }) => minority,
};
const MAJORITY: Panel = {
  title: 'IoU of the other classes, %',
  of: ({ majority }) => majority,
  stat: ({ majority }) => majority,
};

/** Pixels of the picture at its own size. */
const WIDTH = 820;
const ROW = 26;
const TOP = 66;
const BOTTOM = 34;
/** Roughly the width of a letter, which SVG cannot measure. */
const LETTER = 7;

// The report's colours, in the file itself, so that it can stand in any page.
const STYLE = html`
.sweep { --ink: #1d2023; --soft: #63696f; --page: #fbfbfa; --lines: #e3e4e2; --dots: #3d7dca; font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) {
  .sweep { --ink: #e4e6e8; --soft: #9ba1a8; --page: #15171a; --lines: #2f343a; --dots: #6ba4ea; }
}
.sweep text { fill: var(--ink); }
.sweep .sweep-title { font-size: 15px; font-weight: 600; }
.sweep .sweep-soft { fill: var(--soft); font-size: 12px; }
.sweep .sweep-page { fill: var(--page); }
.sweep .sweep-line { stroke: var(--lines); }
.sweep .sweep-reference { stroke: var(--soft); stroke-dasharray: 3 3; }
.sweep .sweep-spread { stroke: var(--dots); stroke-width: 2; }
.sweep .sweep-seed { fill: var(--page); stroke: var(--dots); }
.sweep .sweep-mean { fill: var(--dots); }
`;

/** mIoU of every cell. */
export function miouPicture(table: SweepTable): Html {
  return picture(`${table.sweep.title}: mIoU on the target`, table, [MIOU]);
}

/** The mean IoU of minority classes beside that of the others. */
export function classesPicture(table: SweepTable): Html {
  return picture(`${table.sweep.title}: minority classes and the others`, table, [MINORITY, MAJORITY]);
}

function picture(title: string, table: SweepTable, panels: readonly Panel[]): Html {
  const { rows } = table;
  const labels = Math.max(80, ...rows.map(({ cell }) => cell.label.length * LETTER)) + 24;
  const gap = 28;
  const width = (WIDTH - labels - panels.length * gap) / panels.length;
  const height = TOP + rows.length * ROW + BOTTOM;
  return html`<svg xmlns="http://www.w3.org/2000/svg" class="sweep" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${title}">
<style>${STYLE}</style>
<rect class="sweep-page" width="${WIDTH}" height="${height}"/>
<text class="sweep-title" x="12" y="26">${title}</text>
${rows.map(
  ({ cell }, i) => html`<text x="12" y="${middle(i) + 4}">${cell.label}</text>
`,
)}${panels.map((panel, i) => drawn(panel, table, labels + i * (width + gap), width))}</svg>
`;
}

function drawn(panel: Panel, { sweep, rows }: SweepTable, left: number, width: number): Html {
  const axis = axisOf(panel, rows);
  const across = (fraction: number) => (left + axis.at(100 * fraction) * width).toFixed(1);
  const bottom = TOP + rows.length * ROW;
  const reference = rows.find(({ cell }) => cell.name === sweep.reference);
  const standard = reference && across(panel.stat(reference).mean);
  return html`<text class="sweep-soft" x="${left}" y="${TOP - 14}">${panel.title}</text>
${axis.ticks.map(
  (
    tick,
  ) => html`<line class="sweep-line" x1="${across(tick / 100)}" x2="${across(tick / 100)}" y1="${TOP - 4}" y2="${bottom + 4}"/>
<text class="sweep-soft" text-anchor="middle" x="${across(tick / 100)}" y="${bottom + 20}">${String(tick)}</text>
`,
)}${
  standard !== undefined &&
  html`<line class="sweep-reference" x1="${standard}" x2="${standard}" y1="${TOP - 4}" y2="${bottom + 4}"/>
`
}${rows.map((row, i) => {
  const { mean, spread } = panel.stat(row);
  const y = middle(i);
  if (!Number.isFinite(mean)) return html``;
  const arrow = 100 * mean > axis.high ? '→' : 100 * mean < axis.low ? '←' : undefined;
  if (arrow !== undefined) {
    return html`<text class="sweep-soft" text-anchor="end" x="${left + width}" y="${y + 4}">${withSpread({ mean, spread })} ${arrow}</text>
`;
  }
  return html`${Number.isFinite(spread) && html`<line class="sweep-spread" x1="${across(Math.max(0, mean - spread))}" x2="${across(mean + spread)}" y1="${y}" y2="${y}"/>`}
<circle class="sweep-mean" cx="${across(mean)}" cy="${y}" r="4.5"/>
${row.seeds.map((scores) => Number.isFinite(panel.of(scores)) && html`<circle class="sweep-seed" cx="${across(panel.of(scores))}" cy="${y}" r="2.5"/>`)}
`;
})}`;
}

function middle(row: number): number {
  return TOP + row * ROW + ROW / 2;
}

/** In percent, around the seeds and spreads of all cells but the oracle, beside which the others would look the same. */
function axisOf(panel: Panel, rows: readonly Row[]): Axis {
  const compared = rows.filter(({ cell }) => cell.method !== 'oracle');
  const values = (compared.length > 0 ? compared : rows).flatMap((row) => {
    const { mean, spread } = panel.stat(row);
    return [mean - spread, mean + spread, ...row.seeds.map(panel.of)];
  });
  const finite = values.filter(Number.isFinite).map((value) => Math.max(0, 100 * value));
  const high = Math.max(0, ...finite);
  return high > 0 ? linearAxis(Math.min(...finite), high) : linearAxis(0, 1);
}
