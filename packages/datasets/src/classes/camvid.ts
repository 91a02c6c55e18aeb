// The class lists of CamVid: the original's 32 colours, and the 11 classes that SegNet made of them.

import { IGNORE_INDEX, UNKNOWN_LABEL } from '../types.js';
import type { ClassDefinition } from './class-file.js';
import { classesOfColors, type NamedColor, namedColor } from './color-list.js';

/** The label files of SegNet's version hold the place in this list (Badrinarayanan et al., PAMI 2017). */
const ELEVEN: readonly NamedColor[] = [
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
const ORIGINAL: readonly NamedColor[] = [
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

/** SegNet's version: 11 classes by value, and 11 for the rest. */
export const CAMVID_11: ClassDefinition = {
  classes: ELEVEN.map(namedColor),
  labelCoding: {
    kind: 'values',
    table: Uint8Array.from({ length: 256 }, (_, value) => {
      if (value < VOID) return value;
      return value === VOID || value === IGNORE_INDEX ? IGNORE_INDEX : UNKNOWN_LABEL;
    }),
  },
};

/** The original: 31 classes by colour, and Void. */
export const CAMVID_32 = classesOfColors(ORIGINAL);
