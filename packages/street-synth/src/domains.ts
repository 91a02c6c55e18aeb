// The two domains: how a scene of each looks, and what stands in its streets. All numbers of the gap are here.
import { blend, clamp, greyish, hsv, near, type Rgb, scale } from './color.js';
import type { Random } from './random.js';
import type { Camera, Light } from './stage.js';

/**
 * `source` is rendered as a driving game looks, `target` as a dash camera in a central European city sees. In `varied` every
 * scene has a light, a palette, textures and a camera of its own, far beyond both: for networks that are to start from
 * streets but from neither domain.
 */
export type Domain = 'source' | 'target' | 'varied';

/** Whose signs, signals and markings stand in a street. */
export type Country = Exclude<Domain, 'varied'>;

export type StreetType = 'avenue' | 'street' | 'suburb' | 'highway';

/** How often and how many of what there is. Probabilities a scene, unless said otherwise. */
export interface Statistics {
  streets: Readonly<Record<StreetType, number>>;
  /** Storeys of a house, and of a tall building. */
  storeys: readonly [number, number];
  tallStoreys: readonly [number, number];
  /** Share of tall buildings along avenues, and the share of tall buildings with curtain walls. */
  tall: number;
  curtainWall: number;
  /** Factor on the widths of lanes and pavements. */
  streetWidth: number;
  /** Mean share of taken parking places, and of taken places in the lanes. */
  parked: number;
  driving: number;
  people: number;
  /** Most people in a scene that has any. */
  crowd: number;
  cyclist: number;
  parkedBicycles: number;
  motorcyclist: number;
  parkedMotorcycle: number;
  bus: number;
  truck: number;
  tram: number;
  trees: number;
  /** Poles a scene, at most. */
  lights: number;
  signs: number;
  streetFurniture: number;
  ownHood: boolean;
}

export const STATISTICS: Readonly<Record<Domain, Statistics>> = {
  source: {
    streets: { avenue: 0.42, street: 0.16, suburb: 0.16, highway: 0.26 },
    storeys: [2, 5],
    tallStoreys: [8, 24],
    tall: 0.7,
    curtainWall: 0.5,
    streetWidth: 1.1,
    parked: 0.35,
    driving: 0.4,
    people: 0.62,
    crowd: 7,
    cyclist: 0.19,
    parkedBicycles: 0.15,
    motorcyclist: 0.13,
    parkedMotorcycle: 0.06,
    bus: 0.13,
    truck: 0.2,
    tram: 0.14,
    trees: 0.45,
    lights: 5,
    signs: 3,
    streetFurniture: 0.4,
    ownHood: false,
  },
  target: {
    streets: { avenue: 0.24, street: 0.48, suburb: 0.24, highway: 0.04 },
    storeys: [3, 6],
    tallStoreys: [6, 9],
    tall: 0.25,
    curtainWall: 0.12,
    streetWidth: 0.94,
    parked: 0.55,
    driving: 0.3,
    people: 0.8,
    crowd: 12,
    cyclist: 0.24,
    parkedBicycles: 0.22,
    motorcyclist: 0.1,
    parkedMotorcycle: 0.1,
    bus: 0.16,
    truck: 0.14,
    tram: 0.11,
    trees: 0.6,
    lights: 5,
    signs: 4,
    streetFurniture: 0.6,
    ownHood: true,
  },
  // Kinds of streets and objects as equally frequent as scenes allow.
  varied: {
    streets: { avenue: 0.3, street: 0.3, suburb: 0.25, highway: 0.15 },
    storeys: [1, 7],
    tallStoreys: [6, 20],
    tall: 0.4,
    curtainWall: 0.3,
    streetWidth: 1,
    parked: 0.45,
    driving: 0.4,
    people: 0.8,
    crowd: 10,
    cyclist: 0.4,
    parkedBicycles: 0.3,
    motorcyclist: 0.3,
    parkedMotorcycle: 0.2,
    bus: 0.3,
    truck: 0.3,
    tram: 0.25,
    trees: 0.55,
    lights: 6,
    signs: 5,
    streetFurniture: 0.5,
    ownHood: false,
  },
};

/** Colours to draw from, each call anew. */
export interface Palette {
  wall(): Rgb;
  trim: Rgb;
  window: Rgb;
  mirror: Rgb;
  roof(): Rgb;
  road: Rgb;
  paint: Rgb;
  yellowPaint: Rgb;
  pavement: Rgb;
  kerb: Rgb;
  leafDark(): Rgb;
  leafLight(dark: Rgb): Rgb;
  grassDark: Rgb;
  grassLight: Rgb;
  earth: Rgb;
  bark: Rgb;
  metal(): Rgb;
  car(): Rgb;
  cloth(): Rgb;
  skin(): Rgb;
}

