// What a surface looks like: its colours, its pattern, and how the pattern is evaluated at a point.
import { clamp, type Rgb } from './color.js';
import { smoothNoise, whiteNoise } from './noise.js';
import { cellNoise } from './random.js';

const PLAIN = 0;
const ASPHALT = 1;
const PAVING = 2;
const FACADE = 3;
const TOWER = 4;
const FOLIAGE = 5;
const WHEEL = 6;
const GLASS = 7;
const COACH = 8;
const STRIPES = 9;

/** Parts of a surface that are not drawn, in its own coordinates (u, v) in metres. */
export type Cutout =
  | { shape: 'crown'; radiusU: number; radiusV: number; detail: number }
  | { shape: 'hedge'; height: number; detail: number }
  | { shape: 'bars'; period: number; share: number; rails: readonly [number, number] }
  | { shape: 'mesh'; period: number; share: number }
  | { shape: 'spokes'; radius: number };

/** A line painted along the road: lateral position, half width and dash pattern in metres. */
export interface LaneLine {
  x: number;
  halfWidth: number;
  /** 0 = solid. */
  period: number;
  dash: number;
  yellow: boolean;
}

/** Colours and pattern of a surface; made by the functions below. */
export interface Paint {
  kind: number;
  colors: readonly [Rgb, Rgb, Rgb];
  p: readonly number[];
  lines?: readonly LaneLine[];
  cutout?: Cutout;
}

function paint(kind: number, colors: readonly [Rgb, Rgb, Rgb], p: readonly number[]): Paint {
  return { kind, colors, p };
}

/** One colour with grain: relative amplitude, and texels a metre of the noise. */
export function plain(color: Rgb, grain = 0, texels = 8): Paint {
  return paint(PLAIN, [color, color, color], [grain, texels]);
}

/** Road surface with worn patches and painted lines; u across the road, v along it. */
export function asphalt(
  color: Rgb,
  white: Rgb,
  yellow: Rgb,
  grain: number,
  patches: number,
  lines: readonly LaneLine[],
): Paint {
  return { ...paint(ASPHALT, [color, white, yellow], [grain, patches]), lines };
}

/** Slabs with joints. */
export function paving(color: Rgb, grain: number, slab: number, joint: number): Paint {
  return paint(PAVING, [color, color, color], [grain, slab, joint]);
}

export interface FacadePattern {
  wall: Rgb;
  trim: Rgb;
  glass: Rgb;
  /** Width of a window bay and height of a floor in metres. */
  bay: number;
  floor: number;
  /** Share of the bay and of the floor that is window. */
  windowWidth: number;
  windowHeight: number;
  /** Contrast of courses of brick, 0 for plaster. */
  brick: number;
  /** Height of a ground floor of shops in metres, 0 for none. */
  shop: number;
}

/** Wall with rows of windows; v is the height above the street. */
export function facade(f: FacadePattern): Paint {
  return paint(
    FACADE,
    [f.wall, f.trim, f.glass],
    [f.bay, f.floor, f.windowWidth, f.windowHeight, f.brick, f.shop],
  );
}

/** Wall without windows, on a plinth of the trim's colour; `brick` as for a facade. */
export function masonry(color: Rgb, trim: Rgb, brick: number): Paint {
  return paint(FACADE, [color, trim, color], [1, 6, -1, -1, brick, 0]);
}

/** Curtain wall of glass between spandrels and mullions. */
export function tower(frame: Rgb, glass: Rgb, sky: Rgb, bay: number, floor: number, spandrel: number): Paint {
  return paint(TOWER, [frame, glass, sky], [bay, floor, spandrel]);
}

/** Leaves or grass between a dark and a light tone; lighter towards v = `height`, 0 = evenly lit. */
export function foliage(dark: Rgb, light: Rgb, texels: number, contrast: number, height: number): Paint {
  return paint(FOLIAGE, [dark, light, light], [texels, contrast, height]);
}

/** Tyre and hub; (u, v) from the axle. */
export function wheel(tyre: Rgb, hub: Rgb, radius: number): Paint {
  return paint(WHEEL, [tyre, hub, hub], [1 / radius]);
}

/** Window that mirrors more sky towards v = `high`. */
export function glass(dark: Rgb, sky: Rgb, low: number, high: number): Paint {
  return paint(GLASS, [dark, sky, sky], [low, high]);
}

export interface CoachPattern {
  body: Rgb;
  stripe: Rgb;
  glass: Rgb;
  windowLow: number;
  windowHigh: number;
  /** Distance of the pillars between windows, and the share of it they take. */
  pillarPeriod: number;
  pillarShare: number;
  stripeHigh: number;
}

/** Side of a bus or tram: a band of windows, and a stripe below `stripeHigh`. */
export function coach(c: CoachPattern): Paint {
  return paint(
    COACH,
    [c.body, c.stripe, c.glass],
    [c.windowLow, c.windowHigh, c.pillarPeriod, c.pillarShare, c.stripeHigh],
  );
}

/** Two colours in turn along u, in steps of half a period. */
export function stripes(a: Rgb, b: Rgb, period: number): Paint {
  return paint(STRIPES, [a, b, b], [period]);
}

