// The curves of a run's trainings in its report.

import type { Run } from '../training/run-directory/open-run.js';
import { type Line, lineChart } from './chart.js';
import { classCurves } from './class-curves.js';
import { duration, number } from './format.js';
import { type Html, html } from './html.js';
import type { MethodSummary } from './methods.js';
import { CLASS_METRIC, metricTitle } from './metric-titles.js';
import { linearAxis } from './series.js';

const COMPONENT_COLORS: Readonly<Record<string, string>> = {
  'loss/total': 'var(--ink)',
  'loss/source': 'var(--method-1)',
  'loss/target': 'var(--method-2)',
  'loss/contrast': 'var(--method-3)',
};

const PHASE_COLORS = [
  'var(--baseline)',
  'var(--method-1)',
  'var(--method-2)',
  'var(--method-3)',
  'var(--method-4)',
];

/** The trainings of a run, in order of appearance. */
function seriesOf({ metrics }: Run): { phase: string; seed: number | undefined; records: Run['metrics'] }[] {
  const keys = new Map(metrics.map(({ phase, seed }) => [`${phase} ${seed}`, { phase, seed }]));
  return [...keys.values()].map(({ phase, seed }) => ({
    phase,
    seed,
    records: metrics.filter((record) => record.phase === phase && record.seed === seed),
  }));
}

export function curvesByClass(run: Run, methods: readonly MethodSummary[]): Html | undefined {
  const colorOf = phaseColors(run, methods);
  const label = (phase: string) => methods.find(({ name }) => name === phase)?.label ?? phase;
  const sources = seriesOf(run).map(({ phase, records }) => ({
    label: label(phase),
    color: colorOf(phase),
    records,
  }));
  return classCurves(sources, run.info.classes);
}

/** A phase that is a method has the method's colour everywhere. */
function phaseColors(run: Run, methods: readonly MethodSummary[]): (phase: string) => string {
  const phases = [...new Set(run.metrics.map(({ phase }) => phase))];
  const unevaluated = phases.filter((phase) => !methods.some(({ name }) => name === phase));
  const free = PHASE_COLORS.filter((color) => !methods.some((method) => method.color === color));
  return (phase) =>
    methods.find(({ name }) => name === phase)?.color ?? free[unevaluated.indexOf(phase)] ?? 'var(--soft)';
}

export function curves(run: Run, methods: readonly MethodSummary[]): Html | undefined {
  if (run.metrics.length === 0) return undefined;
  const phases = [...new Set(run.metrics.map(({ phase }) => phase))];
  const names = [...new Set(run.metrics.flatMap(({ values }) => Object.keys(values)))];
  const line = (records: Run['metrics'], metric: string, label: string, color: string): Line => ({
    label,
    color,
    points: records
      .filter(({ values }) => Object.hasOwn(values, metric))
      .map(({ iteration, values }) => ({ x: iteration, y: values[metric]! })),
  });
  const seedsOf = (phase: string) => [
    ...new Set(run.metrics.filter((record) => record.phase === phase).map(({ seed }) => seed)),
  ];
  const recordsOf = (phase: string, seed: number | undefined) =>
    run.metrics.filter((record) => record.phase === phase && record.seed === seed);
  const colorOf = phaseColors(run, methods);
  const withSeed = (label: string, seed: number | undefined, several: boolean) =>
    several && seed !== undefined ? `${label}, seed ${seed}` : label;

  const known = Object.keys(COMPONENT_COLORS);
  const lossNames = [
    ...known.filter((name) => names.includes(name)),
    ...names.filter((name) => name.startsWith('loss/') && !known.includes(name)),
  ];
  const losses = phases.flatMap((phase) =>
    seedsOf(phase).map((seed, _, seeds) => {
      const lines = lossNames
        .map((name, index) => {
          const color = COMPONENT_COLORS[name] ?? `var(--method-${(index % 4) + 1})`;
          return line(recordsOf(phase, seed), name, name.slice('loss/'.length), color);
        })
        .filter((candidate) => candidate.points.length > 0);
      return lines.length > 0 && lineChart(`Loss: ${withSeed(phase, seed, seeds.length > 1)}`, lines);
    }),
  );
  const otherCharts = names
    .filter((name) => !name.startsWith('loss/') && !name.startsWith(CLASS_METRIC))
    .map((name) => {
      const lines = phases.flatMap((phase) =>
        seedsOf(phase).map((seed) => line(recordsOf(phase, seed), name, phase, colorOf(phase))),
      );
      return lineChart(
        metricTitle(name),
        lines.filter((candidate) => candidate.points.length > 0),
        name === 'q' ? linearAxis(0, 1) : undefined,
      );
    });
  return html`<section>
<h2>Training</h2>
<p class="facts">Over iterations; noisy curves are smoothed, their raw values faint behind them.</p>
<div class="charts">
${losses}
${otherCharts}
</div>
<h3>Phases</h3>
<div class="scroll"><table>
<thead><tr><th>Phase</th><th>Iterations</th><th>Time</th><th>Iterations a second</th><th>Last loss</th></tr></thead>
<tbody>
${phases.flatMap((phase) =>
  seedsOf(phase).map((seed, _, seeds) =>
    phaseRow(withSeed(phase, seed, seeds.length > 1), recordsOf(phase, seed)),
  ),
)}</tbody>
</table></div>
</section>`;
}

function phaseRow(label: string, records: Run['metrics']): Html {
  const first = records[0]!;
  const last = records.at(-1)!;
  const seconds = last.wall - first.wall;
  const speed = (last.iteration - first.iteration) / seconds;
  const loss = records.findLast(({ values }) => 'loss/total' in values)?.values['loss/total'];
  return html`<tr><td>${label}</td><td>${number(last.iteration)}</td><td>${duration(seconds)}</td><td>${
    Number.isFinite(speed) && number(speed)
  }</td><td>${loss !== undefined && number(loss)}</td></tr>
`;
}
