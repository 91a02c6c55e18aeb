// The class lists of CamVid: the original's 32 colours, and the 11 classes that SegNet made of them.

import { fault } from '../errors.js';
import { readText } from '../files/text.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
import { type Color, packed, unpacked } from './colors.js';
import { nameKey } from './names.js';

type Definition = { readonly classes: readonly ClassInfo[]; readonly labelCoding: LabelCoding };
type Named = readonly [name: string, color: number];

/** The label files of SegNet's version hold the place in this list (Badrinarayanan et al., PAMI 2017). */
const ELEVEN: readonly Named[] = [
  ['sky', 0x808080],
  ['building', 0x800000],
  ['pole', 0xc0c080],
  ['road', 0x804080],
  ['pavement', 0x3c28de],
  ['tree', 0x808000],
  ['sign', 0xc08080],
  ['fence', 0x404080],
  ['car', 0x400080],
  ['pedestrian', 0x404000],
  ['bicyclist', 0x0080c0],
];

/** The value of what is none of the eleven. */
const VOID = ELEVEN.length;

/** The colours of the original's label files, by its label_colors.txt (Brostow, Fauqueur, Cipolla 2009). */
const ORIGINAL: readonly Named[] = [
  ['Animal', 0x408040],
  ['Archway', 0xc00080],
  ['Bicyclist', 0x0080c0],
  ['Bridge', 0x008040],
  ['Building', 0x800000],
  ['Car', 0x400080],
  ['CartLuggagePram', 0x4000c0],
  ['Child', 0xc08040],
  ['Column_Pole', 0xc0c080],
  ['Fence', 0x404080],
  ['LaneMkgsDriv', 0x8000c0],
  ['LaneMkgsNonDriv', 0xc00040],
  ['Misc_Text', 0x808040],
  ['MotorcycleScooter', 0xc000c0],
  ['OtherMoving', 0x804040],
  ['ParkingBlock', 0x40c080],
  ['Pedestrian', 0x404000],
  ['Road', 0x804080],
  ['RoadShoulder', 0x8080c0],
  ['Sidewalk', 0x0000c0],
  ['SignSymbol', 0xc08080],
  ['Sky', 0x808080],
  ['SUVPickupTruck', 0x4080c0],
  ['TrafficCone', 0x000040],
  ['TrafficLight', 0x004040],
  ['Train', 0xc04080],
  ['Tree', 0x808000],
  ['Truck_Bus', 0xc080c0],
  ['Tunnel', 0x400040],
  ['VegetationMisc', 0xc0c000],
  ['Void', 0x000000],
  ['Wall', 0x40c000],
];

const THINGS = new Set(
  [
    ['animal', 'bicyclist', 'car', 'cart luggage pram', 'child', 'motorcycle scooter', 'other moving'],
    ['pedestrian', 'SUV pickup truck', 'train', 'truck bus'],
  ]
    .flat()
    .map(nameKey),
);

/** What people call the colour of what has no class. */
const IGNORED = new Set(['void', 'unlabelled', 'unlabeled', 'ignore']);

/** SegNet's version: 11 classes by value, and 11 for the rest. */
export const CAMVID_11: Definition = {
  classes: ELEVEN.map(classInfo),
  labelCoding: {
    kind: 'values',
    table: Uint8Array.from({ length: 256 }, (_, value) => {
      if (value < VOID) return value;
      return value === VOID || value === IGNORE_INDEX ? IGNORE_INDEX : UNKNOWN_LABEL;
    }),
  },
};

/** The original: 31 classes by colour, and Void. */
export const CAMVID_32: Definition = byColor(ORIGINAL);

function byColor(list: readonly Named[]): Definition {
  const ignored = list.map(([name]) => IGNORED.has(nameKey(name)));
  const classes = list.filter((_, i) => !ignored[i]).map(classInfo);
  let trainId = 0;
  return {
    classes,
    labelCoding: {
      kind: 'colors',
      colors: Uint32Array.from(list, ([, color]) => color),
      trainIds: Uint8Array.from(ignored, (out) => (out ? IGNORE_INDEX : trainId++)),
    },
  };
}

function classInfo([name, color]: Named, trainId: number): ClassInfo {
  const kind = THINGS.has(nameKey(name)) ? 'thing' : 'stuff';
  return { trainId, labelId: trainId, name, color: unpacked(color), kind };
}

/**
 * Reads a label_colors.txt, which the original has and CVAT writes with its export "CamVid": lines `RED GREEN BLUE NAME`.
 * Colours that are named void or unlabelled are ignored.
 * @throws {DatasetError} when the file is missing, a line is not of this form, or a name or colour occurs twice
 */
export async function readLabelColors(file: string): Promise<Definition> {
  const fail = (why: string) => fault('definition', file, why);
  const lines = (await readText(file)).split(/\r?\n/);
  const list: Named[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const found = /^\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*?)\s*$/.exec(line);
    const color = found?.slice(1, 4).map(Number) as [number, number, number] | undefined;
    if (found === null || color!.some((value) => value > 255)) {
      throw fail(`line ${index + 1} '${line.trim()}' is not of the form RED GREEN BLUE NAME`);
    }
    const [name, code] = [found[4]!, packed(color as Color)];
    if (list.some(([other, same]) => other === name || same === code)) {
      throw fail(`line ${index + 1}: '${name}' or its colour is there twice`);
    }
    list.push([name, code]);
  }
  const definition = byColor(list);
  if (definition.classes.length === 0) throw fail('lists no class');
  if (definition.classes.length >= UNKNOWN_LABEL) throw fail(`lists more than ${UNKNOWN_LABEL} classes`);
  return definition;
}
