// The parts of the step, the scores and the evaluation on devices other than the CPU: on 'meta', whose tensors have no
// values, so that whoever waits for one or mixes it with one of the CPU throws; and, where there is a GPU, on that.

import type { RgbImage } from '@pgpc/datasets';
import {
  alone,
  buildInfo,
  cudaAvailable,
  deviceMath,
  fromTypedArray,
  Generator,
  nn,
  noGrad,
  ops,
  type Tensor,
  tensor,
  tidy,
  withoutWaiting,
  zeros,
} from '@pgpc/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { classMixMask, mix } from '../../src/adaptation/class-mix.js';
import { PixelContrast } from '../../src/adaptation/contrast/contrast.js';
import { ProjectionHead } from '../../src/adaptation/contrast/projection-head.js';
import { Denoiser, trusted } from '../../src/adaptation/denoise/denoise.js';
import { FeatureDistance } from '../../src/adaptation/feature-distance.js';
import { pseudoLabels } from '../../src/adaptation/pseudo-labels.js';
import { strongAugment } from '../../src/adaptation/strong-augment.js';
import { styledImage } from '../../src/adaptation/style/style.js';
import { anchorSelections, type ContrastOptions, contrastTypes } from '../../src/config/contrast.js';
import { type DenoiseOptions, denoisers } from '../../src/config/denoise.js';
import { weightings } from '../../src/config/loss-weights.js';
import { type StyleOptions, styles } from '../../src/config/style.js';
import { boundaryCounts } from '../../src/evaluation/boundary.js';
import { confusionMatrix } from '../../src/evaluation/confusion.js';
import { occurrences, occurrencesWithin } from '../../src/evaluation/counts.js';
import { type InferenceOptions, predictLabels } from '../../src/evaluation/inference.js';
import {
  informationScore,
  labelAgreement,
  predictedShares,
  unlabelledScores,
} from '../../src/evaluation/unlabelled.js';
import { lossWeighting } from '../../src/experiments/loss-weights.js';
import { prototypeMargin, softNeighbourhoodDensity } from '../../src/experiments/scores.js';
import { denormalize, normalize } from '../../src/pipeline/normalize.js';
import { Rng } from '../../src/random.js';
import { onMeta, standIn } from '../support/meta-kernels.js';
import {
  CLASSES,
  int64,
  normal,
  randomLabels,
  randomSample,
  tinyContrast,
  uniform,
  unitRows,
} from '../support/method.js';

const meta = { device: 'meta' } as const;

const SIDE = 32;
const CELLS = 8;
const WIDTH = 6;

const image = (seed: number) => normalize(uniform([2, 3, SIDE, SIDE], seed));
const features = (seed: number) => normal([2, WIDTH, CELLS, CELLS], seed);
const logits = (seed: number) => normal([2, CLASSES, CELLS, CELLS], seed).mul(2);
const labels = (seed: number) =>
  int64(randomLabels(2 * CELLS * CELLS, CLASSES, seed), [2, CELLS, CELLS])
    .repeatInterleave(4, 1)
    .repeatInterleave(4, 2);

/** What a part makes of tensors on one device, by name. */
type Results = Record<string, Tensor>;

interface Part {
  /**
   * Makes inputs and what is kept from step to step, and places them.
   * @param on brings an input that was made on the CPU to the device.
   * @returns what a step does with them, which must not wait for the device.
   */
  prepare: (device: string, on: (x: Tensor) => Tensor) => () => Results;
  /** Draws from a generator, so that every device has values of its own. */
  random?: true;
  /** What libtorch must be able to do on 'meta', and its name. */
  needs?: [string, () => unknown];
}

