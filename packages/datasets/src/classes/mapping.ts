// From the classes of any data set to a run's, by name: several to one, some ignored, some absent.

import { DatasetError, fault } from '../errors.js';
import { FileDataset, partsOf } from '../readers/file-dataset.js';
import type { ClassStatistics } from '../statistics.js';
import {
  type ClassInfo,
  IGNORE_INDEX,
  type LabelCoding,
  type SegmentationDataset,
  UNKNOWN_LABEL,
} from '../types.js';
import { defaultColor, hexColor } from './colors.js';
import { NamedEntries } from './names.js';

/** One class of the run. */
export interface MappedClass {
  readonly name: string;
  /** Names of data sets' classes that it takes in. Its own name is one of them unless another class or `ignore` has it. */
  readonly from: readonly string[];
  /** For pictures, 0..255 each; left out: that of the first class that it takes in. */
  readonly color?: ClassInfo['color'] | undefined;
  /** Left out: that of the first class that it takes in. */
  readonly kind?: ClassInfo['kind'] | undefined;
  /** Value where predictions are written as label ids; left out: its place in the list. */
  readonly labelId?: number | undefined;
}

/** The classes of a run, in the order of their trainIds, and the classes of data sets that are ignored. */
export interface ClassMapping {
  readonly classes: readonly MappedClass[];
  /** Names; 'rest': every class that is named nowhere. */
  readonly ignore: 'rest' | readonly string[];
}

/** A class of a data set, and what it is brought to. */
export interface MappedFrom {
  readonly name: string;
  /** Values in the label files, or colours as '#rrggbb'. */
  readonly values: readonly string[];
  /** Class of the run; 255: ignored. */
  readonly trainId: number;
}

/** A data set with the classes of a run. */
export interface MappedDataset {
  readonly dataset: SegmentationDataset;
  /** In the order of the data set's own classes. */
  readonly from: readonly MappedFrom[];
  /** Names of the run's classes that the data set does not have. */
  readonly absent: readonly string[];
}

type ClassList = Pick<SegmentationDataset, 'root' | 'classes'>;

/**
 * @throws {DatasetError} for a name to take in that none of the data sets has, with the nearest that one has. A name that
 * one alone has is fine: one mapping serves all.
 */
export function refuseUnknownNames(mapping: ClassMapping, lists: readonly ClassList[]): void {
  const every = new NamedEntries(lists.flatMap(({ classes }) => classes));
  const known = (name: string) => lists.some(({ classes }) => new NamedEntries(classes).get(name));
  for (const { name, from } of mapping.classes) {
    for (const wanted of from.length > 0 ? from : [name]) {
      // A class may list its own name for data that is to come.
      if (known(wanted) || (wanted === name && from.length > 1)) continue;
      const where = lists.map(({ root }) => root).join(' or ');
      const reason = wanted === name ? '' : `, which '${name}' takes in,`;
      throw new DatasetError(
        `the class '${wanted}'${reason} is no class of ${where}${every.suggestion(wanted)}`,
      );
    }
  }
}

/** Fills in colours and kinds from the first data set that has the class, so that all data sets get the same classes. */
export function settleMapping(mapping: ClassMapping, lists: readonly ClassList[]): ClassMapping {
  const named = lists.map(({ classes }) => new NamedEntries(classes));
  const find = (name: string) => named.map((entries) => entries.get(name)).find((found) => found);
  const classes = mapping.classes.map(({ name, from, color, kind, labelId }, trainId) => {
    const first = [...from, name].map(find).find((found) => found);
    return {
      name,
      from,
      color: color ?? first?.color ?? defaultColor(trainId),
      kind: kind ?? first?.kind ?? 'stuff',
      ...(labelId !== undefined && { labelId }),
    };
  });
  return { classes, ignore: mapping.ignore };
}

/**
 * The data set with the run's classes: label files are read as before, and their values stand for other classes.
 * @param classes in place of the mapping's own description, such as a model's: of the same names and order
 * @throws {DatasetError} for a class of the data set that the mapping neither takes in nor ignores
 */
