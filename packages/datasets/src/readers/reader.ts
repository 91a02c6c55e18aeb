// What a reader of one layout is: how the layout is told, its splits, and how one of them is opened.
import path from 'node:path';
import type { ClassDefinition } from '../classes/class-file.js';
import { DatasetError } from '../errors.js';
import { isFolder, type ReaderOptions } from '../files/list.js';
import { PUBLISHED_SPLITS, type PublishedSplit } from '../formats.js';
import type { ClassInfo, SegmentationDataset } from '../types.js';

/** What is asked of a reader besides folder and split. */
export interface SplitOptions extends ReaderOptions {
  /** Of data of your own only: a class file, or classes whose trainIds the masks hold. */
  readonly classes?: string | readonly ClassInfo[] | undefined;
  /** Of data of your own that has no class file: these classes, before the masks' values are looked at. */
  readonly defaultClasses?: ClassDefinition | undefined;
}

export interface DatasetReader {
  /** What in a folder tells that it is of this layout, in words; undefined where nothing does. */
  detect(root: string): Promise<string | undefined>;
  /** The splits whose images are there, in the order all, train, val, test. */
  splits(root: string): Promise<string[]>;
  /** @throws {DatasetError} when the folder is not of this layout, or there is no such split */
  open(root: string, split: string, options: SplitOptions): Promise<SegmentationDataset>;
}

/** The splits among train, val and test that the test finds. */
export async function splitsBy(test: (split: PublishedSplit) => Promise<boolean>): Promise<string[]> {
  const found = await Promise.all(PUBLISHED_SPLITS.map(test));
  return PUBLISHED_SPLITS.filter((_, i) => found[i]);
}

/** The split, if it is one of train, val and test. @throws {DatasetError} if it is not */
export function publishedSplit(root: string, format: string, split: string): PublishedSplit {
  const known = PUBLISHED_SPLITS.find((name) => name === split);
  if (known !== undefined) return known;
  throw new DatasetError(`${root}: ${format} has no split '${split}'; it has ${PUBLISHED_SPLITS.join(', ')}`);
}

/** The first of these folders that is there. */
export async function firstFolder(root: string, ...names: readonly string[]): Promise<string | undefined> {
  for (const name of names) if (await isFolder(path.join(root, name))) return name;
  return undefined;
}
