// From a seed to one picture with its exact labels: compose, shade, average, grade.
import type { RgbImage } from '@pgpc/datasets';
import { type Domain, type Grade, type Look, STATISTICS, sampleLook } from './domains.js';
import { smoothNoise, whiteNoise } from './noise.js';
import { ID } from './primitives.js';
import { Random } from './random.js';
import { composeScene } from './scene.js';
import { CAST, CONTACT, Stage } from './stage.js';

export interface SceneRequest {
  seed: number;
  domain: Domain;
  /** Any name; scenes of different splits are independent. */
  split: string;
  /** Number of the scene in its split, from 0. */
  index: number;
  /** Size of the picture in pixels, at least 32 each. */
  width: number;
  height: number;
}

export interface RenderedScene {
  image: RgbImage;
  /** Cityscapes label id of each pixel, row by row. */
  labelIds: Uint8Array;
}

/** Samples a pixel, in each direction. */
const SUPERSAMPLING = 2;

/**
 * Renders one scene. The result depends on the request alone: same request, same bytes. The picture is the mean
 * of 2x2 samples a pixel; the label is the one most of the four have, the nearest one's where two are equal.
 * @throws {RangeError} when the size is not whole or below 32x32, or seed or index is no whole number >= 0
 */
export function renderScene(request: SceneRequest): RenderedScene {
  const { seed, domain, split, index, width, height } = request;
  for (const [key, value, least] of [
    ['width', width, 32],
    ['height', height, 32],
    ['seed', seed, 0],
    ['index', index, 0],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`street-synth: ${key} must be a whole number of at least ${least}, not ${value}`);
    }
  }
  const random = new Random('street-synth', seed, domain, split, index);
  const look = sampleLook(domain, random);
  const stage = new Stage(
    width * SUPERSAMPLING,
    height * SUPERSAMPLING,
    look.camera,
    look.light,
    random,
    ID.sky,
  );
  composeScene(stage, look, random, domain);
  const labelIds = voteLabels(stage);
  const colors = shade(stage, look, random);
  if (STATISTICS[domain].ownHood) ownHood(colors, labelIds, width, height, random, look);
  return { image: { width, height, data: develop(colors, width, height, look.grade, random) }, labelIds };
}

function voteLabels(stage: Stage): Uint8Array {
  const { width, height, labelIds, nearness } = stage;
  const labels = new Uint8Array((width * height) / 4);
  for (let y = 0, i = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2, i++) {
      const k = y * width + x;
      const a = labelIds[k]!;
      const b = labelIds[k + 1]!;
      const c = labelIds[k + width]!;
      const d = labelIds[k + width + 1]!;
      labels[i] =
        a === b && c === d && a === c
          ? a
          : vote([a, b, c, d], [k, k + 1, k + width, k + width + 1], nearness);
    }
  }
  return labels;
}

function vote(labels: readonly number[], at: readonly number[], nearness: Float32Array): number {
  let best = 0;
  let bestVotes = 0;
  let bestNearness = -1;
  for (let i = 0; i < 4; i++) {
    const label = labels[i]!;
    const votes = labels.reduce((count, other) => count + (other === label ? 1 : 0), 0);
    const near = nearness[at[i]!]!;
    if (votes > bestVotes || (votes === bestVotes && near > bestNearness)) {
      best = label;
      bestVotes = votes;
      bestNearness = near;
    }
  }
  return best;
}

/** Colour of every pixel before grading: reflectance times light, through haze, mean of the samples. */
function shade(stage: Stage, look: Look, random: Random): Float32Array {
  const { width, height, nearness, surfaceAt, uOver, vOver, shadow, surfaces, f } = stage;
  const colors = new Float32Array((width * height * 3) / (SUPERSAMPLING * SUPERSAMPLING));
  const color = new Float64Array(3);
  const [hr, hg, hb] = look.haze;
  const density = look.hazeDensity;
  const perMetre = 1 / f;
  const cloudU = random.range(0, 256);
  const cloudV = random.range(0, 256);
  const share = 1 / (SUPERSAMPLING * SUPERSAMPLING);
  for (let y = 0, out = 0; y < height; y += SUPERSAMPLING) {
    for (let x = 0; x < width; x += SUPERSAMPLING, out += 3) {
      let r = 0;
      let g = 0;
      let b = 0;
      for (let k = 0; k < SUPERSAMPLING * SUPERSAMPLING; k++) {
        const dy = k >> 1;
        const dx = k & 1;
        const i = (y + dy) * width + x + dx;
        const near = nearness[i]!;
        if (near === 0) {
          sky(stage, look, x + dx, y + dy, cloudU, cloudV, color);
          r += color[0]!;
          g += color[1]!;
          b += color[2]!;
          continue;
        }
        const surface = surfaces[surfaceAt[i]!]!;
        const depth = 1 / near;
        surface.reflect(uOver[i]! * depth, vOver[i]! * depth, depth * perMetre, color);
        const state = shadow[i]!;
        const light = state === CAST ? surface.shaded : surface.lit;
        const lost = depth * density;
        // exp(-t) to within 2 %, and the same on every machine.
        const through = 1 / (1 + lost * (1 + lost * (0.5 + lost * 0.25)));
        const kept = state === CONTACT ? through * 0.5 : through;
        r += color[0]! * light[0] * kept + hr * (1 - through);
        g += color[1]! * light[1] * kept + hg * (1 - through);
        b += color[2]! * light[2] * kept + hb * (1 - through);
      }
      colors[out] = r * share;
      colors[out + 1] = g * share;
      colors[out + 2] = b * share;
    }
  }
  return colors;
}

