// The form of what a run directory holds, checked when it is written and when it is read.

import { parsedBy } from '@pgpc/datasets';
import { z } from 'zod';

// JSON has no NaN: it is stored as null and comes back as NaN.
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const fraction = z
  .number()
  .min(0)
  .max(1)
  .nullable()
  .transform((value) => value ?? Number.NaN);
const channel = z.number().int().min(0).max(255);
export const pictureFile = z
  .string()
  .regex(/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u, 'must be a file name without folders');

const runClassSchema = z.object({ name: z.string(), color: z.tuple([channel, channel, channel]) });

export const runInfoSchema = z.object({
  name: z.string(),
  title: z.string().optional(),
  description: z.string().optional(),
  command: z.string().optional(),
  config: z.record(z.string(), z.unknown()),
  seed: z.number().int(),
  versions: z.record(z.string(), z.string()),
  machine: z.string(),
  device: z.string().optional(),
  gitRevision: z.string().optional(),
  classes: z.array(runClassSchema).min(1),
  status: z.enum(['running', 'finished', 'stopped', 'failed']),
  started: z.iso.datetime(),
  resumed: z.array(z.iso.datetime()),
  /** What was not as before when it was resumed: its length, its data, or where that is. */
  changes: z.array(z.object({ time: z.iso.datetime(), what: z.string() })).optional(),
  finished: z.iso.datetime().optional(),
  error: z.string().optional(),
});

export const metricRecordSchema = z
  .object({
    phase: z.string(),
    seed: z.number().int().optional(),
    iteration: z.number().int().min(0),
    wall: z.number().min(0),
  })
  .catchall(figure);

export const methodResultSchema = z.object({
  name: z.string(),
  label: z.string(),
  seed: z.number().int().optional(),
  miou: fraction,
  iou: z.array(fraction),
  accuracy: fraction,
  classAccuracy: z.array(fraction).optional(),
  meanAccuracy: fraction.optional(),
  frequencyWeightedIou: fraction.optional(),
  /** Pixels by true (row) and predicted class. */
  confusion: z.array(z.array(z.number().int().min(0))).optional(),
  seconds: z.number().min(0),
});

export const pictureIndexSchema = z.object({
  source: z.array(z.object({ image: pictureFile, label: pictureFile })),
  target: z.array(
    z.object({
      id: z.string(),
      image: pictureFile,
      truth: pictureFile.optional(),
      predictions: z.record(z.string(), pictureFile),
      /**
       * What a training made of the image on its way, by kind: 'prediction', 'right', 'pseudo-label', 'confidence', and of a
       * method with contrast 'entropy', 'anchors', 'negatives'. `method` and `seed` are there where the run has several
       * trainings; the checkpoints of each then lie together, their steps rising.
       */
      checkpoints: z
        .array(
          z.object({
            method: z.string().optional(),
            seed: z.number().int().optional(),
            iteration: z.number().int(),
            pictures: z.record(z.string(), pictureFile),
          }),
        )
        .optional(),
    }),
  ),
  /** The images that a result is worst on, the lowest mIoU first, with small pictures. */
  worst: z
    .array(
      z.object({
        method: z.string(),
        seed: z.number().int().optional(),
        images: z.array(
          z.object({
            id: z.string(),
            miou: fraction,
            accuracy: fraction,
            iou: z.array(fraction),
            image: pictureFile,
            truth: pictureFile,
            prediction: pictureFile,
          }),
        ),
      }),
    )
    .optional(),
  /** Of a method with contrast, as safetensors: the prototypes at its checkpoints, and what the banks held at the newest. */
  contrast: z
    .object({
      checkpoints: z.array(z.object({ iteration: z.number().int(), prototypes: pictureFile })),
      memory: pictureFile,
    })
    .optional(),
});

/** A class as pictures and tables show it: `color` is RGB, 0..255 each. */
export type RunClass = z.infer<typeof runClassSchema>;

/** How a run ended, or that it has not. A process that was killed leaves `running` behind. */
export type RunStatus = z.infer<typeof runInfoSchema>['status'];

/** What `run.json` holds. Times are ISO 8601 in UTC. */
export type RunInfo = z.infer<typeof runInfoSchema>;

/**
 * What one method reached on the target: scores are fractions 0..1, as in `Scores` of the evaluation; `iou` and
 * `classAccuracy` have an entry for every class of the run (NaN: the class does not occur), `seconds` is the training
 * time. A method run with several seeds has one result for each.
 */
export type MethodResult = z.infer<typeof methodResultSchema>;

/** What is in `pictures/`: file names, relative to that folder; `predictions` is keyed by `MethodResult.name`. */
export type PictureIndex = z.infer<typeof pictureIndexSchema>;

/** The names of all files that an index has. */
export function picturesIn({ source, target, contrast, worst = [] }: PictureIndex): Set<string> {
  const names = [
    ...source.flatMap(({ image, label }) => [image, label]),
    ...target.flatMap(({ image, truth, predictions, checkpoints = [] }) => [
      image,
      truth,
      ...Object.values(predictions),
      ...checkpoints.flatMap(({ pictures }) => Object.values(pictures)),
    ]),
    ...worst.flatMap(({ images }) =>
      images.flatMap(({ image, truth, prediction }) => [image, truth, prediction]),
    ),
    ...(contrast?.checkpoints ?? []).map(({ prototypes }) => prototypes),
    contrast?.memory,
  ];
  return new Set(names.filter((name) => name !== undefined));
}

/** One line of `metrics.jsonl` as it is read back: the fixed fields, and any number under `name` or `group/name`. */
export interface MetricRecord {
  readonly phase: string;
  readonly seed?: number;
  readonly iteration: number;
  /** Seconds that the run had been going, time between stop and resume left out. */
  readonly wall: number;
  readonly values: Readonly<Record<string, number>>;
}

/** @throws Error that names the place and the entry that does not have its form. */
export function checked<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const parsed = parsedBy(schema, value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new Error(`${where}: ${issue.path.length === 0 ? '' : `${issue.path.join('.')}: `}${issue.message}`);
}
