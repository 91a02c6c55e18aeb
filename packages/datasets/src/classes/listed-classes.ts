// Classes of data sets that list them in a file of their own: names, values in the labels, colours.

import { fault } from '../errors.js';
import { type ClassInfo, IGNORE_INDEX, UNKNOWN_LABEL } from '../types.js';
import type { ClassDefinition } from './class-file.js';
import { MAX_CLASSES } from './class-file.js';
import { type Color, defaultColor } from './colors.js';

export interface ListedClass {
  readonly name: string;
  /** In the labels, or another number by which the data set knows the class. */
  readonly value: number;
  readonly color?: Color | undefined;
  readonly kind?: ClassInfo['kind'] | undefined;
}

/**
 * The classes in the order of the list.
 * @param file that lists them, for the message
 * @throws {DatasetError} when there are none or too many, or two have one name
 */
export function listedClasses(file: string, listed: readonly ListedClass[]): ClassInfo[] {
  if (listed.length === 0 || listed.length > MAX_CLASSES) {
    throw fault('definition', file, `lists ${listed.length} classes; 1 to ${MAX_CLASSES} are possible`);
  }
  const names = new Set<string>();
  for (const { name } of listed) {
    if (names.has(name)) throw fault('definition', file, `two classes are named '${name}'`);
    names.add(name);
  }
  // What does not fit into a byte cannot be a value of predictions either.
  const fits = listed.every(({ value }) => value < UNKNOWN_LABEL);
  return listed.map(({ name, value, color = defaultColor(value), kind = 'stuff' }, trainId) => ({
    trainId,
    labelId: fits ? value : trainId,
    name,
    color,
    kind,
  }));
}

/** Classes by the values of one-channel labels. @param ignored other values that labels hold */
export function valueClasses(
  file: string,
  listed: readonly ListedClass[],
  ignored: readonly number[],
): ClassDefinition {
  const classes = listedClasses(file, listed);
  const table = new Uint8Array(256).fill(UNKNOWN_LABEL);
  for (const value of [...ignored, IGNORE_INDEX]) table[value] = IGNORE_INDEX;
  for (const [trainId, { name, value }] of listed.entries()) {
    if (value > 255) throw fault('definition', file, `the value ${value} of '${name}' is above 255`);
    table[value] = trainId;
  }
  return { classes, labelCoding: { kind: 'values', table } };
}