/** Stores two steps and takes the loss with its gradient; the banks are among the results. */
function contrastPart(options: Partial<ContrastOptions>): Part['prepare'] {
  return (device, on) => {
    using generator = new Generator(5);
    const head = new ProjectionHead(WIDTH, { ...tinyContrast, ...options }, generator);
    head.to({ device }).requiresGrad_(false);
    const contrast = new PixelContrast(CLASSES, { ...tinyContrast, ...options }, 7).to({ device });
    const sources = [3, 5].map((seed) => ({
      view: { features: on(features(seed)), logits: on(logits(seed)) },
      label: on(labels(seed)),
    }));
    const target = { features: on(features(1)), logits: on(logits(2)) };
    const anchors = on(features(9)).requiresGrad_();
    const mask = on(labels(4).eq(2));
    return () => {
      for (const { view, label } of sources) {
        contrast.storeSource(view, label, head);
        contrast.storeTarget(target, head, 0.5);
      }
      const ofTarget = contrast.loss(anchors, mask, target, head, 0.5);
      const loss = contrast.hasAnchorsIn('source')
        ? ofTarget.add(contrast.sourceLoss(anchors, sources[0]!.label, head))
        : ofTarget;
      // In the backward pass libtorch calls its operators itself, without the stand-ins for 'meta'.
      if (device !== 'meta') loss.backward();
      const { grad: gradient } = anchors;
      const results = { loss: loss.detach(), known: contrast.known(), ...(gradient && { gradient }) };
      return { ...results, ...Object.fromEntries(contrast.stateDict()) };
    };
  };
}

/** Has the teacher's view of two batches refined. */
function denoisePart(options: DenoiseOptions): Part['prepare'] {
  return (device, on) => {
    const denoiser = new Denoiser(options, CLASSES, WIDTH).to({ device });
    const spread = on(normal([CLASSES, 3], 3));
    // A teacher without convolutions, for which 'meta' has no kernel.
    const predict = (x: Tensor) =>
      nn.interpolate(x, [CELLS, CELLS]).permute([0, 2, 3, 1]).matmul(spread.t()).permute([0, 3, 1, 2]);
    const batches = [1, 2].map((seed) => ({ seen: on(image(seed)), features: on(features(seed)) }));
    return () => {
      const [, refined] = batches.map(({ seen, features }) =>
        denoiser.refine({ features, logits: predict(seen) }, seen, predict),
      );
      const { labels: view, contrast, trust } = refined!;
      const margins = { ignoreTop: 2, ignoreBottom: 1 };
      const pseudo = pseudoLabels(view.logits, [SIDE, SIDE], { threshold: 0.3, ...margins });
      const { weight } = trusted(pseudo, trust);
      const kept = Object.fromEntries(denoiser.stateDict());
      return { logits: view.logits, chosenBy: contrast.logits, weight, ...kept };
    };
  };
}

/** An encoder without convolutions. */
class Halved extends nn.Module<[x: Tensor], Tensor[]> {
  readonly scale = this.parameter(tensor([1.5]));

  forward(x: Tensor): Tensor[] {
    return [ops.avgPool2d(x.mul(this.scale), [4, 4], [4, 4])];
  }
}

/** A network that gives every pixel the scores of its colour. */
class Coloured extends nn.Module<[x: Tensor], { logits: Tensor; features: Tensor }> {
  readonly colours = this.parameter(normal([CLASSES, 3], 1));

  forward(x: Tensor) {
    const cells = ops.avgPool2d(x, [4, 4], [4, 4]);
    const logits = cells.permute([0, 2, 3, 1]).matmul(this.colours.t()).permute([0, 3, 1, 2]);
    return { logits, features: cells };
  }
}

function stylePart(style: StyleOptions): Part['prepare'] {
  return (_, on) => {
    const [source, target] = [on(image(1)), on(image(2))];
    return () => ({ image: styledImage(source, target, style) });
  };
}

