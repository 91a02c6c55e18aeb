// Several runs side by side: what they reach, how their configurations differ, their curves.

import path from 'node:path';
import type { Run } from '../training/run-directory/open-run.js';
import type { MethodResult } from '../training/run-directory/schema.js';
import { barChart, type Line, lineChart } from './chart.js';
import { entryRows } from './flatten.js';
import { css, percent, points } from './format.js';
import { type Html, html } from './html.js';
import { metricTitle } from './metric-titles.js';
import { page } from './page.js';

/** A result of one of the runs; a run of several methods or seeds has several. */
export interface ComparedResult {
  readonly label: string;
  readonly run: string;
  readonly miou: number;
  readonly accuracy: number;
  /** Of the comparison's classes, fractions; NaN where the run has no such class or it has no pixel. */
  readonly iou: readonly number[];
}

/** An entry of the configurations that is not the same in all runs. */
export interface Difference {
  readonly key: string;
  /** In the order of the runs; undefined where a run does not have the entry. */
  readonly values: readonly (string | undefined)[];
}

/** Results are compared with the first of them. */
export interface Comparison {
  readonly runs: readonly { readonly label: string; readonly run: Run }[];
  /** Of all runs, by name, in the order of the first that has them. */
  readonly classes: Run['info']['classes'];
  readonly results: readonly ComparedResult[];
  readonly differences: readonly Difference[];
}

/** @param runs two or more, in the order in which they are shown. */
export function compareRuns(runs: readonly Run[]): Comparison {
  const names = runs.map(({ info }) => info.name);
  const labelled = runs.map((run, i) => {
    const isOnly = names.indexOf(names[i]!) === names.lastIndexOf(names[i]!);
    return { label: isOnly ? names[i]! : path.normalize(run.directory), run };
  });
  const classes = [
    ...new Map(runs.flatMap(({ info }) => info.classes).map((one) => [one.name, one])).values(),
  ];
  const results = labelled.flatMap(({ label, run }) =>
    run.results.map((result) => {
      const at = new Map(run.info.classes.map(({ name }, i) => [name, result.iou[i]!]));
      return {
        label: run.results.length > 1 ? `${label}: ${called(result)}` : label,
        run: label,
        miou: result.miou,
        accuracy: result.accuracy,
        iou: classes.map(({ name }) => at.get(name) ?? Number.NaN),
      };
    }),
  );
  return { runs: labelled, classes, results, differences: differencesOf(runs) };
}

function called({ label, seed }: MethodResult): string {
  return seed === undefined ? label : `${label}, seed ${seed}`;
}

/** What decides a run besides its code: configuration, seed, versions, device. */
function differencesOf(runs: readonly Run[]): Difference[] {
  const configs = runs.map(({ info: { config, seed, versions, device, gitRevision } }) => ({
    ...config,
    seed,
    device: device ?? '',
    versions,
    ...(gitRevision !== undefined && { gitRevision }),
  }));
  return entryRows(configs).filter(({ values }) => values.some((value) => value !== values[0]));
}

const COLORS = [
  'var(--method-1)',
  'var(--method-2)',
  'var(--method-3)',
  'var(--method-4)',
  'var(--baseline)',
  'var(--oracle)',
];

/** Beyond the colours of the reports' own, hues that lie far from each other. */
const colorOf = (i: number) => COLORS[i] ?? `hsl(${(i * 137) % 360} 55% 50%)`;

/**
 * The colour of each thing of a run: the run's own where no run has two, so that its bars and its curves look alike.
 * @param owners the run of each.
 */
function colorsOf(owners: readonly string[], runs: readonly string[]): string[] {
  const isOne = new Set(owners).size === owners.length;
  return owners.map((owner, i) => colorOf(isOne ? runs.indexOf(owner) : i));
}

/** The comparison as the text of an HTML file, with everything in it. */
export function comparisonPage(comparison: Comparison): string {
  const { runs } = comparison;
  const title = runs.map(({ label }) => label).join(', ');
  return page(
    title,
    html`<header>
<h1>${title}</h1>
<p class="facts">${runs.map(({ label, run }) => `${label}: ${run.info.status}`).join(' · ')}</p>
</header>
${scoresSection(comparison)}
${configSection(comparison)}
${curvesSection(comparison)}`,
  );
}

