// How images enter a model, and what its classes are, unless something else is asked for: as its file says it was trained.

import { CITYSCAPES_CLASSES, type ClassInfo, numberedClasses, type Size } from '@pgpc/datasets';
import type { Segmentor } from '../models/segmentor.js';
import type { InferenceOptions, SlidingWindow } from './inference.js';

/** Options of inference where the model may say the size itself. */
export interface ModelInferenceOptions extends Omit<InferenceOptions, 'size' | 'slide'> {
  /** As of {@link InferenceOptions}; 'full': images enter as they are. Left out: as the model was trained. */
  readonly size?: Size | 'full' | undefined;
  /**
   * As of {@link InferenceOptions}. A window that is left out is the one that the network is for, or 1024 x 1024; a stride, half
   * a window.
   */
  readonly slide?: Partial<SlidingWindow> | false | undefined;
}

/** Of `--mode slide`, for a network that has none of its own. */
export const DEFAULT_WINDOW: Size = { width: 1024, height: 1024 };

/** A model as it is used. */
export interface AsTrained {
  readonly inference: InferenceOptions;
  /** Its own, or what is taken for them. */
  readonly classes: readonly ClassInfo[];
  /** What was taken from the model's file, in one line; a warning where it does not say something. */
  readonly said: string[];
}

type Described = Pick<Segmentor, 'classInfo' | 'about'> & {
  config: Pick<Segmentor['config'], 'classes'>;
  ownWindows?: Segmentor['ownWindows'];
};

/** @param needsClasses whether the classes are taken from the model, not from a data set. */
export function asTrained(
  { config, classInfo, about, ownWindows }: Described,
  given: ModelInferenceOptions = {},
  needsClasses = true,
): AsTrained {
  const trained = about?.inputSize;
  const size = given.size ?? trained ?? 'full';
  const isCityscapes = config.classes === CITYSCAPES_CLASSES.length;
  const guessed = isCityscapes ? CITYSCAPES_CLASSES : numberedClasses(config.classes).classes;
  const lacks = [
    ...(trained === undefined && given.size === undefined
      ? ['at what size it was trained, so images go in as they are (--input-size sets another)']
      : []),
    ...(classInfo === undefined && needsClasses
      ? [
          `what its ${config.classes} classes are, which are ${isCityscapes ? "taken for Cityscapes'" : 'numbered'}`,
        ]
      : []),
  ];
  const asked = trained !== undefined && given.size !== undefined && inWords(given.size) !== inWords(trained);
  const range = about?.range ? `, trained on numbers from ${about.range.join(' to ')}` : '';
  const start = asked
    ? `images ${inWords(size)}, where the model was trained with images ${inWords(trained)}`
    : trained === undefined
      ? `images ${inWords(size)}`
      : `as the model was trained: images ${inWords(size)}`;
  const slide = windowsOf(given.slide, ownWindows);
  const windows = slide ? `, by windows of ${slide.window.width}x${slide.window.height}` : '';
  return {
    inference: { ...given, slide, size: size === 'full' ? undefined : size },
    classes: classInfo ?? guessed,
    said: [
      `${start}${windows}, ${config.classes} classes${range}`,
      ...(lacks.length > 0 ? [`warning: the model's file does not say ${lacks.join(', nor ')}`] : []),
    ],
  };
}

function windowsOf(
  given: ModelInferenceOptions['slide'],
  own: Described['ownWindows'],
): SlidingWindow | false | undefined {
  if (given === undefined || given === false) return given ?? own;
  const window = given.window ?? own?.window ?? DEFAULT_WINDOW;
  const half = { width: Math.ceil(window.width / 2), height: Math.ceil(window.height / 2) };
  return { ...given, window, stride: given.stride ?? half };
}

function inWords(size: Size | 'full'): string {
  return size === 'full' ? 'as they are' : `within ${size.width}x${size.height}`;
}
