// The paper's experiments: GTA5 and SYNTHIA to Cityscapes, each method on each network, as typed values.

import { daformerRecipe, type Experiment, type RecipeOverrides } from '../config/experiment.js';
import { daformerSelfTraining, type MethodParts, methodConfig, pgpcContrast } from '../config/method.js';
import type { DrivingPresetName, MethodName, NetworkName } from '../config/names.js';
import { type BackboneName, type HeadName, segmentorConfig } from '../models/segmentor.js';
import { daformerRareClasses, type RareClassOptions } from '../pipeline/rare-class-sampling.js';
import type { DataConfig } from '../training/data.js';

export const networks = {
  'mit-b0': ['mit_b0', 'daformer'],
  'mit-b1': ['mit_b1', 'daformer'],
  'mit-b2': ['mit_b2', 'daformer'],
  'mit-b3': ['mit_b3', 'daformer'],
  'mit-b4': ['mit_b4', 'daformer'],
  'mit-b5': ['mit_b5', 'daformer'],
  'segformer-b5': ['mit_b5', 'segformer'],
  deeplabv2: ['resnet101', 'deeplabv2'],
  deeplabv3plus: ['resnet101', 'deeplabv3plus-nobn'],
  'hrnet-w48': ['hrnet_w48', 'hrnet'],
} as const satisfies Record<NetworkName, readonly [BackboneName, HeadName]>;

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
    // The reference's 3000 pixels are of a label of 1280 x 760 here.
    rareClasses: { ...daformerRareClasses, minImageShare: 3000 / (1280 * 760) },
  },
} as const satisfies Record<DrivingPresetName, DrivingPreset>;

/** Rows of the crop in which Cityscapes shows the lens's edge and the car's own bonnet: 15 and 120 of 512. */
export function cityscapesMargins(cropHeight: number): { ignoreTop: number; ignoreBottom: number } {
  return {
    ignoreTop: Math.round((15 / 512) * cropHeight),
    ignoreBottom: Math.round((120 / 512) * cropHeight),
  };
}

/**
 * One experiment of the tables.
 * @param imageNet whether the encoder starts from ImageNet weights, without which there is no feature distance.
 */
export function drivingExperiment(
  preset: DrivingPresetName,
  method: MethodName,
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
