// A segmentor's own files, and encoder weights from elsewhere.

import { loadSafetensors, loadWeights, saveSafetensors, tidy } from '@pgpc/torch';
import { z } from 'zod';
import { backboneNames, Segmentor, type SegmentorConfig } from './segmentor.js';

const FORMAT = 'pgpc-segmentor/1';

export const segmentorSchema = z.strictObject({
  backbone: z.enum(backboneNames),
  channels: z.number().int().min(1),
  classes: z.number().int().min(2).max(255),
  dropout: z.number().min(0).lt(1),
  dropPath: z.number().min(0).lt(1),
}) satisfies z.ZodType<SegmentorConfig>;

/** Writes weights and configuration to one safetensors file, under the names of DAFormer's checkpoints. */
export function saveSegmentor(path: string, segmentor: Segmentor): void {
  saveSafetensors(path, segmentor.stateDict(), { format: FORMAT, config: JSON.stringify(segmentor.config) });
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
    const segmentor = new Segmentor(config.data, 0);
    try {
      segmentor.loadStateDict(tensors);
    } catch (error) {
      segmentor.dispose();
      throw new Error(`${path} does not fit its own configuration: ${(error as Error).message}`);
    }
    return segmentor;
  });
}

/** Entries of ImageNet files that belong to their classifier. */
const CLASSIFIER = /^head\./;

/**
 * Fills the encoder from a weights file (safetensors or .pth): names with no prefix, as in the official `mit_b*.pth`,
 * or the `backbone.` entries of a whole network. A classifier's entries are left out; all else must fit.
 * @throws Error that lists missing, unexpected and mis-shaped entries.
 */
export function loadBackboneWeights(segmentor: Segmentor, path: string): void {
  tidy(() => {
    const { tensors } = loadWeights(path);
    const whole = [...tensors.keys()].some((name) => name.startsWith('backbone.'));
    const own = [...tensors].flatMap(([name, value]) => {
      if (whole)
        return name.startsWith('backbone.') ? [[name.slice('backbone.'.length), value] as const] : [];
      return CLASSIFIER.test(name) ? [] : [[name, value] as const];
    });
    try {
      segmentor.backbone.loadStateDict(new Map(own));
    } catch (error) {
      throw new Error(`${path} does not fit ${segmentor.config.backbone}: ${(error as Error).message}`);
    }
  });
}
