// The report of a run: one HTML file with everything in it, written from the run directory alone.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { writeWhole } from '@pgpc/datasets';
import { openRun, type Run } from '../training/run-directory/open-run.js';
import { barChart } from './chart.js';
import { type PictureContent, pictureOf } from './embedded.js';
import { flatten } from './flatten.js';
import { css, duration, percent, points } from './format.js';
import { type Html, html } from './html.js';
import { baselineOf, bestOf, isAdapted, type MethodSummary, ORACLE, summarize } from './methods.js';
import { nextSteps } from './next-steps.js';
import { onTheWay } from './on-the-way.js';
import { page } from './page.js';
import { curves, curvesByClass } from './training-curves.js';
import { confusions, worst } from './weak-points.js';

/**
 * Writes `report.html` into a run directory: results, IoU of every class, pictures, curves, configuration. The file
 * has no outside references, pictures are embedded (reduced to 768 pixels in width), and it is replaced atomically.
 * Works on a run that is still going, with what there is.
 *
 * @returns the path of the file
 * @throws Error if the directory holds no readable run, see `openRun`
 */
export async function writeReport(runDirectory: string): Promise<string> {
  const run = openRun(runDirectory);
  const methods = summarize(run.results);
  const body = html`${introduction(run, methods)}
${headline(methods)}
${perClass(run, methods)}
${confusions(run, methods)}
${await pictures(run, methods)}
${await worst(run, methods)}
${curvesByClass(run, methods)}
${curves(run, methods)}
${next(run)}
${reproduction(run)}`;
  const file = path.join(runDirectory, 'report.html');
  await writeWhole(file, page(run.info.title ?? run.info.name, body));
  return file;
}

function introduction(run: Run, methods: readonly MethodSummary[]): Html {
  const { info } = run;
  const baseline = baselineOf(methods);
  const best = bestOf(methods.filter((method) => isAdapted(method) && Number.isFinite(method.miou)));
  const seeds = Math.max(0, ...methods.map(({ runs }) => runs));
  const status = {
    running: html`<p class="notice">This run had not ended when the report was written.</p>`,
    stopped: html`<p class="notice">This run was stopped before its end.</p>`,
    failed: html`<p class="notice failed">This run failed${info.error && `: ${info.error}`}</p>`,
    finished: undefined,
  }[info.status];
  const ended =
    info.finished === undefined ? undefined : Date.parse(info.finished) - Date.parse(info.started);
  const finding =
    best &&
    html`<p class="lede">Best adapted method on the target: ${best.label}, <strong>${percent(best.miou)} % mIoU</strong>${
      baseline && `, ${comparison(best.miou - baseline.miou)} ${baseline.label}`
    } (${seeds > 1 ? `mean over ${seeds} seeds` : 'one seed'}).</p>`;
  return html`<header>
<h1>${info.title ?? info.name}</h1>
<p class="lede">${info.description ?? 'A segmentation network trained on labelled source images and adapted to unlabelled target images.'}</p>
${finding}
<p class="facts">${info.name} · ${info.started.slice(0, 16).replace('T', ' ')} UTC${
    ended !== undefined && info.resumed.length === 0 && ` · ${duration(ended / 1000)}`
  } · seed ${info.seed}</p>
${status}
</header>`;
}

function headline(methods: readonly MethodSummary[]): Html {
  if (methods.length === 0) return html`<p class="muted">No method has been evaluated yet.</p>`;
  const baseline = baselineOf(methods);
  const oracle = methods.find(({ name }) => name === ORACLE);
  const gap = baseline && oracle && oracle.miou > baseline.miou ? oracle.miou - baseline.miou : undefined;
  return html`<section>
<h2>Results on the target</h2>
<div class="scroll"><table class="headline">
<thead><tr><th>Method</th><th>mIoU, %</th>${baseline && html`<th>Gain, points</th>`}${
    gap && html`<th>Gap to oracle closed</th>`
  }<th>Pixel accuracy, %</th><th>Training time</th></tr></thead>
<tbody>
${methods.map((method) => {
  const gain = baseline && method !== baseline ? method.miou - baseline.miou : undefined;
  return html`<tr class="${method.name === ORACLE ? 'oracle' : ''}"><td><i style="background:${method.color}"></i>${method.label}</td>
<td class="score">${percent(method.miou)}${
    method.runs > 1 && html` <span class="muted">± ${percent(method.spread)}</span>`
  }</td>${baseline && html`<td class="${gain === undefined ? '' : gain < 0 ? 'loss' : 'gain'}">${gain !== undefined && points(gain)}</td>`}${
    gap && html`<td>${gain !== undefined && isAdapted(method) && `${Math.round((gain / gap) * 100)} %`}</td>`
  }<td>${percent(method.accuracy)}</td><td>${duration(method.seconds)}</td></tr>
`;
})}</tbody>
</table></div>
<p class="facts">${
    methods.some(({ runs }) => runs > 1)
      ? html`Mean over seeds, ± standard deviation; ${methods.map(({ label, runs }) => `${label}: ${runs}`).join(', ')}.`
      : 'One seed: what another seed would change is not known from this run.'
  }</p>
</section>`;
}

