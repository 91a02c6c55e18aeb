// Class lists of your own data: classes.yaml or classes.json, and CVAT's labelmap.txt.
import { readFile } from 'node:fs/promises';
import { parse as parseYaml, stringify } from 'yaml';
import { z } from 'zod';
import { fault } from '../errors.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';

/** Classes and how masks tell them. */
export interface ClassDefinition {
  readonly classes: readonly ClassInfo[];
  readonly labelCoding: LabelCoding;
}

type Color = readonly [red: number, green: number, blue: number];

/** trainIds end at 253: 254 marks unknown values and 255 is ignored. */
export const MAX_CLASSES = UNKNOWN_LABEL;

const colorSchema = z.union(
  [
    z
      .string()
      .regex(/^#[0-9a-f]{6}$/i)
      .transform((text): Color => unpack(Number.parseInt(text.slice(1), 16))),
    z.tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)]),
  ],
  {
    error: "a colour is '#rrggbb', in quotes (# begins a comment in YAML), or [red, green, blue] of 0 to 255",
  },
);

const classSchema = z.union([
  z
    .string()
    .min(1)
    .transform((name) => ({ name })),
  z.strictObject({
    name: z.string().min(1),
    value: z.int().min(0).max(254, 'must be at most 254: 255 is always ignored').optional(),
    color: colorSchema.optional(),
    kind: z.enum(['thing', 'stuff']).optional(),
  }),
]);

const fileSchema = z.strictObject({
  masks: z.enum(['values', 'colors']).default('values'),
  classes: z.array(classSchema).min(1).max(MAX_CLASSES),
  ignore: z.array(z.union([z.int().min(0).max(255), colorSchema])).default([]),
});

type ClassEntry = { name: string; value?: number; color?: Color; kind?: 'thing' | 'stuff' };

/**
 * Reads a class file (YAML, which includes JSON):
 * ```yaml
 * masks: values            # one-channel masks (default), or `colors`
 * classes:                 # in the order of the trainIds
 *   - road                 # value in the masks: its place in the list, counted from 0
 *   - { name: car, value: 26, color: '#00008e', kind: thing }
 * ignore: [0, 34]          # values (or colours) to ignore besides 255
 * ```
 * @throws {DatasetError} when the file is missing or is not as above
 */
export async function readClassFile(file: string): Promise<ClassDefinition> {
  const fail = (why: string, cause?: unknown) => fault('definition', file, why, cause);
  let content: unknown;
  try {
    content = parseYaml(await readFile(file, 'utf8'));
  } catch (error) {
    throw fail(
      `cannot be read (${(error as Error).message.split('\n')[0]}); see the guide to datasets`,
      error,
    );
  }
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = issue!.path.length > 0 ? `at ${issue!.path.join('.')}: ` : '';
    throw fail(`${where}${issueText(issue!)}; a list of classes is expected under 'classes'`);
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
    throw fail((error as Error).message, error);
  }
}

function issueText(issue: z.core.$ZodIssue): string {
  // Of a union's branches the last, most detailed one says what to write.
  const nested = issue.code === 'invalid_union' ? issue.errors.at(-1)?.[0] : undefined;
  return nested !== undefined && issue.message === 'Invalid input' ? nestedText(nested) : issue.message;
}

function nestedText(issue: z.core.$ZodIssue): string {
  const where = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  return `${where}${issueText(issue)}`;
}

function never(value: number): never {
  throw new Error(`ignore: ${value} is a value, but masks are 'colors'; give colours such as '#000000'`);
}

