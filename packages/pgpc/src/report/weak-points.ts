// What a report says of a run's weak points: what is taken for what, and the images that are worst.

import type { Run } from '../training/run-directory/open-run.js';
import { confusionTable } from './confusion.js';
import { foremostFirst, type MethodPart } from './foremost-first.js';
import { type Html, html } from './html.js';
import type { MethodSummary } from './methods.js';
import { worstImages } from './worst-section.js';

export function confusions(run: Run, methods: readonly MethodSummary[]): Html | undefined {
  const parts = methods.flatMap(({ name, label, confusion }): MethodPart[] =>
    confusion ? [{ name, label, part: confusionTable(label, confusion, run.info.classes) }] : [],
  );
  if (parts.length === 0) return undefined;
  return html`<section>
<h2>What is taken for what</h2>
<p class="facts">The confusion matrix over all validation images: every row adds up to 100 %, what is right lies on the diagonal, and a field without a number has not one pixel. Colours are by the square root, so that what is rare is seen.</p>
${foremostFirst(parts, methods)}
</section>`;
}

export async function worst(run: Run, methods: readonly MethodSummary[]): Promise<Html | undefined> {
  const parts: MethodPart[] = [];
  for (const one of run.pictures?.worst ?? []) {
    const method = methods.find(({ name }) => name === one.method);
    if (!method || one.images.length === 0) continue;
    const seed = one.seed === undefined ? '' : ` with seed ${one.seed}`;
    const part = html`<h3>${method.label}${seed}</h3>
${await worstImages(run, one)}`;
    parts.push({ name: method.name, label: method.label, part });
  }
  if (parts.length === 0) return undefined;
  return html`<section>
<h2>The worst images</h2>
<p class="facts">Up to twenty validation images with the lowest IoU, averaged over the classes that are in each image's truth. <code>pgpc eval --per-image</code> scores every image and shows the worst in a page of their own, larger.</p>
${foremostFirst(parts, methods)}
</section>`;
}
