// What a model's file says of itself besides weights and configuration: its classes, its input, where it comes from.

import {
  CITYSCAPES_CLASSES,
  type ClassInfo,
  isCityscapes,
  numberedClasses,
  parsedBy,
  parseJson,
  type Size,
  type ValueRange,
} from '@pgpc/datasets';
import { z } from 'zod';
import { RGB_MEAN, RGB_STD } from '../config/normalisation.js';

/** In the files of other projects' forms, what only this project reads stands under this key. */
export const OWN_KEY = 'pgpc';

/** Where a network comes from and what it expects; what is left out is not known. */
export interface ModelAbout {
  /** Bounds within which the target's images were trained on, their ratio kept; 'full': as they are. */
  readonly inputSize?: Size | 'full' | undefined;
  /** Of images of more than 8 bits: the stored numbers that were black and white. */
  readonly range?: ValueRange | undefined;
  /** Of the weights that it was started from, in one sentence. */
  readonly licence?: string | undefined;
  /** Name of the run, and what it trained. */
  readonly run?: string | undefined;
  readonly method?: string | undefined;
}

const byte = z.int().min(0).max(255);
const classesSchema: z.ZodType<ClassInfo[]> = z
  .array(
    z.object({
      name: z.string(),
      trainId: byte,
      labelId: byte,
      color: z.tuple([byte, byte, byte]),
      kind: z.enum(['stuff', 'thing']),
    }),
  )
  .refine((classes) => classes.every(({ trainId }, i) => trainId === i), 'their trainIds must count from 0');

/** A network as far as its file describes it. */
export interface Described {
  readonly classInfo: readonly ClassInfo[] | undefined;
  readonly about: ModelAbout | undefined;
}

const MEAN = RGB_MEAN.join(',');
const STD = RGB_STD.join(',');

/** Texts for the header of a file, from which {@link readAbout} reads the same. */
export function aboutTexts({ classInfo, about = {} }: Described): Record<string, string> {
  const { inputSize, range, licence, run, method } = about;
  const size = typeof inputSize === 'object' ? `${inputSize.width}x${inputSize.height}` : inputSize;
  const texts = { input_size: size, range: range?.join(':'), licence, run, method, mean: MEAN, std: STD };
  return {
    ...(classInfo && { classes: JSON.stringify(classInfo) }),
    ...Object.fromEntries(
      Object.entries(texts).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
  };
}

/**
 * @param file for the errors. @param texts of its header
 * @throws Error for texts that have not their form, and for an input that is normalised in another way than here
 */
export function readAbout(file: string, texts: Readonly<Record<string, string>>): Described {
  const { classes, input_size: size, range, licence, run, method, mean = MEAN, std = STD } = texts;
  if (mean !== MEAN || std !== STD) {
    throw new Error(
      `${file}: its input is normalised by mean ${mean} and deviation ${std}, here it is by ${MEAN} and ${STD}`,
    );
  }
  const isKnown = [size, range, licence, run, method].some((text) => text !== undefined);
  const inputSize = size === undefined || size === 'full' ? size : sizeOf(file, size);
  return {
    classInfo: classes === undefined ? undefined : classesOf(file, classes),
    about: isKnown
      ? { inputSize, ...(range && { range: rangeOf(file, range) }), licence, run, method }
      : undefined,
  };
}

function sizeOf(file: string, text: string): Size {
  const found = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text);
  if (found === null) throw new Error(`${file}: its input_size ${JSON.stringify(text)} is no WxH`);
  return { width: Number(found[1]), height: Number(found[2]) };
}

function rangeOf(file: string, text: string): ValueRange {
  const [low, high, ...more] = text.split(':').map(Number);
  if (more.length > 0 || !(Number.isFinite(low) && Number.isFinite(high) && low! < high!)) {
    throw new Error(`${file}: its range ${JSON.stringify(text)} is no LOW:HIGH`);
  }
  return [low!, high!];
}

function classesOf(file: string, text: string): ClassInfo[] {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (error) {
    throw new Error(`${file}: its classes are no JSON: ${(error as Error).message}`, { cause: error });
  }
  const parsed = parsedBy(classesSchema, json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Error(`${file}: its classes are not valid: ${issue!.path.join('.')}: ${issue!.message}`);
}

/**
 * Classes by their names, and perhaps colours: Cityscapes' own where the names are its 19, else their places
 * are their values.
 */
export function namedClasses(
  names: readonly string[],
  colors: readonly (readonly [number, number, number])[] = [],
): readonly ClassInfo[] {
  if (isCityscapes(names.map((name) => ({ name })))) return CITYSCAPES_CLASSES;
  const numbered = numberedClasses(names.length).classes;
  return names.map((name, i) => ({ ...numbered[i]!, name, color: colors[i] ?? numbered[i]!.color }));
}