/** A paint on one polygon: with its label, light and place in the noise textures. */
export class Surface {
  readonly kind: number;
  readonly p0: number;
  readonly p1: number;
  readonly p2: number;
  readonly p3: number;
  readonly p4: number;
  readonly p5: number;
  readonly colors: readonly [Rgb, Rgb, Rgb];
  readonly lines: readonly LaneLine[];
  readonly cutout: Cutout | undefined;

  /**
   * @param labelId Cityscapes label id
   * @param receivesShadow whether shadows fall on it: the ground
   * @param lit light where the sun reaches
   * @param shaded light in shadow
   */
  constructor(
    source: Paint,
    readonly labelId: number,
    readonly receivesShadow: boolean,
    readonly lit: Rgb,
    readonly shaded: Rgb,
    readonly offsetU: number,
    readonly offsetV: number,
  ) {
    this.kind = source.kind;
    const [p0 = 0, p1 = 0, p2 = 0, p3 = 0, p4 = 0, p5 = 0] = source.p;
    this.p0 = p0;
    this.p1 = p1;
    this.p2 = p2;
    this.p3 = p3;
    this.p4 = p4;
    this.p5 = p5;
    this.colors = source.colors;
    this.lines = source.lines ?? [];
    this.cutout = source.cutout;
  }

  /**
   * Reflectance at (u, v), into `out`, which is returned.
   * @param footprint metres a sample covers there; patterns finer than that fade to their mean
   */
  reflect(u: number, v: number, footprint: number, out: Float64Array): Float64Array {
    switch (this.kind) {
      case PLAIN:
        return this.tint(0, 1 + this.p0 * (this.noise(u, v, this.p1) - 0.5) * 2, out);
      case ASPHALT:
        return this.road(u, v, footprint, out);
      case PAVING: {
        const grain = 1 + this.p0 * (this.noise(u, v, 9) - 0.5) * 2;
        const row = Math.floor(v / this.p1);
        const a = fraction(u / this.p1 + (row & 1) * 0.5);
        const b = v / this.p1 - row;
        const joint = (a < 0.07 || b < 0.07 ? this.p2 : 0) * fade(footprint, this.p1 * 0.3);
        const slab = 1 + 0.1 * (cellNoise(Math.floor(u / this.p1 + (row & 1) * 0.5), row, 5) - 0.5);
        return this.tint(0, grain * slab * (1 - joint), out);
      }
      case FACADE:
        return this.windows(u, v, footprint, out);
      case TOWER: {
        const a = fraction(u / this.p0);
        const b = fraction(v / this.p1);
        if (a < 0.06 || b < this.p2) return this.tint(0, 0.9 + 0.2 * this.noise(u, v, 0.6), out);
        const pane = 0.75 + 0.5 * cellNoise(Math.floor(u / this.p0), Math.floor(v / this.p1), 11);
        const mirrored = this.noise(u, v, 0.35);
        return this.mix(1, 2, mirrored * mirrored, pane, out);
      }
      case FOLIAGE: {
        const height = this.p2 > 0 ? (v / this.p2) * 0.22 : 0;
        const t = (this.noise(u, v, this.p0) - 0.5) * this.p1 + 0.42 + height;
        const leaf = 0.82 + 0.36 * whiteNoise(u * this.p0 * 2 + this.offsetV, v * this.p0 * 2 + this.offsetU);
        return this.mix(0, 1, clamp(t), leaf, out);
      }
      case WHEEL: {
        const r = (u * u + v * v) * this.p0 * this.p0;
        return this.tint(r < 0.36 ? 1 : 0, r < 0.02 ? 0.5 : 1, out);
      }
      case GLASS: {
        const t = (v - this.p0) / (this.p1 - this.p0);
        return this.mix(0, 1, clamp(t) * 0.8, 0.8 + 0.4 * this.noise(u, v, 3), out);
      }
      case COACH: {
        if (v > this.p0 && v < this.p1) {
          if (fraction(u / this.p2) < this.p3) return this.tint(0, 0.35, out);
          return this.tint(2, 0.7 + 0.6 * cellNoise(Math.floor(u / this.p2), 0, 3), out);
        }
        return this.tint(v < this.p4 ? 1 : 0, 0.97 + 0.06 * this.noise(u, v, 2), out);
      }
      default:
        return this.tint(fraction(u / this.p0) < 0.5 ? 0 : 1, 0.95 + 0.1 * this.noise(u, v, 6), out);
    }
  }

  private road(u: number, v: number, footprint: number, out: Float64Array): Float64Array {
    for (const line of this.lines) {
      const distance = Math.abs(u - line.x);
      if (distance > line.halfWidth + footprint) continue;
      if (line.period > 0 && fraction(v / line.period) * line.period > line.dash) continue;
      // Beyond the point where a line is thinner than a sample it only lightens the asphalt.
      const cover = Math.min(
        1,
        line.halfWidth / footprint,
        (line.halfWidth + footprint - distance) / footprint,
      );
      const worn = 0.55 + 0.45 * smoothNoise(u * 20 + this.offsetU, v * 6);
      return this.mix(0, line.yellow ? 2 : 1, cover * worn, 1, out);
    }
    const fine = (this.noise(u, v, 14) - 0.5) * 2 * this.p0 * fade(footprint, 0.12);
    const patch = (smoothNoise(u * 1.6 + this.offsetV, v * 0.7 + this.offsetU) - 0.5) * 2 * this.p1;
    return this.tint(0, 1 + fine + patch, out);
  }

