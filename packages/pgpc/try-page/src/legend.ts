// The classes that are in the picture, with their colours and shares, the largest first.

import type { TriedDescription } from '../../src/try/protocol.js';
import { element } from './elements.js';
import type { Segmented } from './networks.js';

/** Pixels of each class. */
function counted(labels: Uint8Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]!++;
  return counts;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** Fills a table with a row for each class that is there. */
export function fillLegend(
  table: HTMLTableElement,
  { labels, width, height }: Segmented,
  { classes, networks }: Pick<TriedDescription, 'classes' | 'networks'>,
): void {
  const pixels = width * height;
  const shares = labels.map((own) => counted(own, classes.length).map((count) => count / pixels));
  // Columns stand as the networks do in the picture: the source network to the left.
  const columns = shares.map((own, i) => ({ own, label: networks[i]!.label })).reverse();
  const rows = classes
    .map(({ name, color }, id) => ({ name, color, values: columns.map(({ own }) => own[id]!) }))
    .filter(({ values }) => values.some((value) => value > 0))
    .sort((a, b) => b.values.at(-1)! - a.values.at(-1)!);
  const head = element('tr', {}, [
    element('th', {}, ['Class']),
    ...columns.map(({ label }) => element('th', {}, [label])),
  ]);
  const body = rows.map(({ name, color, values }) => {
    const field = element('i', {});
    field.style.background = `rgb(${color.join(' ')})`;
    return element('tr', {}, [
      element('td', {}, [field, name]),
      ...values.map((value) => element('td', {}, [value > 0 ? percent(value) : '–'])),
    ]);
  });
  table.replaceChildren(element('thead', {}, [head]), element('tbody', {}, body));
}

/** Share of the pixels that two networks give different classes, in words. */
export function differenceOf({ labels }: Segmented): string | undefined {
  const [own, source] = labels;
  if (own === undefined || source === undefined) return undefined;
  let differing = 0;
  for (let i = 0; i < own.length; i++) if (own[i] !== source[i]) differing++;
  return `adaptation changed the class of ${percent(differing / own.length)} of the pixels`;
}
