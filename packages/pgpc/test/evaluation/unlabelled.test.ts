// Scores without labels against loops, and the choice of a checkpoint by them.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { writeStreetSynth } from '@pgpc/street-synth';
import { liveTensors, nn, type Tensor, tensor, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { main } from '../../src/cli/main.js';
import { methodConfig } from '../../src/config/method.js';
import { styles } from '../../src/config/style.js';
import { spearman } from '../../src/evaluation/rank-correlation.js';
import {
  informationScore,
  labelAgreement,
  predictedShares,
  type UnlabelledScores,
  unlabelledScores,
} from '../../src/evaluation/unlabelled.js';
import { prototypeMargin, softNeighbourhoodDensity } from '../../src/experiments/scores.js';
import { loadSegmentor, MODEL_FILE } from '../../src/models/checkpoint.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { wholeImage } from '../../src/pipeline/crop.js';
import { PixelStore } from '../../src/pipeline/pixels.js';
import { entropy, pixelRows } from '../../src/pixels.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { CheckpointSelection, goodness, ModelSelection, scoreStep } from '../../src/training/selection.js';
import { Trainer } from '../../src/training/trainer.js';
import {
  CLASSES,
  differing,
  digests,
  dot,
  matrix,
  mean,
  memoryDataset,
  normal,
  randomSample,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
  uniform,
  unitRows,
} from '../support/method.js';

const seeds = fc.integer({ min: 0, max: 1e6 });
const runs = (numRuns: number) => ({ numRuns });

/** Rows of probabilities; the larger `sharpness`, the surer. */
const predictions = (seed: number, pixels: number, sharpness = 2): Tensor =>
  tidy(() => normal([pixels, 4], seed, 'float64').mul(sharpness).softmax(1));

const slowEntropy = (row: readonly number[]) =>
  -row.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0);

const columns = (rows: number[][]) => rows[0]!.map((_, c) => mean(rows.map((row) => row[c]!)));

const argmax = (row: readonly number[]) => row.indexOf(Math.max(...row));

function slowDensity(rows: number[][], temperature: number): number {
  const unit = rows.map((row) => row.map((x) => x / Math.sqrt(dot(row, row))));
  return mean(
    unit.map((row, i) => {
      const powers = unit.map((other, j) => (i === j ? 0 : Math.exp(dot(row, other) / temperature)));
      const sum = powers.reduce((total, x) => total + x, 0);
      return slowEntropy(powers.map((x) => x / sum));
    }),
  );
}

