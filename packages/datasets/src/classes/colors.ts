// Colours of classes: as numbers, as text, and by default.

import type { ClassInfo } from '../types.js';

export type Color = ClassInfo['color'];

/** 0xRRGGBB. */
export const packed = ([red, green, blue]: Color): number => (red << 16) | (green << 8) | blue;

export const unpacked = (code: number): Color => [code >> 16, (code >> 8) & 255, code & 255];

/** `#rrggbb` of 0xRRGGBB. */
export const hexColor = (code: number): string => `#${code.toString(16).padStart(6, '0')}`;

/** Pascal VOC's colour of label `index` + 1: the bits of the number spread over the channels, high ones first. */
export function defaultColor(index: number): Color {
  const channels: [number, number, number] = [0, 0, 0];
  for (let rest = index + 1, bit = 7; rest > 0 && bit >= 0; rest >>= 3, bit--) {
    for (const channel of [0, 1, 2] as const) channels[channel] |= ((rest >> channel) & 1) << bit;
  }
  return channels;
}
