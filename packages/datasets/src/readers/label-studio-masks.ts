// The files of Label Studio's brush export: which image, class and place in the drawing order each mask has.

import path from 'node:path';
import { z } from 'zod';
import { forEachElement } from '../files/json-elements.js';
import { parsedBy } from '../files/parsed-by.js';

/** A mask of one drawn region. */
export interface RegionMask {
  readonly file: string;
  readonly task: number;
  readonly annotation: number;
  /** Name of the tag and the labels, joined by '-', as the exporter writes them. */
  readonly label: string;
  /** Among regions of the same label, from 0. */
  readonly count: number;
}

/** `task-TASK-annotation-ANNOTATION-by-USER-TAG-LABEL-COUNT.png`; the exporter leaves no '-' in the user's address. */
const MASK = /^task-(\d+)-annotation-(\d+)-by-[^-]*-(.+)-(\d+)\.png$/i;

/** @returns undefined for files of other names */
export function regionMask(file: string): RegionMask | undefined {
  const [, task, annotation, label, count] = MASK.exec(path.basename(file).normalize('NFC')) ?? [];
  if (label === undefined) return undefined;
  return { file, task: Number(task), annotation: Number(annotation), label, count: Number(count) };
}

/** What the JSON export says of a task. */
export interface Task {
  /** Names that its image may have: the upload's, and all texts of its data. */
  readonly images: readonly string[];
  /** In drawing order. */
  readonly regions: readonly DrawnRegion[];
}

interface DrawnRegion {
  /** Undefined where the export has one annotation a task. */
  readonly annotation: number | undefined;
  /** As in the mask's name. */
  readonly label: string;
  readonly labels: readonly string[];
}

const labelsSchema = z.object({
  brushlabels: z.array(z.string()).optional(),
  labels: z.array(z.string()).optional(),
});
const regionSchema = z.object({ from_name: z.string(), value: labelsSchema });
const taskSchema = z.looseObject({
  id: z.int(),
  file_upload: z.string().nullish(),
  data: z.record(z.string(), z.unknown()).optional(),
  annotations: z.array(z.object({ id: z.int(), result: z.array(z.unknown()).optional() })).optional(),
});

/**
 * Reads the tasks of an export, "JSON" or "JSON-MIN".
 * @returns by the task's number; none where the file is something else
 * @throws {DatasetError} when the file is no whole JSON
 */
export async function readTasks(file: string): Promise<Map<number, Task>> {
  const tasks = new Map<number, Task>();
  await forEachElement(file, {
    '': (element) => {
      const parsed = parsedBy(taskSchema, element);
      if (!parsed.success) return;
      const { id, file_upload, data, annotations, ...rest } = parsed.data;
      const texts = Object.values(data ?? rest).filter((value) => typeof value === 'string');
      const regions = annotations
        ? annotations.flatMap(({ id, result = [] }) => result.flatMap((one) => drawnRegion(id, one)))
        : Object.entries(rest).flatMap(([tag, value]) => minimalRegions(tag, value));
      tasks.set(id, { images: [...(file_upload ? [file_upload] : []), ...texts].flatMap(namesOf), regions });
    },
  });
  return tasks;
}

function drawnRegion(annotation: number, result: unknown): DrawnRegion[] {
  const parsed = parsedBy(regionSchema, result);
  return parsed.success ? namedRegion(annotation, parsed.data.from_name, parsed.data.value) : [];
}

/** JSON-MIN has the regions under the tag's name. */
function minimalRegions(tag: string, value: unknown): DrawnRegion[] {
  const parsed = parsedBy(z.array(labelsSchema), value);
  return parsed.success ? parsed.data.flatMap((region) => namedRegion(undefined, tag, region)) : [];
}

function namedRegion(
  annotation: number | undefined,
  tag: string,
  { brushlabels, labels = brushlabels }: z.infer<typeof labelsSchema>,
): DrawnRegion[] {
  if (labels === undefined) return [];
  // The exporter's own rule for names of files.
  return [{ annotation, label: [tag, ...labels].join('-').replace(/[/\\]/g, '-').normalize('NFC'), labels }];
}

/** The last parts of a path or an address: photo.jpg of `s3://street/photo.jpg?key=1` and of `/data/?d=street/photo.jpg`. */
function namesOf(address: string): string[] {
  const ends = [address.replace(/[?#].*$/, ''), address].map((text) => text.split(/[/\\=]/).at(-1)!);
  return [...new Set(ends)].map((name) => {
    try {
      return decodeURIComponent(name).normalize('NFC');
    } catch {
      return name.normalize('NFC');
    }
  });
}

/** Without what an upload puts before the name: 8 hexadecimal digits and '-'. */
export const withoutUploadId = (name: string): string => name.replace(/^[0-9a-f]{8}-/i, '');

/** Regions of the mask's annotation. */
const regionsOf = ({ regions }: Task, mask: RegionMask) =>
  regions.filter(({ annotation = mask.annotation }) => annotation === mask.annotation);

/** The label's name, behind the tag's. */
export function labelOf(
  mask: RegionMask,
  task: Task | undefined,
  known: readonly { name: string }[] | undefined,
): string {
  const region = task && regionsOf(task, mask).find(({ label }) => label === mask.label);
  if (region?.labels.length === 1) return region.labels[0]!;
  const fitting = (known ?? []).filter(({ name }) => mask.label.endsWith(`-${name}`));
  const [longest] = fitting.sort((a, b) => b.name.length - a.name.length);
  return longest?.name ?? mask.label.slice(mask.label.indexOf('-') + 1);
}

/** The lowest first. */
export function inDrawingOrder<Mask extends RegionMask>(
  masks: readonly Mask[],
  task: Task | undefined,
): Mask[] {
  const counts = new Map<string, number>();
  const order = new Map<string, number>();
  for (const [place, { label }] of (task ? regionsOf(task, masks[0]!) : []).entries()) {
    const count = counts.get(label) ?? 0;
    counts.set(label, count + 1);
    order.set(`${label}-${count}`, place);
  }
  const placeOf = ({ label, count }: RegionMask) =>
    order.get(`${label}-${count}`) ?? Number.POSITIVE_INFINITY;
  const compare = (a: RegionMask, b: RegionMask) =>
    placeOf(a) - placeOf(b) || a.count - b.count || (a.label < b.label ? -1 : 1);
  return [...masks].sort(compare);
}
