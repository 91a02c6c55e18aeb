// The classes of a run that both domains are brought to, and what each domain has of them.

import {
  type ClassInfo,
  type ClassMapping,
  type ClassStatistics,
  DatasetError,
  mapClasses,
  mapStatistics,
  nameKey,
  openDataset,
  proposedEntries,
  proposeMapping,
  readMappingFile,
  refuseUnknownNames,
  type SegmentationDataset,
  settleMapping,
} from '@pgpc/datasets';
import type { DataConfig } from '../config/data.js';
import { type CountedClasses, countMapped } from '../evaluation/classes.js';

/**
 * The mapping of a choice with everything filled in, so that a run needs no file to resume; undefined where there is none,
 * and none is needed. Without one, classes of the same names in another order are brought to the source's. What does not go together is refused here, before files are read.
 * @param given the mapping, or its file. @param source opened in its own classes.
 * @throws DatasetError for a file that is not valid, for names that neither domain has, for classes that are named nowhere,
 *   and for classes that differ without a mapping.
 */
export async function resolveClasses(
  given: string | ClassMapping | undefined,
  source: SegmentationDataset,
  { format, root }: DataConfig['target'],
): Promise<ClassMapping | undefined> {
  const mapping = typeof given === 'string' ? await readMappingFile(given) : given;
  // What is wrong with the target is told when all is read.
  const target = await openDataset({ format, root, onFault: () => {} }).catch((error: unknown) => {
    if (error instanceof DatasetError) return undefined;
    throw error;
  });
  if (mapping === undefined) {
    if (!target || !isLabelled(target)) return undefined;
    const byName = sameInOtherOrder(source.classes, target.classes);
    if (byName === undefined) refuseOtherClasses(source, target);
    return byName;
  }
  const both = target ? [source, target] : [source];
  refuseUnknownNames(mapping, both);
  const settled = settleMapping(mapping, both);
  for (const dataset of both) toRunClasses(dataset, settled);
  return settled;
}

/** The mapping for names that are the same, but for their order and spelling; undefined where they are not, or just so. */
function sameInOtherOrder(
  source: readonly ClassInfo[],
  target: readonly ClassInfo[],
): ClassMapping | undefined {
  const keys = (classes: readonly ClassInfo[]) => classes.map(({ name }) => nameKey(name)).toSorted();
  const [own, other] = [keys(source), keys(target)];
  if (own.length !== other.length || own.some((key, i) => key !== other[i])) return undefined;
  if (new Set(own).size < own.length || source.every(({ name }, i) => name === target[i]!.name))
    return undefined;
  const classes = source.map(({ name, color, kind, labelId }) => ({ name, from: [], color, kind, labelId }));
  return { classes, ignore: [] };
}

const isLabelled = ({ samples }: SegmentationDataset) => samples.some(({ label }) => label !== undefined);

/** A data set in the classes of the run. */
export interface InRunClasses {
  readonly dataset: SegmentationDataset;
  /** Counts of the data set's own classes as counts of the run's. */
  statistics(own: ClassStatistics): ClassStatistics;
  /** What became of the data set's own classes, where there is a mapping. @param own undefined where labels are not read. */
  count(own: ClassStatistics | undefined): CountedClasses | undefined;
}

/** @throws DatasetError for a class that the mapping names nowhere, in a data set that has labels. */
export function toRunClasses(dataset: SegmentationDataset, mapping: ClassMapping | undefined): InRunClasses {
  if (mapping === undefined) return { dataset, statistics: (own) => own, count: () => undefined };
  const mapped = mapClasses(dataset, isLabelled(dataset) ? mapping : { ...mapping, ignore: 'rest' });
  return {
    dataset: mapped.dataset,
    statistics: (own) => mapStatistics(own, mapped),
    count: (own) => countMapped(mapped, own),
  };
}

/** @throws DatasetError for classes that differ, with the beginning of a mapping. */
export function refuseOtherClasses(source: SegmentationDataset, target: SegmentationDataset): void {
  const names = ({ classes }: SegmentationDataset) => classes.map(({ name }) => name).join(', ');
  if (names(source) === names(target)) return;
  const proposed = proposedEntries(proposeMapping(source.classes, target.classes)).slice(0, 3);
  const begins = proposed.length === 0 ? '' : `, which begins: classes: [${proposed.join(', ')}, ...]`;
  throw new DatasetError(
    `${source.root} and ${target.root} must have the same classes in the same order, but one has ${names(source)} and the other ${names(target)}; --classes FILE says which are the same, and pgpc data map proposes one${begins}`,
  );
}
