// A segmentor's own files; weights/fit.ts reads weights from elsewhere.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { ClassInfo } from '@pgpc/datasets';
import { loadSafetensors, saveSafetensors, tidy } from '@pgpc/torch';
import { z } from 'zod';
import { segmentorSchema } from '../config/segmentor.js';
import { withoutInitialValues } from './initial-values.js';
import { Segmentor } from './segmentor.js';

/** The model's file in a checkpoint folder. */
export const MODEL_FILE = 'model.safetensors';
const FORMAT = 'pgpc-segmentor/1';

const classSchema: z.ZodType<ClassInfo> = z.object({
  name: z.string(),
  trainId: z.number(),
  labelId: z.number(),
  color: z.tuple([z.number(), z.number(), z.number()]),
  kind: z.enum(['stuff', 'thing']),
});

/**
 * Writes weights, configuration and classes, where they are known, to one safetensors file, under the names of DAFormer's checkpoints.
 * @param notes texts by key for the file's header, such as the licence of converted weights
 */
export function saveSegmentor(
  path: string,
  segmentor: Segmentor,
  notes: Readonly<Record<string, string>> = {},
): void {
  const config = JSON.stringify(segmentor.config);
  const { classInfo } = segmentor;
  const classes = classInfo && { classes: JSON.stringify(classInfo) };
  saveSafetensors(path, segmentor.stateDict(), { ...notes, format: FORMAT, config, ...classes });
}

/** Reads what {@link saveSegmentor} wrote. @throws Error for another kind of file, or weights that do not fit. */
export function loadSegmentor(path: string): Segmentor {
  return tidy(() => {
    const { tensors, metadata } = loadSafetensors(path);
    if (metadata.format !== FORMAT) {
      throw new Error(`${path} is no model of this project: its header lacks format ${FORMAT}`);
    }
    const config = segmentorSchema.safeParse(JSON.parse(metadata.config ?? '{}'));
    if (!config.success) {
      throw new Error(`${path}: its configuration is not valid\n${z.prettifyError(config.error)}`);
    }
    const segmentor = withoutInitialValues(() => new Segmentor(config.data, 0));
    // Files of before classes were kept do not say.
    if (metadata.classes) segmentor.classInfo = z.array(classSchema).parse(JSON.parse(metadata.classes));
    try {
      segmentor.loadStateDict(tensors);
    } catch (error) {
      segmentor.dispose();
      throw new Error(`${path} does not fit its own configuration: ${(error as Error).message}`);
    }
    return segmentor;
  });
}

/** A model by the path of its file, or of a checkpoint folder with one. @throws as {@link loadSegmentor} does. */
export function loadModel(path: string): Segmentor {
  return loadSegmentor(statSync(path).isDirectory() ? join(path, MODEL_FILE) : path);
}
