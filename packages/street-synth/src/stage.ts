// The rasteriser: planar polygons in the world become surface, texture coordinates and depth of each sample.
import type { Rgb } from './color.js';
import { CUT, cut, DRAWN, type Paint, Surface } from './paint.js';
import type { Random } from './random.js';

/** Camera above the road; the world has x to the right, y up and z ahead, in metres. */
export interface Camera {
  /** Lateral position and height. */
  x: number;
  y: number;
  /** Downward and rightward turn, and lean, in radians. */
  pitch: number;
  yaw: number;
  roll: number;
  /** Focal length in image widths. */
  focal: number;
  /** The road's bend: a point moves sideways by this times z squared. */
  bend: number;
}

export interface Light {
  /** Colour times strength of the sun, 0 under clouds. */
  sun: Rgb;
  /** Unit vector towards the sun. */
  direction: readonly [number, number, number];
  ambient: Rgb;
}

/** Vertices of a planar, convex polygon: x, y, z, u, v of each. */
export type Vertices = readonly number[];

/** Nearer than this nothing is drawn, in metres. */
const NEAR = 0.3;
/** How dark a shadow is: of the sun on open ground, or under a vehicle. */
export const CAST = 1;
export const CONTACT = 2;

export class Stage {
  /** Per sample: 1 / depth (0 = sky), the surface's number, and its coordinates over depth. */
  readonly nearness: Float32Array;
  readonly surfaceAt: Uint16Array;
  readonly uOver: Float32Array;
  readonly vOver: Float32Array;
  readonly shadow: Uint8Array;
  readonly labelIds: Uint8Array;
  readonly surfaces: Surface[] = [];
  /** Whether what is drawn next stands in shadow. */
  inShade = false;

  private readonly late: { vertices: Vertices; surface: number; bias: number }[] = [];
  private readonly shades: { x: number; z: number; dx: number; dz: number; length: number }[] = [];
  private readonly spans: { left: Float64Array; right: Float64Array };
  private readonly cosPitch: number;
  private readonly sinPitch: number;
  private readonly cosYaw: number;
  private readonly sinYaw: number;
  private readonly cosRoll: number;
  private readonly sinRoll: number;
  /** Focal length and principal point, in samples. */
  readonly f: number;
  readonly cx: number;
  readonly cy: number;

  /** @param skyId label id of what nothing is drawn on */
  constructor(
    readonly width: number,
    readonly height: number,
    readonly camera: Camera,
    readonly light: Light,
    private readonly random: Random,
    skyId: number,
  ) {
    const samples = width * height;
    this.nearness = new Float32Array(samples);
    this.surfaceAt = new Uint16Array(samples);
    this.uOver = new Float32Array(samples);
    this.vOver = new Float32Array(samples);
    this.shadow = new Uint8Array(samples);
    this.labelIds = new Uint8Array(samples).fill(skyId);
    this.spans = { left: new Float64Array(height * 4), right: new Float64Array(height * 4) };
    this.cosPitch = Math.cos(camera.pitch);
    this.sinPitch = Math.sin(camera.pitch);
    this.cosYaw = Math.cos(camera.yaw);
    this.sinYaw = Math.sin(camera.yaw);
    this.cosRoll = Math.cos(camera.roll);
    this.sinRoll = Math.sin(camera.roll);
    this.f = camera.focal * width;
    this.cx = width / 2;
    this.cy = height / 2;
  }

  /** Lateral shift of the road at distance z. */
  bendAt(z: number): number {
    return this.camera.bend * z * z;
  }

  /**
   * Adds a surface facing `normal` (unit vector).
   * @param ground whether shadows fall on it
   */
  surface(source: Paint, labelId: number, normal: readonly [number, number, number], ground = false): number {
    const { sun, direction, ambient } = this.light;
    const facing = Math.max(
      0,
      normal[0] * direction[0] + normal[1] * direction[1] + normal[2] * direction[2],
    );
    const open = 0.8 + 0.2 * normal[1];
    const shaded: Rgb = [ambient[0] * open, ambient[1] * open, ambient[2] * open];
    const lit: Rgb = this.inShade
      ? shaded
      : [shaded[0] + sun[0] * facing, shaded[1] + sun[1] * facing, shaded[2] + sun[2] * facing];
    const offset = () => this.random.range(0, 256);
    return this.surfaces.push(new Surface(source, labelId, ground, lit, shaded, offset(), offset())) - 1;
  }

