// A segmentor's own files; weights/fit.ts reads weights from elsewhere.

import { parsedBy, parseJson } from '@pgpc/datasets';
import { indexWeights, loadSafetensors, saveSafetensors, tidy } from '@pgpc/torch';
import { z } from 'zod';
import type { SegmentorConfig } from '../config/segmentor.js';
import { segmentorSchema } from '../config/segmentor.js';
import { aboutTexts, readAbout } from './about.js';
import { withoutLowRank } from './adapters.js';
import { refuseClaimedWidth } from './claimed-width.js';
import { withoutInitialValues } from './initial-values.js';
import { type LocateOptions, locateModel } from './locate.js';
import { MODEL_FORMAT } from './model-file.js';
import { Segmentor } from './segmentor.js';
import { importSegmentor } from './weights/fit.js';

export { MODEL_FILE } from './model-file.js';

/**
 * Writes weights, configuration, classes and what is known of its origin to one safetensors file, under the names of
 * DAFormer's checkpoints.
 * @param notes texts by key for the file's header
 */
export function saveSegmentor(
  path: string,
  segmentor: Segmentor,
  notes: Readonly<Record<string, string>> = {},
): void {
  const config = JSON.stringify(segmentor.config);
  const header = { ...notes, format: MODEL_FORMAT, config, ...aboutTexts(segmentor) };
  saveSafetensors(path, segmentor.stateDict(), header);
}

/** Reads what {@link saveSegmentor} wrote, low-rank changes merged into the weights. @throws Error for another kind of file, or weights that do not fit. */
export function loadSegmentor(path: string): Segmentor {
  return tidy(() => {
    const { tensors, metadata } = loadSafetensors(path);
    if (metadata.format !== MODEL_FORMAT) {
      throw new Error(`${path} is no model of this project: its header lacks format ${MODEL_FORMAT}`);
    }
    const config = parsedBy(segmentorSchema, configIn(path, metadata));
    if (!config.success) {
      throw new Error(`${path}: its configuration is not valid\n${z.prettifyError(config.error)}`);
    }
    refuseClaimedWidth(path, config.data, tensors);
    const about = readAbout(path, metadata);
    const segmentor = withoutInitialValues(() => new Segmentor(merged(config.data), 0));
    Object.assign(segmentor, about);
    try {
      segmentor.loadStateDict(withoutLowRank(tensors));
    } catch (error) {
      segmentor.dispose();
      throw new Error(`${path} does not fit its own configuration: ${(error as Error).message}`);
    }
    return segmentor;
  });
}

/** The network as it is once its low-rank changes are in its weights. */
function merged({ adapter, ...config }: SegmentorConfig): SegmentorConfig {
  return adapter && adapter.kind !== 'lora' ? { ...config, adapter } : config;
}

function configIn(path: string, { config = '{}' }: Readonly<Record<string, string>>): unknown {
  try {
    return parseJson(config);
  } catch (error) {
    throw new Error(`${path}: its configuration is no JSON: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * A model by the path of its file, of a checkpoint folder, or of a run directory (its last checkpoint, or its best); also
 * a whole network of another project's, in any form that is read.
 * @throws Error where there is no such model, and for files that {@link loadSegmentor} and `importSegmentor` refuse
 */
export function loadModel(path: string, options: LocateOptions = {}): Segmentor {
  const file = locateModel(path, options);
  return indexWeights(file).metadata.format === MODEL_FORMAT
    ? loadSegmentor(file)
    : importSegmentor(file).segmentor;
}