/** Lets the weights learn from the gradients of one step. */
function weightingPart(kind: keyof typeof weightings): Part['prepare'] {
  return (device, on) => {
    const weighting = lossWeighting(weightings[kind], { target: 1, contrast: 0.1 }, device, alone);
    const ofSource = on(features(1)).requiresGrad_();
    const ofMixed = on(features(2)).requiresGrad_();
    const sourceLabel = on(labels(1));
    const mixed = {
      features: ofMixed,
      logits: ofMixed.narrow(1, 0, CLASSES),
      label: on(labels(3).clampMax(CLASSES - 1)),
      weight: on(uniform([2, SIDE, SIDE], 4)),
      mask: on(labels(2).eq(1)),
    };
    return () => {
      const source = { loss: ofSource.square().mean(), features: ofSource, label: sourceLabel };
      const contrast = { loss: ofMixed.exp().mean(), features: ofMixed };
      const used = weighting.lossWeights();
      source.loss.backward();
      const after = weighting.watch({ source, mixed, contrast }, used);
      ofMixed.pow(2).mean().add(contrast.loss.mul(used.contrast!)).backward();
      after();
      const { target, contrast: learned } = weighting.lossWeights();
      return { target, learned: learned! };
    };
  };
}

const parts: Record<string, Part> = {
  normalize: {
    prepare: (_, on) => {
      const rgb = on(uniform([2, 3, 4, 4], 1));
      return () => ({ normal: normalize(rgb), back: denormalize(normalize(rgb)) });
    },
  },
  'class mix': {
    random: true,
    prepare: (_, on) => {
      const generator = new Generator(1);
      const [label, other] = [on(labels(1)), on(labels(2))];
      const [a, b] = [on(image(1)), on(image(2))];
      return () => {
        const mask = classMixMask(label, CLASSES, generator);
        return { mask, image: mix(mask, a, b), label: mix(mask, label, other) };
      };
    },
  },
  'pseudo-labels': {
    prepare: (_, on) => {
      const scores = on(logits(1));
      const options = { threshold: 0.3, ignoreTop: 3, ignoreBottom: 2 };
      return () => ({ ...pseudoLabels(scores, [SIDE, SIDE], options) });
    },
  },
  ...Object.fromEntries(
    anchorSelections.flatMap((anchorSelection) =>
      contrastTypes.map((type) => [
        `contrast, ${type}, anchors by ${anchorSelection}`,
        { random: true, prepare: contrastPart({ anchorSelection, type }) } as const,
      ]),
    ),
  ),
  'contrast, a running mean and negatives of their own': {
    random: true,
    prepare: contrastPart({ prototypeKind: 'momentum', perAnchorNegatives: true, hardSource: true }),
  },
  'contrast, the centres of the batch': {
    random: true,
    prepare: contrastPart({ prototypeKind: 'batch', prototypeDomains: 'both' }),
  },
  'contrast, anchors in both domains, negatives by class similarity, layer norm': {
    random: true,
    prepare: contrastPart({ anchorDomains: 'both', negativeSampling: 'class-similarity', norm: 'layer' }),
  },
  'contrast, negatives by class similarity for each anchor': {
    random: true,
    prepare: contrastPart({ negativeSampling: 'class-similarity', perAnchorNegatives: true }),
  },
  // All pixels are anchors and the other prototypes are the negatives, so that nothing is left to chance.
  'contrast, all pixels and all prototypes': {
    prepare: contrastPart({
      type: 'pixel-to-prototype',
      anchorSelection: 'random',
      anchors: 2 * CELLS * CELLS,
    }),
  },
  'feature distance': {
    prepare: (device, on) => {
      const options = { weight: 0.5, classes: [1, 3, 4], minShare: 0.75 };
      const distance = new FeatureDistance(new Halved().to({ device }), options);
      const [seen, label] = [on(image(1)), on(labels(1))];
      const own = on(normal([2, 3, CELLS, CELLS], 1)).requiresGrad_();
      return () => {
        const loss = distance.loss(seen, label, own);
        loss.backward();
        return { loss: loss.detach(), gradient: own.grad! };
      };
    },
  },
  'strong augment': {
    prepare: (_, on) => {
      const seen = on(image(1));
      const options = { jitterProbability: 1, jitterStrength: 0.2, blurProbability: 1 };
      return () => ({ image: strongAugment(seen, options, new Rng(1, 'augment')) });
    },
  },
  'style fda': {
    needs: ['fft_rfft2', () => zeros([4, 4], meta).fftRfft2()],
    prepare: stylePart(styles.fda),
  },
  'style dcan': { prepare: stylePart(styles.dcan) },
  'denoising by prototypes': { prepare: denoisePart(denoisers.prototypes) },
  'denoising by agreement': { prepare: denoisePart({ ...denoisers.agreement, scales: [0.5, 2] }) },
  'weights from gradient norms': { prepare: weightingPart('gradient-norm') },
  'weights from uncertainties': {
    needs: [
      'nll_loss2d',
      () => nn.crossEntropy(zeros([1, 2, 1, 1], meta), zeros([1, 1, 1], { dtype: 'int64', ...meta })),
    ],
    prepare: weightingPart('uncertainty'),
  },
  'scores without labels': {
    prepare: (_, on) => {
      const [a, b] = [1, 2].map((seed) => on(normal([40, CLASSES], seed).softmax(1))) as [Tensor, Tensor];
      const [z, prototypes] = [on(unitRows([9, 4], 1)), on(unitRows([5, 4], 2))];
      return () => ({
        information: informationScore(a),
        density: softNeighbourhoodDensity(a),
        agreement: labelAgreement(a, b),
        margin: prototypeMargin(z, prototypes),
        shares: predictedShares(a),
      });
    },
  },
  'confusion and boundaries': {
    prepare: (_, on) => {
      const map = (seed: number) => int64(randomLabels(SIDE * SIDE, CLASSES, seed), [SIDE, SIDE]);
      const truth = on(map(1).to('uint8'));
      const guess = on(
        map(2)
          .clampMax(CLASSES - 1)
          .to('uint8'),
      );
      return () => ({
        confusion: confusionMatrix(truth, guess, CLASSES),
        ...boundaryCounts(truth, guess, CLASSES),
      });
    },
  },
};

