// Finding the files of a folder, in an order that is the same on every machine: the one lister of readers and commands.
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError, fault } from '../errors.js';
import { adviceFor, endingOf, escapedBytes, isOfTheSystem } from './names.js';

export { IMAGE_ENDINGS, LABEL_ENDINGS } from './names.js';

/**
 * Receives what is wrong with single files while a dataset is opened; the other files are still read.
 * Without it the first fault is thrown.
 */
export type OnFault = (fault: DatasetError) => void;

/**
 * Who reads the labels of a split decides what may be missing:
 * - 'required', as for a training source or an evaluation: an image without a label is a fault, and so is a split
 *   without any;
 * - 'paired', as for a look at a data set whose use is not known: as above, but a split may have none at all;
 * - 'available', as for a copy: images are kept with their labels or, where they have none, alone;
 * - 'none', as for a training target: labels are not looked for, so they do not decide which images there are.
 */
export type LabelUse = 'required' | 'paired' | 'available' | 'none';

/** What every reader takes. */
export interface ReaderOptions {
  /** Default: 'paired'. */
  readonly labels?: LabelUse | undefined;
  readonly onFault?: OnFault | undefined;
  /** Receives remarks that are no faults, each one line that names the path, such as files that were passed over. */
  readonly onNote?: ((note: string) => void) | undefined;
}

/** Which files {@link listFiles} looks for. */
export interface FileSearch extends ReaderOptions {
  /** What the folder should hold, for the messages, such as 'GTA5 images'. */
  readonly what: string;
  /** Endings of the names, in upper or lower case; the first that fits is cut off. */
  readonly endings: readonly string[];
  /** Ids to pass over. */
  readonly except?: (id: string) => boolean;
  /** A folder that is not looked into, such as one that results are written to. */
  readonly leaveOut?: string;
}

/** What was found and what was passed over. */
interface Found {
  readonly files: { id: string; spelled: string; file: string }[];
  /** Names by ending that are no such files. */
  readonly others: Map<string, string[]>;
  /** Ids that `except` took out. */
  readonly excepted: string[];
  hidden: number;
  leftOut: string | undefined;
}

/**
 * Lists the files under `folder` as a map from id (the path relative to it with '/' separators, without the ending, in
 * Unicode's composed form, NFC) to path, sorted by UTF-16 code unit of the id. Links are followed; hidden files and
 * what systems leave (`__MACOSX`, `Thumbs.db`) are passed over in silence, pictures of other endings with a note.
 * @throws {DatasetError} when the folder is missing or holds no such file; also, unless there is an `onFault`, when a
 * link in it leads in a circle or to nothing, two files have the same id, or a name is not UTF-8
 */
export async function listFiles(folder: string, search: FileSearch): Promise<Map<string, string>> {
  const found: Found = { files: [], others: new Map(), excepted: [], hidden: 0, leftOut: undefined };
  let faults = 0;
  const onFault =
    search.onFault &&
    ((error: DatasetError) => {
      faults++;
      search.onFault!(error);
    });
  const leaveOut = search.leaveOut === undefined ? undefined : await realOf(search.leaveOut);
  await walk(folder, '', [], { ...search, onFault, ...(leaveOut !== undefined && { leaveOut }) }, found);
  if (found.files.length === 0) throw fault('empty', folder, whyEmpty(found, search, faults));
  tellOthers(folder, search, found);
  found.files.sort((a, b) => (a.id === b.id ? order(a.file, b.file) : order(a.id, b.id)));
  const files = new Map<string, string>();
  const spelling = new Map<string, string>();
  for (const { id, spelled, file } of found.files) {
    const other = files.get(id);
    if (other === undefined) {
      files.set(id, file);
      spelling.set(id, spelled);
      continue;
    }
    const inForm =
      spelling.get(id) === spelled ? '' : ', though in another Unicode form (composed, decomposed)';
    report(
      onFault,
      fault('same-name', file, `${other} has the same name${inForm}; rename or remove one of them`),
    );
  }
  return files;
}

const order = (a: string, b: string) => (a < b ? -1 : 1);

/** Hands a fault to `onFault`, or throws it where there is none. */
export function report(onFault: OnFault | undefined, fault: DatasetError): void {
  if (onFault === undefined) throw fault;
  onFault(fault);
}

/** Says why nothing was found, by what is there. */
function whyEmpty(found: Found, { what, endings }: FileSearch, faults: number): string {
  const { excepted, others, hidden, leftOut } = found;
  if (excepted.length > 0) {
    return `none of the ${excepted.length} ${what} here is wanted (they are named ${some(excepted)}); compare the names with the list's or the partners'`;
  }
  const here = [...others]
    .sort(([, a], [, b]) => b.length - a.length)
    .slice(0, 3)
    .map(([ending, names]) => counted(ending, names));
  if (faults > 0) here.push(`${faults} that cannot be listed`);
  if (hidden > 0) here.push(`${hidden} hidden`);
  if (leftOut !== undefined) here.push('a folder for results');
  const advice = [...others.keys()].map((ending) => adviceFor(ending, what, endings)).find(Boolean);
  if (here.length === 0) {
    return `no ${what} here (no file ends in ${endings.join(', ')}); check the path, and whether everything was unpacked`;
  }
  return `no ${what} here (no file ends in ${endings.join(', ')}; there are ${here.join(', ')}); ${advice ?? 'check the path'}`;
}

