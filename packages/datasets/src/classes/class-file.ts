// Class lists of your own data: classes.yaml or classes.json, and CVAT's labelmap.txt.

import { stringify } from 'yaml';
import { z } from 'zod';
import { fault } from '../errors.js';
import { parsedBy } from '../files/parsed-by.js';
import { readText } from '../files/text.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
import { type Color, defaultColor, hexColor, packed } from './colors.js';
import { kindOf } from './file-kind.js';
import { colorSchema, misformed, readYaml } from './yaml.js';

/** Classes and how masks tell them. */
export interface ClassDefinition {
  readonly classes: readonly ClassInfo[];
  readonly labelCoding: LabelCoding;
}

/** trainIds end at 253: 254 marks unknown values and 255 is ignored. */
export const MAX_CLASSES = UNKNOWN_LABEL;

const valueSchema = z.int().min(0).max(255);

/** One, or a list: its first stands for all where one is written or drawn. */
function oneOrMore<T>(schema: z.ZodType<T>) {
  return z.union([z.array(schema).min(1), schema.transform((one) => [one])]);
}

const classSchema = z.union([
  z
    .string()
    .min(1)
    .transform((name) => ({ name })),
  z.strictObject({
    name: z.string().min(1),
    value: oneOrMore(valueSchema).optional(),
    color: oneOrMore(colorSchema).optional(),
    kind: z.enum(['thing', 'stuff']).optional(),
  }),
]);

const fileSchema = z.strictObject({
  masks: z.enum(['values', 'colors']).default('values'),
  classes: z.array(classSchema).min(1).max(MAX_CLASSES),
  ignore: z.array(z.union([z.int().min(0).max(255), colorSchema])).default([]),
});

interface ClassEntry {
  name: string;
  value?: readonly number[] | undefined;
  color?: readonly Color[] | undefined;
  kind?: 'thing' | 'stuff' | undefined;
}

/**
 * Reads a class file (YAML, which includes JSON):
 * ```yaml
 * masks: values            # one-channel masks (default), or `colors`
 * classes:                 # in the order of the trainIds
 *   - road                 # value in the masks: its place in the list, counted from 0
 *   - { name: car, value: 26, color: '#00008e', kind: thing }
 *   - { name: sign, value: [19, 20] }    # several values of one class
 * ignore: [0, 34]          # values (or colours) to ignore besides 255
 * ```
 * Of several values the first is the class's own, as of several colours.
 * @throws {DatasetError} when the file is missing or is not as above
 */
export async function readClassFile(file: string): Promise<ClassDefinition> {
  const content = await readYaml(file);
  if (kindOf(content) === 'mapping') {
    throw fault(
      'definition',
      file,
      'maps classes by their names, which is for --classes of train, eval, data check and data stats; a class file says which values of masks are which classes',
    );
  }
  const parsed = parsedBy(fileSchema, content);
  if (!parsed.success) {
    throw misformed(file, parsed.error, "a list of classes is expected under 'classes'");
  }
  const { masks, classes, ignore } = parsed.data;
  try {
    return masks === 'values'
      ? byValue(classes, ignore)
      : byColor(
          classes,
          ignore.map((color) => (typeof color === 'number' ? never(color) : color)),
        );
  } catch (error) {
    throw fault('definition', file, (error as Error).message, error);
  }
}

function never(value: number): never {
  throw new Error(`ignore: ${value} is a value, but masks are 'colors'; give colours such as '#000000'`);
}

/** One-channel masks: each class has a value, by default its place in the list. */
function byValue(entries: readonly ClassEntry[], ignore: readonly (number | Color)[]): ClassDefinition {
  const table = new Uint8Array(256).fill(UNKNOWN_LABEL);
  // Masks of 0 and 255 are common: where a class has the value 255, it is that class and not ignored.
  const named255 = entries.some(({ value }) => value?.includes(IGNORE_INDEX));
  const owner = new Map<number, string>(named255 ? [] : [[IGNORE_INDEX, 'ignore']]);
  const claim = (value: number, name: string, trainId: number) => {
    const other = owner.get(value);
    if (other !== undefined) throw new Error(`the value ${value} is given to both '${other}' and '${name}'`);
    owner.set(value, name);
    table[value] = trainId;
  };
  if (!named255) table[IGNORE_INDEX] = IGNORE_INDEX;
  const classes = describe(entries, (entry, trainId) => entry.value?.[0] ?? trainId);
  for (const [trainId, { name, value = [trainId], color = [] }] of entries.entries()) {
    if (color.length > 1) throw new Error(`'${name}' has several colours, but masks are 'values'`);
    for (const one of new Set(value)) claim(one, name, trainId);
  }
  for (const value of new Set(ignore)) {
    if (typeof value !== 'number') {
      throw new Error(`ignore: colours can be ignored only where masks are 'colors'; give values`);
    }
    if (value !== IGNORE_INDEX || named255) claim(value, 'ignore', IGNORE_INDEX);
  }
  return { classes, labelCoding: { kind: 'values', table } };
}