/** Runs a part on a device, from inputs that are the same on all. */
function results(part: Part, device: string): Results {
  return part.prepare(device, (x) => x.to({ device }))();
}

/** The devices that results are on, without the GPU's number. */
const devicesOf = (made: Results) =>
  Object.fromEntries(Object.entries(made).map(([name, value]) => [name, value.device.replace(/:\d+$/, '')]));

const all = (made: Results, device: string) =>
  Object.fromEntries(Object.keys(made).map((name) => [name, device]));

const described = (made: Results) =>
  Object.fromEntries(Object.entries(made).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));

const views: Record<string, InferenceOptions> = {
  whole: {},
  'mirrored, at two scales': { flip: true, scales: [1, 0.5] },
  windows: {
    size: { width: 32, height: 24 },
    slide: { window: { width: 16, height: 16 }, stride: { width: 8, height: 12 }, batch: 2 },
  },
};

describe("on 'meta'", () => {
  let restore: () => void;
  beforeAll(() => {
    restore = standIn();
  });
  afterAll(() => restore());

  test('whoever waits for a value, or mixes it with one of the CPU, throws', () => {
    tidy(() => {
      const x = zeros([2, 2], { device: 'meta' });
      expect(() => x.sum().item()).toThrow();
      expect(() => x.nonzero()).toThrow();
      expect(() => x.index([x.gt(0)])).toThrow();
      expect(() => x.to('int64').flatten().bincount()).toThrow();
      expect(() => x.add(zeros([2, 2]))).toThrow();
      expect(() => ops.where(x.gt(0), x, zeros([2, 2]))).toThrow();
    });
  });

  for (const [name, part] of Object.entries(parts)) {
    const lacking = part.needs && !onMeta(part.needs[1]) ? part.needs[0] : undefined;
    const { libtorch } = buildInfo();
    const title = lacking ? `${name} (libtorch ${libtorch} has no ${lacking} for meta)` : name;
    test.skipIf(lacking)(title, () => {
      tidy(() => {
        const made = results(part, 'meta');
        expect(devicesOf(made)).toEqual(all(made, 'meta'));
        expect(described(results(part, 'cpu'))).toMatchObject(described(made));
      });
    });
  }

  test.each(Object.entries(views))('predicted labels, %s', (_, options) => {
    const network = new Coloured();
    network.to({ device: 'meta' });
    tidy(() => {
      const { width, height, image } = pixels();
      const predicted = noGrad(() => predictLabels(network, image, options));
      expect([predicted.device, predicted.dtype, ...predicted.shape]).toEqual([
        'meta',
        'uint8',
        height,
        width,
      ]);
    });
    network.dispose();
  });
});

