// Evaluation: the confusion matrix, the scores, and a network over a split, against loops over pixels.

import { noGrad, type Tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { confusionMatrix, scores } from '../src/evaluation/confusion.js';
import { evaluateSegmentor, predictLabels, toLabelMap } from '../src/evaluation/evaluate.js';
import { Segmentor } from '../src/models/segmentor.js';
import { wholeImage } from '../src/pipeline/crop.js';
import { PixelStore } from '../src/pipeline/pixels.js';
import {
  CLASSES,
  int64,
  matrix,
  memoryDataset,
  randomLabels,
  randomSample,
  slowBilinear,
  tinySegmentor,
} from './method-helpers.js';

const seeds = fc.integer({ min: 0, max: 1e6 });

/** Pixels by true and predicted class; 255 does not count. */
function slowConfusion(truth: readonly number[], predicted: readonly number[], classes: number): number[][] {
  const counts = Array.from({ length: classes }, () => Array<number>(classes).fill(0));
  for (const [i, t] of truth.entries()) if (t !== 255) counts[t]![predicted[i]!]!++;
  return counts;
}

/** The scores from lists of pixels, class by class. */
function slowScores(truth: readonly number[], predicted: readonly number[], classes: number) {
  const known = truth.flatMap((t, i) => (t === 255 ? [] : [[t, predicted[i]!] as const]));
  const iou = Array.from({ length: classes }, (_, c) => {
    const union = known.filter(([t, p]) => t === c || p === c).length;
    return union === 0 ? Number.NaN : known.filter(([t, p]) => t === c && p === c).length / union;
  });
  const present = iou.filter((value) => !Number.isNaN(value));
  return {
    iou,
    miou: present.reduce((sum, value) => sum + value, 0) / present.length,
    accuracy: known.filter(([t, p]) => t === p).length / known.length,
  };
}

describe('confusion matrix and scores', () => {
  test('equal loops over pixels', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 19 }),
        (seed, n, classes) =>
          tidy(() => {
            const truth = randomLabels(n, classes, seed);
            fc.pre(truth.some((value) => value !== 255));
            const predicted = randomLabels(n, classes, seed + 1).map((value) => (value === 255 ? 0 : value));
            const counted = confusionMatrix(
              int64(truth, [n, 1]).to('uint8'),
              int64(predicted, [n, 1]),
              classes,
            );
            expect(counted.dtype).toBe('int64');
            expect(matrix(counted)).toEqual(slowConfusion(truth, predicted, classes));
            const { iou, miou, accuracy } = scores(matrix(counted));
            const slow = slowScores(truth, predicted, classes);
            expect(iou).toEqual(slow.iou);
            expect(miou).toBeCloseTo(slow.miou, 12);
            expect(accuracy).toBeCloseTo(slow.accuracy, 12);
          }),
      ),
      { numRuns: 60 },
    );
  });

  test('a class in neither truth nor prediction has no IoU; one that is only predicted has 0', () => {
    const { iou, miou, accuracy } = scores([
      [6, 2, 0, 0],
      [0, 0, 0, 0],
      [1, 0, 3, 0],
      [0, 0, 0, 0],
    ]);
    expect(iou).toEqual([6 / 9, 0, 3 / 4, Number.NaN]);
    expect(miou).toBeCloseTo((6 / 9 + 0 + 3 / 4) / 3, 12);
    expect(accuracy).toBe(9 / 12);
  });
});

describe('evaluateSegmentor', () => {
  const samples = [randomSample(40, 32, 1), randomSample(32, 48, 2), randomSample(36, 36, 3)];
  const store = new PixelStore(memoryDataset(samples));
  const segmentor = new Segmentor({ ...tinySegmentor, dropout: 0.5, dropPath: 0.5 }, 3);

  /** The arg-max of logits that are resized to the image, pixel by pixel. */
  async function slowPrediction(index: number): Promise<number[]> {
    const pixels = await store.get(index);
    return tidy(() => {
      const { width, height } = samples[index]!.image;
      const { logits } = noGrad(() => segmentor.call(wholeImage(pixels)));
      const maps = (logits.tolist() as number[][][][])[0]!.map((map) =>
        slowBilinear(map, height, width).flat(),
      );
      return maps[0]!.map((_, i) => {
        const values = maps.map((map) => map[i]!);
        return values.indexOf(Math.max(...values));
      });
    });
  }

  test('counts the predictions of all images, in evaluation mode, and restores the mode', async () => {
    segmentor.train();
    const predictions: number[][] = [];
    const seen: number[][] = [];
    const found = await evaluateSegmentor(segmentor, store, {
      onImage: (done, total, index, prediction: Tensor) => {
        expect(segmentor.training).toBe(false);
        seen.push([done, total, index]);
        predictions.push(prediction.flatten().tolist() as number[]);
      },
    });
    expect(segmentor.training).toBe(true);
    expect(seen).toEqual([
      [1, 3, 0],
      [2, 3, 1],
      [3, 3, 2],
    ]);
    const truth = samples.flatMap(({ label }) => [...label.data]);
    const slow = slowScores(truth, predictions.flat(), CLASSES);
    expect(found.iou).toEqual(slow.iou);
    expect(found.miou).toBeCloseTo(slow.miou, 12);
    expect(found.accuracy).toBeCloseTo(slow.accuracy, 12);

    segmentor.eval();
    const expected = [await slowPrediction(0), await slowPrediction(1), await slowPrediction(2)];
    // Logits of two classes may tie to a rounding.
    for (const [i, own] of predictions.entries()) {
      const other = own.filter((value, j) => value !== expected[i]![j]).length;
      expect(other).toBeLessThan(0.005 * own.length);
    }
    expect(new Set(predictions.flat()).size).toBeGreaterThan(1);
    await evaluateSegmentor(segmentor, store);
    expect(segmentor.training).toBe(false);
  });

  test('refuses a sample without label, and stops at a signal; the mode is restored', async () => {
    const unlabelled = new PixelStore(memoryDataset([{ image: samples[0]!.image }]));
    segmentor.train();
    await expect(evaluateSegmentor(segmentor, unlabelled)).rejects.toThrow(
      'image-0 has no label to evaluate against',
    );
    unlabelled.dispose();
    const stop = new AbortController();
    let images = 0;
    const onImage = () => {
      images++;
      stop.abort();
    };
    await expect(evaluateSegmentor(segmentor, store, { signal: stop.signal, onImage })).rejects.toThrow(
      'aborted',
    );
    expect([images, segmentor.training]).toEqual([1, true]);
  });

  test('predictions become label maps', async () => {
    segmentor.eval();
    const prediction = predictLabels(segmentor, await store.get(0));
    const { width, height, data } = toLabelMap(prediction);
    expect([width, height]).toEqual([40, 32]);
    expect([...data]).toEqual(prediction.flatten().tolist());
    prediction.dispose();
  });
});
