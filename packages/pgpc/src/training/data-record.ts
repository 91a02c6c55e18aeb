// What data a run began with, kept beside its run.json: a resumed run knows whether it is still the same.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { forEachConcurrently, type SegmentationDataset, writeWholeSync } from '@pgpc/datasets';
import { z } from 'zod';
import type { OpenedData } from './data.js';
import { parseJson } from './run-directory/metrics.js';
import { checked } from './run-directory/schema.js';

const DATA_FILE = 'data.json';

/** Id and bytes of every image, in their order. */
const images = z.array(z.tuple([z.string(), z.number()]));

const recordSchema = z.object({
  version: z.literal(1),
  classes: z.array(z.string()),
  source: z.object({
    images,
    /** Digest of every label, as the run reads it: its size, and how many pixels each class has. */
    labels: z.array(z.string()),
  }),
  target: z.object({ images }),
  /** Images that the finished network is evaluated on; null: none. */
  validation: z.object({ images }).nullable(),
});

/**
 * The data of a run: which images in which order, how large their files are, which classes, and what the source's labels
 * hold. Where they are is no part of it: a copy is the same data.
 */
export type DataRecord = z.infer<typeof recordSchema>;

/** Files whose size is asked for at once. */
const JOBS = 16;

/** Looks at every image file's size. */
export async function recordData(data: OpenedData, signal?: AbortSignal): Promise<DataRecord> {
  const { counts, sizes } = data.sourceStatistics!;
  return {
    version: 1,
    classes: data.classes.map(({ name }) => name),
    source: {
      images: await imagesOf(data.source.dataset, signal),
      labels: counts.map((row, i) => digest([sizes[i], row])),
    },
    target: { images: await imagesOf(data.target!.dataset, signal) },
    validation: data.validation ? { images: await imagesOf(data.validation, signal) } : null,
  };
}

async function imagesOf({ samples }: SegmentationDataset, signal?: AbortSignal): Promise<[string, number][]> {
  const found = samples.map(({ id }): [string, number] => [id, 0]);
  await forEachConcurrently(
    samples,
    async ({ image }, i) => {
      found[i]![1] = (await stat(image)).size;
    },
    { concurrency: JOBS, signal },
  );
  return found;
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8);
}

/** What tells data from other data, in so many hexadecimal digits. */
export function digestOf(record: DataRecord): string {
  return digest(record);
}

export function writeRecord(run: string, record: DataRecord): void {
  writeWholeSync(join(run, DATA_FILE), JSON.stringify(record));
}

/** @returns undefined for a run of before there were records. @throws Error for a file that is none. */
export function readRecord(run: string): DataRecord | undefined {
  const file = join(run, DATA_FILE);
  return existsSync(file)
    ? checked(recordSchema, parseJson(readFileSync(file, 'utf8'), file), file)
    : undefined;
}

/** How data differs, in words, by what it matters for. */
export interface DataChanges {
  training: string[];
  evaluation: string[];
}

/** @param data what `after` is the record of, which says where files are. */
export function dataChanges(before: DataRecord, after: DataRecord, data: OpenedData): DataChanges {
  const training: string[] = [];
  const [was, now] = [before.classes.join(', '), after.classes.join(', ')];
  if (was !== now) training.push(`the classes are ${now} instead of ${was}`);
  const source = imageChanges('source', before.source, after.source, data.source.dataset);
  training.push(...source);
  if (source.length === 0) {
    const other = after.source.labels.flatMap((label, i) =>
      label === before.source.labels[i] ? [] : [after.source.images[i]![0]],
    );
    if (other.length > 0)
      training.push(`${named(other)} ${other.length === 1 ? 'has' : 'have'} another label`);
  }
  training.push(...imageChanges('target', before.target, after.target, data.target!.dataset));
  const none = { images: [] };
  return {
    training,
    evaluation: imageChanges(
      'validation',
      before.validation ?? none,
      after.validation ?? none,
      data.validation,
    ),
  };
}

interface Images {
  images: readonly (readonly [id: string, bytes: number])[];
}

function imageChanges(
  role: string,
  { images: before }: Images,
  { images: after }: Images,
  dataset: SegmentationDataset | undefined,
): string[] {
  const [was, now] = [new Map(before), new Map(after)];
  const path = new Map(dataset?.samples.map(({ id, image }) => [id, shown(image)]));
  const added = after.flatMap(([id]) => (was.has(id) ? [] : [path.get(id) ?? id]));
  const removed = before.flatMap(([id]) => (now.has(id) ? [] : [id]));
  const changes: string[] = [];
  const counts = `${after.length} ${role} images instead of ${before.length}`;
  if (added.length > 0) changes.push(`${named(added)} ${added.length === 1 ? 'was' : 'were'} added`);
  if (removed.length > 0) changes.push(`${named(removed)} ${removed.length === 1 ? 'is' : 'are'} gone`);
  if (changes.length > 0) return [`${changes.join(', ')}: ${counts}`];
  const others = after.flatMap(([id, bytes]) => (was.get(id) === bytes ? [] : [path.get(id) ?? id]));
  if (others.length > 0)
    return [`${named(others)} ${others.length === 1 ? 'is another file' : 'are other files'}`];
  return after.some(([id], i) => before[i]![0] !== id) ? [`the ${role} images have another order`] : [];
}

/** The shorter way to write it. */
function shown(path: string): string {
  const near = relative(process.cwd(), path);
  return near.length < path.length && !near.startsWith('..') ? near : path;
}

/** The first three, and how many more. */
function named(names: readonly string[]): string {
  const more = names.length - 3;
  return more > 0 ? `${names.slice(0, 3).join(', ')} and ${more} more` : names.join(', ');
}