export interface Textures {
  /** Contrast of brick courses on the houses that have them, and how many have. */
  brick: number;
  brickShare: number;
  roadGrain: number;
  roadPatches: number;
  pavingJoint: number;
  slab: number;
  /** Texels a metre and contrast of leaves. */
  leaf: number;
  leafContrast: number;
  bay: readonly [number, number];
  windowWidth: readonly [number, number];
  windowHeight: readonly [number, number];
  /** Share of houses with shops at the bottom. */
  shops: number;
}

/** What the camera does to the picture, in the order of use. */
export interface Grade {
  blur: number;
  exposure: number;
  /** Darkening in the corners. */
  vignette: number;
  saturation: number;
  tint: Rgb;
  contrast: number;
  gamma: number;
  /** Standard deviation of the sensor's noise at mid grey, in 0..255. */
  noise: number;
}

export interface Look {
  camera: Camera;
  light: Light;
  zenith: Rgb;
  horizon: Rgb;
  cloud: Rgb;
  cloudCover: number;
  haze: Rgb;
  /** Share of light lost to haze a metre, to first order. */
  hazeDensity: number;
  palette: Palette;
  textures: Textures;
  grade: Grade;
}

/** Draws the weather, camera and colours of one scene. */
export function sampleLook(domain: Domain, random: Random): Look {
  return looks[domain](random);
}

const looks: Readonly<Record<Domain, (random: Random) => Look>> = {
  source: sourceLook,
  target: targetLook,
  varied: variedLook,
};

function direction(azimuth: number, elevation: number): readonly [number, number, number] {
  const flat = Math.cos(elevation);
  return [Math.sin(azimuth) * flat, Math.sin(elevation), Math.cos(azimuth) * flat];
}

