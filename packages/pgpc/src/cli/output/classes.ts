// The files of `--classes`, and a table of what they make of a data set's classes.

import {
  type ClassMapping,
  classStatistics,
  IGNORE_INDEX,
  isMappingFile,
  readMappingFile,
  type SegmentationDataset,
  withoutSamples,
} from '@pgpc/datasets';
import type { DatasetFormat } from '@pgpc/datasets/formats';
import type { CountedClasses } from '../../evaluation/classes.js';
import { toRunClasses } from '../../training/class-mapping.js';
import { textTable } from './table.js';

/** What a file of `--classes` of a command on one data set is: the classes of its masks, or a mapping by names. */
export async function classesOf(
  file: string | undefined,
  format: DatasetFormat,
): Promise<{ definition?: string | undefined; mapping?: ClassMapping }> {
  if (file === undefined) return {};
  // Plain names can be either; only one's own data has no classes of its own.
  const mapping = (await isMappingFile(file)) ?? format !== 'folder';
  return mapping ? { mapping: await readMappingFile(file) } : { definition: file };
}

/** What the mapping makes of the labelled samples; undefined where there is no mapping or no label. */
export async function brought(
  dataset: SegmentationDataset,
  mapping: ClassMapping | undefined,
  signal: AbortSignal,
): Promise<CountedClasses | undefined> {
  const unlabelled = dataset.samples.flatMap(({ label }, i) => (label === undefined ? [i] : []));
  const labelled = withoutSamples(dataset, new Set(unlabelled));
  if (mapping === undefined || labelled.samples.length === 0) return undefined;
  return toRunClasses(labelled, mapping).count(await classStatistics(labelled, { signal }));
}

/** Of each class of the data set: its values, name, class in the run, and share of all pixels. */
export function classesTable({ root, split, classes, from, ignored, absent }: CountedClasses): string {
  const total = from.reduce((sum, { pixels = 0 }) => sum + pixels, ignored ?? 0);
  const share = (pixels: number | undefined) =>
    pixels === undefined || total === 0 ? '–' : ((100 * pixels) / total).toFixed(3);
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
