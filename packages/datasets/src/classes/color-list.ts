// Lists of names and colours that come with coloured masks: label_colors.txt and class_dict.csv.

import { fault } from '../errors.js';
import { readText } from '../files/text.js';
import { type ClassInfo, IGNORE_INDEX, UNKNOWN_LABEL } from '../types.js';
import type { ClassDefinition } from './class-file.js';
import { type Color, packed, unpacked } from './colors.js';
import { nameKey } from './names.js';
import { meansNoClass } from './synonyms.js';

/** The colour is 0xRRGGBB. */
export type NamedColor = readonly [name: string, color: number];

/** Names of such files, in the order in which they are looked for. */
export const COLOR_LISTS: readonly string[] = ['label_colors.txt', 'class_dict.csv'];

const THINGS = new Set(
  [
    [
      'person',
      'animal',
      'bicyclist',
      'car',
      'cart luggage pram',
      'child',
      'motorcycle scooter',
      'other moving',
    ],
    ['pedestrian', 'SUV pickup truck', 'train', 'truck bus'],
  ]
    .flat()
    .map(nameKey),
);

/** A class of a list, at a place. */
export function namedColor([name, color]: NamedColor, trainId: number): ClassInfo {
  const kind = THINGS.has(nameKey(name)) ? 'thing' : 'stuff';
  return { trainId, labelId: trainId, name, color: unpacked(color), kind };
}

/** Masks of these colours; a colour named void, unlabelled or the like is ignored. */
export function classesOfColors(list: readonly NamedColor[]): ClassDefinition {
  const ignored = list.map(([name]) => meansNoClass(name));
  let trainId = 0;
  return {
    classes: list.filter((_, i) => !ignored[i]).map(namedColor),
    labelCoding: {
      kind: 'colors',
      colors: Uint32Array.from(list, ([, color]) => color),
      trainIds: Uint8Array.from(ignored, (out) => (out ? IGNORE_INDEX : trainId++)),
    },
  };
}

/**
 * Reads a label_colors.txt (of CamVid, and of CVAT's export "CamVid": lines `RED GREEN BLUE NAME`) or a class_dict.csv
 * (lines `NAME,RED,GREEN,BLUE` below a header). Colours that are named void, unlabelled or the like are ignored.
 * @throws {DatasetError} when the file is missing, a line is not of this form, or a name or colour occurs twice
 */
export async function readColorList(file: string): Promise<ClassDefinition> {
  const fail = (why: string) => fault('definition', file, why);
  const [read, form] = file.endsWith('.csv')
    ? ([ofCsv, 'NAME,RED,GREEN,BLUE'] as const)
    : ([ofText, 'RED GREEN BLUE NAME'] as const);
  const list: NamedColor[] = [];
  for (const [index, line] of (await readText(file)).split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#') || /^name\s*,/i.test(line)) continue;
    const found = read(line);
    if (found === undefined || found[1].some((value) => value > 255)) {
      throw fail(`line ${index + 1} '${line.trim()}' is not of the form ${form}`);
    }
    const [name, code] = [found[0], packed(found[1])];
    if (list.some(([other, same]) => other === name || same === code)) {
      throw fail(`line ${index + 1}: '${name}' or its colour is there twice`);
    }
    list.push([name, code]);
  }
  const definition = classesOfColors(list);
  const count = definition.classes.length;
  if (count === 0 || count > UNKNOWN_LABEL) {
    throw fail(`lists ${count} classes; 1 to ${UNKNOWN_LABEL} are possible`);
  }
  return definition;
}

type Line = readonly [name: string, color: Color] | undefined;

function ofText(line: string): Line {
  const found = /^\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*?)\s*$/.exec(line);
  return found ? [found[4]!, [Number(found[1]), Number(found[2]), Number(found[3])]] : undefined;
}

function ofCsv(line: string): Line {
  const found = /^\s*"?([^,"]+?)"?\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*$/.exec(line);
  return found ? [found[1]!, [Number(found[2]), Number(found[3]), Number(found[4])]] : undefined;
}