/** One-channel masks: each class has a value, by default its place in the list. */
function byValue(entries: readonly ClassEntry[], ignore: readonly (number | Color)[]): ClassDefinition {
  const table = new Uint8Array(256).fill(UNKNOWN_LABEL);
  const owner = new Map<number, string>([[IGNORE_INDEX, 'ignore']]);
  const claim = (value: number, name: string, trainId: number) => {
    const other = owner.get(value);
    if (other !== undefined) throw new Error(`the value ${value} is given to both '${other}' and '${name}'`);
    owner.set(value, name);
    table[value] = trainId;
  };
  table[IGNORE_INDEX] = IGNORE_INDEX;
  const classes = describe(entries, (entry, trainId) => entry.value ?? trainId);
  for (const { labelId, name, trainId } of classes) claim(labelId, name, trainId);
  for (const value of new Set(ignore)) {
    if (typeof value !== 'number') {
      throw new Error(`ignore: colours can be ignored only where masks are 'colors'; give values`);
    }
    if (value !== IGNORE_INDEX) claim(value, 'ignore', IGNORE_INDEX);
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
  for (const { color, name, trainId } of classes) claim(color, name, trainId);
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
    const { name, color = defaultColor(trainId), kind = 'stuff' } = entry;
    return { trainId, labelId: labelIdOf(entry, trainId), name, color, kind };
  });
}

/** A class file, as {@link readClassFile} reads it, of classes and the coding of their masks. */
export function formatClassFile({ classes, labelCoding }: ClassDefinition): string {
  const hex = (code: number) => `#${code.toString(16).padStart(6, '0')}`;
  const colored = labelCoding.kind === 'colors';
  const ignored = colored
    ? Array.from(labelCoding.colors, hex).filter((_, i) => labelCoding.trainIds[i] === IGNORE_INDEX)
    : [...labelCoding.table.keys()].filter(
        (value) => value !== IGNORE_INDEX && labelCoding.table[value] === IGNORE_INDEX,
      );
  return stringify({
    masks: colored ? 'colors' : 'values',
    classes: classes.map(({ name, labelId, color, kind }) => ({
      name,
      ...(colored ? {} : { value: labelId }),
      color: hex(packed(color)),
      kind,
    })),
    ignore: ignored,
  });
}

/**
 * The classes 0 .. count - 1 of masks without a class file, named class0, class1 ...
 * @param count 1 to `MAX_CLASSES`
 */
export function numberedClasses(count: number): ClassDefinition {
  return byValue(
    Array.from({ length: count }, (_, i) => ({ name: `class${i}` })),
    [],
  );
}

/** Masks that hold the trainIds of given classes. */
export function classesByTrainId(classes: readonly ClassInfo[]): ClassDefinition {
  return byValue(
    classes.map(({ name, color, kind }) => ({ name, color, kind })),
    [],
  );
}

/** Pascal VOC's colour of label `index` + 1: the bits of the number spread over the channels, high ones first. */
function defaultColor(index: number): Color {
  const channels: [number, number, number] = [0, 0, 0];
  for (let rest = index + 1, bit = 7; rest > 0; rest >>= 3, bit--) {
    for (const channel of [0, 1, 2] as const) channels[channel] |= ((rest >> channel) & 1) << bit;
  }
  return channels;
}

const packed = ([red, green, blue]: Color): number => (red << 16) | (green << 8) | blue;
const unpack = (code: number): Color => [code >> 16, (code >> 8) & 255, code & 255];

/**
 * Reads the labelmap.txt of CVAT's export "Segmentation mask 1.1": lines `name:red,green,blue:parts:actions`. Every
 * line is a class, `background` (what nobody drew on) too: to ignore it, write a class file.
 * @throws {DatasetError} when the file is missing or a line is not of this form
 */
export async function readCvatLabelMap(file: string): Promise<ClassDefinition> {
  const fail = (why: string) => fault('definition', file, why);
  const lines = (await readFile(file, 'utf8')).split(/\r?\n/).map((line) => line.trim());
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
    entries.push({ name: found.name!, color });
  }
  if (entries.length === 0) throw fail('lists no class');
  if (entries.length > MAX_CLASSES) throw fail(`lists ${entries.length} classes; ${MAX_CLASSES} is the most`);
  try {
    return byColor(entries, []);
  } catch (error) {
    throw fail((error as Error).message);
  }
}
