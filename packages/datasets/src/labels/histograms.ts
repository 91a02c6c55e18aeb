// How often each value occurs in each label file, kept in a cache file so that no file is counted twice.
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { DatasetError } from '../errors.js';
import { type ConcurrentOptions, forEachConcurrently } from '../files/concurrent.js';
import { FileCache } from '../files/file-cache.js';
import { type ReaderOptions, report } from '../files/list.js';
import type { LabelCoding } from '../types.js';
import { countValues } from './decode.js';
import { readLabelValues } from './values.js';

/** What one label file holds, before its values are mapped to trainIds. */
export interface LabelHistogram {
  readonly width: number;
  readonly height: number;
  /** In the order of the values. */
  readonly counts: readonly (readonly [value: number, count: number])[];
}

export interface HistogramOptions extends ConcurrentOptions, ReaderOptions {
  /**
   * When a cached count holds: 'modified' (default): size and time of modification are as they were; 'content': the
   * file's SHA-256 is.
   */
  readonly verify?: 'modified' | 'content';
  /** Of files that are not read by the common coding, but by one of the same kind. */
  readonly codings?: ReadonlyMap<string, LabelCoding>;
}

const entrySchema = z.object({
  size: z.number(),
  modified: z.number(),
  sha256: z.string().optional(),
  width: z.number(),
  height: z.number(),
  counts: z.array(z.tuple([z.number(), z.number()])),
});
type Entry = z.infer<typeof entrySchema>;

/** Masks drawn with soft edges have too many colours to be worth keeping. */
const MAX_CACHED_VALUES = 1024;

/**
 * Counts the values of label files. Counts are kept in `.pgpc` in the dataset's root, or in the user's cache folder
 * where the root cannot be written to.
 * @param root of the dataset
 * @returns by file, in no particular order; files with a fault are absent
 * @throws {DatasetError} unless there is an `onFault`, when a file is missing, cannot be decoded or is not of the form
 * that `coding` names
 */
export async function labelHistograms(
  root: string,
  files: readonly string[],
  coding: LabelCoding,
  options: HistogramOptions = {},
): Promise<Map<string, LabelHistogram>> {
  const cache = await FileCache.open(root, `label-values.${coding.kind}`, entrySchema);
  const histograms = new Map<string, LabelHistogram>();
  const count = async (file: string) => {
    const own = options.codings?.get(file) ?? coding;
    // Labels of several files are few, drawn by hand: they are counted anew.
    const state = own.kind === 'layers' ? undefined : await stateOf(file, options.verify);
    const known = cache.get(file);
    if (known !== undefined && matches(known, state)) {
      histograms.set(file, known);
      return;
    }
    const { width, height, values } = await readLabelValues(file, own);
    const counted = { width, height, counts: countValues(values) };
    histograms.set(file, counted);
    if (state !== undefined && counted.counts.length <= MAX_CACHED_VALUES) {
      cache.set(file, { ...state, ...counted });
    }
  };
  try {
    await forEachConcurrently(
      files,
      (file) =>
        count(file).catch((error: unknown) => {
          if (!(error instanceof DatasetError)) throw error;
          report(options.onFault, error);
        }),
      options,
    );
  } finally {
    // What was counted before a fault or Ctrl-C is not lost.
    await cache.save();
  }
  return histograms;
}

type State = Pick<Entry, 'size' | 'modified' | 'sha256'>;

/** Undefined for a missing file: reading it says so. */
async function stateOf(file: string, verify: HistogramOptions['verify']): Promise<State | undefined> {
  try {
    const { size, mtimeMs } = await stat(file);
    if (verify !== 'content') return { size, modified: mtimeMs };
    const sha256 = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    return { size, modified: mtimeMs, sha256 };
  } catch {
    return undefined;
  }
}

function matches(known: Entry, state: State | undefined): boolean {
  if (state === undefined) return false;
  if (state.sha256 !== undefined) return known.sha256 === state.sha256;
  return known.size === state.size && known.modified === state.modified;
}
