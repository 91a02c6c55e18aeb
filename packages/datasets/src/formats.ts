// The names of the layouts that are read.

export const DATASET_FORMATS = [
  'gta5',
  'synthia',
  'cityscapes',
  'acdc',
  'dark-zurich',
  'bdd100k',
  'camvid',
  'mapillary',
  'kitti',
  'idd',
  'coco',
  'supervisely',
  'label-studio',
  'roboflow',
  'folder',
  'photos',
] as const;
export type DatasetFormat = (typeof DATASET_FORMATS)[number];

/** The splits of layouts that have a folder for each. */
export const PUBLISHED_SPLITS = ['train', 'val', 'test'] as const;
export type PublishedSplit = (typeof PUBLISHED_SPLITS)[number];

/** The layouts that rendered source scenes are written in. */
export const SOURCE_LAYOUTS = ['gta5', 'synthia'] as const satisfies readonly DatasetFormat[];
export type SourceLayout = (typeof SOURCE_LAYOUTS)[number];
