// What `pgpc predict` is given: images and videos by files, folders and patterns.

import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DatasetError, forEachConcurrently, IMAGE_ENDINGS, listFiles, type OnFault } from '@pgpc/datasets';
import { glob } from 'tinyglobby';
import { UsageError } from '../config/usage-error.js';
import { keepInputFolder } from './keep-inputs.js';
import { isPrediction } from './prediction-mark.js';

/** Endings of the videos that are read, in lower case; ffmpeg reads more, but a folder has to be told what to look for. */
const VIDEO_ENDINGS: readonly string[] = ['.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg'];

/** An image or a video, and the name of what is predicted of it. */
export interface PredictInput {
  /** The path below the folder or pattern that it was found by, with '/', without its ending; of a file its name. */
  readonly id: string;
  readonly file: string;
  readonly kind: 'image' | 'video';
}

export interface FindOptions {
  /** Where results are written; it is not looked into. */
  readonly out: string;
  readonly onFault?: OnFault | undefined;
  /** Receives what was passed over, in one line each. */
  readonly onNote?: ((note: string) => void) | undefined;
}

/** Whether a path that is no file or folder stands for several. */
const isPattern = (text: string): boolean => /[*?[\]{}!()]/.test(text);

/**
 * Files are taken as they are, folders with their subfolders, patterns such as `photos/*.jpg` with what fits. Earlier
 * predictions are passed over.
 * @returns sorted by id within each of the paths.
 * @throws UsageError where results would be written among the images, a path is not there, or a file is neither image nor
 *   video; DatasetError for a folder or pattern without any, and for two files with one name.
 */
export async function findInputs(paths: readonly string[], options: FindOptions): Promise<PredictInput[]> {
  const found: PredictInput[] = [];
  for (const one of paths) found.push(...(await inputsOf(one, options)));
  const earlier = new Set<string>();
  await forEachConcurrently(found, async ({ file }) => {
    if (/\.(png|jpe?g)$/i.test(file) && (await isPrediction(file))) earlier.add(file);
  });
  if (earlier.size > 0) {
    const some = [...earlier].sort().slice(0, 2).join(', ');
    options.onNote?.(`${paths.join(', ')}: ${earlier.size} of an earlier predict passed over (${some})`);
  }
  const inputs = found.filter(({ file }) => !earlier.has(file));
  if (inputs.length === 0) {
    throw new DatasetError(`${paths.join(', ')}: no images here, only pictures that predict wrote`);
  }
  const byName = new Map<string, string>();
  for (const { id, file, kind } of inputs) {
    // A photo and the short video that a phone takes with it have one name, and results of different names.
    const key = `${kind} ${id}`;
    const other = byName.get(key);
    if (other !== undefined) {
      throw new DatasetError(`${file}: ${other} has the same name; rename or remove one of them`, {
        kind: 'same-name',
        file,
      });
    }
    byName.set(key, file);
  }
  return inputs;
}

async function inputsOf(one: string, options: FindOptions): Promise<PredictInput[]> {
  const stats = await stat(one).catch(() => undefined);
  if (stats?.isDirectory()) return inFolder(one, options);
  if (stats) {
    const input = inputOf(path.basename(one), one);
    if (input) return [input];
    throw new UsageError(
      `${one}: neither an image (${IMAGE_ENDINGS.join(', ')}) nor a video (${VIDEO_ENDINGS.join(', ')})`,
    );
  }
  if (!isPattern(one)) throw new UsageError(`${one}: there is no such file or folder`);
  return fitting(one, options);
}

/** @param name the file's path below what it was found by. @returns undefined for files of other endings. */
function inputOf(name: string, file: string): PredictInput | undefined {
  const ending = path.extname(name).toLowerCase();
  const kind = IMAGE_ENDINGS.includes(ending)
    ? 'image'
    : VIDEO_ENDINGS.includes(ending)
      ? 'video'
      : undefined;
  return kind && { id: name.slice(0, -ending.length).split(path.sep).join('/').normalize('NFC'), file, kind };
}

async function inFolder(folder: string, { out, onFault, onNote }: FindOptions): Promise<PredictInput[]> {
  await keepInputFolder(folder, out);
  const list = async (
    what: string,
    endings: readonly string[],
    kind: PredictInput['kind'],
    note?: typeof onNote,
  ) => {
    const files = await listFiles(folder, {
      what,
      endings,
      leaveOut: out,
      onNote: note,
      onFault:
        onFault &&
        ((fault) => {
          // Of two files of one name none is the one that is meant.
          if (fault.kind === 'same-name') throw fault;
          if (kind === 'image') onFault(fault);
        }),
    });
    return Array.from(files, ([id, file]): PredictInput => ({ id, file, kind }));
  };
  const none = (error: unknown) => {
    if (error instanceof DatasetError && error.kind === 'empty') return error;
    throw error;
  };
  const videos = await list('videos', VIDEO_ENDINGS, 'video').catch(none);
  const images = await list('images', IMAGE_ENDINGS, 'image', onNote).catch(none);
  if (!(images instanceof DatasetError))
    return videos instanceof DatasetError ? images : [...images, ...videos];
  if (videos instanceof DatasetError) throw images;
  return videos;
}

async function fitting(pattern: string, { out, onNote }: FindOptions): Promise<PredictInput[]> {
  const parts = pattern.split('/');
  const base = parts.slice(0, parts.findIndex(isPattern)).join('/') || (pattern.startsWith('/') ? '/' : '.');
  const within = path.relative(base, out);
  const files = await glob(pattern, {
    absolute: true,
    ignore: within.startsWith('..') ? [] : [`${path.resolve(out)}/**`],
  });
  const inputs = files
    .sort()
    .flatMap((file) => inputOf(path.relative(base, file), path.join(base, path.relative(base, file))) ?? []);
  if (inputs.length === 0) {
    throw new DatasetError(
      `${pattern}: no image or video fits this pattern${files.length > 0 ? `, only ${files.length} other files` : ''}`,
      { kind: 'empty' },
    );
  }
  if (inputs.length < files.length) {
    onNote?.(`${pattern}: ${files.length - inputs.length} that are neither image nor video passed over`);
  }
  return inputs;
}
