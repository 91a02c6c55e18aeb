// A segmentor's own files; weights from elsewhere are read by weight-fit.ts.

import { loadSafetensors, saveSafetensors, tidy } from '@pgpc/torch';
import { z } from 'zod';
import { segmentorSchema } from '../config/segmentor.js';
import { withoutInitialValues } from './initial-values.js';
import { Segmentor } from './segmentor.js';

const FORMAT = 'pgpc-segmentor/1';

/**
 * Writes weights and configuration to one safetensors file, under the names of DAFormer's checkpoints.
 * @param notes texts by key for the file's header, such as the licence of converted weights
 */
export function saveSegmentor(
  path: string,
  segmentor: Segmentor,
  notes: Readonly<Record<string, string>> = {},
): void {
  const config = JSON.stringify(segmentor.config);
  saveSafetensors(path, segmentor.stateDict(), { ...notes, format: FORMAT, config });
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
    try {
      segmentor.loadStateDict(tensors);
    } catch (error) {
      segmentor.dispose();
      throw new Error(`${path} does not fit its own configuration: ${(error as Error).message}`);
    }
    return segmentor;
  });
}
