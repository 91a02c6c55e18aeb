// Evaluation: the confusion matrix, the scores, and a network over a split, against loops over pixels.

import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { noGrad, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { confusionMatrix } from '../../src/evaluation/confusion.js';
import { evaluateSegmentor, toLabelMap } from '../../src/evaluation/evaluate.js';
import { predictLabels } from '../../src/evaluation/inference.js';
import { CITYSCAPES_PROTOCOLS, protocolMiou } from '../../src/evaluation/protocols.js';
import { type Scores, scores } from '../../src/evaluation/scores.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { normalize } from '../../src/pipeline/normalize.js';
import {
  CLASSES,
  int64,
  matrix,
  memoryDataset,
  randomLabels,
  randomSample,
  slowBilinear,
  tinySegmentor,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });

/** Pixels by true and predicted class; 255 does not count. */
function slowConfusion(truth: readonly number[], predicted: readonly number[], classes: number): number[][] {
  const counts = Array.from({ length: classes }, () => Array<number>(classes).fill(0));
  for (const [i, t] of truth.entries()) if (t !== 255) counts[t]![predicted[i]!]!++;
  return counts;
}

/** The scores from lists of pixels, class by class. */
function slowScores(truth: readonly number[], predicted: readonly number[], classes: number): Scores {
  const known = truth.flatMap((t, i) => (t === 255 ? [] : [[t, predicted[i]!] as const]));
  const iou = Array.from({ length: classes }, (_, c) => {
    if (!known.some(([t]) => t === c)) return Number.NaN;
    const union = known.filter(([t, p]) => t === c || p === c).length;
    return known.filter(([t, p]) => t === c && p === c).length / union;
  });
  const classAccuracy = Array.from({ length: classes }, (_, c) => {
    const own = known.filter(([t]) => t === c);
    return own.filter(([, p]) => p === c).length / own.length;
  });
  const average = (values: number[]) => {
    const present = values.filter((value) => !Number.isNaN(value));
    return present.reduce((sum, value) => sum + value, 0) / present.length;
  };
  return {
    iou,
    miou: average(iou),
    classAccuracy,
    meanAccuracy: average(classAccuracy),
    // Every labelled pixel brings the IoU of its class.
    frequencyWeightedIou: average(known.map(([t]) => iou[t]!)),
    accuracy: known.filter(([t, p]) => t === p).length / known.length,
  };
}

function expectScores(found: Scores, slow: Scores): void {
  expect(found.iou).toEqual(slow.iou);
  expect(found.classAccuracy).toEqual(slow.classAccuracy);
  for (const mean of ['miou', 'accuracy', 'meanAccuracy', 'frequencyWeightedIou'] as const) {
    expect(found[mean]).toBeCloseTo(slow[mean], 12);
  }
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
            expectScores(scores(matrix(counted)), slowScores(truth, predicted, classes));
          }),
      ),
      { numRuns: 60 },
    );
  });

  test('a class without pixels has no IoU and no part in the mean, also where it is predicted', () => {
    const { iou, miou, accuracy } = scores([
      [6, 2, 0, 0],
      [0, 0, 0, 0],
      [1, 0, 3, 0],
      [0, 0, 0, 0],
    ]);
    expect(iou).toEqual([6 / 9, Number.NaN, 3 / 4, Number.NaN]);
    expect(miou).toBeCloseTo((6 / 9 + 3 / 4) / 2, 12);
    expect(accuracy).toBe(9 / 12);
  });
});

test('the mean over 16 and 13 classes leaves out what SYNTHIA has not, as named', () => {
  const names = (protocol: 16 | 13) =>
    CITYSCAPES_CLASSES.filter(
      ({ trainId }) => !(CITYSCAPES_PROTOCOLS[protocol] as readonly number[]).includes(trainId),
    ).map(({ name }) => name);
  expect(names(16)).toEqual(['terrain', 'truck', 'train']);
  expect(names(13)).toEqual(['wall', 'fence', 'pole', 'terrain', 'truck', 'train']);
  // Zero for the classes that SYNTHIA lacks: DAFormer's own conversion, mIoU16 = mIoU19 * 19 / 16.
  const iou = CITYSCAPES_CLASSES.map(({ trainId }) =>
    [9, 14, 16].includes(trainId) ? 0 : (trainId + 1) / 20,
  );
  expect(protocolMiou(iou, 16)).toBeCloseTo((protocolMiou(iou, 19) * 19) / 16, 12);
  const kept = [1, 2, 3, 7, 8, 9, 11, 12, 13, 14, 16, 18, 19].map((n) => n / 20);
  expect(protocolMiou(iou, 13)).toBeCloseTo(kept.reduce((sum, value) => sum + value) / 13, 12);
});

describe('evaluateSegmentor', () => {
  const samples = [randomSample(40, 32, 1), randomSample(32, 48, 2), randomSample(36, 36, 3)];
  const dataset = memoryDataset(samples);
  const segmentor = new Segmentor({ ...tinySegmentor, dropout: 0.5, dropPath: 0.5 }, 3);

  /** The arg-max of logits that are resized to the image, pixel by pixel. */
  function slowPrediction(index: number): number[] {
    return tidy(() => {
      const { width, height, data } = samples[index]!.image;
      const planes = [0, 1, 2].map((c) =>
        Array.from({ length: width * height }, (_, i) => data[3 * i + c]! / 255),
      );
      const input = normalize(tensor(planes).view([1, 3, height, width]));
      const { logits } = noGrad(() => segmentor.call(input));
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
    const { scores: found, confusion } = await evaluateSegmentor(segmentor, dataset, {
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
    expectScores(found, slowScores(truth, predictions.flat(), CLASSES));
    expect(confusion).toEqual(slowConfusion(truth, predictions.flat(), CLASSES));

    segmentor.eval();
    const expected = [slowPrediction(0), slowPrediction(1), slowPrediction(2)];
    // Logits of two classes may tie to a rounding.
    for (const [i, own] of predictions.entries()) {
      const other = own.filter((value, j) => value !== expected[i]![j]).length;
      expect(other).toBeLessThan(0.005 * own.length);
    }
    expect(new Set(predictions.flat()).size).toBeGreaterThan(1);
    await evaluateSegmentor(segmentor, dataset);
    expect(segmentor.training).toBe(false);
  });

  test('refuses a sample without label, and stops at a signal; the mode is restored', async () => {
    const unlabelled = memoryDataset([{ image: samples[0]!.image }]);
    segmentor.train();
    await expect(evaluateSegmentor(segmentor, unlabelled)).rejects.toThrow(
      'image-0 has no label to evaluate against',
    );
    const other = { ...dataset, classes: CITYSCAPES_CLASSES };
    await expect(evaluateSegmentor(segmentor, other)).rejects.toThrow(
      'the network has 5 classes and memory has 19: they must be the same',
    );
    const stop = new AbortController();
    let images = 0;
    const onImage = () => {
      images++;
      stop.abort();
    };
    await expect(evaluateSegmentor(segmentor, dataset, { signal: stop.signal, onImage })).rejects.toThrow(
      'aborted',
    );
    expect([images, segmentor.training]).toEqual([1, true]);
  });

  test('predictions become label maps', () => {
    segmentor.eval();
    const prediction = predictLabels(segmentor, samples[0]!.image);
    const { width, height, data } = toLabelMap(prediction);
    expect([width, height]).toEqual([40, 32]);
    expect([...data]).toEqual(prediction.flatten().tolist());
    prediction.dispose();
  });
});
