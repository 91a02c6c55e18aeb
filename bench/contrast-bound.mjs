// What the contrast can do at best: a control in which it stands alone, without L_t, and an upper bound in which the
// target's true labels choose its anchors. A diagnosis and never a method: the labels come from the target's training
// images. Data and seed are what settings are chosen on. No reported number is of them.
// Usage: node bench/contrast-bound.mjs [--seed 11] [--data-seed 2] [--source-steps 1500] [--steps 300] [--only TEXT]
// Two at once, each with cells of its own by --only, share the source network once it is there.

import { existsSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ops, setNumThreads, tidy } from '@pgpc/torch';
import {
  evaluateSegmentor,
  loadBackboneWeights,
  loadSegmentor,
  saveSegmentor,
  streetSynthPreset,
  Trainer,
  writeStreetSynth,
} from 'pgpc';
import { withSettings } from '../packages/pgpc/dist/config/settings.js';
import { shippedEncoder, weightsPath } from '../packages/pgpc/dist/models/weights/shipped.js';
import { BatchLoader } from '../packages/pgpc/dist/pipeline/loader.js';
import { betweenMargins, pureLabels } from '../packages/pgpc/dist/pixels.js';
import { describeMachine, machineLine, markdown, readFlags, saveResults } from './lib.mjs';
import { openStreets } from './streets.mjs';

const flags = readFlags({
  'data-seed': 2,
  seed: 11,
  'source-steps': 1500,
  steps: 300,
  only: '',
  data: 'data/street-synth-2',
  out: 'runs/contrast-bound',
});
const { seed, steps, only, 'source-steps': sourceSteps } = flags;
// Tensors of this size gain little from a second thread.
setNumThreads(1);

/** Settings of our contrast without what goes with it. */
const alone = { 'method.selfTraining.weight': 0 };
const contrast = (/** @type {Record<string, unknown>} */ change) =>
  Object.fromEntries(Object.entries(change).map(([key, value]) => [`method.contrast.${key}`, value]));
/** Every pixel whose label is known is a certain one. */
const byTruth = { anchorSelection: 'threshold', anchorDomains: 'target' };
const layers = ['decoder', 'encoder'];

/** @type {Record<string, { settings: Record<string, unknown>, truth?: boolean }>} */
const cells = {
  'control: neither L_t nor L_c': { settings: { ...alone, ...contrast({ weight: 0 }) } },
  "control: L_c alone, the paper's anchors": {
    settings: {
      ...alone,
      ...contrast({
        anchorSelection: 'global-entropy',
        anchorShare: 0.2,
        anchorDomains: 'target',
        features: 'decoder',
      }),
    },
  },
  ...Object.fromEntries(
    layers.flatMap((features) => [
      [
        `control: L_c alone, anchors of every class, ${features}`,
        { settings: { ...alone, ...contrast({ anchorDomains: 'target', features }) } },
      ],
      [
        `truth: L_c alone, ${features}`,
        { settings: { ...alone, ...contrast({ ...byTruth, features }) }, truth: true },
      ],
      [`truth: L_c beside L_t, ${features}`, { settings: contrast({ ...byTruth, features }), truth: true }],
    ]),
  ),
  'without a contrast (self-training)': { settings: contrast({ weight: 0 }) },
};

const preset = streetSynthPreset({ seed, sourceSteps, steps });
await writeStreetSynth(flags.data, {
  ...preset.data,
  seed: flags['data-seed'],
  threads: availableParallelism(),
});
const { data, validation } = await openStreets(flags.data);

/** Gives the trainer target images whose labels are known, and anchors by these labels. */
function anchorsByTruth(/** @type {Trainer} */ trainer) {
  const { crop, batch, seed, method, segmentor } = trainer.experiment;
  const { ignoreTop, ignoreBottom } = /** @type {any} */ (method.selfTraining);
  const labelled = new BatchLoader({ source: data.target, batch, crop, seed: seed + 1000, workers: 0 });
  /** @type {any} */
  let truth;
  const next = trainer.loader.next.bind(trainer.loader);
  trainer.loader.next = async () => {
    const [own, other] = [await next(), await labelled.next()];
    own.targetImage?.dispose();
    truth?.dispose();
    truth = other.sourceLabel;
    return { ...own, targetImage: other.sourceImage };
  };
  const contrast = /** @type {any} */ (trainer.step.parts.contrast);
  const loss = contrast.loss.bind(contrast);
  contrast.loss = (features, mask, _view, head, progress) => {
    const size = /** @type {const} */ ([crop.height / 4, crop.width / 4]);
    const logits = tidy(() => {
      const label = pureLabels(truth, size, segmentor.classes, 0.75).view([batch, ...size]);
      const scores = Array.from({ length: segmentor.classes }, (_, c) => label.eq(c).to('float32').mul(30));
      return betweenMargins(ops.stack(scores, 1), crop.height, { ignoreTop, ignoreBottom }).contiguous();
    });
    return loss(features, mask, { logits }, head, progress);
  };
  return labelled;
}

/** The network that every cell starts from: trained on the source, from the encoder that comes with the package. */
async function sourceNetwork() {
  const file = join(flags.out, `source-${flags['data-seed']}-${seed}-${sourceSteps}.safetensors`);
  if (existsSync(file)) return file;
  const trainer = new Trainer(preset.pretraining, { ...data, target: undefined });
  loadBackboneWeights(trainer.learner.segmentor, weightsPath(shippedEncoder.name));
  await trainer.run();
  mkdirSync(flags.out, { recursive: true });
  saveSegmentor(file, trainer.learner.segmentor);
  await trainer.dispose();
  return file;
}

async function miouOf(/** @type {{ settings: Record<string, unknown>, truth?: boolean }} */ cell) {
  const { settings, truth = false } = cell;
  const trainer = new Trainer(withSettings(preset.continuation('pgpc-plus'), settings), data);
  const labelled = truth ? anchorsByTruth(trainer) : undefined;
  const { segmentor } = trainer.learner;
  const start = loadSegmentor(network);
  tidy(() => segmentor.loadStateDict(start.stateDict()));
  start.dispose();
  trainer.step.adoptStudent();
  try {
    await trainer.run();
    return 100 * (await evaluateSegmentor(segmentor, validation)).scores.miou;
  } finally {
    await trainer.dispose();
    await labelled?.dispose();
  }
}

const network = await sourceNetwork();
const results = [];
for (const [name, cell] of Object.entries(cells)) {
  if (!name.includes(only)) continue;
  const miou = await miouOf(cell);
  results.push({ name, miou });
  console.error(`${name}: ${miou.toFixed(1)}`);
}
console.log(machineLine(describeMachine()));
console.log(
  markdown(
    ['', 'mIoU'],
    results.map(({ name, miou }) => [name, miou.toFixed(1)]),
  ),
);
saveResults(flags.results, 'contrast-bound', { flags, results });