  /** Draws a polygon where it is nearer than what is there. `bias` above 1 lifts it off the surface below. */
  polygon(vertices: Vertices, surface: number, bias = 1): void {
    const shape = this.surfaces[surface]!.cutout?.shape;
    if (shape === 'bars' || shape === 'mesh' || shape === 'spokes') {
      // What is seen through it has to be there first.
      this.late.push({ vertices, surface, bias });
    } else {
      this.rasterise(vertices, surface, bias);
    }
  }

  /** Draws what was put off until everything behind it is there. */
  finish(): void {
    for (const { vertices, surface, bias } of this.late) this.rasterise(vertices, surface, bias);
    this.late.length = 0;
  }

  /** Darkens the ground inside a convex outline of (x, z) pairs. */
  shadowOnGround(outline: readonly number[], strength: typeof CAST | typeof CONTACT): void {
    const vertices: number[] = [];
    for (let i = 0; i < outline.length; i += 2) vertices.push(outline[i]!, 0.03, outline[i + 1]!, 0, 0);
    const rows = this.project(vertices);
    if (rows === undefined) return;
    const { left, right } = this.spans;
    for (let y = rows.from; y < rows.to; y++) {
      const from = Math.max(0, Math.ceil(left[y * 4]! - 0.5));
      const to = Math.min(this.width, Math.ceil(right[y * 4]! - 0.5));
      for (let i = y * this.width + from; i < y * this.width + to; i++) {
        const surface = this.surfaces[this.surfaceAt[i]!];
        if (this.nearness[i]! > 0 && surface?.receivesShadow && this.shadow[i]! < strength) {
          this.shadow[i] = strength;
        }
      }
    }
  }

  /** The shadow of an upright wall from (x, z0) to (x, z1), on the ground and on what later stands there. */
  wallShadow(x: number, z0: number, z1: number, height: number): void {
    const reach = this.shadowReach(height);
    if (reach === undefined) return;
    this.shadowOnGround([x, z0, x, z1, x + reach.dx, z1 + reach.dz, x + reach.dx, z0 + reach.dz], CAST);
    this.shades.push({ x, z: z0, dx: reach.dx, dz: reach.dz, length: z1 - z0 });
  }

  /** How far a point at this height throws its shadow; undefined without sun. */
  shadowReach(height: number): { dx: number; dz: number } | undefined {
    const { sun, direction } = this.light;
    if (sun[1] < 0.2) return undefined;
    return { dx: (-direction[0] / direction[1]) * height, dz: (-direction[2] / direction[1]) * height };
  }

  /** Whether the ground at (x, z) lies in the shadow of a wall. */
  isShaded(x: number, z: number): boolean {
    return this.shades.some((s) => {
      if (s.dx === 0) return false;
      const along = (x - s.x) / s.dx;
      const z0 = s.z + along * s.dz;
      return along > 0 && along < 1 && z > z0 && z < z0 + s.length;
    });
  }

  private rasterise(vertices: Vertices, surfaceIndex: number, bias: number): void {
    const rows = this.project(vertices);
    if (rows === undefined) return;
    const { left, right } = this.spans;
    const { nearness, surfaceAt, uOver, vOver, labelIds, shadow, width } = this;
    const surface = this.surfaces[surfaceIndex]!;
    const { cutout, labelId, offsetU, offsetV } = surface;
    for (let y = rows.from; y < rows.to; y++) {
      const k = y * 4;
      const x0 = left[k]!;
      const x1 = right[k]!;
      const from = Math.max(0, Math.ceil(x0 - 0.5));
      const to = Math.min(width, Math.ceil(x1 - 0.5));
      if (from >= to) continue;
      const step = 1 / (x1 - x0);
      const dn = (right[k + 1]! - left[k + 1]!) * step;
      const du = (right[k + 2]! - left[k + 2]!) * step;
      const dv = (right[k + 3]! - left[k + 3]!) * step;
      const start = from + 0.5 - x0;
      let n = left[k + 1]! + dn * start;
      let u = left[k + 2]! + du * start;
      let v = left[k + 3]! + dv * start;
      for (let i = y * width + from, end = y * width + to; i < end; i++, n += dn, u += du, v += dv) {
        if (n * bias < nearness[i]!) continue;
        if (cutout !== undefined) {
          const state = cut(cutout, u / n, v / n, offsetU, offsetV);
          if (state === CUT) continue;
          labelIds[i] = labelId;
          if (state !== DRAWN) continue;
        }
        nearness[i] = n * bias;
        surfaceAt[i] = surfaceIndex;
        uOver[i] = u;
        vOver[i] = v;
        labelIds[i] = labelId;
        shadow[i] = 0;
      }
    }
  }

