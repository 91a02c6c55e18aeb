// Images: the one door to decoding, encoding and resizing them.

export { decodeRgb, imageSize, openImage } from './decode.js';
export { encodeGrey, encodeIndexed, encodePng, encodeRgb, type PngImage } from './encode.js';
export { READ_BY_RANGE } from './libvips.js';
export { type Png, readPng } from './png.js';
export type { ValueRange } from './range.js';
export { resizeWindow, type ScaledLabel, scaledSize, scaleLabel, sourceRect } from './resize.js';
export { encodeRowPng, MOST_COLUMNS } from './row-png.js';
export { readSamples } from './samples.js';
export type { LabelMap, Rect, RgbImage, Size } from './types.js';
