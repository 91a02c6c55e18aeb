// What is scored on a few images, against an evaluation of all of them.

import type { SegmentationDataset } from '@pgpc/datasets';
import { expect, test } from 'vitest';
import { Segmentor } from '../../src/models/segmentor.js';
import { ScoresOfSome, someOf, validationScores } from '../../src/training/validation-scores.js';
import { evaluateOnTarget } from '../../src/training/worst-images.js';
import { memoryDataset, randomSample, tinySegmentor } from '../support/method.js';

test('the scores of a few images are the same by themselves and out of an evaluation of all', async () => {
  using network = new Segmentor(tinySegmentor, 1);
  const dataset = memoryDataset(Array.from({ length: 20 }, (_, seed) => randomSample(40, 32, seed)));
  // Only a data set of files reads what is left of it by itself.
  const places = someOf(dataset).samples.map(({ id }) => dataset.samples.findIndex((one) => one.id === id));
  expect(places).toHaveLength(16);
  const some: SegmentationDataset = {
    ...dataset,
    samples: places.map((place) => dataset.samples[place]!),
    readImage: (i) => dataset.readImage(places[i]!),
    readLabel: (i) => dataset.readLabel(places[i]!),
  };
  const ofSome = new ScoresOfSome(dataset);
  const { scores } = await evaluateOnTarget(network, dataset, {
    onImage: (_, __, index, counted) => ofSome.add(index, counted),
  });
  expect(ofSome.values()).toEqual(await validationScores(network, some, undefined));
  expect(ofSome.values()['val/miou']).not.toBe(scores.miou);
});
