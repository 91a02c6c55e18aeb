// Sizes, regions and decoded pixels.

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A part of an image, in pixels. */
export interface Rect extends Size {
  readonly top: number;
  readonly left: number;
}

/** Colour image, interleaved rows: `data[(y * width + x) * 3 + channel]`, sRGB, 0..255. */
export interface RgbImage extends Size {
  readonly data: Uint8Array;
}

/** Label map, one byte a pixel, row by row: trainIds 0..253, or 255 to ignore. */
export interface LabelMap extends Size {
  readonly data: Uint8Array;
}