describe('scores of predictions', () => {
  test('equal loops', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 2, max: 30 }), (seed, pixels) =>
        tidy(() => {
          const [p, other] = [predictions(seed, pixels), predictions(seed + 1, pixels)];
          const [rows, others] = [matrix(p), matrix(other)];
          const entropies = rows.map(slowEntropy);
          expect(entropy(p).mean().item()).toBeCloseTo(mean(entropies), 10);
          expect(informationScore(p).item()).toBeCloseTo(slowEntropy(columns(rows)) - mean(entropies), 10);
          expect(softNeighbourhoodDensity(p).item()).toBeCloseTo(slowDensity(rows, 0.05), 8);
          expect(softNeighbourhoodDensity(p, 1).item()).toBeCloseTo(slowDensity(rows, 1), 8);
          const same = rows.filter((row, i) => argmax(row) === argmax(others[i]!)).length;
          expect(labelAgreement(p, other).item()).toBeCloseTo(same / pixels, 6);
          const shares = [0, 1, 2, 3].map((c) => rows.filter((row) => argmax(row) === c).length / pixels);
          for (const [c, share] of shares.entries()) {
            expect((predictedShares(p).tolist() as number[])[c]).toBeCloseTo(share, 6);
          }
        }),
      ),
      runs(30),
    );
  });

  test('the margin is the distance of the two highest cosines', () => {
    fc.assert(
      fc.property(seeds, (seed) =>
        tidy(() => {
          const [z, prototypes] = [unitRows([9, 5], seed, 'float64'), unitRows([4, 5], seed + 1, 'float64')];
          const slow = matrix(z).map((row) => {
            const cosines = matrix(prototypes)
              .map((other) => dot(row, other))
              .toSorted((a, b) => b - a);
            return cosines[0]! - cosines[1]!;
          });
          expect(prototypeMargin(z, prototypes).item()).toBeCloseTo(mean(slow), 10);
        }),
      ),
      runs(20),
    );
  });

  test('what they are where it is known', () => {
    tidy(() => {
      const certain = tensor([0, 1, 2, 3, 0, 1, 2, 3], { dtype: 'int64' }).oneHot(4).to('float64');
      expect(entropy(certain).abs().max().item()).toBe(0);
      expect(informationScore(certain).item()).toBeCloseTo(Math.log(4), 10);
      // Each pixel has one other of its kind, whose softmax weight is nearly 1: no entropy.
      expect(softNeighbourhoodDensity(certain).item()).toBeCloseTo(0, 5);
      const collapsed = certain.narrow(0, 0, 1).expand([8, 4]);
      expect(informationScore(collapsed).item()).toBeCloseTo(0, 10);
      expect(softNeighbourhoodDensity(collapsed).item()).toBeCloseTo(Math.log(7), 10);
      const vague = tensor([[0.25, 0.25, 0.25, 0.25]]).expand([8, 4]);
      expect(entropy(vague).mean().item()).toBeCloseTo(Math.log(4), 6);
      expect(informationScore(vague).item()).toBeCloseTo(0, 6);
    });
  });

  test('stay within their bounds', () => {
    fc.assert(
      fc.property(
        seeds,
        fc.integer({ min: 2, max: 20 }),
        fc.double({ min: 0, max: 50, noNaN: true }),
        (seed, n, sharpness) =>
          tidy(() => {
            const p = predictions(seed, n, sharpness);
            const information = informationScore(p).item();
            expect(information).toBeGreaterThan(-1e-9);
            expect(information).toBeLessThan(Math.log(4) + 1e-9);
            const density = softNeighbourhoodDensity(p).item();
            expect(density).toBeGreaterThan(-1e-9);
            expect(density).toBeLessThan(Math.log(n - 1) + 1e-9);
          }),
      ),
      runs(40),
    );
  });
});

/** uint8 RGB. */
const picture = (seed: number, height = 32, width = 40): Tensor =>
  tidy(() => uniform([3, height, width], seed).mul(255).to('uint8'));

