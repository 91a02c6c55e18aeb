// The files of a sweep: its table as Markdown and CSV, its pictures, and one page with all of it.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeWholeSync } from '@pgpc/datasets';
import { percent } from '../report/format.js';
import { type Html, html } from '../report/html.js';
import { STYLE } from '../report/style.js';
import { classesPicture, miouPicture } from './pictures.js';
import { csv, legend, markdown, missing, type SweepTable, textCells } from './table.js';

/** Writes the sweep's files into its folder, each whole; the pictures as soon as there is something to show. */
export function writeSweep(folder: string, table: SweepTable): void {
  mkdirSync(folder, { recursive: true });
  writeWholeSync(join(folder, 'table.md'), markdown(table));
  writeWholeSync(join(folder, 'table.csv'), csv(table));
  if (table.rows.length > 0) {
    writeWholeSync(join(folder, 'miou.svg'), miouPicture(table).toString());
    writeWholeSync(join(folder, 'classes.svg'), classesPicture(table).toString());
  }
  writeWholeSync(join(folder, 'index.html'), page(table).toString());
}

function page(table: SweepTable): Html {
  const { sweep, setting, command, rows } = table;
  const absent = missing(table);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${sweep.title}</title>
<style>${STYLE}
.sweep { display: block; width: 100%; min-width: 600px; max-width: 820px; height: auto; margin-bottom: 16px; }
.scroll + .facts { margin-top: 10px; }
</style>
</head>
<body>
<main>
<header>
<h1>${sweep.title}</h1>
<p class="lede">${sweep.description}</p>
<p class="facts">${setting}</p>
${absent.length > 0 && html`<p class="notice">Not run yet: ${absent.join('; ')}.</p>`}
</header>
${rows.length > 0 ? html`${means(table)}${pictures(table)}${perClass(table)}` : html`<p class="muted">No run has finished yet.</p>`}
<section>
<h2>How to repeat it</h2>
<pre>${command}</pre>
</section>
</main>
</body>
</html>
`;
}

function means(table: SweepTable): Html {
  const { header, rows } = textCells(table);
  return html`<section>
<h2>Results on the target</h2>
<div class="scroll"><table>
<thead><tr>${header.map((head) => html`<th>${head}</th>`)}</tr></thead>
<tbody>
${rows.map(
  (cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>
`,
)}</tbody>
</table></div>
<p class="facts">${legend(table)}</p>
</section>
`;
}

function pictures(table: SweepTable): Html {
  return html`<section>
<h2>Pictures</h2>
<div class="scroll">${miouPicture(table)}${classesPicture(table)}</div>
<p class="facts">Dots: mean; rings: seeds; bars: mean ± standard deviation; broken line: the mean that
differences are taken from; arrow: beyond the axis.</p>
</section>
`;
}

function perClass({ classes, minority, rows }: SweepTable): Html {
  return html`<section>
<h2>IoU of every class, %</h2>
<div class="scroll"><table>
<thead><tr><th>Class</th>${rows.map(({ cell }) => html`<th>${cell.label}</th>`)}</tr></thead>
<tbody>
${classes.map(
  (
    name,
    c,
  ) => html`<tr><td>${name}${minority.includes(c) && html` <span class="muted">minority</span>`}</td>${rows.map(
    ({ iou }) => html`<td>${percent(iou[c]!.mean)}</td>`,
  )}</tr>
`,
)}</tbody>
</table></div>
<p class="facts">Mean over seeds. –: the class occurs neither in truth nor in prediction.</p>
</section>
`;
}
