// The images that a result is worst on, in a run's report.

import path from 'node:path';
import type { Run } from '../training/run-directory/open-run.js';
import type { PictureIndex } from '../training/run-directory/schema.js';
import { embeddedAsIs } from './embedded.js';
import { css, percent } from './format.js';
import { type Html, html } from './html.js';
import { lowestClasses } from './lowest-classes.js';

type Worst = NonNullable<PictureIndex['worst']>[number];

/** Reads the small pictures; one that is missing has its name in its place. */
export async function worstImages(run: Run, { images }: Worst): Promise<Html> {
  const items: Html[] = [];
  for (const [i, one] of images.entries()) {
    const { id, miou, accuracy, iou } = one;
    const pictures = await Promise.all(
      (['image', 'truth', 'prediction'] as const).map(async (kind) => {
        const data = await embeddedAsIs(path.join(run.directory, 'pictures', one[kind]));
        return data
          ? html`<figure><img src="${data}" alt="${kind} of ${id}"><figcaption>${kind}</figcaption></figure>`
          : html`<figure><div class="missing">${one[kind]} is missing</div></figure>`;
      }),
    );
    const lowest = lowestClasses(iou, run.info.classes, 3).map(
      ({ name, color, value }) =>
        html`<span><i style="background:${css(color)}"></i>${name} ${percent(value)}</span> `,
    );
    items.push(html`<li>
<h3>${i + 1}. ${id}</h3>
<div class="thumbs">${pictures}</div>
<p class="key"><strong>mIoU ${percent(miou)} %</strong> <span>accuracy ${percent(accuracy)} %</span> <span>lowest:</span> ${lowest}</p>
</li>
`);
  }
  return html`<ol class="worst">
${items}</ol>`;
}
