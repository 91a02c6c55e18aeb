// What `pgpc data check` and `stats` find by a look at the whole of a split.
import {
  type CheckedSplit,
  type ClassMapping,
  type ClassStatistics,
  classStatistics,
  type Finding,
  inspectImages,
  inspectLabels,
  type SegmentationDataset,
  withoutSamples,
} from '@pgpc/datasets';
import { toRunClasses } from '../../training/class-mapping.js';
import { smallImageFindings } from '../../training/data-findings.js';

/** @param layout what the folder was read as. @param mapping of the classes, which then are the run's */
export async function findingsOf(
  { dataset, images }: CheckedSplit,
  layout: string,
  mapping: ClassMapping | undefined,
  signal: AbortSignal,
): Promise<Finding[]> {
  if (dataset === undefined) return [];
  const unlabelled = dataset.samples.flatMap(({ label }, i) => (label === undefined ? [i] : []));
  const labelled = withoutSamples(dataset, new Set(unlabelled));
  const found = [...inspectImages(dataset, images), ...smallImageFindings(dataset, images)];
  if (labelled.samples.length === 0) return found;
  const mapped = toRunClasses(labelled, mapping);
  const statistics = mapped.statistics(await classStatistics(labelled, { signal }));
  return [...found, ...inspectLabels(mapped.dataset, statistics, layout)];
}

/** What statistics that are there already show, as lines. */
export function labelLines(
  dataset: SegmentationDataset,
  statistics: ClassStatistics,
  layout: string,
): string {
  const found = inspectLabels(dataset, statistics, layout);
  return found.map(({ level, message }) => `${level}: ${message}\n`).join('');
}
