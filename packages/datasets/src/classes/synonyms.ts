// What data sets of streets call their classes: words for one thing, and things of one kind.

import { nameKey } from './names.js';

/** By kind, the words for each thing, with commas between them. A word for two things is with both. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  'ground to drive on': [
    'road, roads, street, carriageway, asphalt, driveable, drivable, drivable area, road surface, service lane, bike lane',
    'lane marking, lane markings, road marking, road markings, road lines, LaneMkgsDriv, lane marking - general',
    'LaneMkgsNonDriv',
    'crosswalk, zebra crossing, lane marking - crosswalk, crosswalk - plain',
    'parking, parking slot, parking space, parking lot',
    'rail track, rails, railroad',
    'manhole',
    'pothole',
  ],
  'ground to walk on': [
    'sidewalk, sidewalks, pavement, footpath, footway, walkway, pedestrian area',
    'parking block, curb, kerb, curb cut',
    'road shoulder, shoulder',
  ],
  buildings: [
    'building, buildings, building-other, house, houses, skyscraper',
    'bridge',
    'tunnel',
    'archway',
    'garage',
  ],
  barriers: [
    'wall, walls, wall-other, wall-brick, wall-concrete, wall-stone, wall-panel',
    'fence, fences',
    'guard rail, barrier, road barrier, railing',
    'obs-str-bar-fallback',
  ],
  poles: [
    'pole, poles, column pole, column, post, utility pole',
    'polegroup, pole group',
    'street light, street lamp',
  ],
  signs: [
    'traffic light, traffic lights, traffic signal, signal',
    'traffic sign, traffic signs, sign, signs, sign symbol, road sign, signboard, traffic sign (front), stop sign',
    'misc text, billboard, banner',
    'traffic sign (back), traffic sign frame',
  ],
  plants: [
    'vegetation, tree, trees, plant, plants, plant-other, bush, vegetation misc, nature',
    'terrain, grass, lawn, low vegetation, horizontal vegetation, ground-other, dirt, gravel',
  ],
  sky: ['sky, sky-other, clouds'],
  people: ['person, persons, pedestrian, pedestrians, people, human', 'child'],
  cycles: [
    'rider, riders, bicyclist, cyclist',
    'bicycle, bicycles, bike, cycle',
    'motorcycle, motorcycles, motorbike, motorcycle scooter, scooter, moped',
    'motorcyclist, motorcycle rider',
    'other rider',
  ],
  vehicles: [
    'car, cars, vehicle, vehicles, automobile, passenger car',
    'SUV pickup truck, pickup, van',
    'truck, trucks, lorry, truck bus',
    'bus, buses, coach, truck bus',
    'train, trains, tram, on rails',
    'caravan',
    'trailer',
    'other vehicle, other moving, vehicle fallback',
    'autorickshaw, auto rickshaw, rickshaw',
  ],
};

/** What means that there is no class. */
const NO_CLASS = new Set(
  ['void', 'unlabelled', 'unlabeled', 'ignore', 'ignored', 'unknown', 'none', 'undefined'].map(nameKey),
);

interface Meaning {
  readonly kind: string;
  /** One of the things of its kind. */
  readonly thing: number;
}

const meanings = new Map<string, Meaning[]>();
for (const [kind, things] of Object.entries(KINDS)) {
  for (const [thing, words] of things.entries()) {
    for (const word of words.split(',')) {
      const key = nameKey(word);
      meanings.set(key, [...(meanings.get(key) ?? []), { kind, thing }]);
    }
  }
}

/** Whether two names are words for one thing. */
export function areSynonyms(a: string, b: string): boolean {
  return meaningsOf(a).some((one) =>
    meaningsOf(b).some((other) => one.kind === other.kind && one.thing === other.thing),
  );
}

/** What both names are a kind of, such as 'vehicles'. */
export function commonKind(a: string, b: string): string | undefined {
  return meaningsOf(a).find((one) => meaningsOf(b).some(({ kind }) => kind === one.kind))?.kind;
}

/** Whether a name says that a pixel has no class. */
export const meansNoClass = (name: string): boolean => NO_CLASS.has(nameKey(name));

function meaningsOf(name: string): readonly Meaning[] {
  return meanings.get(nameKey(name)) ?? [];
}
