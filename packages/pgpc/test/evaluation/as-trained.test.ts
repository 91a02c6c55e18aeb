// A model as its file says it was trained: size, classes, and what is said where it does not.

import { CITYSCAPES_CLASSES, type ClassInfo } from '@pgpc/datasets';
import { describe, expect, test } from 'vitest';
import { asTrained, type ModelInferenceOptions } from '../../src/evaluation/as-trained.js';
import { aboutTexts, readAbout } from '../../src/models/about.js';
import { tinySegmentor } from '../support/method.js';

const size = { width: 64, height: 32 };
const own = (...names: string[]): ClassInfo[] =>
  names.map((name, i) => ({ name, trainId: i, labelId: 100 * i, color: [i, i, i], kind: 'stuff' }));
const config = { ...tinySegmentor, classes: 3 };
const classInfo = own('ok', 'crack', 'rust');

describe('what a model is used as', () => {
  test('the size and the classes of its file', () => {
    const { inference, classes, said } = asTrained(
      { config, classInfo, about: { inputSize: size } },
      { flip: true },
    );
    expect([inference, classes, said]).toEqual([
      { flip: true, size },
      classInfo,
      ['as the model was trained: images within 64x32, 3 classes'],
    ]);
    const full = asTrained({ config, classInfo, about: { inputSize: 'full' } });
    expect([full.inference.size, full.said]).toEqual([
      undefined,
      ['as the model was trained: images as they are, 3 classes'],
    ]);
  });

  test('the range of stored numbers, which its file keeps', () => {
    const about = { inputSize: size, range: [7000, 8200] } as const;
    expect(readAbout('x', aboutTexts({ classInfo, about }))).toMatchObject({ classInfo, about });
    expect(readAbout('x', aboutTexts({ classInfo, about: { inputSize: size } })).about).not.toHaveProperty(
      'range',
    );
    expect(asTrained({ config, classInfo, about }).said).toEqual([
      'as the model was trained: images within 64x32, 3 classes, trained on numbers from 7000 to 8200',
    ]);
  });

  test('another size, when asked for', () => {
    const model = { config, classInfo, about: { inputSize: size } };
    const other = asTrained(model, { size: { width: 32, height: 32 } });
    expect([other.inference.size, other.said]).toEqual([
      { width: 32, height: 32 },
      ['images within 32x32, where the model was trained with images within 64x32, 3 classes'],
    ]);
    const full = asTrained(model, { size: 'full' });
    expect(full.inference.size).toBeUndefined();
    expect(full.said[0]).toMatch(/^images as they are, where/);
    expect(asTrained(model, { size }).said[0]).toMatch(/^as the model was trained/);
  });

  test('by the windows that it is for, unless others are asked for, or none', () => {
    const ownWindows = { window: { width: 48, height: 32 }, stride: { width: 24, height: 16 } };
    const model = { config, classInfo, about: { inputSize: size }, ownWindows };
    const slideOf = (
      slide?: ModelInferenceOptions['slide'],
      of: typeof model | Omit<typeof model, 'ownWindows'> = model,
    ) => asTrained(of, { slide }).inference.slide;
    expect(asTrained(model).said[0]).toBe(
      'as the model was trained: images within 64x32, by windows of 48x32, 3 classes',
    );
    expect(slideOf()).toEqual(ownWindows);
    expect(slideOf(false)).toBe(false);
    expect(slideOf({ batch: 3 })).toEqual({ ...ownWindows, batch: 3 });
    const window = { width: 21, height: 32 };
    expect(slideOf({ window })).toEqual({ window, stride: { width: 11, height: 16 } });
    const { ownWindows: _, ...plain } = model;
    expect(slideOf(undefined, plain)).toBeUndefined();
    expect(slideOf({ batch: 2 }, plain)).toEqual({
      window: { width: 1024, height: 1024 },
      stride: { width: 512, height: 512 },
      batch: 2,
    });
  });

  test('of an older file, one line says what it does not', () => {
    const old = { config, classInfo: undefined, about: undefined };
    expect(asTrained(old).said).toEqual([
      'images as they are, 3 classes',
      "warning: the model's file does not say at what size it was trained, so images go in as they are (--input-size sets another), nor what its 3 classes are, which are numbered",
    ]);
    expect(asTrained(old).classes.map(({ labelId }) => labelId)).toEqual([0, 1, 2]);
    expect(asTrained(old, { size }, false).said).toEqual(['images within 64x32, 3 classes']);
    const nineteen = asTrained({ ...old, config: { ...config, classes: 19 } }, { size });
    expect([nineteen.classes, nineteen.said[1]]).toEqual([
      CITYSCAPES_CLASSES,
      "warning: the model's file does not say what its 19 classes are, which are taken for Cityscapes'",
    ]);
  });
});
