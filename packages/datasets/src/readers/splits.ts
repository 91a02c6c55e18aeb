// Splits of datasets whose folders have none: lists of sample names, and GTA5's split.mat.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fault } from '../errors.js';
import { IMAGE_ENDINGS, isFile, type OnFault, report } from '../files/list.js';
import { readText } from '../files/text.js';
import { readMatlabVectors } from './matlab.js';
import { similarNames } from './similar-names.js';

/**
 * The ids of a split by `root/SPLIT.txt`, one name a line (with or without ending; blank lines and lines that begin
 * with # are skipped), or by the variable `SPLITIds` of GTA5's `root/split.mat`; undefined for 'all'.
 * @param images by id, see {@link readNameList}. @param otherwise what is said where there is neither
 * @throws {DatasetError} when there is neither, or the file cannot be understood or names nothing
 */
export async function splitIds(
  root: string,
  split: string,
  images: ReadonlyMap<string, string>,
  otherwise: string,
): Promise<string[] | undefined> {
  if (split === 'all') return undefined;
  const list = path.join(root, `${split}.txt`);
  if (await isFile(list)) return readNameList(list, images);
  const matlab = path.join(root, 'split.mat');
  if (!(await isFile(matlab))) throw fault('missing', root, otherwise);
  const numbers = await readMatlabIds(matlab, `${split}Ids`);
  return numbers.map((id) => String(id).padStart(5, '0'));
}

/**
 * Reads a list of sample names, one a line: the ids, without endings of images, in Unicode's composed form. Of lines that
 * name an image and its label, as VOC's and ADE20K's do, the image counts. Folders before a name are cut off where
 * the last of them is the images' own.
 * @param images by id, as `listFiles` finds them
 * @throws {DatasetError} when the file is no text, names nothing, or pairs an image with a label of another name
 */
export async function readNameList(file: string, images: ReadonlyMap<string, string>): Promise<string[]> {
  const lines = (await readText(file)).split(/\r\n|\r|\n/).map((line) => line.trim());
  const names = lines.flatMap((line, i) =>
    line === '' || line.startsWith('#') ? [] : [imageOf(line, `${file}, line ${i + 1}`)],
  );
  if (names.length === 0) {
    throw fault('empty', file, `names no sample; write one name a line`);
  }
  return names.map((name) => idOf(name.normalize('NFC').replaceAll('\\', '/'), images));
}

const ENDING = IMAGE_ENDINGS.map((ending) => ending.slice(1)).join('|');
const PAIR = new RegExp(`^"?(.+\\.(?:${ENDING}))"?[\\s,;]+"?(\\S.*\\.(?:${ENDING}))"?$`, 'i');

/** The image of a line that names one or, with its label, two files. */
function imageOf(line: string, where: string): string {
  const [, image, label] = PAIR.exec(line) ?? [];
  if (image === undefined || label === undefined) return line.replace(/^"(.*)"$/, '$1');
  const [own, partner] = [image, label].map((name) => withoutEnding(path.basename(name)));
  if (partner!.startsWith(own!)) return image;
  throw fault(
    'definition',
    where,
    `pairs ${image} with ${label}, but samples are paired by equal names; rename the labels like their images`,
  );
}

function withoutEnding(name: string): string {
  const ending = path.extname(name);
  return IMAGE_ENDINGS.includes(ending.toLowerCase()) ? name.slice(0, -ending.length) : name;
}

/** The id that a listed name stands for; the name where there is none. */
function idOf(name: string, images: ReadonlyMap<string, string>): string {
  const listed = withoutEnding(name);
  const parts = listed.split('/');
  for (let from = 0; from < parts.length; from++) {
    const id = parts.slice(from).join('/');
    const image = images.get(id);
    if (image === undefined) continue;
    const depth = parts.length - from;
    const folder = path
      .resolve(image)
      .split(path.sep)
      .at(-1 - depth);
    if (from === 0 || parts[from - 1] === folder || parts[from - 1] === '.') return id;
  }
  return listed;
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
 * Keeps the entries of `files` that `ids` names, in the order of `files`; all of them where there is no list.
 * @param fileOf where a missing one should be, for the message
 * @throws {DatasetError} unless there is an `onFault`, when an id has no file
 */
export function selectIds(
  files: ReadonlyMap<string, string>,
  ids: readonly string[] | undefined,
  fileOf: (id: string) => string,
  onFault?: OnFault,
): ReadonlyMap<string, string> {
  if (ids === undefined) return files;
  const wanted = new Set(ids.map((id) => id.normalize('NFC')));
  const missing = [...wanted].filter((id) => !files.has(id));
  const similar = similarNames(files);
  for (const id of missing) {
    const why = `not found, but the split names the sample '${id}'${similar(id)}`;
    report(onFault, fault('missing', fileOf(id), why));
  }
  return new Map([...files].filter(([id]) => wanted.has(id)));
}