function sourceLook(random: Random): Look {
  const overcast = random.chance(0.2);
  const evening = !overcast && random.chance(0.25);
  const sunHue = evening ? random.range(0.04, 0.09) : random.range(0.09, 0.14);
  const strength = overcast ? random.range(0, 0.18) : random.range(0.5, 0.85);
  const ambient = overcast ? random.range(0.7, 0.85) : random.range(0.4, 0.58);
  const zenith = overcast
    ? hsv(random.range(0.55, 0.62), 0.12, random.range(0.6, 0.75))
    : hsv(random.range(0.56, 0.62), random.range(0.45, 0.75), random.range(0.65, 0.95));
  const horizon = evening
    ? hsv(random.range(0.04, 0.12), random.range(0.3, 0.6), random.range(0.85, 1))
    : blend(zenith, [0.95, 0.95, 0.92], random.range(0.5, 0.75));
  const wallHue = random.range(0.02, 0.12);
  const leafHue = random.range(0.2, 0.32);
  const road = near(random, [0.1, 0.05, random.range(0.33, 0.5)], [0.05, 0.04, 0.02]);
  return {
    camera: {
      x: 0,
      y: random.range(1.15, 2.1),
      pitch: random.range(-0.01, 0.07),
      yaw: random.range(-0.07, 0.07),
      roll: random.range(-0.012, 0.012),
      focal: random.range(0.68, 0.95),
      bend: random.chance(0.4) ? random.range(-0.0012, 0.0012) : 0,
    },
    light: {
      sun: scale(hsv(sunHue, evening ? 0.45 : 0.16, 1), strength),
      direction: direction(
        random.range(0, 2 * Math.PI),
        random.range(evening ? 0.4 : 0.6, evening ? 0.7 : 1.2),
      ),
      ambient: scale(hsv(0.6, overcast ? 0.04 : 0.14, 1), ambient),
    },
    zenith,
    horizon,
    cloud: evening ? [1, 0.82, 0.68] : [0.98, 0.98, 0.98],
    cloudCover: overcast ? 0.9 : random.range(0.1, 0.6),
    haze: horizon,
    hazeDensity: random.range(0.0008, 0.0035),
    palette: {
      wall: () => {
        const kind = random.weighted({ warm: 5, brick: 2, grey: 2, pastel: 1 });
        if (kind === 'warm') return near(random, [wallHue, 0.35, 0.72], [0.03, 0.15, 0.18]);
        if (kind === 'brick') return near(random, [0.03, 0.55, 0.5], [0.02, 0.12, 0.12]);
        if (kind === 'grey') return greyish(random, 0.35, 0.85);
        return hsv(random.range(0, 1), random.range(0.15, 0.4), random.range(0.6, 0.9));
      },
      trim: hsv(0.1, 0.08, random.range(0.75, 0.98)),
      window: hsv(random.range(0.54, 0.62), random.range(0.2, 0.45), random.range(0.2, 0.36)),
      mirror: blend(zenith, horizon, 0.4),
      roof: () => near(random, [0.03, 0.4, 0.42], [0.03, 0.25, 0.15]),
      road,
      paint: [0.92, 0.92, 0.88],
      yellowPaint: [0.95, 0.72, 0.18],
      pavement: near(random, [0.1, 0.1, random.range(0.55, 0.75)], [0.03, 0.05, 0.03]),
      kerb: [0.72, 0.7, 0.66],
      leafDark: () => near(random, [leafHue, 0.7, 0.2], [0.03, 0.12, 0.06]),
      leafLight: (dark) => blend(scale(dark, 2.6), hsv(leafHue - 0.03, 0.65, 0.6), 0.4),
      grassDark: hsv(leafHue - 0.04, random.range(0.4, 0.65), random.range(0.26, 0.36)),
      grassLight: hsv(leafHue - 0.07, random.range(0.4, 0.65), random.range(0.5, 0.65)),
      earth: near(random, [0.09, 0.4, 0.5], [0.02, 0.1, 0.1]),
      bark: near(random, [0.07, 0.4, 0.32], [0.02, 0.1, 0.08]),
      metal: () => greyish(random, 0.25, 0.6),
      car: () =>
        random.chance(0.45)
          ? hsv(
              random.pick([0, 0.02, 0.07, 0.13, 0.36, 0.55, 0.6, 0.65]),
              random.range(0.5, 0.88),
              random.range(0.3, 0.8),
            )
          : greyish(random, 0.08, 0.95),
      cloth: () => hsv(random.range(0, 1), random.range(0.1, 0.8), random.range(0.15, 0.95)),
      skin: () => near(random, [0.06, 0.45, 0.65], [0.02, 0.1, 0.25]),
    },
    textures: {
      brick: random.range(0.15, 0.35),
      brickShare: 0.3,
      roadGrain: random.range(0.05, 0.14),
      roadPatches: random.range(0.02, 0.09),
      pavingJoint: random.range(0.1, 0.25),
      slab: random.range(1.2, 2.2),
      leaf: random.range(9, 14),
      leafContrast: random.range(1.6, 2.4),
      bay: [2.6, 4],
      windowWidth: [0.4, 0.7],
      windowHeight: [0.45, 0.65],
      shops: 0.4,
    },
    grade: {
      blur: random.chance(0.3) ? random.range(0, 0.12) : 0,
      exposure: evening ? random.range(0.75, 1) : random.range(0.88, 1.15),
      vignette: random.range(0, 0.08),
      saturation: random.range(1.05, 1.35),
      tint: near(random, [0.09, 0.06, 1], [0.04, 0.05, 0]),
      contrast: random.range(1.02, 1.22),
      gamma: random.range(0.92, 1.08),
      noise: random.range(0, 1.6),
    },
  };
}

