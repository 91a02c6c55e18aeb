// Colours as three numbers, 0..1 before light and grading.
import type { Random } from './random.js';

export type Rgb = readonly [red: number, green: number, blue: number];

/** Hue in turns (0 red, 1/3 green, 2/3 blue), saturation and value 0..1. */
export function hsv(hue: number, saturation: number, value: number): Rgb {
  const channel = (offset: number) => {
    const k = (((hue * 6 + offset) % 6) + 6) % 6;
    return value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1));
  };
  return [channel(5), channel(3), channel(1)];
}

export function scale(color: Rgb, factor: number): Rgb {
  return [color[0] * factor, color[1] * factor, color[2] * factor];
}

/** `a` at t = 0, `b` at t = 1. */
export function blend(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

/** A grey of the given value with a slight tint. */
export function greyish(random: Random, low: number, high: number, saturation = 0.06): Rgb {
  return hsv(random.range(0, 1), random.range(0, saturation), random.range(low, high));
}

/** A colour near the given one: each of hue, saturation and value moved at most so far. */
export function near(
  random: Random,
  base: readonly [hue: number, saturation: number, value: number],
  spread: Rgb,
): Rgb {
  return hsv(
    base[0] + random.range(-spread[0], spread[0]),
    clamp(base[1] + random.range(-spread[1], spread[1])),
    clamp(base[2] + random.range(-spread[2], spread[2])),
  );
}

export function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
