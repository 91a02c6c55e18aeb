// A labelled data set in the classes of a network, by their names.

import {
  type ClassInfo,
  type ClassMapping,
  type ClassStatistics,
  DatasetError,
  type MappedDataset,
  type MappedFrom,
  mapClasses,
  NamedEntries,
  nameKey,
  type SegmentationDataset,
} from '@pgpc/datasets';

/** What a network is known to tell apart. */
export interface NetworkClasses {
  readonly config: { readonly classes: number };
  /** In the order of its outputs; undefined for a model whose file does not say. */
  readonly classInfo?: readonly ClassInfo[] | undefined;
}

export interface AlignedDataset {
  /** With the network's classes, in its order. */
  readonly dataset: SegmentationDataset;
  /** How they came about; undefined where the data set has the network's classes. */
  readonly mapped: MappedDataset | undefined;
}

/**
 * Brings a data set to the network's classes: as they are where the names are the same, else class by class by name.
 * What the network does not have is then ignored, and what the data set does not have has no pixels.
 * @param mapping says which classes of the data set each of the network's takes in.
 * @throws DatasetError where no class is in both, where the mapping names a class that the network does not have, or
 *   leaves out one of the data set's; and for numbers of classes that differ where the network's have no names.
 */
export function alignClasses(
  dataset: SegmentationDataset,
  { config, classInfo }: NetworkClasses,
  mapping?: ClassMapping,
): AlignedDataset {
  if (classInfo === undefined || isNumbered(classInfo)) {
    const mapped = mapping && mapClasses(dataset, mapping);
    const taken = mapped?.dataset ?? dataset;
    return { dataset: ofAsMany(taken, config.classes, mapping && 'the mapping'), mapped };
  }
  if (mapping === undefined) {
    if (isNumbered(dataset.classes)) {
      return { dataset: ofAsMany(dataset, classInfo.length), mapped: undefined };
    }
    if (sameNames(dataset.classes, classInfo)) return { dataset, mapped: undefined };
  }
  const mapped = mapClasses(dataset, mappingTo(classInfo, mapping), classInfo);
  if (mapped.absent.length === classInfo.length) {
    throw new DatasetError(
      `${dataset.root} has none of the network's classes: it has ${listed(dataset.classes)}, and the network ${listed(classInfo)}; ${ADVICE}`,
    );
  }
  return { dataset: mapped.dataset, mapped };
}

const ADVICE = '--classes FILE says which are the same, and pgpc data map proposes one';

/** Whether the names are a number each, as of masks without a class file: they say nothing. */
function isNumbered(classes: readonly ClassInfo[]): boolean {
  return classes.every(({ name }, i) => name === `class${i}`);
}

function sameNames(a: readonly ClassInfo[], b: readonly ClassInfo[]): boolean {
  return a.length === b.length && a.every(({ name }, i) => nameKey(name) === nameKey(b[i]!.name));
}

function listed(classes: readonly ClassInfo[]): string {
  return classes.map(({ name }) => name).join(', ');
}

/** Without names on one side, the order tells; numbers that differ cannot be right. */
function ofAsMany(dataset: SegmentationDataset, count: number, what = dataset.root): SegmentationDataset {
  if (dataset.classes.length === count) return dataset;
  throw new DatasetError(
    `the network has ${count} classes and ${what} has ${dataset.classes.length}: they must be the same; ${ADVICE}`,
  );
}

/** The network's classes with what `mapping` brings to them; without one, with what has their names. */
function mappingTo(classInfo: readonly ClassInfo[], mapping: ClassMapping | undefined): ClassMapping {
  const given = new NamedEntries(mapping?.classes ?? []);
  const own = new NamedEntries(classInfo);
  for (const { name } of mapping?.classes ?? []) {
    if (own.get(name) !== undefined) continue;
    throw new DatasetError(
      `the mapping's class '${name}' is none of the network's${own.suggestion(name)}: they are ${listed(classInfo)}`,
    );
  }
  return {
    classes: classInfo.map(({ name }) => ({ name, from: given.get(name)?.from ?? [] })),
    ignore: mapping?.ignore ?? 'rest',
  };
}

/** How the classes of a data set are brought to others, and how many pixels each has. */
export interface CountedClasses {
  readonly root: string;
  readonly split: string;
  /** What they are brought to. */
  readonly classes: readonly ClassInfo[];
  /** The data set's own classes, in their order. */
  readonly from: readonly (MappedFrom & { readonly pixels: number | undefined })[];
  /** Pixels without a class of the data set; undefined, as all pixels, where labels are not read. */
  readonly ignored: number | undefined;
  /** Names of `classes` that the data set does not have. */
  readonly absent: readonly string[];
}

/** @param statistics of the data set in its own classes; undefined where its labels are not read. */
export function countMapped(
  { dataset, from, absent }: MappedDataset,
  statistics: ClassStatistics | undefined,
): CountedClasses {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const { root, split, classes } = dataset;
  const pixels = (i: number) => statistics && sum(statistics.counts.map((row) => row[i]!));
  return {
    root,
    split,
    classes,
    from: from.map((one, i) => ({ ...one, pixels: pixels(i) })),
    ignored: statistics && sum(statistics.ignored),
    absent,
  };
}
