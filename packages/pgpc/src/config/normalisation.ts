// The colour statistics by which every network here expects its input: ImageNet's.

/** Mean and standard deviation of RGB values in 0..255 (as mmsegmentation has them). */
export const RGB_MEAN = [123.675, 116.28, 103.53] as const;
export const RGB_STD = [58.395, 57.12, 57.375] as const;