function perClass(run: Run, methods: readonly MethodSummary[]): Html | undefined {
  if (methods.length === 0) return undefined;
  const { classes } = run.info;
  const adapted = methods.filter(isAdapted);
  const cells = (value: (method: MethodSummary) => number) => {
    const shown = adapted.map((method) => percent(value(method)));
    const best = percent(Math.max(...adapted.map(value).filter(Number.isFinite)));
    const differs = shown.some((text) => text !== best);
    return methods.map((method) => {
      const text = percent(value(method));
      const wins = differs && text === best && isAdapted(method);
      return html`<td>${wins ? html`<strong>${text}</strong>` : text}</td>`;
    });
  };
  return html`<section>
<h2>IoU of every class, %</h2>
<div class="per-class">
<div class="scroll"><table>
<thead><tr><th>Class</th>${methods.map(({ label }) => html`<th>${label}</th>`)}</tr></thead>
<tbody>
${classes.map(
  ({ name, color }, index) =>
    html`<tr><td><i style="background:${css(color)}"></i>${name}</td>${cells(({ iou }) => iou[index]!)}</tr>
`,
)}</tbody>
<tfoot><tr><td>Mean</td>${cells(({ miou }) => miou)}</tr></tfoot>
</table>
<p class="facts">${adapted.length > 1 && 'Bold: the best adapted method. '}–: the class occurs neither in truth nor in prediction.</p></div>
${barChart(
  'IoU of every class by method, in percent',
  methods,
  classes.map(({ name, color }, index) => ({
    label: name,
    color: css(color),
    values: methods.map(({ iou }) => iou[index]!),
  })),
)}
</div>
</section>`;
}

async function pictures(run: Run, methods: readonly MethodSummary[]): Promise<Html | undefined> {
  const index = run.pictures;
  if (index === undefined) return undefined;
  const labels = new Map(methods.map(({ name, label }) => [name, label]));
  const predicted = new Set(index.target.flatMap(({ predictions }) => Object.keys(predictions)));
  const order = [...labels.keys(), ...predicted].filter(
    (name, i, all) => predicted.has(name) && all.indexOf(name) === i,
  );
  const picture = async (file: string, kind: PictureContent, caption: string) => {
    const body = await pictureOf(run, file, kind, { alt: caption });
    return html`<figure>${body}<figcaption>${caption}</figcaption></figure>`;
  };
  const rows: Html[] = [];
  for (const sample of index.target) {
    const figures = [await picture(sample.image, 'photo', sample.id)];
    if (sample.truth !== undefined) figures.push(await picture(sample.truth, 'labels', 'Truth'));
    for (const name of order) {
      const file = Object.hasOwn(sample.predictions, name) ? sample.predictions[name] : undefined;
      if (file !== undefined) figures.push(await picture(file, 'labels', labels.get(name) ?? name));
    }
    rows.push(html`<div class="sample" style="--columns:${figures.length}">${figures}</div>
`);
  }
  const pairs: Html[] = [];
  for (const { image, label } of index.source) {
    pairs.push(html`<div class="sample" style="--columns:2">${await picture(image, 'photo', 'Source image')}${await picture(label, 'labels', 'Its label')}</div>
`);
  }
  return html`<section>
<h2>Pictures</h2>
<ul class="legend">${run.info.classes.map(({ name, color }) => html`<li><i style="background:${css(color)}"></i>${name}</li>`)}<li><i style="background:#000"></i>ignored</li></ul>
${
  rows.length > 0 &&
  html`<h3>Target images, and what is made of them</h3>
${rows}`
}
${await onTheWay(run, index.target, methods)}
${
  pairs.length > 0 &&
  html`<h3>Source images and the labels that come with them</h3>
<div class="pairs">${pairs}</div>`
}
</section>`;
}

/** Of a run whose network is there. */
function next({ directory, info }: Run): Html | undefined {
  if (info.status !== 'finished' || !existsSync(path.join(directory, 'checkpoints'))) return undefined;
  return html`<section>
<h2>What comes next</h2>
<dl>${nextSteps(directory).map(({ command, gives }) => html`<dt><code>${command}</code></dt><dd>${gives}</dd>`)}</dl>
</section>`;
}

function reproduction(run: Run): Html {
  const { info } = run;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Status', info.status],
    ['Started', info.started],
    ...info.resumed.map((time) => ['Resumed', time] as const),
    ['Ended', info.finished],
    ['Seed', String(info.seed)],
    ['Git revision', info.gitRevision],
    ...Object.entries(info.versions),
    ['Machine', info.machine],
  ];
  return html`<section>
<h2>How to repeat it</h2>
${info.command !== undefined && html`<pre>${info.command}</pre>`}
<dl>${facts.map(([term, value]) => value !== undefined && html`<dt>${term}</dt><dd>${value}</dd>`)}</dl>
<details>
<summary>Configuration</summary>
<dl>${flatten(info.config).map(([key, value]) => html`<dt>${key}</dt><dd>${value}</dd>`)}</dl>
</details>
</section>`;
}

function comparison(difference: number): string {
  const text = (Math.abs(difference) * 100).toFixed(1);
  return text === '0.0' ? 'the same as' : `${text} points ${difference > 0 ? 'above' : 'below'}`;
}
