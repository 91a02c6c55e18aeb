// Datasets: readers of the published layouts and of one's own data, checks and statistics, and the rendered default.
export {
  ACDC_CONDITIONS,
  type AcdcCondition,
  DARK_ZURICH_CONDITIONS,
  type DarkZurichCondition,
  openAcdc,
  openDarkZurich,
} from './adverse.js';
export { type Bdd100kOptions, openBdd100k } from './bdd100k.js';
export { type CacheOptions, type CacheResult, cacheDataset } from './cache.js';
export {
  type CheckedSplit,
  type CheckOptions,
  checkDataset,
  checkSamples,
  type DatasetFault,
} from './check.js';
export { type CityscapesOptions, type CityscapesSplit, openCityscapes } from './cityscapes.js';
export {
  CITYSCAPES_CLASSES,
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  CITYSCAPES_LABELS,
  type CityscapesLabel,
  GTA5_LABEL_TO_TRAIN_ID,
  IGNORE_INDEX,
  LABEL_PALETTE,
  UNKNOWN_LABEL,
} from './cityscapes-classes.js';
export { type ClassDefinition, formatClassFile, readClassFile, readCvatLabelMap } from './class-file.js';
export { decodeLabel, decodeRgb } from './decode.js';
export { withoutSamples } from './file-dataset.js';
export type { OnFault } from './files.js';
export { type FolderOptions, openFolder } from './folder.js';
export { DATASET_FORMATS, type DatasetFormat } from './formats.js';
export { type Gta5Options, openGta5 } from './gta5.js';
export { availableSplits, detectFormat, type OpenOptions, openDataset, trainingSplit } from './open.js';
export { type ClassStatistics, classStatistics } from './statistics.js';
export * from './street-synth/index.js';
export { openSynthia, SYNTHIA_LABEL_TO_TRAIN_ID, type SynthiaOptions } from './synthia.js';
export {
  type ClassInfo,
  DatasetError,
  type FaultKind,
  type LabelCoding,
  type LabelMap,
  type RgbImage,
  type Sample,
  type SegmentationDataset,
} from './types.js';