function targetLook(random: Random): Look {
  const sunny = random.chance(0.25);
  const strength = sunny ? random.range(0.3, 0.55) : random.range(0, 0.16);
  const ambient = sunny ? random.range(0.55, 0.7) : random.range(0.72, 0.92);
  const zenith = sunny
    ? hsv(random.range(0.55, 0.6), random.range(0.1, 0.3), random.range(0.75, 0.9))
    : hsv(random.range(0.4, 0.6), random.range(0, 0.06), random.range(0.72, 0.98));
  const horizon = blend(zenith, [0.97, 0.98, 0.96], random.range(0.5, 0.9));
  const leafHue = random.chance(0.15) ? random.range(0.12, 0.18) : random.range(0.22, 0.34);
  const damp = random.range(0.85, 1.1);
  return {
    camera: {
      x: 0,
      y: random.range(1.15, 1.35),
      pitch: random.range(0.02, 0.055),
      yaw: random.range(-0.05, 0.05),
      roll: random.range(-0.012, 0.012),
      focal: random.range(1, 1.16),
      bend: random.chance(0.4) ? random.range(-0.0015, 0.0015) : 0,
    },
    light: {
      sun: scale(hsv(0.12, 0.1, 1), strength),
      direction: direction(random.range(0, 2 * Math.PI), random.range(0.45, 0.95)),
      ambient: scale(hsv(0.52, 0.04, 1), ambient),
    },
    zenith,
    horizon,
    cloud: [0.96, 0.97, 0.97],
    cloudCover: sunny ? random.range(0.2, 0.7) : random.range(0.7, 1),
    haze: scale(horizon, 0.94),
    hazeDensity: random.range(0.002, 0.007),
    palette: {
      wall: () => {
        const kind = random.weighted({ grey: 4, beige: 4, brick: 1.5, pastel: 1.5 });
        if (kind === 'grey') return greyish(random, 0.38, 0.8);
        if (kind === 'beige') return near(random, [0.11, 0.18, 0.66], [0.03, 0.1, 0.16]);
        if (kind === 'brick') return near(random, [0.03, 0.38, 0.42], [0.02, 0.1, 0.1]);
        return hsv(random.range(0, 1), random.range(0.08, 0.25), random.range(0.55, 0.85));
      },
      trim: hsv(0.12, 0.03, random.range(0.62, 0.9)),
      window: hsv(random.range(0.4, 0.6), random.range(0.03, 0.15), random.range(0.14, 0.28)),
      mirror: blend(zenith, horizon, 0.5),
      roof: () => near(random, [0.02, 0.25, 0.36], [0.04, 0.2, 0.12]),
      road: near(random, [0.58, 0.05, random.range(0.26, 0.4) * damp], [0.08, 0.04, 0.02]),
      paint: [0.82, 0.83, 0.82],
      yellowPaint: [0.84, 0.76, 0.4],
      pavement: near(random, [0.55, 0.04, random.range(0.4, 0.58) * damp], [0.2, 0.04, 0.03]),
      kerb: [0.6, 0.6, 0.58],
      leafDark: () => near(random, [leafHue, 0.42, 0.15], [0.04, 0.12, 0.05]),
      leafLight: (dark) => blend(scale(dark, 2.1), hsv(leafHue, 0.35, 0.42), 0.4),
      grassDark: hsv(leafHue, random.range(0.3, 0.45), random.range(0.22, 0.3)),
      grassLight: hsv(leafHue - 0.02, random.range(0.25, 0.45), random.range(0.38, 0.5)),
      earth: near(random, [0.09, 0.25, 0.36], [0.02, 0.1, 0.08]),
      bark: near(random, [0.1, 0.2, 0.24], [0.04, 0.1, 0.08]),
      metal: () => greyish(random, 0.25, 0.58, 0.04),
      car: () =>
        random.chance(0.25)
          ? hsv(random.pick([0, 0.02, 0.6, 0.63, 0.35]), random.range(0.35, 0.7), random.range(0.25, 0.6))
          : greyish(random, 0.07, 0.88),
      cloth: () =>
        random.chance(0.7)
          ? greyish(random, 0.06, 0.45, 0.35)
          : hsv(random.range(0, 1), random.range(0.2, 0.6), random.range(0.3, 0.8)),
      skin: () => near(random, [0.06, 0.32, 0.68], [0.02, 0.08, 0.16]),
    },
    textures: {
      brick: random.range(0.1, 0.22),
      brickShare: 0.15,
      roadGrain: random.range(0.04, 0.1),
      roadPatches: random.range(0.05, 0.18),
      pavingJoint: random.range(0.12, 0.35),
      slab: random.range(0.5, 1),
      leaf: random.range(14, 24),
      leafContrast: random.range(1, 1.7),
      bay: [1.9, 3],
      windowWidth: [0.38, 0.58],
      windowHeight: [0.5, 0.72],
      shops: 0.45,
    },
    grade: {
      blur: random.range(0.08, 0.28),
      exposure: random.range(0.92, 1.25),
      vignette: random.range(0.12, 0.3),
      saturation: random.range(0.6, 0.95),
      tint: [random.range(0.9, 0.97), 1, clamp(random.range(0.9, 1))],
      contrast: random.range(0.86, 1.04),
      gamma: random.range(0.86, 1.1),
      noise: random.range(1.5, 4.5),
    },
  };
}