  private windows(u: number, v: number, footprint: number, out: Float64Array): Float64Array {
    const shop = this.p5;
    if (v < shop) {
      const bay = this.p0 * 2;
      const cell = Math.floor(u / bay);
      const a = u / bay - cell;
      const b = v / shop;
      if (b > 0.78) return this.tint(1, 0.4 + 1.1 * cellNoise(cell, 1, 23), out);
      if (a < 0.08 || b < 0.12) return this.tint(0, 0.8, out);
      return this.tint(2, 0.5 + 1.2 * cellNoise(cell, 2, 29) * (0.6 + 0.8 * b), out);
    }
    const x = u / this.p0;
    const y = (v - shop) / this.p1;
    const column = Math.floor(x);
    const row = Math.floor(y);
    const a = Math.abs(x - column - 0.5) * 2;
    const b = Math.abs(y - row - 0.52) * 2;
    if (a < this.p2 && b < this.p3) {
      if (a > this.p2 - 0.09 || b > this.p3 - 0.07 || a < 0.04) return this.tint(1, 1, out);
      const pane = cellNoise(column, row, 31);
      return this.tint(2, pane > 0.86 ? 1.9 : 0.6 + 0.7 * pane + 0.25 * (y - row), out);
    }
    let wall = 1 + 0.12 * (this.noise(u, v, 4) - 0.5);
    if (this.p4 > 0) {
      const course = fraction(v / 0.3) < 0.22 || fraction(u / 0.6 + (Math.floor(v / 0.3) & 1) * 0.5) < 0.1;
      wall *= 1 - (course ? this.p4 * fade(footprint, 0.12) : 0);
      wall *= 1 + 0.25 * this.p4 * (this.noise(u, v, 18) - 0.5);
    }
    if (y - row < 0.05) return this.tint(1, 0.9, out);
    return this.tint(0, wall, out);
  }

  private noise(u: number, v: number, texels: number): number {
    return smoothNoise(u * texels + this.offsetU, v * texels + this.offsetV);
  }

  private tint(index: 0 | 1 | 2, factor: number, out: Float64Array): Float64Array {
    const color = this.colors[index];
    out[0] = color[0] * factor;
    out[1] = color[1] * factor;
    out[2] = color[2] * factor;
    return out;
  }

  private mix(from: 0 | 1 | 2, to: 0 | 1 | 2, t: number, factor: number, out: Float64Array): Float64Array {
    const a = this.colors[from];
    const b = this.colors[to];
    out[0] = (a[0] + (b[0] - a[0]) * t) * factor;
    out[1] = (a[1] + (b[1] - a[1]) * t) * factor;
    out[2] = (a[2] + (b[2] - a[2]) * t) * factor;
    return out;
  }
}

/** What a cutout leaves of the point (u, v): drawn, cut away, or see-through (labelled, but not coloured). */
export const DRAWN = 0;
export const CUT = 1;
const SEE_THROUGH = 2;

export function cut(cutout: Cutout, u: number, v: number, offsetU: number, offsetV: number): 0 | 1 | 2 {
  switch (cutout.shape) {
    case 'crown': {
      const a = u / cutout.radiusU;
      const b = v / cutout.radiusV;
      const edge = 0.35 + 0.85 * smoothNoise(u * cutout.detail + offsetV, v * cutout.detail + offsetU);
      return a * a + b * b > edge ? CUT : DRAWN;
    }
    case 'hedge': {
      const edge = 0.7 + 0.3 * smoothNoise(u * cutout.detail + offsetV, offsetU);
      return v > cutout.height * edge ? CUT : DRAWN;
    }
    case 'bars':
      return fraction(u / cutout.period) < cutout.share ||
        Math.abs(v - cutout.rails[0]) < 0.05 ||
        Math.abs(v - cutout.rails[1]) < 0.05
        ? DRAWN
        : SEE_THROUGH;
    case 'mesh':
      return fraction((u + v) / cutout.period) < cutout.share ||
        fraction((u - v) / cutout.period) < cutout.share
        ? DRAWN
        : SEE_THROUGH;
    case 'spokes': {
      const r = (u * u + v * v) / (cutout.radius * cutout.radius);
      return r > 0.66 || r < 0.02 || Math.abs(u * v) < 0.004 ? DRAWN : SEE_THROUGH;
    }
  }
}

function fraction(value: number): number {
  return value - Math.floor(value);
}

/** 1 where samples are finer than `detail` metres, towards 0 where they are coarser. */
function fade(footprint: number, detail: number): number {
  return detail > footprint ? 1 : (detail / footprint) * (detail / footprint);
}
