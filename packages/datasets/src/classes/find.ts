// The file in a folder of one's own data that lists the classes.
import path from 'node:path';
import { fault } from '../errors.js';
import { isFile } from '../files/list.js';
import { readText } from '../files/text.js';
import { type ClassDefinition, namedClasses, readClassFile, readCvatLabelMap } from './class-file.js';
import { COLOR_LISTS, readColorList } from './color-list.js';

const LABEL_MAP = 'labelmap.txt';
/** Of labelme's export. */
const CLASS_NAMES = 'class_names.txt';

/** Names of class files, in the order in which they are looked for. */
export const CLASS_FILES: readonly string[] = [
  'classes.yaml',
  'classes.yml',
  'classes.json',
  LABEL_MAP,
  CLASS_NAMES,
  ...COLOR_LISTS,
];

/** The file in `root` that lists the classes, if there is one. */
export async function findClassFile(root: string): Promise<string | undefined> {
  for (const name of CLASS_FILES) {
    if (await isFile(path.join(root, name))) return path.join(root, name);
  }
  return undefined;
}

/** Reads a file that {@link findClassFile} found. @throws {DatasetError} when it is not of its form */
export async function readFoundClasses(file: string): Promise<ClassDefinition> {
  if (path.basename(file) === LABEL_MAP) return readCvatLabelMap(file);
  if (path.basename(file) === CLASS_NAMES) return readClassNames(file);
  if (COLOR_LISTS.includes(path.basename(file))) return readColorList(file);
  return readClassFile(file);
}

/** labelme's list: a name a line, in the order of the values; `__ignore__` stands for -1, which masks hold as 255. */
async function readClassNames(file: string): Promise<ClassDefinition> {
  const lines = (await readText(file)).split(/\r?\n/).map((line) => line.trim());
  const names = lines.filter((line) => line !== '' && line !== '__ignore__');
  try {
    return namedClasses(names);
  } catch (error) {
    throw fault('definition', file, (error as Error).message, error);
  }
}
