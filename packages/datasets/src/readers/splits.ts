// Splits of datasets whose folders have none: lists of sample names, and GTA5's split.mat.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, type OnFault, report } from '../files/list.js';
import { readMatlabVectors } from './matlab.js';

/**
 * The ids of a split by `root/SPLIT.txt`, one name a line (with or without ending; blank lines and lines that begin
 * with # are skipped), or by the variable `SPLITIds` of GTA5's `root/split.mat`; undefined where there is neither.
 * @throws {DatasetError} when the file cannot be understood or names nothing
 */
export async function splitIds(root: string, split: string): Promise<string[] | undefined> {
  const list = path.join(root, `${split}.txt`);
  if (await isFile(list)) return readNameList(list);
  const matlab = path.join(root, 'split.mat');
  if (!(await isFile(matlab))) return undefined;
  const numbers = await readMatlabIds(matlab, `${split}Ids`);
  return numbers.map((id) => String(id).padStart(5, '0'));
}

/** Reads a list of sample names: the ids, without endings of images. */
export async function readNameList(file: string): Promise<string[]> {
  const lines = (await readFile(file, 'utf8')).split(/\r?\n/).map((line) => line.trim());
  const names = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (names.length === 0) {
    throw fault('empty', file, `names no sample; write one name a line`);
  }
  return names.map((name) => {
    const ending = path.extname(name);
    return IMAGE_ENDINGS.includes(ending.toLowerCase()) ? name.slice(0, -ending.length) : name;
  });
}

async function readMatlabIds(file: string, variable: string): Promise<number[]> {
  let vectors: Map<string, number[]>;
  try {
    vectors = readMatlabVectors(await readFile(file));
  } catch (error) {
    throw fault(
      'undecodable',
      file,
      `not a readable MATLAB 5 file (${(error as Error).message}); restore it from the dataset's archive`,
      error,
    );
  }
  const ids = vectors.get(variable);
  if (ids === undefined) {
    throw fault('definition', file, `no variable ${variable}; it has ${[...vectors.keys()].join(', ')}`);
  }
  return ids;
}

/**
 * Keeps the entries of `files` that `ids` names, in the order of `files`.
 * @param fileOf where a missing one should be, for the message
 * @throws {DatasetError} unless there is an `onFault`, when an id has no file
 */
export function selectIds(
  files: ReadonlyMap<string, string>,
  ids: readonly string[],
  fileOf: (id: string) => string,
  onFault?: OnFault,
): Map<string, string> {
  const wanted = new Set(ids);
  for (const id of wanted) {
    if (files.has(id)) continue;
    const file = fileOf(id);
    report(onFault, fault('missing', file, `not found, but the split names the sample '${id}'`));
  }
  return new Map([...files].filter(([id]) => wanted.has(id)));
}
