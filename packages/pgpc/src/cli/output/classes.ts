// How the classes of a data set are brought to those of a run, as a table.

import { IGNORE_INDEX } from '@pgpc/datasets';
import type { CountedClasses } from '../../evaluation/classes.js';
import { textTable } from './table.js';

/** Of each class of the data set: its values, name, class in the run, and share of all pixels. */
export function classesTable({ root, split, classes, from, ignored, absent }: CountedClasses): string {
  const total = from.reduce((sum, { pixels }) => sum + pixels, ignored);
  const share = (pixels: number) => (total === 0 ? '–' : ((100 * pixels) / total).toFixed(3));
  const rows = from.map(({ name, values, trainId, pixels }) => [
    name,
    values.join(' '),
    trainId === IGNORE_INDEX ? 'ignored' : classes[trainId]!.name,
    share(pixels),
  ]);
  const rest = ['(no class)', '', 'ignored', share(ignored)];
  const missing = absent.length > 0 ? `absent there: ${absent.join(', ')}\n` : '';
  return `classes of ${root}, ${split}:\n${textTable(['name', 'value', 'class', 'pixels, %'], [...rows, rest])}${missing}`;
}
