// The label definitions of Cityscapes, which GTA5 shares: 19 trained classes, 35 label ids and their colours.

import { type ClassInfo, IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
/** One label of Cityscapes' definition, trained or not. */
export interface CityscapesLabel {
  /** -1 (license plate) to 33. */
  readonly labelId: number;
  readonly name: string;
  /** 0..18, or 255 for a label that is not trained. */
  readonly trainId: number;
  readonly color: readonly [red: number, green: number, blue: number];
  /** Whether the annotators drew single instances of it. */
  readonly hasInstances: boolean;
}

type Row = readonly [labelId: number, name: string, trainId: number, color: number, hasInstances: boolean];

const ROWS: readonly Row[] = [
  [0, 'unlabeled', 255, 0x000000, false],
  [1, 'ego vehicle', 255, 0x000000, false],
  [2, 'rectification border', 255, 0x000000, false],
  [3, 'out of roi', 255, 0x000000, false],
  [4, 'static', 255, 0x000000, false],
  [5, 'dynamic', 255, 0x6f4a00, false],
  [6, 'ground', 255, 0x510051, false],
  [7, 'road', 0, 0x804080, false],
  [8, 'sidewalk', 1, 0xf423e8, false],
  [9, 'parking', 255, 0xfaaaa0, false],
  [10, 'rail track', 255, 0xe6968c, false],
  [11, 'building', 2, 0x464646, false],
  [12, 'wall', 3, 0x66669c, false],
  [13, 'fence', 4, 0xbe9999, false],
  [14, 'guard rail', 255, 0xb4a5b4, false],
  [15, 'bridge', 255, 0x966464, false],
  [16, 'tunnel', 255, 0x96785a, false],
  [17, 'pole', 5, 0x999999, false],
  [18, 'polegroup', 255, 0x999999, false],
  [19, 'traffic light', 6, 0xfaaa1e, false],
  [20, 'traffic sign', 7, 0xdcdc00, false],
  [21, 'vegetation', 8, 0x6b8e23, false],
  [22, 'terrain', 9, 0x98fb98, false],
  [23, 'sky', 10, 0x4682b4, false],
  [24, 'person', 11, 0xdc143c, true],
  [25, 'rider', 12, 0xff0000, true],
  [26, 'car', 13, 0x00008e, true],
  [27, 'truck', 14, 0x000046, true],
  [28, 'bus', 15, 0x003c64, true],
  [29, 'caravan', 255, 0x00005a, true],
  [30, 'trailer', 255, 0x00006e, true],
  [31, 'train', 16, 0x005064, true],
  [32, 'motorcycle', 17, 0x0000e6, true],
  [33, 'bicycle', 18, 0x770b20, true],
  [-1, 'license plate', 255, 0x00008e, false],
];

/** All 35 labels, in the order of Cityscapes' own definition (Cordts et al., CVPR 2016; cityscapesScripts). */
export const CITYSCAPES_LABELS: readonly CityscapesLabel[] = ROWS.map(
  ([labelId, name, trainId, color, hasInstances]) => ({
    labelId,
    name,
    trainId,
    color: [color >> 16, (color >> 8) & 255, color & 255],
    hasInstances,
  }),
);

/**
 * The 19 trained classes, in the order of their trainIds. `kind` is Cityscapes' own: a thing has instances.
 * (DAFormer's feature distance also counts traffic lights and signs as things.)
 */
export const CITYSCAPES_CLASSES: readonly ClassInfo[] = CITYSCAPES_LABELS.filter(
  (label) => label.trainId !== IGNORE_INDEX,
).map(({ labelId, name, trainId, color, hasInstances }) => ({
  trainId,
  labelId,
  name,
  color,
  kind: hasInstances ? 'thing' : 'stuff',
}));

/** Table from the byte in a Cityscapes `labelIds` file to its trainId; -1 is stored as the byte 255. */
export const CITYSCAPES_LABEL_TO_TRAIN_ID: Uint8Array = new Uint8Array(256).fill(UNKNOWN_LABEL);
for (const { labelId, trainId } of CITYSCAPES_LABELS) CITYSCAPES_LABEL_TO_TRAIN_ID[labelId & 255] = trainId;

/** The same for GTA5's label files, where the license plate is palette index 34 (Richter et al., ECCV 2016). */
export const GTA5_LABEL_TO_TRAIN_ID: Uint8Array = CITYSCAPES_LABEL_TO_TRAIN_ID.slice();
GTA5_LABEL_TO_TRAIN_ID[34] = IGNORE_INDEX;

/** Palette of GTA5's label files: 35 colours, the index is the label id, 34 is the license plate. */
export const LABEL_PALETTE: readonly (readonly [number, number, number])[] = CITYSCAPES_LABELS.map(
  (label) => label.color,
);

/** Table of label files that hold trainIds already: 0..18, and 255 to ignore. */
const TRAIN_ID_TABLE: Uint8Array = new Uint8Array(256).fill(UNKNOWN_LABEL);
for (const { trainId } of CITYSCAPES_LABELS) TRAIN_ID_TABLE[trainId] = trainId;

/** The 19 classes with their trainIds as the values of labels. */
const BY_TRAIN_ID: readonly ClassInfo[] = CITYSCAPES_CLASSES.map((info) => ({
  ...info,
  labelId: info.trainId,
}));

/** Cityscapes' classes in labels that hold its label ids, or its trainIds. */
export function cityscapesClasses(values: 'labelIds' | 'trainIds'): {
  readonly classes: readonly ClassInfo[];
  readonly labelCoding: LabelCoding;
} {
  return values === 'trainIds'
    ? { classes: BY_TRAIN_ID, labelCoding: { kind: 'values', table: TRAIN_ID_TABLE } }
    : {
        classes: CITYSCAPES_CLASSES,
        labelCoding: { kind: 'values', table: CITYSCAPES_LABEL_TO_TRAIN_ID },
      };
}

/** Whether these are the 19 classes of Cityscapes, in their order. */
export function isCityscapes(classes: readonly Pick<ClassInfo, 'name'>[]): boolean {
  return (
    classes.length === CITYSCAPES_CLASSES.length &&
    classes.every(({ name }, i) => name === CITYSCAPES_CLASSES[i]!.name)
  );
}