/** Colour masks: every class has a colour of its own. */
function byColor(entries: readonly ClassEntry[], ignore: readonly Color[]): ClassDefinition {
  const codes = new Map<number, { name: string; trainId: number }>();
  const claim = (color: Color, name: string, trainId: number) => {
    const code = packed(color);
    const other = codes.get(code)?.name;
    if (other !== undefined) {
      throw new Error(`the colour ${color.join(', ')} is given to both '${other}' and '${name}'`);
    }
    codes.set(code, { name, trainId });
  };
  const classes = describe(entries, (entry, trainId) => {
    if (entry.value !== undefined) throw new Error(`'${entry.name}' has a value, but masks are 'colors'`);
    if (entry.color === undefined) throw new Error(`'${entry.name}' has no color, but masks are 'colors'`);
    return trainId;
  });
  for (const [trainId, { name, color = [] }] of entries.entries()) {
    for (const one of color) claim(one, name, trainId);
  }
  for (const color of ignore) claim(color, 'ignore', IGNORE_INDEX);
  return {
    classes,
    labelCoding: {
      kind: 'colors',
      colors: Uint32Array.from(codes.keys()),
      trainIds: Uint8Array.from(codes.values(), ({ trainId }) => trainId),
    },
  };
}

function describe(
  entries: readonly ClassEntry[],
  labelIdOf: (entry: ClassEntry, trainId: number) => number,
): ClassInfo[] {
  const names = new Set<string>();
  return entries.map((entry, trainId) => {
    if (names.has(entry.name)) throw new Error(`two classes are named '${entry.name}'`);
    names.add(entry.name);
    const { name, color: [color = defaultColor(trainId)] = [], kind = 'stuff' } = entry;
    return { trainId, labelId: labelIdOf(entry, trainId), name, color, kind };
  });
}

/** A class file, as {@link readClassFile} reads it, of classes and the coding of their masks. */
export function formatClassFile({ classes, labelCoding }: ClassDefinition): string {
  const colored = labelCoding.kind === 'colors';
  const [codes, trainIds] = colored
    ? [[...labelCoding.colors], labelCoding.trainIds]
    : [[...labelCoding.table.keys()], labelCoding.table];
  const codesOf = (trainId: number) => codes.filter((_, i) => trainIds[i] === trainId);
  const written = (own: number, trainId: number) => {
    const all = [own, ...codesOf(trainId).filter((code) => code !== own)];
    const texts = colored ? all.map(hexColor) : all;
    return texts.length === 1 ? texts[0] : texts;
  };
  const ignored = codesOf(IGNORE_INDEX);
  return stringify({
    masks: colored ? 'colors' : 'values',
    classes: classes.map(({ name, labelId, color, kind, trainId }) => ({
      name,
      ...(colored
        ? { color: written(packed(color), trainId) }
        : { value: written(labelId, trainId), color: hexColor(packed(color)) }),
      kind,
    })),
    ignore: colored ? ignored.map(hexColor) : ignored.filter((value) => value !== IGNORE_INDEX),
  });
}

/**
 * The classes 0 .. count - 1 of masks without a class file, named class0, class1 ...
 * @param count 1 to `MAX_CLASSES`
 */
export function numberedClasses(count: number): ClassDefinition {
  return namedClasses(Array.from({ length: count }, (_, i) => `class${i}`));
}

/** Classes by name: masks hold the place in the list. @throws Error for two classes of one name, or none */
export function namedClasses(names: readonly string[]): ClassDefinition {
  if (names.length === 0 || names.length > MAX_CLASSES) {
    throw new Error(`lists ${names.length} classes; 1 to ${MAX_CLASSES} are possible`);
  }
  return byValue(
    names.map((name) => ({ name })),
    [],
  );
}

/** Masks that hold the trainIds of given classes. */
export function classesByTrainId(classes: readonly ClassInfo[]): ClassDefinition {
  return byValue(
    classes.map(({ name, color, kind }) => ({ name, color: [color], kind })),
    [],
  );
}

/**
 * Reads the labelmap.txt of CVAT's export "Segmentation mask 1.1": lines `name:red,green,blue:parts:actions`. Every
 * line is a class, `background` (what nobody drew on) too: to ignore it, write a class file.
 * @throws {DatasetError} when the file is missing or a line is not of this form
 */
export async function readCvatLabelMap(file: string): Promise<ClassDefinition> {
  const fail = (why: string) => fault('definition', file, why);
  const lines = (await readText(file)).split(/\r?\n/).map((line) => line.trim());
  const entries: ClassEntry[] = [];
  for (const [index, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const found = /^(?<name>[^:]+):(?<red>\d{1,3}),(?<green>\d{1,3}),(?<blue>\d{1,3})(:|$)/.exec(
      line,
    )?.groups;
    const color: Color = [Number(found?.red), Number(found?.green), Number(found?.blue)];
    if (found === undefined || color.some((value) => value > 255)) {
      throw fail(`line ${index + 1} '${line}' is not of the form name:red,green,blue::`);
    }
    entries.push({ name: found.name!, color: [color] });
  }
  if (entries.length === 0) throw fail('lists no class');
  if (entries.length > MAX_CLASSES) throw fail(`lists ${entries.length} classes; ${MAX_CLASSES} is the most`);
  try {
    return byColor(entries, []);
  } catch (error) {
    throw fail((error as Error).message);
  }
}
