// The paper's experiments: GTA5 and SYNTHIA to Cityscapes, each method on each network, as typed values.

import { pgpcContrast } from '../config/contrast.js';
import type { DataConfig } from '../config/data.js';
import type { Experiment } from '../config/experiment.js';
import { type MethodParts, methodConfig } from '../config/method.js';
import { daformerRareClasses, type RareClassOptions } from '../config/rare-classes.js';
import type { NetworkName } from '../config/segmentor.js';
import { networks, segmentorConfig } from '../config/segmentor.js';
import { daformerSelfTraining } from '../config/self-training.js';
import { daformerRecipe, type RecipeOverrides } from './daformer.js';

interface DrivingPreset {
  data: (sourceRoot: string, targetRoot: string) => DataConfig;
  rareClasses: RareClassOptions;
}

/** Cityscapes at half size, as DAFormer trains and evaluates on it. */
const cityscapes = { scale: { width: 1024, height: 512 } };

export const drivingPresets = {
  // Configuration gta2cs_uda_warm_fdthings_rcs_croppl_a999 of DAFormer.
  'gta5-cityscapes': {
    data: (sourceRoot, targetRoot) => ({
      source: { format: 'gta5', root: sourceRoot, scale: { width: 1280, height: 720 } },
      target: { format: 'cityscapes', root: targetRoot, ...cityscapes },
      protocols: [],
    }),
    rareClasses: daformerRareClasses,
  },
  // The same with `synthia2cs`; its results are given over the classes that SYNTHIA has.
  'synthia-cityscapes': {
    data: (sourceRoot, targetRoot) => ({
      source: { format: 'synthia', root: sourceRoot, scale: { width: 1280, height: 760 } },
      target: { format: 'cityscapes', root: targetRoot, ...cityscapes },
      protocols: [16, 13],
    }),
    // Here the reference's 3000 pixels refer to a label of 1280 x 760.
    rareClasses: { ...daformerRareClasses, minImageShare: 3000 / (1280 * 760) },
  },
} as const satisfies Record<string, DrivingPreset>;

export type DrivingPresetName = keyof typeof drivingPresets;
export const drivingPresetNames = Object.keys(drivingPresets) as DrivingPresetName[];

/** Rows of the crop in which Cityscapes shows the lens's edge and the car's own bonnet: 15 and 120 of 512. */
function cityscapesMargins(cropHeight: number): { ignoreTop: number; ignoreBottom: number } {
  return {
    ignoreTop: Math.round((15 / 512) * cropHeight),
    ignoreBottom: Math.round((120 / 512) * cropHeight),
  };
}

/**
 * One experiment of the tables.
 * @param imageNet whether the encoder starts from ImageNet weights; else there is no feature distance.
 */
export function drivingExperiment(
  preset: DrivingPresetName,
  method: string,
  network: NetworkName,
  imageNet: boolean,
  {
    style,
    denoise,
    weighting,
    ...overrides
  }: RecipeOverrides & Pick<MethodParts, 'style' | 'denoise' | 'weighting'> = {},
): Experiment {
  const { rareClasses } = drivingPresets[preset];
  const [backbone, head] = networks[network];
  const crop = overrides.crop?.height ?? 512;
  const selfTraining = { ...daformerSelfTraining, ...cityscapesMargins(crop) };
  return daformerRecipe({
    segmentor: segmentorConfig(backbone, head),
    method: methodConfig(method, {
      selfTraining,
      contrast: pgpcContrast,
      ...(!imageNet && { featureDistance: false }),
      style,
      denoise,
      weighting,
    }),
    rareClasses,
    ...overrides,
  });
}