const some = (names: readonly string[]) => names.slice(0, 2).join(', ') + (names.length > 2 ? ', ...' : '');

function counted(ending: string, names: readonly string[]): string {
  const kind = ending === '' ? 'without an ending' : ending;
  if (names.length === 1) return ending === '' ? `1 file ${kind}` : `1 ${kind} file`;
  return ending === '' ? `${names.length} files ${kind}` : `${names.length} ${kind} files`;
}

function tellOthers(folder: string, { what, endings, onNote }: FileSearch, found: Found): void {
  if (onNote === undefined) return;
  if (found.leftOut !== undefined) onNote(`${found.leftOut}: passed over, as results are written there`);
  for (const [ending, names] of [...found.others].sort(([a], [b]) => order(a, b))) {
    const advice = adviceFor(ending, what, endings);
    if (advice === undefined) continue;
    onNote(`${folder}: ${counted(ending, names)} passed over (${some(names.sort())}); ${advice}`);
  }
}

async function walk(
  folder: string,
  prefix: string,
  ancestors: readonly string[],
  search: FileSearch,
  found: Found,
): Promise<void> {
  const resolved = await explain(folder, search.what, () => realpath(folder));
  if (ancestors.some((folder) => `${folder}${path.sep}`.startsWith(`${resolved}${path.sep}`))) {
    throw fault(
      'symlink-loop',
      folder,
      `symlink loop (it leads back to ${resolved}, a folder above it); remove the link`,
    );
  }
  if (resolved === search.leaveOut) {
    found.leftOut = folder;
    return;
  }
  const chain = [...ancestors, resolved];
  const entries = await explain(folder, search.what, () => readdir(folder, { withFileTypes: true }));
  // The system's names are bytes; where they are no UTF-8 the text no longer leads to the file.
  if (entries.some(({ name }) => name.includes('\ufffd'))) await reportBytes(folder, search);
  for (const entry of entries) {
    if (isOfTheSystem(entry.name)) {
      found.hidden++;
      continue;
    }
    const full = path.join(folder, entry.name);
    try {
      const linked = entry.isSymbolicLink();
      if (entry.name.includes('\ufffd') && !(await isThere(full))) continue;
      const info = linked ? await explain(full, search.what, () => stat(full)) : entry;
      if (info.isDirectory()) await walk(full, `${prefix}${entry.name}/`, chain, search, found);
      else if (info.isFile()) note(prefix, entry.name, full, search, found);
    } catch (error) {
      if (!(error instanceof DatasetError)) throw error;
      report(search.onFault, error);
    }
  }
}

/** A file is what was looked for, or counted as something else. */
function note(prefix: string, name: string, file: string, search: FileSearch, found: Found): void {
  const lower = name.toLowerCase();
  const ending = search.endings.find((end) => lower.endsWith(end.toLowerCase()));
  if (ending === undefined) {
    const other = endingOf(name);
    const names = found.others.get(other);
    if (names) names.push(prefix + name);
    else found.others.set(other, [prefix + name]);
    return;
  }
  const spelled = prefix + name.slice(0, -ending.length);
  const id = spelled.normalize('NFC');
  if (search.except?.(id)) found.excepted.push(id);
  else found.files.push({ id, spelled, file });
}

async function reportBytes(folder: string, { onFault }: FileSearch): Promise<void> {
  for (const name of await readdir(folder, { encoding: 'buffer' })) {
    const escaped = escapedBytes(name);
    if (escaped === undefined) continue;
    report(
      onFault,
      fault(
        'name',
        path.join(folder, escaped),
        `the name is not UTF-8, as unzip leaves names of other systems' archives; rename it, or all here: convmv -f latin1 -t utf8 -r --notest '${folder}'`,
      ),
    );
  }
}

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

/** The folder itself behind links; as it is where there is none yet. */
async function realOf(folder: string): Promise<string> {
  return realpath(folder).catch(() => path.resolve(folder));
}

async function explain<T>(where: string, what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw fault(code === 'ELOOP' ? 'symlink-loop' : 'missing', where, `${reason(code, what)}`, error);
  }
}

function reason(code: string | undefined, what: string): string {
  switch (code) {
    case 'ENOENT':
      return `not found, or a link to nothing; ${what} should be here`;
    case 'ELOOP':
      return 'symlink loop (links that only lead to each other); remove the link';
    case 'ENOTDIR':
      return `is a file; a folder of ${what} should be here`;
    default:
      return `cannot be read (${code ?? 'unknown error'}); ${what} should be here`;
  }
}

/** Whether `folder` exists and is a folder. */
export async function isFolder(folder: string): Promise<boolean> {
  return stat(folder).then(
    (info) => info.isDirectory(),
    () => false,
  );
}

/** Whether `file` exists and is a file. */
export async function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (info) => info.isFile(),
    () => false,
  );
}
