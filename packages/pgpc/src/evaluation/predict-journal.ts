// What `pgpc predict` has done: a line for every image, by which a later call passes over what is complete.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parsedBy, parseJson, writeWhole } from '@pgpc/datasets';
import { z } from 'zod';
import { UsageError } from '../config/usage-error.js';

export const LINES_FILE = 'predictions.jsonl';
const SETTINGS_FILE = 'predict.json';

const lineSchema = z.object({
  id: z.string(),
  file: z.string(),
  frame: z.number().int().min(0).optional(),
  width: z.number().int().min(1),
  height: z.number().int().min(1),
  confidence: z.number().min(0).max(1),
  shares: z.record(z.string(), z.number().min(0).max(1)),
  pictures: z.record(z.string(), z.string()),
  source: z.object({ bytes: z.number(), modified: z.string() }),
});

/**
 * A line of `predictions.jsonl`: `id` names the pictures, `file` is the image's absolute path, `frame` its place in a video;
 * `confidence` is the mean probability of the predicted classes, `shares` the part of the pixels of every class that is there,
 * by its name, 0 .. 1; `pictures` are paths below the folder by kind; `source` is what the file was like.
 */
export type PredictionLine = z.infer<typeof lineSchema>;

/** SHA-256 of a file, in hexadecimal digits. */
export async function fingerprint(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** The record in a folder of predictions, open for writing. */
export class PredictionJournal {
  readonly #lines: Map<string, PredictionLine>;

  private constructor(
    readonly folder: string,
    lines: readonly PredictionLine[],
  ) {
    this.#lines = new Map(lines.map((line) => [line.id, line]));
  }

  /**
   * Opens the record of a folder, which is made if it is missing. The lines of an earlier call count where its settings are
   * the same; otherwise a new record takes its place.
   * @param settings all that decides what is predicted, as plain JSON.
   * @throws UsageError where a file of the record's names is none of pgpc's.
   */
  static async open(folder: string, settings: unknown): Promise<PredictionJournal> {
    const [file, linesFile] = [SETTINGS_FILE, LINES_FILE].map((name) => path.join(folder, name)) as [
      string,
      string,
    ];
    const text = `${JSON.stringify({ writtenBy: 'pgpc predict', ...(settings as object) }, null, 2)}\n`;
    await mkdir(folder, { recursive: true });
    const before = existsSync(file) ? await readFile(file, 'utf8') : undefined;
    if (before !== undefined && !before.includes('"writtenBy": "pgpc predict"')) throw foreign(file);
    if (before === undefined && existsSync(linesFile)) throw foreign(linesFile);
    const isSame = before === text && existsSync(linesFile);
    const lines = isSame ? parsed(await readFile(linesFile, 'utf8')) : [];
    // A line that was cut off must not be one with the next.
    await writeWhole(linesFile, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    if (!isSame) await writeWhole(file, text);
    return new PredictionJournal(folder, lines);
  }

  /** The line of an image that was done, as long as its file is as it was then and each kind of picture is there. */
  complete(
    id: string,
    source: PredictionLine['source'],
    kinds: readonly string[],
  ): PredictionLine | undefined {
    const line = this.#lines.get(id);
    if (line === undefined) return undefined;
    const { bytes, modified } = line.source;
    if (bytes !== source.bytes || modified !== source.modified) return undefined;
    const isThere = (kind: string) =>
      line.pictures[kind] !== undefined && existsSync(path.join(this.folder, line.pictures[kind]));
    return kinds.every(isThere) ? line : undefined;
  }

  /** Adds a line, whose pictures are written. Of two lines of one id the later one counts. */
  async add(line: PredictionLine): Promise<void> {
    const before = this.#lines.get(line.id);
    // Pictures of other kinds stay, as long as they are of the same image.
    const kept = before?.source.modified === line.source.modified ? before.pictures : {};
    const whole = { ...line, pictures: { ...kept, ...line.pictures } };
    this.#lines.set(line.id, whole);
    await appendFile(path.join(this.folder, LINES_FILE), `${JSON.stringify(whole)}\n`);
  }

  /** Leaves one line an image, sorted by id. */
  async close(): Promise<void> {
    const lines = [...this.#lines.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await writeWhole(path.join(this.folder, LINES_FILE), text);
  }
}

function foreign(file: string): UsageError {
  return new UsageError(`${file}: is there already and is not pgpc's; name another folder, or move it away`);
}

/** The lines that have their form: a process that was killed leaves one that is cut off. */
function parsed(text: string): PredictionLine[] {
  return text.split('\n').flatMap((line) => {
    try {
      const result = parsedBy(lineSchema, parseJson(line));
      return result.success ? [result.data] : [];
    } catch {
      return [];
    }
  });
}
