// What the contrast costs: each of its parts and variants alone, beside the whole step with and without it.
//
//   node bench/contrast.mjs --scales demo,crop-256,crop-512 --threads 1 --rounds 5

import { pgpcContrast } from '../packages/pgpc/dist/config/contrast.js';
import { methodConfig } from '../packages/pgpc/dist/config/method.js';
import { segmentorConfig } from '../packages/pgpc/dist/config/segmentor.js';
import { daformerSelfTraining } from '../packages/pgpc/dist/config/self-training.js';
import { streetSynthPreset } from '../packages/pgpc/dist/recipes/street-synth.js';
import {
  describeMachine,
  finish,
  markdown,
  median,
  own,
  ratioOf,
  readFlags,
  takeTurns,
  Worker,
} from './lib.mjs';

const flags = readFlags({
  scales: 'demo,crop-256,crop-512',
  backbone: 'mit_b0',
  threads: 1,
  rounds: 5,
  steps: 3,
});
const { threads, rounds, backbone } = flags;

/** The paper's contrast on crops of a size. */
const ofCrops = (crop) => ({
  segmentor: segmentorConfig(/** @type {any} */ (backbone), 'daformer'),
  contrast: { ...pgpcContrast, warmup: 0 },
  batch: 2,
  crop,
});

/** The method's parts and sizes; features are at a quarter of the crop. */
const demo = streetSynthPreset({ scale: 'demo', seed: 1 }).continuation('pgpc');
const scales = {
  demo: {
    segmentor: demo.segmentor,
    contrast: { ...demo.method.contrast, warmup: 0 },
    batch: demo.batch,
    crop: demo.crop.width,
  },
  'crop-256': ofCrops(256),
  'crop-512': ofCrops(512),
};
const chosen = flags.scales.split(',');
for (const name of chosen) {
  if (!(name in scales)) {
    throw new RangeError(`--scales takes ${Object.keys(scales).join(', ')} with commas between, not ${name}`);
  }
}

const variants = {
  hybrid: {},
  'pixel-to-pixel': { type: 'pixel-to-pixel' },
  'pixel-to-prototype': { type: 'pixel-to-prototype' },
  'hybrid, negatives per anchor': { perAnchorNegatives: true },
};
const PARTS = ['storeSource', 'storeTarget', 'forward', 'backward', 'total'];

const start = (config) =>
  Worker.start([...own('contrast.mjs'), JSON.stringify({ ...config, threads })], { threads });

/** Lets the workers take turns. @returns of each its times by part, and by how much it grew beyond its inputs. */
async function timed(configs, turns) {
  const sides = [];
  for (const [name, config] of Object.entries(configs)) {
    sides.push({ name, worker: await start(config), times: [] });
  }
  await takeTurns(sides, { rounds: turns }, async ({ worker, times }, round) => {
    const taken = await worker.ask();
    if (round >= 0) times.push(taken);
  });
  return sides.map(({ name, worker, times }) => {
    const { peakMiB, software } = worker.inspect();
    worker.stop();
    return { name, times, peakMiB, grownMiB: peakMiB - worker.info.startMiB, software };
  });
}

const machine = describeMachine();
const results = [];
for (const name of chosen) {
  const { segmentor, contrast, batch, crop } = scales[name];
  const [height, width] = [crop / 4, crop / 4];
  const shape = { batch, channels: segmentor.channels, classes: segmentor.classes, height, width };
  const alone = await timed(
    Object.fromEntries(
      Object.entries(variants).map(([variant, options]) => [
        variant,
        { ...shape, contrast: { ...contrast, ...options } },
      ]),
    ),
    rounds,
  );
  const optimizer = { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 };
  const parts = {
    selfTraining: daformerSelfTraining,
    contrast,
    featureDistance: /** @type {const} */ (false),
  };
  const stepOf = (method) => ({ segmentor, method: methodConfig(method, parts), optimizer });
  const [plain, contrasted] = await timed(
    {
      'self-training': { ...shape, step: stepOf('self-training') },
      pgpc: { ...shape, step: stepOf('pgpc') },
    },
    flags.steps,
  );
  const totals = ({ times }) => times.map(({ total }) => total);
  const step = median(totals(plain));

  console.log(
    `${name}: features of ${batch} x ${shape.channels} x ${height} x ${width}, ${segmentor.classes} classes; ` +
      `${segmentor.backbone}'s step without contrast ${step.toFixed(0)} ms. CPU milliseconds, medians of ${rounds}:\n`,
  );
  console.log(
    markdown(
      ['variant', ...PARTS, 'of the step, %', 'peak beyond its inputs, MiB'],
      alone.map(({ name: variant, times, grownMiB }) => {
        const medians = PARTS.map((part) => median(times.map((each) => each[part])));
        return [
          variant,
          ...medians.map((ms) => ms.toFixed(1)),
          ((100 * medians[medians.length - 1]) / step).toFixed(2),
          grownMiB.toFixed(0),
        ];
      }),
    ),
  );
  const ratio = ratioOf(totals(contrasted), totals(plain));
  const peaks = [contrasted, plain].map(({ peakMiB }) => peakMiB.toFixed(0)).join(' and ');
  console.log(
    `\nWhole step with contrast (hybrid) / without: ${ratio.toFixed(3)}; peak ${peaks} MiB; ${flags.steps} steps each in turn.\n`,
  );
  results.push({
    scale: name,
    settings: { ...shape, crop, backbone: segmentor.backbone, contrast },
    alone,
    steps: { plain, contrasted, ratio },
  });
}
finish(flags.results, 'contrast', machine, {
  settings: { threads, rounds, steps: flags.steps, ompWaitPolicy: 'passive' },
  node: process.version,
  results,
});