/** Any colours on any surface: what tells classes apart is form, place and texture, and no palette. */
function variedLook(random: Random): Look {
  const anyColor = (low: number, high: number, saturation: number) =>
    hsv(random.range(0, 1), random.range(0, saturation), random.range(low, high));
  const strength = random.chance(0.4) ? random.range(0, 0.2) : random.range(0.2, 0.9);
  const ambient = random.range(0.25, 0.95);
  const zenith = random.chance(0.6)
    ? hsv(random.range(0.5, 0.68), random.range(0, 0.8), random.range(0.35, 1))
    : anyColor(0.3, 1, 0.6);
  const horizon = blend(zenith, anyColor(0.5, 1, 0.5), random.range(0.2, 0.9));
  const wallHue = random.range(0, 1);
  const leaf: [number, number, number] = [
    random.range(0, 0.45),
    random.range(0.1, 0.8),
    random.range(0.1, 0.35),
  ];
  const grass = [random.range(0.05, 0.4), random.range(0.1, 0.7)] as const;
  const road = anyColor(0.12, 0.6, 0.25);
  const pavement = anyColor(0.25, 0.8, 0.3);
  const lively = random.range(0.1, 0.9);
  return {
    camera: {
      x: 0,
      y: random.range(1, 2.3),
      pitch: random.range(-0.04, 0.09),
      yaw: random.range(-0.12, 0.12),
      roll: random.range(-0.03, 0.03),
      focal: random.range(0.6, 1.3),
      bend: random.chance(0.5) ? random.range(-0.002, 0.002) : 0,
    },
    light: {
      sun: scale(hsv(random.range(0, 0.2), random.range(0, 0.5), 1), strength),
      direction: direction(random.range(0, 2 * Math.PI), random.range(0.3, 1.3)),
      ambient: scale(hsv(random.range(0, 1), random.range(0, 0.2), 1), ambient),
    },
    zenith,
    horizon,
    cloud: anyColor(0.75, 1, 0.25),
    cloudCover: random.range(0, 1),
    haze: blend(horizon, anyColor(0.4, 1, 0.3), random.range(0, 0.5)),
    hazeDensity: random.chance(0.5) ? random.range(0, 0.003) : random.range(0.003, 0.01),
    palette: {
      wall: () =>
        random.chance(0.5)
          ? near(random, [wallHue, 0.3, 0.55], [0.08, 0.3, 0.35])
          : anyColor(0.15, 0.95, random.range(0.05, 0.7)),
      trim: anyColor(0.3, 1, 0.3),
      window: anyColor(0.05, 0.5, 0.5),
      mirror: blend(zenith, horizon, random.range(0, 1)),
      roof: () => anyColor(0.15, 0.7, 0.7),
      road,
      paint: anyColor(0.7, 1, 0.15),
      yellowPaint: hsv(random.range(0.08, 0.17), random.range(0.3, 0.9), random.range(0.6, 1)),
      pavement,
      kerb: anyColor(0.3, 0.85, 0.15),
      leafDark: () => near(random, leaf, [0.04, 0.12, 0.06]),
      leafLight: (dark) => blend(scale(dark, random.range(1.6, 2.8)), hsv(leaf[0], leaf[1], 0.5), 0.4),
      grassDark: hsv(grass[0], grass[1], random.range(0.15, 0.4)),
      grassLight: hsv(grass[0] - 0.02, grass[1], random.range(0.35, 0.7)),
      earth: near(random, [0.09, 0.3, 0.42], [0.05, 0.25, 0.2]),
      bark: near(random, [0.08, 0.3, 0.3], [0.06, 0.25, 0.18]),
      metal: () => greyish(random, 0.1, 0.8, 0.2),
      car: () => (random.chance(lively) ? anyColor(0.15, 0.9, 0.9) : greyish(random, 0.05, 0.95)),
      cloth: () => (random.chance(lively) ? anyColor(0.1, 0.95, 0.9) : greyish(random, 0.05, 0.7, 0.3)),
      skin: () => near(random, [0.06, 0.4, 0.6], [0.03, 0.15, 0.3]),
    },
    textures: {
      brick: random.range(0.05, 0.4),
      brickShare: random.range(0, 0.6),
      roadGrain: random.range(0.02, 0.2),
      roadPatches: random.range(0, 0.22),
      pavingJoint: random.range(0.05, 0.4),
      slab: random.range(0.4, 2.5),
      leaf: random.range(8, 26),
      leafContrast: random.range(0.8, 2.6),
      bay: [1.8, 4.2],
      windowWidth: [0.35, 0.75],
      windowHeight: [0.4, 0.75],
      shops: 0.4,
    },
    grade: {
      blur: random.range(0, 0.3),
      exposure: random.range(0.55, 1.35),
      vignette: random.range(0, 0.35),
      saturation: random.range(0.3, 1.5),
      tint: near(random, [random.range(0, 1), 0.08, 1], [0, 0.08, 0]),
      contrast: random.range(0.7, 1.3),
      gamma: random.range(0.75, 1.3),
      noise: random.chance(0.5) ? random.range(0, 2) : random.range(2, 9),
    },
  };
}