function sky(
  stage: Stage,
  look: Look,
  x: number,
  y: number,
  cloudU: number,
  cloudV: number,
  out: Float64Array,
): void {
  const up = Math.max(0, (stage.cy - y) / stage.f - stage.camera.pitch + 0.02);
  const t = Math.min(1, up * 2.6);
  // Clouds lie on a plane overhead, so they shrink towards the horizon.
  const far = 1 / (up + 0.12);
  const density =
    smoothNoise(((x - stage.cx) / stage.f) * far * 14 + cloudU, far * 9 + cloudV) -
    (1 - look.cloudCover) * 0.75;
  const cover = Math.min(1, Math.max(0, density * 2.2)) * 0.85;
  const dull = look.cloudCover > 0.85;
  for (let c = 0; c < 3; c++) {
    const clear = look.horizon[c]! + (look.zenith[c]! - look.horizon[c]!) * t;
    const cloud = look.cloud[c]! * (dull ? 0.55 * clear + 0.42 : 0.97);
    out[c] = clear + (cloud - clear) * cover;
  }
}

/** The bonnet of the camera's own car across the bottom, as Cityscapes shows and labels it. */
function ownHood(
  colors: Float32Array,
  labelIds: Uint8Array,
  width: number,
  height: number,
  random: Random,
  look: Look,
): void {
  const rise = random.range(0.085, 0.1);
  const tone = random.range(0.1, 0.17);
  for (let x = 0; x < width; x++) {
    const s = (x + 0.5) / width - 0.5;
    const top = height * (1 - rise * (1 - 1.5 * s * s - 4 * s * s * s * s));
    for (let y = Math.ceil(top - 0.5); y < height; y++) {
      const i = y * width + x;
      labelIds[i] = ID.egoVehicle;
      const depth = (y + 0.5 - top) / (height - top + 1);
      // Polished metal: the sky along the edge, darker below.
      const mirror = Math.max(0, 0.55 - depth * 0.9) * (0.7 + 0.6 * smoothNoise(x * 0.25, y * 0.5));
      for (let c = 0; c < 3; c++) colors[i * 3 + c] = tone + look.horizon[c]! * mirror * 0.6;
    }
  }
}

/** The camera: lens blur, exposure, colour response, sensor noise; to 8 bits. */
function develop(
  colors: Float32Array,
  width: number,
  height: number,
  grade: Grade,
  random: Random,
): Uint8Array {
  const pixels = grade.blur > 0 ? blur(colors, width, height, grade.blur) : colors;
  const data = new Uint8Array(pixels.length);
  const curve = toneCurve(grade);
  const [tr, tg, tb] = grade.tint;
  const { saturation } = grade;
  const noiseU = random.range(0, 256);
  const noiseV = random.range(0, 256);
  const noise = grade.noise * 2.45;
  for (let y = 0, i = 0; y < height; y++) {
    const dy = y / height - 0.5;
    for (let x = 0; x < width; x++, i += 3) {
      const dx = x / width - 0.5;
      const gain = grade.exposure * (1 - grade.vignette * 2 * (dx * dx + dy * dy));
      const r = pixels[i]! * gain * tr;
      const g = pixels[i + 1]! * gain * tg;
      const b = pixels[i + 2]! * gain * tb;
      const grey = 0.3 * r + 0.59 * g + 0.11 * b;
      const u = x + noiseU;
      const v = y + noiseV;
      // Sums of two uniform numbers; most of the noise is in brightness, as after a camera's own denoising.
      const common = (whiteNoise(u, v) + whiteNoise(u + 97, v + 31) - 1) * noise;
      const red = (whiteNoise(u + 41, v + 173) - 0.5) * noise * 0.7;
      const blue = (whiteNoise(u + 151, v + 67) - 0.5) * noise * 0.7;
      data[i] = toByte(tone(curve, grey + (r - grey) * saturation) + common + red);
      data[i + 1] = toByte(tone(curve, grey + (g - grey) * saturation) + common);
      data[i + 2] = toByte(tone(curve, grey + (b - grey) * saturation) + common + blue);
    }
  }
  return data;
}

const CURVE_STEPS = 1024;

/** Contrast about mid grey and gamma, over 0..1.25; values in 0..255. Brights roll off instead of clipping. */
function toneCurve(grade: Grade): Float32Array {
  return Float32Array.from({ length: CURVE_STEPS + 1 }, (_, i) => {
    const linear = (i / CURVE_STEPS) * 1.25;
    const soft = linear < 0.8 ? linear : 0.8 + (linear - 0.8) / (1 + (linear - 0.8) * 2.6);
    const contrasted = Math.min(1, Math.max(0, (soft - 0.42) * grade.contrast + 0.42));
    return 255 * contrasted ** grade.gamma;
  });
}

function tone(curve: Float32Array, value: number): number {
  const at = value * (CURVE_STEPS / 1.25);
  return curve[at <= 0 ? 0 : at >= CURVE_STEPS ? CURVE_STEPS : at | 0]!;
}

function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}

/** A 3-tap filter (weight, 1 - 2 weight, weight) along both axes; edges repeat. */
function blur(colors: Float32Array, width: number, height: number, weight: number): Float32Array {
  const pass = (from: Float32Array, stride: number, length: number, step: number, lines: number) => {
    const to = new Float32Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let k = 0; k < length; k++) {
        const at = line * step + k * stride;
        const before = k === 0 ? at : at - stride;
        const after = k === length - 1 ? at : at + stride;
        for (let c = 0; c < 3; c++) {
          to[at + c] = from[at + c]! * (1 - 2 * weight) + (from[before + c]! + from[after + c]!) * weight;
        }
      }
    }
    return to;
  };
  return pass(pass(colors, 3, width, width * 3, height), width * 3, height, 3, width);
}