describe('scores of a model', () => {
  /** A network whose logits are its image's channels at a fourth of its size, times `scale`. */
  class Colours extends nn.Module<[image: Tensor], { logits: Tensor; features: Tensor }> {
    constructor(readonly scale: number) {
      super();
    }
    forward(image: Tensor) {
      const features = image.avgPool2d([4, 4]);
      return { features, logits: features.mul(this.scale) };
    }
  }

  test('are means over images, with and without teacher and prototypes', () => {
    tidy(() => {
      const [student, teacher] = [new Colours(3), new Colours(-3)];
      const images = [picture(1), picture(2, 16, 16)];
      const rows = tensor([
        [1, 0, 0],
        [0, 1, 0],
      ]);
      const alone = unlabelledScores({ student }, images);
      expect(alone.agreement).toBeUndefined();
      expect(alone.margin).toBeUndefined();
      const prototypes = {
        rows,
        input: ({ features }: { features: Tensor }) => features,
        project: (pixels: Tensor) => pixels,
      };
      const scores = unlabelledScores({ student, teacher, prototypes }, images, { pixels: 1e6 });
      const single = images.map((image) =>
        unlabelledScores({ student, teacher, prototypes }, [image], { pixels: 1e6 }),
      );
      for (const name of ['entropy', 'density', 'agreement', 'margin'] as const) {
        expect(scores[name]).toBeCloseTo(mean(single.map((one) => one[name]!)), 5);
      }
      expect(scores.shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 6);
      // What is most likely to one is least likely to the other.
      expect(scores.agreement).toBe(0);
      expect(unlabelledScores({ student, teacher: student }, images).agreement).toBe(1);
      expect(scores.entropy).toBe(alone.entropy);
      const few = { ...prototypes, rows: rows.narrow(0, 0, 1) };
      expect(unlabelledScores({ student, prototypes: few }, images).margin).toBeUndefined();
      expect(() => unlabelledScores({ student }, [])).toThrow(/at least one image/);
    });
  });

  test('are of the windows where a network has some of its own', () => {
    const config = {
      ...tinySegmentor,
      multiResolution: { detailCrop: { width: 32, height: 32 }, detailWeight: 0.1 },
    };
    using student = new Segmentor(config, 2);
    using teacher = new Segmentor(config, 3);
    expect(student.ownWindows!.window).toEqual({ width: 64, height: 64 });
    tidy(() => {
      const rgb = picture(5, 64, 128);
      const halves = [rgb.narrow(2, 0, 64), rgb.narrow(2, 64, 64)];
      const [whole, parts] = [[rgb], halves].map((images) => unlabelledScores({ student, teacher }, images));
      for (const name of ['entropy', 'information', 'agreement'] as const) {
        expect(whole![name]).toBeCloseTo(parts![name]!, 5);
      }
      for (const [c, share] of whole!.shares.entries()) expect(share).toBeCloseTo(parts!.shares[c]!, 5);
    });
  });

  test('leave every part of the networks in its mode, and the networks as they are', () => {
    using segmentor = new Segmentor({ ...tinySegmentor, dropout: 0.5, dropPath: 0.5 }, 2);
    const parts = [...segmentor.namedModules().values()].filter((part) => part instanceof nn.Module);
    for (const part of parts) if (part instanceof nn.Dropout2d) part.eval();
    const modes = parts.map(({ training }) => training);
    expect(new Set(modes).size).toBe(2);
    const before = [digests(segmentor), Buffer.from(segmentor.generator.getState()), liveTensors()] as const;
    const images = [picture(3)];
    const scores = unlabelledScores({ student: segmentor }, images);
    expect(unlabelledScores({ student: segmentor }, images)).toEqual(scores);
    for (const image of images) image.dispose();
    expect(parts.map(({ training }) => training)).toEqual(modes);
    expect(differing(segmentor, before[0])).toEqual([]);
    expect(Buffer.from(segmentor.generator.getState()).equals(before[1])).toBe(true);
    expect(liveTensors()).toBe(before[2]);
  });
});

describe('ModelSelection', () => {
  const base: UnlabelledScores = {
    entropy: 1,
    information: 0.5,
    density: 2,
    agreement: 0.8,
    shares: [0.5, 0.3, 0.2],
  };
  const names = ['road', 'car', 'bus'];

  test('keeps the highest score, the lowest entropy, and nothing for a score that is no number', () => {
    const sequence = [3, 1, 4, Number.NaN, 4, 5];
    const best = (selection: ModelSelection, key: 'information' | 'entropy') =>
      sequence.map((value, i) => selection.judge(i, { ...base, [key]: value }).best);
    expect(best(new ModelSelection('information', names), 'information')).toEqual([
      true,
      false,
      true,
      false,
      false,
      true,
    ]);
    expect(best(new ModelSelection('entropy', names), 'entropy')).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(new ModelSelection('margin', names).judge(1, base).best).toBe(false);
    expect(goodness(base, 'entropy')).toBe(-1);
  });

  test('warns of a class that vanishes once, and again if it came back and vanishes again', () => {
    const selection = new ModelSelection('density', names);
    const warnings = (bus: number) =>
      selection.judge(1, { ...base, shares: [0.5, 0.5 - bus, bus] }).warnings.join();
    expect(warnings(5e-4)).toBe('');
    // Never above a thousandth of the pixels: not known.
    expect(warnings(0)).toBe('');
    expect(warnings(0.01)).toBe('');
    expect(warnings(5e-4)).toBe('');
    expect(warnings(0)).toMatch(/class 'bus' has vanished/);
    expect(warnings(0)).toBe('');
    expect(warnings(0.01)).toBe('');
    expect(warnings(1e-6)).toMatch(/class 'bus'/);
  });

  test('warns where entropy falls while agreement falls, and in no other case', () => {
    const after = (entropy: number, agreement: number | undefined) => {
      const selection = new ModelSelection('density', names);
      selection.judge(1, base);
      const { agreement: _, ...rest } = base;
      return selection.judge(2, { ...rest, entropy, ...(agreement !== undefined && { agreement }) }).warnings;
    };
    expect(after(0.5, 0.7)).toHaveLength(1);
    expect(after(0.5, 0.7)[0]).toMatch(/entropy fell from 1.000 to 0.500 .* from 0.800 to 0.700/);
    for (const [entropy, agreement] of [
      [0.5, 0.9],
      [1.5, 0.7],
      [0.99, 0.7],
      [0.5, 0.79],
      [0.5, undefined],
    ] as const) {
      expect(after(entropy, agreement)).toEqual([]);
    }
  });

  test('resumes from its state as if it had not stopped', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 0.1)), {
          minLength: 2,
          maxLength: 8,
        }),
        (values) => {
          const scores = values.map(([x, bus]) => ({
            ...base,
            entropy: x,
            agreement: x,
            shares: [0.5, 0.5 - bus, bus],
          }));
          const whole = new ModelSelection('entropy', names);
          const expected = scores.map((score, i) => whole.judge(i, score));
          let resumed = new ModelSelection('entropy', names);
          const verdicts = scores.map((score, i) => {
            resumed = new ModelSelection('entropy', names, JSON.parse(JSON.stringify(resumed.state)));
            return resumed.judge(i, score);
          });
          expect(verdicts).toEqual(expected);
        },
      ),
      runs(30),
    );
  });
});

