/** Readers of published data sets and of your own data, their images, checks and statistics. @module @pgpc/datasets */

export { type CacheOptions, type CacheResult, cacheDataset } from './cache.js';
export {
  type CheckedSplit,
  type CheckOptions,
  checkDataset,
  checkSamples,
  type DatasetFault,
  type ImageFacts,
} from './check.js';
export {
  CITYSCAPES_CLASSES,
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  CITYSCAPES_LABELS,
  type CityscapesLabel,
  GTA5_LABEL_TO_TRAIN_ID,
  isCityscapes,
  LABEL_PALETTE,
} from './classes/cityscapes.js';
export {
  type ClassDefinition,
  formatClassFile,
  numberedClasses,
  readClassFile,
  readCvatLabelMap,
} from './classes/class-file.js';
export {
  type ClassMapping,
  type MappedClass,
  type MappedDataset,
  type MappedFrom,
  mapClasses,
  mapStatistics,
  refuseUnknownNames,
  settleMapping,
} from './classes/mapping.js';
export { isMappingFile, readMappingFile } from './classes/mapping-file.js';
export { NamedEntries, nameKey } from './classes/names.js';
export { type Proposal, proposeMapping } from './classes/proposal.js';
export { formatProposal, type ProposedDomain, proposedEntries } from './classes/proposal-text.js';
export { DatasetError, type FaultKind, shortened } from './errors.js';
export { type ConcurrentOptions, forEachConcurrently } from './files/concurrent.js';
export { parseJson } from './files/json-text.js';
export {
  type FileSearch,
  IMAGE_ENDINGS,
  type LabelUse,
  listFiles,
  type OnFault,
  type ReaderOptions,
} from './files/list.js';
export { parsedBy } from './files/parsed-by.js';
export { Remarks } from './files/remarks.js';
export { flushFolderSync, naming, writeJson, writeWhole, writeWholeSync } from './files/write-whole.js';
export {
  DATASET_FORMATS,
  type DatasetFormat,
  type PublishedSplit,
  SOURCE_LAYOUTS,
  type SourceLayout,
} from './formats.js';
export {
  decodeRgb,
  encodeGrey,
  encodeIndexed,
  encodePng,
  encodeRgb,
  imageSize,
  type LabelMap,
  openImage,
  type PngImage,
  type Rect,
  type RgbImage,
  resizeWindow,
  type ScaledLabel,
  type Size,
  scaledSize,
  scaleLabel,
  sourceRect,
  type ValueRange,
} from './images/index.js';
export { type Finding, inspectImages, inspectLabels } from './inspect.js';
export { countValues, decodeLabel, labelMapOf, unknownValues } from './labels/decode.js';
export { proposeClassFile } from './labels/propose.js';
export { type LabelValues, readLabelValues } from './labels/values.js';
export {
  availableSplits,
  type DetectedLayout,
  describeLayout,
  detectFormat,
  detectLayout,
  type OpenOptions,
  openDataset,
  trainingSplit,
} from './open.js';
export {
  ACDC_CONDITIONS,
  type AcdcCondition,
  DARK_ZURICH_CONDITIONS,
  type DarkZurichCondition,
  openAcdc,
  openDarkZurich,
} from './readers/adverse.js';
export { openBdd100k } from './readers/bdd100k.js';
export { openCamvid } from './readers/camvid.js';
export { openCityscapes } from './readers/cityscapes.js';
export { openCoco } from './readers/coco.js';
export { FileDataset, sizeMismatch, withoutSamples } from './readers/file-dataset.js';
export { type FolderOptions, openFolder } from './readers/folder.js';
export { type Gta5Options, openGta5 } from './readers/gta5.js';
export { openIdd } from './readers/idd.js';
export { openKitti } from './readers/kitti.js';
export { openLabelStudio } from './readers/label-studio.js';
export { openMapillary } from './readers/mapillary.js';
export { openRoboflow } from './readers/roboflow.js';
export { openSupervisely } from './readers/supervisely.js';
export {
  openSynthia,
  type SynthiaOptions,
  synthiaLabelId,
} from './readers/synthia.js';
export { SYNTHIA_LABEL_TO_TRAIN_ID } from './readers/synthia-subsets.js';
export { type ClassStatistics, classStatistics } from './statistics.js';
export { compiledProgram, serveTasks, ThreadPool } from './threads.js';
export {
  type ClassInfo,
  IGNORE_INDEX,
  type LabelCoding,
  type Sample,
  type SegmentationDataset,
  UNKNOWN_LABEL,
} from './types.js';
