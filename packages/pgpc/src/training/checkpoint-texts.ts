// The texts that the file of a training's state has beside its tensors: the experiment, where it stands, what a run keeps with it.

import { parsedBy, parseJson } from '@pgpc/datasets';
import { z } from 'zod';
import type { RngState } from '../random.js';
import { pictureFile } from './run-directory/schema.js';
import { selectionSchema } from './selection.js';

const word = z
  .int()
  .min(-(2 ** 31))
  .max(2 ** 32 - 1);
const rng: z.ZodType<RngState> = z.tuple([word, word, word, word]);

const stateSchema = z.object({
  iteration: z.int().min(0),
  skipped: z.int().min(0).default(0),
  /** What the optimizer gave beside its tensors. */
  optimizer: z.object({
    groups: z.array(z.object({ name: z.string(), size: z.int(), lr: z.number(), weightDecay: z.number() })),
    steps: z.array(z.int().min(0)),
  }),
  augment: rng,
  loader: rng,
});

/** Where a training stands, beside its tensors. */
export type SavedState = z.infer<typeof stateSchema>;

/** What one of several trainings side by side keeps beside its state. */
const taskSchema = z.object({
  /** What it has logged, what it has scored, and the pictures that it has written. */
  told: z.array(
    z.union([
      z.object({
        kind: z.enum(['log', 'validation']),
        iteration: z.int().min(0),
        values: z.record(z.string(), z.number()),
      }),
      z.object({
        kind: z.literal('pictures'),
        iteration: z.int().min(0),
        images: z.array(z.object({ id: z.string(), pictures: z.record(z.string(), pictureFile) })),
      }),
    ]),
  ),
  /** What its steps took. */
  seconds: z.number().min(0),
  /** As `run.json` has them. */
  surroundings: z.object({
    versions: z.record(z.string(), z.string()),
    device: z.string(),
    machine: z.string(),
  }),
});

/** What is kept beside a training's state: by a run, see `BesideState`, or by one of several trainings side by side. */
const besideSchema = z.object({
  selection: selectionSchema.optional(),
  metricsLines: z.int().min(0).optional(),
  task: taskSchema.optional(),
});

export type SavedBeside = z.infer<typeof besideSchema>;
export type SavedTask = z.infer<typeof taskSchema>;

type Texts = Readonly<Record<string, string>>;

/** @throws Error naming the file, for another file's texts or damaged ones */
export function savedState(file: string, texts: Texts): SavedState {
  return fitting(stateSchema, file, texts, 'state');
}

/** @throws as {@link savedState} does */
export function savedBeside(file: string, texts: Texts): SavedBeside {
  return fitting(besideSchema, file, { beside: '{}', ...texts }, 'beside');
}

/** Plain JSON. @throws as {@link savedState} does */
export function savedExperiment(file: string, texts: Texts): unknown {
  return fitting(z.unknown(), file, texts, 'experiment');
}

function fitting<T extends z.ZodType>(schema: T, file: string, texts: Texts, key: string): z.output<T> {
  const fault = (why: string, cause?: unknown) =>
    new Error(`${file} is no training checkpoint of this version: its ${key} ${why}`, { cause });
  if (texts[key] === undefined) throw fault('is missing');
  let json: unknown;
  try {
    json = parseJson(texts[key]);
  } catch (error) {
    throw fault(`is no JSON: ${(error as Error).message}`, error);
  }
  const parsed = parsedBy(schema, json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw fault(`is not valid: ${issue!.path.join('.')}: ${issue!.message}`);
}
