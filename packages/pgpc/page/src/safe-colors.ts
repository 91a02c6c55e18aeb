// Colours of classes that stay apart for people who do not see all colours.
//
// How a colour looks without one kind of cone: Machado, Oliveira and Fernandes, IEEE TVCG 15(6), 2009, severity 1. Distances
// are Euclidean in Oklab (Ottosson, 2020), where equal steps look about equally large.

/** Red, green and blue, 0..255 each. */
export type Rgb = readonly [number, number, number];

type Matrix = readonly [Rgb, Rgb, Rgb];

/** On linear RGB. */
const VISIONS: readonly Matrix[] = [
  [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
];

/** Levels of each channel among which colours are chosen. */
const LEVELS = [0, 36, 73, 109, 146, 182, 219, 255];

/** Black is for pixels without a class. */
const BLACK: Rgb = [0, 0, 0];

/**
 * So many colours, far from each other and from black in normal, protanopic, deuteranopic and tritanopic vision: each is
 * the farthest from all before it. A longer list begins with the colours of a shorter one.
 */
export function safeColors(count: number): Rgb[] {
  const candidates = LEVELS.flatMap((red) =>
    LEVELS.flatMap((green) => LEVELS.map((blue): Rgb => [red, green, blue])),
  );
  const seen = candidates.map(asSeen);
  const distances = candidates.map((_, i) => apart(seen[i]!, asSeen(BLACK)));
  return Array.from({ length: count }, () => {
    const best = distances.reduce((most, distance, i) => (distance > distances[most]! ? i : most), 0);
    for (const i of distances.keys()) distances[i] = Math.min(distances[i]!, apart(seen[i]!, seen[best]!));
    return candidates[best]!;
  });
}

/** The least distance of two colours over all visions. */
export function distanceOf(a: Rgb, b: Rgb): number {
  return apart(asSeen(a), asSeen(b));
}

function apart(a: readonly Rgb[], b: readonly Rgb[]): number {
  return Math.min(...a.map((color, i) => Math.hypot(...color.map((value, k) => value - b[i]![k]!))));
}

/** A colour in Oklab, once for each vision. */
function asSeen(color: Rgb): Rgb[] {
  const linear = color.map((value) => {
    const c = value / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as unknown as Rgb;
  return VISIONS.map((vision) => oklab(times(vision, linear)));
}

function oklab(linear: Rgb): Rgb {
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    linear,
  ).map(Math.cbrt) as unknown as Rgb;
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  );
}

function times(matrix: Matrix, [x, y, z]: Rgb): Rgb {
  return matrix.map(([a, b, c]) => a * x + b * y + c * z) as unknown as Rgb;
}
