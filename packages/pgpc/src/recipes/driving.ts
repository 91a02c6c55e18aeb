// The paper's experiments: GTA5 and SYNTHIA to Cityscapes, each method on each network, as typed values.

import { pgpcContrast } from '../config/contrast.js';
import type { DataConfig } from '../config/data.js';
import type { Experiment } from '../config/experiment.js';
import { type MethodParts, methodConfig } from '../config/method.js';
import type { MultiResolutionOptions } from '../config/multi-resolution.js';
import { daformerRareClasses, type RareClassOptions } from '../config/rare-classes.js';
import type { NetworkName } from '../config/segmentor.js';
import { isDino, networks, segmentorConfig } from '../config/segmentor.js';
import { daformerSelfTraining } from '../config/self-training.js';
import { daformerRecipe, type RecipeOverrides } from './daformer.js';

type Domain = Pick<DataConfig['source'], 'format' | 'scale'>;

interface DrivingPreset {
  source: Domain;
  target: Domain;
  protocols: DataConfig['protocols'];
  rareClasses: RareClassOptions;
}

/** Cityscapes at half size, as DAFormer trains and evaluates on it. */
const cityscapes: Domain = { format: 'cityscapes', scale: { width: 1024, height: 512 } };
/** For a label of Cityscapes' own size. */
const cityscapesRareClasses = { ...daformerRareClasses, minImageShare: 3000 / (2048 * 1024) };

export const drivingPresets = {
  // Configuration gta2cs_uda_warm_fdthings_rcs_croppl_a999 of DAFormer.
  'gta5-cityscapes': {
    source: { format: 'gta5', scale: { width: 1280, height: 720 } },
    target: cityscapes,
    protocols: [],
    rareClasses: daformerRareClasses,
  },
  // The same with `synthia2cs`; its results are given over the classes that SYNTHIA has.
  'synthia-cityscapes': {
    source: { format: 'synthia', scale: { width: 1280, height: 760 } },
    target: cityscapes,
    protocols: [16, 13],
    // Here the reference's 3000 pixels refer to a label of 1280 x 760.
    rareClasses: { ...daformerRareClasses, minImageShare: 3000 / (1280 * 760) },
  },
  // `cs2acdc` and `cs2dzur`: weather and night, without labels there.
  'cityscapes-acdc': {
    source: cityscapes,
    target: { format: 'acdc', scale: { width: 960, height: 540 } },
    protocols: [],
    rareClasses: cityscapesRareClasses,
  },
  'cityscapes-dark-zurich': {
    source: cityscapes,
    target: { format: 'dark-zurich', scale: { width: 960, height: 540 } },
    protocols: [],
    rareClasses: cityscapesRareClasses,
  },
} as const satisfies Record<string, DrivingPreset>;

export type DrivingPresetName = keyof typeof drivingPresets;
export const drivingPresetNames = Object.keys(drivingPresets) as DrivingPresetName[];

/** The data of a preset. @param twice whether images are twice as large on each side, as HRDA trains on them. */
export function drivingData(
  preset: DrivingPresetName,
  sourceRoot: string,
  targetRoot: string,
  twice = false,
): DataConfig {
  const { source, target, protocols }: DrivingPreset = drivingPresets[preset];
  const domain = ({ format, scale }: Domain, root: string) => {
    const { width, height } = scale!;
    const factor = twice ? 2 : 1;
    return { format, root, scale: { width: factor * width, height: factor * height } };
  };
  return { source: domain(source, sourceRoot), target: domain(target, targetRoot), protocols };
}

/** Where HRDA gives no pseudo-labels: 30 and 240 rows and 30 columns on each side of an image of 2048 x 1024. */
const HRDA_MARGINS = { top: 30 / 1024, bottom: 240 / 1024, left: 30 / 2048, right: 30 / 2048 };

/** Rows of the crop in which Cityscapes shows the lens's edge and the car's own bonnet: 15 and 120 of 512. */
function cityscapesMargins(cropHeight: number): { ignoreTop: number; ignoreBottom: number } {
  return {
    ignoreTop: Math.round((15 / 512) * cropHeight),
    ignoreBottom: Math.round((120 / 512) * cropHeight),
  };
}

/**
 * One experiment of the tables.
 * @param imageNet whether the encoder starts from ImageNet weights; else there is no feature distance, and none of DINO's encoders.
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
    maskedConsistency,
    multiResolution,
    ...overrides
  }: RecipeOverrides &
    Pick<MethodParts, 'style' | 'denoise' | 'weighting' | 'maskedConsistency'> & {
      multiResolution?: MultiResolutionOptions;
    } = {},
): Experiment {
  const { rareClasses, target }: DrivingPreset = drivingPresets[preset];
  const [backbone, head] = networks[network];
  const crop = overrides.crop?.height ?? 512;
  // HRDA's and MIC's authors have margins for Cityscapes alone, DAFormer's for every target.
  const later = multiResolution !== undefined || maskedConsistency !== undefined;
  const margins =
    later && target.format !== 'cityscapes'
      ? {}
      : multiResolution
        ? { imageMargins: HRDA_MARGINS }
        : cityscapesMargins(crop);
  const selfTraining = { ...daformerSelfTraining, ...margins };
  return daformerRecipe({
    segmentor: segmentorConfig(backbone, head, { ...(multiResolution && { multiResolution }) }),
    method: methodConfig(method, {
      selfTraining,
      contrast: pgpcContrast,
      ...((!imageNet || isDino(backbone)) && { featureDistance: false }),
      style,
      denoise,
      weighting,
      maskedConsistency,
    }),
    rareClasses,
    ...overrides,
  });
}
