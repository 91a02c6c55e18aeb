// Two tileable noise textures, made once: a smooth one of many scales and a white one.
import { cellNoise, Random } from './random.js';

const SIZE = 256;
const MASK = SIZE - 1;

const fractal = buildFractal();
const white = buildWhite();

/** Sum of value noise at periods 32, 16, 8, 4 and 2 texels, each of 0.62 the amplitude before it, in [0, 1]. */
function buildFractal(): Float32Array {
  const texture = new Float32Array(SIZE * SIZE);
  let amplitude = 1;
  for (let period = 32; period >= 2; period /= 2, amplitude *= 0.62) {
    const cells = SIZE / period;
    const corners = Float64Array.from({ length: cells * cells }, (_, i) =>
      cellNoise(i % cells, Math.floor(i / cells), period),
    );
    for (let y = 0; y < SIZE; y++) {
      const gy = Math.floor(y / period);
      const fy = ease(y / period - gy);
      const upper = gy * cells;
      const lower = ((gy + 1) % cells) * cells;
      for (let x = 0; x < SIZE; x++) {
        const gx = Math.floor(x / period);
        const next = (gx + 1) % cells;
        const fx = ease(x / period - gx);
        const top = corners[upper + gx]! * (1 - fx) + corners[upper + next]! * fx;
        const bottom = corners[lower + gx]! * (1 - fx) + corners[lower + next]! * fx;
        texture[y * SIZE + x]! += amplitude * (top * (1 - fy) + bottom * fy);
      }
    }
  }
  let low = Infinity;
  let high = -Infinity;
  for (const value of texture) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return texture.map((value) => (value - low) / (high - low));
}

function buildWhite(): Float32Array {
  const random = new Random('white noise');
  return Float32Array.from({ length: SIZE * SIZE }, () => random.range(0, 1));
}

function ease(t: number): number {
  return t * t * (3 - 2 * t);
}

/** The smooth texture at (u, v) in texels, bilinear, in [0, 1]; its largest features are 32 texels wide. */
export function smoothNoise(u: number, v: number): number {
  const x = Math.floor(u);
  const y = Math.floor(v);
  const fx = u - x;
  const x0 = x & MASK;
  const x1 = (x + 1) & MASK;
  const row0 = (y & MASK) << 8;
  const row1 = ((y + 1) & MASK) << 8;
  const top = fractal[row0 | x0]! * (1 - fx) + fractal[row0 | x1]! * fx;
  const bottom = fractal[row1 | x0]! * (1 - fx) + fractal[row1 | x1]! * fx;
  return top + (bottom - top) * (v - y);
}

/** The white texture at (u, v) in texels, nearest, in [0, 1). */
export function whiteNoise(u: number, v: number): number {
  return white[((Math.floor(v) & MASK) << 8) | (Math.floor(u) & MASK)]!;
}