test.each(['decoder', 'encoder'] as const)(
  'the margin is of the features that the contrast projects, the %s’s',
  (features) => {
    const method = { selfTraining: tinySelfTraining, contrast: { ...tinyContrast, features } };
    const { step, student, dispose } = tinyStep(method, 10);
    const batch = tinyBatch(1);
    step.run(batch, 0);
    for (const one of Object.values(batch)) one.dispose();
    tidy(() => {
      // 100 pixels at the decoder's resolution: all are sampled.
      const image = picture(3, 40, 40);
      const { margin } = scoreStep(step, [image]);
      student.segmentor.eval();
      const pass = student.segmentor.call(wholeImage({ image }));
      const z = student.projection!.call(pixelRows(student.projection!.input(pass)));
      const { contrast } = step.parts;
      const rows = contrast!.prototypes().index([contrast!.known()]);
      expect(margin).toBeCloseTo(prototypeMargin(z, rows).item(), 5);
    });
    dispose();
  },
);

describe('CheckpointSelection', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgpc-selection-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('scores a run’s student, keeps its best model, and resumes from its folder', async () => {
    const samples = [1, 2, 3].map((seed) => randomSample(40, 40, seed));
    const labelled = new PixelStore(memoryDataset(samples));
    const target = new PixelStore(memoryDataset(samples.map(({ image }) => ({ image }))));
    const trainer = new Trainer(
      daformerRecipe({
        segmentor: tinySegmentor,
        method: methodConfig('pgpc', {
          selfTraining: tinySelfTraining,
          contrast: tinyContrast,
          featureDistance: false,
        }),
        iterations: 2,
        crop: { width: 32, height: 32 },
        rareClasses: undefined,
      }),
      { source: labelled, target, workers: 0 },
    );
    await trainer.run();
    const names = Array.from({ length: CLASSES }, (_, c) => `class ${c}`);
    const selection = await CheckpointSelection.open(folder, target, 'information', names);
    expect(selection.images.map(({ shape }) => shape)).toEqual(Array(3).fill([3, 40, 40]));
    const before = liveTensors();
    const { best, scores } = selection.check(trainer.step, 2);
    expect(liveTensors()).toBe(before);
    expect(best).toBe(true);
    for (const name of ['entropy', 'information', 'density', 'agreement', 'margin'] as const) {
      expect(Number.isFinite(scores[name])).toBe(true);
    }
    const kept = loadSegmentor(join(folder, MODEL_FILE));
    expect(differing(kept, trainer.learner.segmentor)).toEqual([]);

    const again = await CheckpointSelection.open(folder, target, 'information', names);
    expect(again.selection.state.best).toEqual({ iteration: 2, value: scores.information });
    expect(again.check(trainer.step, 3).best).toBe(false);
    expect(JSON.parse(readFileSync(join(folder, 'selection.json'), 'utf8')).best.iteration).toBe(2);
    selection.dispose();
    again.dispose();
    kept.dispose();
    expect(selection.images.every(({ disposed }) => disposed)).toBe(true);
    expect(existsSync(join(folder, 'training.safetensors'))).toBe(false);
    await trainer.dispose();
  });

  test('pgpc train in a style scores its last checkpoint and keeps it as the best', async () => {
    const data = join(folder, 'data');
    const counts = { sourceTrain: 2, sourceVal: 1, targetTrain: 2, targetVal: 1 };
    await writeStreetSynth(data, { seed: 9, ...counts, width: 64 });
    let text = '';
    const sink = new Writable({
      write: (chunk, _encoding, done) => {
        text += chunk;
        done();
      },
    });
    const args = [
      ...['train', '--source-root', join(data, 'gta5'), '--target-root', join(data, 'cityscapes')],
      ...['--method', 'source-only', '--style', 'dcan', '--select', 'density', '--crop', '32x32'],
      ...['--batch', '1', '--iterations', '2', '--no-memory-check', '--workers', '0'],
      ...['--out', join(folder, 'runs'), '--name', 'styled'],
    ];
    const signal = new AbortController().signal;
    expect(await main(args, { stdout: sink, stderr: sink, signal })).toBe(0);
    const { metrics, info } = openRun(join(folder, 'runs/styled'));
    expect(info.config).toMatchObject({ select: 'density', experiment: { method: { style: styles.dcan } } });
    const { values } = metrics.at(-1)!;
    const scored = ['density', 'entropy', 'information'].map((name) => `unlabelled/${name}`);
    expect(
      Object.keys(values)
        .filter((name) => name.startsWith('unlabelled/'))
        .sort(),
    ).toEqual(scored);
    const best = join(folder, 'runs/styled/checkpoints/best');
    expect(text).toContain(`best by density, of step 2: ${best}\n`);
    using kept = loadSegmentor(join(best, MODEL_FILE));
    using last = loadSegmentor(join(folder, 'runs/styled/checkpoints/source-only', MODEL_FILE));
    expect(differing(kept, last)).toEqual([]);
  });

  test('an image of the store is the one that comes with a label', async () => {
    const store = new PixelStore(memoryDataset([randomSample(40, 20, 4)]), {
      scale: { width: 20, height: 20 },
    });
    const whole = await store.get(0);
    const image = await store.image(0);
    expect(image.toArray()).toEqual(whole.image.toArray());
    expect(image.shape).toEqual([3, 10, 20]);
    for (const t of [whole.image, whole.label!, image]) t.dispose();
  });
});

