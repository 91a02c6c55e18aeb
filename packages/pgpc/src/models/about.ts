// What a model's file says of itself besides weights and configuration: its classes, its input, where it comes from.

import {
  CITYSCAPES_CLASSES,
  type ClassInfo,
  isCityscapes,
  numberedClasses,
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

const classesSchema: z.ZodType<ClassInfo[]> = z.array(
  z.object({
    name: z.string(),
    trainId: z.number(),
    labelId: z.number(),
    color: z.tuple([z.number(), z.number(), z.number()]),
    kind: z.enum(['stuff', 'thing']),
  }),
);

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
 * @param texts of a file's header
 * @throws Error for classes that have not their form, and for an input that is normalised in another way than here
 */
export function readAbout(texts: Readonly<Record<string, string>>): Described {
  const { classes, input_size: size, range, licence, run, method, mean = MEAN, std = STD } = texts;
  if (mean !== MEAN || std !== STD) {
    throw new Error(
      `its input is normalised by mean ${mean} and deviation ${std}, here it is by ${MEAN} and ${STD}`,
    );
  }
  const [width, height] = size?.split('x').map(Number) ?? [];
  const isKnown = [size, range, licence, run, method].some((text) => text !== undefined);
  const inputSize = size === 'full' ? 'full' : width && height ? { width, height } : undefined;
  return {
    classInfo: classes === undefined ? undefined : classesSchema.parse(JSON.parse(classes)),
    about: isKnown ? { inputSize, ...(range && { range: rangeOf(range) }), licence, run, method } : undefined,
  };
}

function rangeOf(text: string): ValueRange {
  const [low, high] = text.split(':').map(Number);
  return [low!, high!];
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
