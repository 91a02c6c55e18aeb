// Label files as trainIds.

import { type DatasetError, fault } from '../errors.js';
import type { LabelMap } from '../images/index.js';
import { IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
import { colorName, MOST_DRAWN, SMOOTHED } from './colors.js';
import { type LabelValues, readLabelValues } from './values.js';

/**
 * Decodes a label file, or the several of a coding of layers, to trainIds. Needs nothing but its arguments, so that it also runs in a worker thread.
 * @param coding of the dataset, see {@link LabelCoding}
 * @throws {DatasetError} when the file is missing, cannot be decoded, is not of the form that `coding` names, or
 * holds a value or colour that `coding` does not know (listed with their counts)
 */
export async function decodeLabel(file: string, coding: LabelCoding): Promise<LabelMap> {
  return labelMapOf(file, await readLabelValues(file, coding), coding);
}

/** What `readLabelValues` read of a file as trainIds. @throws {DatasetError} as {@link decodeLabel} */
export function labelMapOf(
  file: string,
  { width, height, values }: LabelValues,
  coding: LabelCoding,
): LabelMap {
  const data = toTrainIds(values, coding);
  // A Buffer finds a byte many times faster than a typed array does.
  if (Buffer.from(data.buffer).includes(UNKNOWN_LABEL)) {
    throw unknownValues(file, countValues(values), coding);
  }
  return { width, height, data };
}

/**
 * Maps what {@link readLabelValues} reads to trainIds; {@link UNKNOWN_LABEL} marks what `coding` does not know.
 */
export function toTrainIds(values: LabelValues['values'], coding: LabelCoding): Uint8Array {
  const data = new Uint8Array(values.length);
  if (coding.kind !== 'colors') {
    const { table } = coding;
    if (values instanceof Uint8Array && table.length === 256) {
      // Every byte has its entry, so this is all that training does for most labels at every step.
      for (let i = 0; i < values.length; i++) data[i] = table[values[i]!]!;
    } else {
      for (let i = 0; i < values.length; i++) data[i] = table[values[i]!] ?? UNKNOWN_LABEL;
    }
    return data;
  }
  const known = new Map(Array.from(coding.colors, (color, i) => [color, coding.trainIds[i]!]));
  let last = -1;
  let trainId = UNKNOWN_LABEL;
  for (let i = 0; i < values.length; i++) {
    // Neighbours mostly share their colour.
    if (values[i] !== last) {
      last = values[i]!;
      trainId = known.get(last) ?? UNKNOWN_LABEL;
    }
    data[i] = trainId;
  }
  return data;
}

/** How often each value occurs, by value. */
export function countValues(values: LabelValues['values']): [value: number, count: number][] {
  const counts = new Map<number, number>();
  const note = (value: number, run: number) => counts.set(value, (counts.get(value) ?? 0) + run);
  let from = 0;
  for (let i = 1; i <= values.length; i++) {
    // Neighbours mostly share their value.
    if (i < values.length && values[i] === values[from]) continue;
    note(values[from]!, i - from);
    from = i;
  }
  return [...counts].sort(([a], [b]) => a - b);
}

const NAME_THEM = 'name them in the list of classes, or ignore them there';
const IDS = 'they are dark greys, as ids are: a mask of ids needs classes without colours';

const isDarkGrey = (color: number) => color % 0x10101 === 0 && color < 64 * 0x10101;

/** Of classes without values of their own: values that are counted from 1. */
function shifted(
  counts: readonly (readonly [value: number, count: number])[],
  coding: LabelCoding,
): string | undefined {
  if (coding.kind !== 'values') return undefined;
  const classes = coding.table.indexOf(UNKNOWN_LABEL);
  const numbered = coding.table.subarray(0, classes).every((trainId, value) => trainId === value);
  const values = counts.map(([value]) => value).filter((value) => value !== IGNORE_INDEX);
  if (!numbered || classes < 1 || values.includes(0) || Math.max(...values) !== classes) return undefined;
  return `0 does not occur: are the ${classes} classes counted from 1? Give each its value in classes.yaml, such as - { name: first, value: 1 }`;
}

/** The error for a label file that holds values that its dataset does not define. `counts` may hold others too. */
export function unknownValues(
  file: string,
  counts: readonly (readonly [value: number, count: number])[],
  coding: LabelCoding,
): DatasetError {
  const trainIds = toTrainIds(
    Uint32Array.from(counts, ([value]) => value),
    coding,
  );
  const unknown = counts.filter((_, i) => trainIds[i] === UNKNOWN_LABEL);
  const colored = coding.kind === 'colors';
  const listed = unknown
    .slice(0, 5)
    .map(
      ([value, count]) =>
        `${colored ? colorName(value) : value} (${count} ${count === 1 ? 'pixel' : 'pixels'})`,
    );
  const more = unknown.length > listed.length ? ` and ${unknown.length - listed.length} more` : '';
  const [what, rule] = colored
    ? ['colours', unknown.every(([color]) => isDarkGrey(color)) ? IDS : NAME_THEM]
    : [
        'values',
        shifted(counts, coding) ?? `the file must hold label ids, with ${IGNORE_INDEX} for pixels to ignore`,
      ];
  return fault(
    'unknown-value',
    file,
    `label ${what} this dataset does not define: ${listed.join(', ')}${more}; ${unknown.length > MOST_DRAWN ? SMOOTHED : rule}`,
  );
}
