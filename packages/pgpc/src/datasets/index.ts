// Datasets: readers of the published layouts, and the rendered default data.
export { type CityscapesSplit, openCityscapes } from './cityscapes.js';
export {
  CITYSCAPES_CLASSES,
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  CITYSCAPES_LABELS,
  type CityscapesLabel,
  GTA5_LABEL_TO_TRAIN_ID,
  IGNORE_INDEX,
  LABEL_PALETTE,
} from './cityscapes-classes.js';
export { type Gta5Options, openGta5 } from './gta5.js';
export * from './street-synth/index.js';
export {
  type ClassInfo,
  DatasetError,
  type LabelMap,
  type RgbImage,
  type Sample,
  type SegmentationDataset,
} from './types.js';
