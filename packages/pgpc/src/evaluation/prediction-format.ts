// What the files of predictions can hold.

/**
 * What a pixel of a prediction file holds:
 * - `trainIds`: the class's index, in a palette PNG that shows the classes' colours: one file for eye and program;
 * - `labelIds`: the value of the dataset's own label files, grey: what Cityscapes' test server takes;
 * - `color`: the class's colour as RGB.
 */
export const PREDICTION_FORMATS = ['trainIds', 'labelIds', 'color'] as const;
export type PredictionFormat = (typeof PREDICTION_FORMATS)[number];