describe('spearman', () => {
  test('is that of the textbook, whatever the scale', () => {
    const [a, b] = [
      [106, 100, 86, 101, 99, 103, 97, 113, 112, 110],
      [7, 27, 2, 50, 28, 29, 20, 12, 6, 17],
    ] as const;
    expect(spearman(a, b)).toBeCloseTo(-29 / 165, 12);
    expect(spearman(a.map(Math.exp), b)).toBeCloseTo(-29 / 165, 12);
  });

  test('is 1 for any rising function, -1 for a falling one, symmetric, and within the two', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer(), { minLength: 2, maxLength: 20 }), seeds, (a, seed) => {
        expect(
          spearman(
            a,
            a.map((x) => Math.atan(x / 1e6)),
          ),
        ).toBeCloseTo(1, 10);
        expect(
          spearman(
            a,
            a.map((x) => -x),
          ),
        ).toBeCloseTo(-1, 10);
        const b = tidy(() => Array.from(normal([a.length], seed).mul(3).round().toArray(), Number));
        fc.pre(new Set(b).size > 1);
        expect(spearman(a, b)).toBeCloseTo(spearman(b, a), 10);
        expect(Math.abs(spearman(a, b))).toBeLessThan(1 + 1e-10);
      }),
      runs(50),
    );
  });

  test('gives ties their mean rank, and no number where one list says nothing', () => {
    expect(spearman([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(4.5 / Math.sqrt(4.5 * 5), 12);
    expect(spearman([1, 1], [1, 2])).toBeNaN();
    expect(spearman([1, Number.NaN], [1, 2])).toBeNaN();
    expect(() => spearman([1], [1])).toThrow(RangeError);
  });
});