function scoresSection({ classes, results, runs }: Comparison): Html {
  const without = runs.filter(({ run }) => run.results.length === 0).map(({ label }) => label);
  const missing =
    without.length > 0 && html`<p class="notice">Without a result on labels: ${without.join(', ')}.</p>`;
  const [first, ...others] = results;
  if (first === undefined) return html`${missing}`;
  const colors = colorsOf(
    results.map(({ run }) => run),
    runs.map(({ label }) => label),
  );
  const cells = (value: (result: ComparedResult) => number) => [
    html`<td>${percent(value(first))}</td>`,
    ...others.map((other) => {
      const difference = points(value(other) - value(first));
      const kind = difference.startsWith('−') ? 'loss' : difference.startsWith('+') ? 'gain' : 'muted';
      return html`<td>${percent(value(other))}</td><td class="${kind}">${difference}</td>`;
    }),
  ];
  return html`<section>
<h2>IoU of every class, %, and its difference to ${first.label} in points</h2>
${missing}
<div class="scroll"><table>
<thead><tr><th>Class</th><th>${first.label}</th>${others.map(({ label }) => html`<th colspan="2">${label}</th>`)}</tr></thead>
<tbody>
${classes.map(
  (
    { name, color },
    i,
  ) => html`<tr><td><i style="background:${css(color)}"></i>${name}</td>${cells(({ iou }) => iou[i]!)}</tr>
`,
)}</tbody>
<tfoot><tr><th>Mean</th>${cells(({ miou }) => miou)}</tr>
<tr><th>Pixel accuracy</th>${cells(({ accuracy }) => accuracy)}</tr></tfoot>
</table></div>
<p class="facts">A column is one training: what another seed would change is not known from it.</p>
${barChart(
  'IoU of every class by run, in percent',
  results.map(({ label }, i) => ({ label, color: colors[i]! })),
  classes.map(({ name, color }, i) => ({
    label: name,
    color: css(color),
    values: results.map(({ iou }) => iou[i]!),
  })),
)}
</section>`;
}

function configSection({ runs, differences }: Comparison): Html {
  if (differences.length === 0)
    return html`<section><h2>Configuration</h2><p>The same in all runs.</p></section>`;
  return html`<section>
<h2>Where the configurations differ</h2>
<div class="scroll"><table>
<thead><tr><th>Option</th>${runs.map(({ label }) => html`<th>${label}</th>`)}</tr></thead>
<tbody>
${differences.map(
  ({ key, values }) => html`<tr><td>${key}</td>${values.map((value) => html`<td>${value ?? '–'}</td>`)}</tr>
`,
)}</tbody>
</table></div>
</section>`;
}

function curvesSection({ runs }: Comparison): Html | undefined {
  const series = runs.flatMap(({ label, run }) => {
    const keys = new Map(run.metrics.map(({ phase, seed }) => [`${phase} ${seed}`, { phase, seed }]));
    return [...keys.values()].map(({ phase, seed }) => ({
      run: label,
      label: [label, ...(keys.size > 1 ? [phase] : []), ...(seed !== undefined ? [`seed ${seed}`] : [])].join(
        ', ',
      ),
      records: run.metrics.filter((record) => record.phase === phase && record.seed === seed),
    }));
  });
  if (series.length === 0) return undefined;
  const names = [
    ...new Set(series.flatMap(({ records }) => records.flatMap(({ values }) => Object.keys(values)))),
  ];
  const colors = colorsOf(
    series.map(({ run }) => run),
    runs.map(({ label }) => label),
  );
  const charts = names.map((name) => {
    const lines = series.map(
      ({ label, records }, i): Line => ({
        label,
        color: colors[i]!,
        points: records
          .filter(({ values }) => Object.hasOwn(values, name))
          .map(({ iteration, values }) => ({ x: iteration, y: values[name]! })),
      }),
    );
    return lineChart(
      metricTitle(name),
      lines.filter((line) => line.points.length > 0),
    );
  });
  return html`<section>
<h2>Training</h2>
<p class="facts">Over iterations; noisy curves are smoothed, their raw values faint behind them.</p>
<div class="charts">
${charts}
</div>
</section>`;
}
