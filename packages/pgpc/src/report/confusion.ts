// What a network takes for what: the confusion matrix of a result as a table, or its largest entries where classes are many.

import { css } from './format.js';
import { type Html, html } from './html.js';

/** A class as pages show it: `color` is RGB, 0..255 each. */
interface ShownClass {
  readonly name: string;
  readonly color: readonly [number, number, number];
}

/** With more classes a matrix is no longer read, and the largest mistakes of every class are listed instead. */
const MOST_CLASSES = 40;
/** Mistakes that are named before a matrix, and of every class in a list. */
const NAMED = 5;
const NAMED_OF_CLASS = 3;
/** Below this share a mistake is not named. */
const NAMED_SHARE = 0.005;

/** The sum of matrices of the same size. */
export function sumOf(matrices: readonly (readonly (readonly number[])[])[]): number[][] {
  const [first, ...others] = matrices;
  return first!.map((row, i) => row.map((count, j) => others.reduce((sum, m) => sum + m[i]![j]!, count)));
}

/** @param matrix (C, C): pixels by true (row) and predicted class. */
export function confusionTable(
  label: string,
  matrix: readonly (readonly number[])[],
  classes: readonly ShownClass[],
): Html {
  const totals = matrix.map((row) => row.reduce((sum, count) => sum + count, 0));
  const all = totals.reduce((sum, count) => sum + count, 0);
  const mistakes = matrix.flatMap((row, is) =>
    row.flatMap((count, taken) =>
      is === taken || count === 0 || count < NAMED_SHARE * totals[is]!
        ? []
        : [{ is, taken, share: count / totals[is]! }],
    ),
  );
  mistakes.sort((a, b) => b.share - a.share);
  const named = ({ is, taken, share }: (typeof mistakes)[number]) =>
    `${classes[is]!.name} as ${classes[taken]!.name} (${whole(share)} %)`;
  const heading = (i: number) =>
    html`<th scope="row"><i style="background:${css(classes[i]!.color)}"></i>${classes[i]!.name}</th>`;
  if (classes.length > MOST_CLASSES) {
    const list = `${label}: what the pixels of every class are taken for, % of them`;
    return html`<p class="facts">${list}</p>
<div class="scroll"><table class="mistakes" aria-label="${list}">
<thead><tr><th scope="col">True class</th><th scope="col">Share of all</th><th scope="col">Right</th><th scope="col">Most taken for</th></tr></thead>
<tbody>
${classes.map((_, i) => {
  const worst = mistakes.filter(({ is }) => is === i).slice(0, NAMED_OF_CLASS);
  const taken = worst.map(({ taken, share }) => `${classes[taken]!.name} ${whole(share)}`).join(', ');
  return html`<tr>${heading(i)}<td>${whole(totals[i]! / all)}</td><td>${whole(matrix[i]![i]! / totals[i]!)}</td><td>${taken}</td></tr>
`;
})}</tbody>
</table></div>`;
  }
  const title = `${label}: true class down, predicted class across, % of the true class's pixels`;
  return html`${
    mistakes.length > 0 &&
    html`<p>Largest mistakes of ${label}, % of a class's pixels: ${mistakes.slice(0, NAMED).map(named).join(', ')}.</p>`
  }
<p class="facts">${title}</p>
<div class="scroll"><table class="confusion" aria-label="${title}">
<thead><tr><th scope="col">True class</th>${classes.map(({ name }) => html`<th scope="col"><span>${name}</span></th>`)}<th scope="col"><span>share of all pixels</span></th></tr></thead>
<tbody>
${matrix.map(
  (row, is) => html`<tr>${heading(is)}${
    totals[is] === 0
      ? html`<td class="none" colspan="${classes.length}">no pixel in the truth</td>`
      : row.map((count, taken) => cell(count / totals[is]!, is === taken))
  }<td>${whole(totals[is]! / all)}</td></tr>
`,
)}</tbody>
</table></div>`;
}

/** Coloured by the square root, so that what is rare is seen as well. */
function cell(share: number, isRight: boolean): Html {
  const heat = Math.round(100 * Math.sqrt(share));
  const style = heat > 0 && html` style="--heat-share:${heat}%"`;
  return html`<td class="${isRight ? 'right' : ''}"${style}>${share > 0 && whole(share)}</td>`;
}

/** A fraction in whole percent: 0.456 -> `46`, 0.001 -> `<1`, NaN -> `–`. */
function whole(fraction: number): string {
  if (Number.isNaN(fraction)) return '–';
  if (fraction > 0 && fraction < 0.005) return '<1';
  return String(Math.round(100 * fraction));
}