export function mapClasses(
  dataset: SegmentationDataset,
  mapping: ClassMapping,
  classes: readonly ClassInfo[] = mappedClasses(mapping),
): MappedDataset {
  const { root, samples, labelCoding } = dataset;
  const destination = destinations(mapping);
  const trainIds = dataset.classes.map((info) => destination(info.name));
  const unnamed = dataset.classes.filter((_, i) => trainIds[i] === undefined);
  if (unnamed.length > 0) {
    const known = new NamedEntries([...namesOf(mapping)].map((name) => ({ name })));
    const list = unnamed.map(({ name }) => `'${name}'${known.suggestion(name)}`).join(', ');
    throw fault(
      'definition',
      root,
      `${unnamed.length === 1 ? 'its class' : 'its classes'} ${list} ${unnamed.length === 1 ? 'is' : 'are'} named nowhere in the mapping of classes; add each to a class's 'from' or to 'ignore', or write 'ignore: rest'`,
    );
  }
  const table = Uint8Array.from({ length: 256 }, (_, trainId) =>
    trainId >= UNKNOWN_LABEL ? trainId : (trainIds[trainId] ?? IGNORE_INDEX),
  );
  const taken = new Set(trainIds);
  return {
    dataset: new FileDataset({
      ...partsOf(dataset),
      samples: samples.map((sample) =>
        sample.coding ? { ...sample, coding: recoded(sample.coding, table) } : sample,
      ),
      classes,
      labelCoding: recoded(labelCoding, table),
    }),
    from: dataset.classes.map((info) => ({
      name: info.name,
      values: valuesOf(labelCoding, info.trainId),
      trainId: table[info.trainId]!,
    })),
    absent: classes.filter(({ trainId }) => !taken.has(trainId)).map((info) => info.name),
  };
}

/** Counts by the data set's own classes as counts by the run's. */
export function mapStatistics(
  { counts, ignored, ignored255, sizes }: ClassStatistics,
  { dataset, from }: MappedDataset,
): ClassStatistics {
  const mapped = counts.map((row) => {
    const sums: number[] = new Array(dataset.classes.length).fill(0);
    for (const [i, { trainId }] of from.entries()) if (trainId !== IGNORE_INDEX) sums[trainId]! += row[i]!;
    return sums;
  });
  const dropped = from.flatMap(({ trainId }, i) => (trainId === IGNORE_INDEX ? [i] : []));
  return {
    counts: mapped,
    ignored: ignored.map((count, image) => dropped.reduce((sum, i) => sum + counts[image]![i]!, count)),
    ignored255,
    sizes,
  };
}

function mappedClasses({ classes }: ClassMapping): ClassInfo[] {
  return classes.map(({ name, color, kind = 'stuff', labelId }, trainId) => ({
    trainId,
    labelId: labelId ?? trainId,
    name,
    color: color ?? defaultColor(trainId),
    kind,
  }));
}

/** All names that a mapping gives a meaning to. */
function namesOf({ classes, ignore }: ClassMapping): Set<string> {
  return new Set([
    ...classes.flatMap(({ name, from }) => [name, ...from]),
    ...(ignore === 'rest' ? [] : ignore),
  ]);
}

/** From a name to its class in the run, or 255; undefined where the mapping does not say. */
function destinations({ classes, ignore }: ClassMapping): (name: string) => number | undefined {
  const given = [
    ...classes.flatMap(({ from }, trainId) => from.map((name) => ({ name, trainId }))),
    ...(ignore === 'rest' ? [] : ignore.map((name) => ({ name, trainId: IGNORE_INDEX }))),
  ];
  const listed = new NamedEntries(given);
  const own = new NamedEntries(classes.map(({ name }, trainId) => ({ name, trainId })));
  const otherwise = ignore === 'rest' ? IGNORE_INDEX : undefined;
  return (name) => (listed.get(name) ?? own.get(name))?.trainId ?? otherwise;
}

function recoded(coding: LabelCoding, table: Uint8Array): LabelCoding {
  return coding.kind === 'colors'
    ? { ...coding, trainIds: coding.trainIds.map((trainId) => table[trainId]!) }
    : { ...coding, table: coding.table.map((trainId) => table[trainId]!) };
}

function valuesOf(coding: LabelCoding, trainId: number): string[] {
  return coding.kind === 'colors'
    ? Array.from(coding.colors, hexColor).filter((_, i) => coding.trainIds[i] === trainId)
    : [...coding.table.keys()].filter((value) => coding.table[value] === trainId).map(String);
}
