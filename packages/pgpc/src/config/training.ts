// The typed description of a whole training: the `config` of its `run.json`, from which it resumes.

import { parsedBy } from '@pgpc/datasets';
import { z } from 'zod';
import { dataSchema } from './data.js';
import { experimentSchema } from './experiment.js';
import { scoreNames } from './scores.js';

export const trainingSchema = z.strictObject({
  data: dataSchema,
  /** How the data is read. It changes what is trained only by the files that it leaves out. */
  reading: z.strictObject({
    /** Leave bad files out instead of refusing to start. */
    skipBad: z.boolean(),
    /** Threads that decode; left out: one less than the cores. */
    workers: z.number().int().min(0).optional(),
  }),
  /**
   * What the network starts from; left out: random values. Paths are absolute; weights may be a name of pulled ones, or
   * `street-synth`, the encoder that comes with this package.
   */
  start: z
    .strictObject({
      /** Weights of the encoder. */
      weights: z.string().optional(),
      /** Load what fits of `weights` where the file and the encoder differ, instead of refusing it. */
      allowPartial: z.boolean().optional(),
      /** A whole trained network, for student and teacher. */
      init: z.string().optional(),
    })
    .optional(),
  /** The training's name in the log, the checkpoints and the result. */
  phase: z.string(),
  experiment: experimentSchema,
  /** The score on unlabelled target images that chooses the best checkpoint. */
  select: z.enum(scoreNames),
  /** Steps between two checkpoints that are scored; left out: 500. */
  checkpointEvery: z.number().int().min(1).optional(),
  /** Module files that register parts, imported before the experiment is read. */
  plugins: z.array(z.string()).min(1).optional(),
});

export type TrainingConfig = z.infer<typeof trainingSchema>;

/** @throws Error that names each key that is wrong, its value and what is allowed. */
export function parseTraining(value: unknown): TrainingConfig {
  const parsed = parsedBy(trainingSchema, value);
  if (parsed.success) return parsed.data;
  throw new Error(`the training's configuration is not valid\n${z.prettifyError(parsed.error)}`);
}