function pixels(): { width: number; height: number; image: RgbImage } {
  const [width, height] = [40, 28];
  return { width, height, image: randomSample(width, height, 1).image };
}

test('occurrences elsewhere than on the CPU equal bincount’s', () => {
  tidy(() => {
    const values = int64(randomLabels(500, CLASSES, 1)).clampMax(CLASSES);
    const mask = normal([500], 1).gt(0);
    // The other way to count, on values of the CPU.
    const elsewhere = (x: Tensor) => Object.defineProperty(x, 'device', { get: () => undefined });
    expect(occurrences(elsewhere(values.clone()), CLASSES + 1).tolist()).toEqual(
      values.bincount(null, CLASSES + 1).tolist(),
    );
    const bytes = values.to('uint8');
    expect(occurrencesWithin(elsewhere(bytes.clone()), mask, CLASSES + 1).tolist()).toEqual(
      occurrencesWithin(bytes, mask, CLASSES + 1).tolist(),
    );
  });
});

describe.runIf(buildInfo().cuda)("on 'cuda'", () => {
  // The blur is a convolution, and those would have 10 bits of their factors.
  beforeAll(() => deviceMath({ tf32: false, benchmark: false }));

  for (const [name, part] of Object.entries(parts)) {
    test(name, () => {
      tidy(() => {
        const made = results(part, 'cuda');
        expect(devicesOf(made)).toEqual(all(made, 'cuda'));
        const expected = results(part, 'cpu');
        expect(described(made)).toEqual(described(expected));
        if (part.random) return;
        for (const [key, value] of Object.entries(made)) {
          const apart = value
            .to({ device: 'cpu' })
            .to('float64')
            .sub(expected[key]!.to('float64'))
            .abs()
            .max();
          expect(apart.item(), key).toBeLessThan(1e-4);
        }
      });
    });
  }

  test.runIf(cudaAvailable()).each(Object.entries(parts))('%s waits for nothing', (_, part) => {
    tidy(() => {
      const work = part.prepare('cuda', (x) => x.to({ device: 'cuda' }));
      // The first run makes what is kept for the device, such as the constants of the images.
      work();
      expect(() => withoutWaiting(work)).not.toThrow();
    });
  });

  test.each(Object.entries(views))('predicted labels, %s', (_, options) => {
    const network = new Coloured();
    const { image } = pixels();
    const expected = noGrad(() => predictLabels(network, image, options));
    network.to({ device: 'cuda' });
    const found = noGrad(() => predictLabels(network, image, options));
    tidy(() => {
      // Scores that are nearly equal may be in the other order.
      expect(found.to({ device: 'cpu' }).ne(expected).to('float32').mean().item()).toBeLessThan(0.01);
    });
    network.dispose();
  });

  test('scores without labels of images that are on the CPU', () => {
    const student = new Coloured();
    tidy(() => {
      const { width, height, image } = pixels();
      const bytes = fromTypedArray(image.data, [height, width, 3]).permute([2, 0, 1]);
      const expected = unlabelledScores({ student, teacher: student }, [bytes]);
      student.to({ device: 'cuda' });
      const found = unlabelledScores({ student, teacher: student }, [bytes]);
      expect(found.entropy).toBeCloseTo(expected.entropy, 4);
      expect(found.density).toBeCloseTo(expected.density, 4);
      expect(found.agreement).toBe(1);
    });
    student.dispose();
  });
});
