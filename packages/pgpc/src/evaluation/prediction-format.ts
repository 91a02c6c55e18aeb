// What is written of predictions.

/**
 * What a pixel of a prediction file holds:
 * - `trainIds`: the class's index, in a palette PNG that shows the classes' colours: one file for eye and program;
 * - `labelIds`: the value of the dataset's own label files, grey: what Cityscapes' test server takes;
 * - `color`: the class's colour as RGB.
 */
export const PREDICTION_FORMATS = ['trainIds', 'labelIds', 'color'] as const;
export type PredictionFormat = (typeof PREDICTION_FORMATS)[number];

/**
 * The pictures of an image, each kind in a folder of its name:
 * - `overlays`: the classes' colours over the image, with a legend of the classes that are there (JPEG);
 * - `labels`: the label map (PNG), in one of {@link LABEL_FORMATS};
 * - `colors`: the classes' colours alone (PNG);
 * - `confidence`: the probability of each pixel's class, grey, 255 for 1 (PNG).
 */
export const PICTURE_KINDS = ['overlays', 'labels', 'colors', 'confidence'] as const;
export type PictureKind = (typeof PICTURE_KINDS)[number];

/** What label maps hold, of {@link PREDICTION_FORMATS}. */
export const LABEL_FORMATS = ['trainIds', 'labelIds'] as const;
export type LabelFormat = (typeof LABEL_FORMATS)[number];
