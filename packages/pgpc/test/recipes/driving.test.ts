// The presets of the paper's experiments against DAFormer's numbers, and that every combination is a valid experiment.

import { describe, expect, test } from 'vitest';
import { dataSchema } from '../../src/config/data.js';
import { parseExperiment } from '../../src/config/experiment.js';
import { maskings } from '../../src/config/masked-consistency.js';
import { methodNames } from '../../src/config/method.js';
import { hrda, multiResolutionFor } from '../../src/config/multi-resolution.js';
import { networkChoices, networks } from '../../src/config/segmentor.js';
import { drivingData, drivingExperiment, drivingPresetNames } from '../../src/recipes/driving.js';

describe('presets', () => {
  test('every preset, method and network is a valid experiment', () => {
    for (const preset of drivingPresetNames) {
      for (const method of methodNames) {
        for (const network of networkChoices) {
          const experiment = drivingExperiment(preset, method, network, true);
          expect(parseExperiment(experiment)).toEqual(experiment);
          expect(experiment.segmentor.backbone).toBe(networks[network][0]);
        }
      }
    }
  });

  test('GTA5 to Cityscapes by DAFormer is its configuration', () => {
    const experiment = drivingExperiment('gta5-cityscapes', 'daformer', 'mit-b5', true);
    expect(experiment).toEqual({
      segmentor: {
        backbone: 'mit_b5',
        head: 'daformer',
        channels: 256,
        classes: 19,
        dropout: 0.1,
        dropPath: 0.1,
      },
      method: {
        selfTraining: {
          weight: 1,
          alpha: 0.999,
          threshold: 0.968,
          ignoreTop: 15,
          ignoreBottom: 120,
          jitterProbability: 0.8,
          jitterStrength: 0.2,
          blurProbability: 0.5,
        },
        featureDistance: { weight: 0.005, classes: [6, 7, 11, 12, 13, 14, 15, 16, 17, 18], minShare: 0.75 },
      },
      iterations: 40_000,
      batch: 2,
      crop: { width: 512, height: 512, catMaxRatio: 0.75, flip: 0.5 },
      rareClasses: {
        temperature: 0.01,
        minImageShare: 3000 / (1914 * 1052),
        minCropShare: 1500 / 512 ** 2,
      },
      optimizer: { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 },
      schedule: { power: 1, warmupIters: 1500, warmupRatio: 1e-6 },
      seed: 0,
    });
  });

  test('PGPC adds the contrast to DAFormer, and nothing else', () => {
    const { method: pgpc, ...rest } = drivingExperiment('gta5-cityscapes', 'pgpc', 'mit-b5', true);
    const { method: daformer, ...same } = drivingExperiment('gta5-cityscapes', 'daformer', 'mit-b5', true);
    const { contrast, ...others } = pgpc;
    expect([rest, others]).toEqual([same, daformer]);
    expect(contrast).toMatchObject({ weight: 0.1, warmup: 0.5, rank: 4, width: 256 });
  });

  test('without ImageNet weights there is no feature distance to them', () => {
    const { method } = drivingExperiment('gta5-cityscapes', 'pgpc', 'mit-b5', false);
    expect(Object.keys(method)).toEqual(['selfTraining', 'contrast']);
  });

  test('margins go with the height of the crop', () => {
    const { method } = drivingExperiment('gta5-cityscapes', 'daformer', 'mit-b0', true, {
      crop: { width: 256, height: 128 },
    });
    expect(method.selfTraining).toMatchObject({ ignoreTop: 4, ignoreBottom: 30 });
  });

  test('GTA5 to Cityscapes by HRDA has twice the sizes, and margins of the image', () => {
    const crop = { width: 1024, height: 1024 };
    const { segmentor, method, ...rest } = drivingExperiment('gta5-cityscapes', 'pgpc', 'mit-b5', true, {
      crop,
      multiResolution: multiResolutionFor(crop),
      maskedConsistency: maskings.mic,
    });
    expect(segmentor.multiResolution).toEqual({
      detailCrop: { width: 512, height: 512 },
      detailWeight: 0.1,
    });
    const { ignoreTop, ignoreBottom, imageMargins } = method.selfTraining!;
    expect([ignoreTop, ignoreBottom]).toEqual([0, 0]);
    const { top, bottom, left, right } = imageMargins!;
    expect([top * 1024, bottom * 1024, left * 2048, right * 2048]).toEqual([30, 240, 30, 30]);
    expect(method.maskedConsistency).toEqual({
      weight: 1,
      domain: 'target',
      ratio: 0.7,
      patch: 64 / 1024,
      augment: true,
    });
    // 6000 pixels of the larger crop.
    expect(rest.rareClasses!.minCropShare * 1024 * 1024).toBeCloseTo(6000, 6);
    expect(drivingData('gta5-cityscapes', 'a', 'b', true)).toMatchObject({
      source: { scale: { width: 2560, height: 1440 } },
      target: { scale: { width: 2048, height: 1024 } },
    });
  });

  test.each(['cityscapes-acdc', 'cityscapes-dark-zurich'] as const)(
    '%s has DAFormer’s margins with DAFormer, and none with HRDA and MIC',
    (preset) => {
      const margins = (more: Parameters<typeof drivingExperiment>[4]) => {
        const { method } = drivingExperiment(preset, 'daformer', 'mit-b5', true, more);
        const { ignoreTop, ignoreBottom, imageMargins } = method.selfTraining!;
        return [ignoreTop, ignoreBottom, imageMargins];
      };
      expect(margins({})).toEqual([15, 120, undefined]);
      expect(margins({ maskedConsistency: maskings['mic-adverse'] })).toEqual([0, 0, undefined]);
      expect(margins({ multiResolution: hrda, crop: { width: 1024, height: 1024 } })).toEqual([
        0,
        0,
        undefined,
      ]);
      expect(drivingData(preset, 'a', 'b')).toMatchObject({
        source: { format: 'cityscapes', scale: { width: 1024, height: 512 } },
        target: { scale: { width: 960, height: 540 } },
      });
    },
  );

  test('sizes and class subsets are the reference’s', () => {
    const gta5 = dataSchema.parse(drivingData('gta5-cityscapes', 'a', 'b'));
    expect(gta5).toEqual({
      source: { format: 'gta5', root: 'a', scale: { width: 1280, height: 720 } },
      target: { format: 'cityscapes', root: 'b', scale: { width: 1024, height: 512 } },
      protocols: [],
    });
    const synthia = dataSchema.parse(drivingData('synthia-cityscapes', 'a', 'b'));
    expect(synthia.source).toEqual({ format: 'synthia', root: 'a', scale: { width: 1280, height: 760 } });
    expect(synthia.protocols).toEqual([16, 13]);
    const { rareClasses } = drivingExperiment('synthia-cityscapes', 'daformer', 'mit-b5', true);
    // 3000 pixels of its 1280 x 760 labels, 1500 of a crop.
    expect(rareClasses!.minImageShare * 1280 * 760).toBeCloseTo(3000, 6);
    expect(rareClasses!.minCropShare * 512 * 512).toBeCloseTo(1500, 6);
  });
});