  /**
   * Clips and projects a polygon into `spans`: per row, x, 1 / depth, u / depth and v / depth of its two ends.
   * Returns the rows it covers.
   */
  private project(vertices: Vertices): { from: number; to: number } | undefined {
    const points = this.clip(this.toCamera(vertices));
    const count = points.length / 5;
    if (count < 3) return undefined;
    let top = Infinity;
    let bottom = -Infinity;
    for (let i = 0; i < count; i++) {
      const k = i * 5;
      const n = 1 / points[k + 2]!;
      points[k] = this.cx + this.f * points[k]! * n;
      points[k + 1] = this.cy - this.f * points[k + 1]! * n;
      points[k + 2] = n;
      points[k + 3] = points[k + 3]! * n;
      points[k + 4] = points[k + 4]! * n;
      top = Math.min(top, points[k + 1]!);
      bottom = Math.max(bottom, points[k + 1]!);
    }
    const from = Math.max(0, Math.ceil(top - 0.5));
    const to = Math.min(this.height, Math.ceil(bottom - 0.5));
    if (from >= to) return undefined;
    const { left, right } = this.spans;
    for (let y = from; y < to; y++) {
      left[y * 4] = Infinity;
      right[y * 4] = -Infinity;
    }
    for (let i = 0; i < count; i++) this.edge(points, i * 5, ((i + 1) % count) * 5, from, to);
    return { from, to };
  }

  private edge(points: readonly number[], a: number, b: number, from: number, to: number): void {
    const ya = points[a + 1]!;
    const yb = points[b + 1]!;
    const first = Math.max(from, Math.ceil(Math.min(ya, yb) - 0.5));
    const last = Math.min(to, Math.ceil(Math.max(ya, yb) - 0.5));
    const { left, right } = this.spans;
    for (let y = first; y < last; y++) {
      const t = (y + 0.5 - ya) / (yb - ya);
      const x = points[a]! + (points[b]! - points[a]!) * t;
      const k = y * 4;
      if (x < left[k]!) store(left, k, x, points, a, b, t);
      if (x > right[k]!) store(right, k, x, points, a, b, t);
    }
  }

  private toCamera(vertices: Vertices): number[] {
    const { camera, cosPitch, sinPitch, cosYaw, sinYaw, cosRoll, sinRoll } = this;
    const points: number[] = new Array(vertices.length);
    for (let i = 0; i < vertices.length; i += 5) {
      const depth = vertices[i + 2]!;
      const x0 = vertices[i]! + camera.bend * depth * depth - camera.x;
      const y0 = vertices[i + 1]! - camera.y;
      const x1 = x0 * cosYaw - depth * sinYaw;
      const z1 = x0 * sinYaw + depth * cosYaw;
      const y1 = y0 * cosPitch + z1 * sinPitch;
      points[i] = x1 * cosRoll - y1 * sinRoll;
      points[i + 1] = x1 * sinRoll + y1 * cosRoll;
      points[i + 2] = z1 * cosPitch - y0 * sinPitch;
      points[i + 3] = vertices[i + 3]!;
      points[i + 4] = vertices[i + 4]!;
    }
    return points;
  }

  private clip(points: number[]): number[] {
    let behind = 0;
    for (let i = 2; i < points.length; i += 5) if (points[i]! < NEAR) behind++;
    if (behind === 0) return points;
    if (behind * 5 === points.length) return [];
    const kept: number[] = [];
    for (let i = 0; i < points.length; i += 5) {
      const j = (i + 5) % points.length;
      const za = points[i + 2]!;
      const zb = points[j + 2]!;
      if (za >= NEAR) for (let k = 0; k < 5; k++) kept.push(points[i + k]!);
      if (za >= NEAR !== zb >= NEAR) {
        const t = (NEAR - za) / (zb - za);
        for (let k = 0; k < 5; k++) kept.push(points[i + k]! + (points[j + k]! - points[i + k]!) * t);
      }
    }
    return kept;
  }
}

function store(
  spans: Float64Array,
  k: number,
  x: number,
  points: readonly number[],
  a: number,
  b: number,
  t: number,
): void {
  spans[k] = x;
  for (let i = 1; i < 4; i++) {
    const value = points[a + i + 1]!;
    spans[k + i] = value + (points[b + i + 1]! - value) * t;
  }
}
