// What the contrast can do at best: a control in which it stands alone, without L_t, and an upper bound in which the
// target's true labels choose its anchors. A diagnosis and never a method: the labels come from the target's training
// images. Starts from the source networks of a sweep.
// Usage: npx pgpc ablate evidence --cells source-only --seed 11 --seeds 1, then
//   node bench/contrast-bound.mjs --seed 11 --seeds 1 [--steps 300] [--only truth]

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { classStatistics, openCityscapes, openGta5 } from '@pgpc/datasets';
import { streetSynthFolders } from '@pgpc/street-synth';
import { ops, tidy } from '@pgpc/torch';
import { plan } from '../packages/pgpc/dist/ablation/plan.js';
import { withSettings } from '../packages/pgpc/dist/config/settings.js';
import { evaluateSegmentor } from '../packages/pgpc/dist/evaluation/evaluate.js';
import { useCores } from '../packages/pgpc/dist/machine.js';
import { loadSegmentor, MODEL_FILE } from '../packages/pgpc/dist/models/checkpoint.js';
import { BatchLoader } from '../packages/pgpc/dist/pipeline/loader.js';
import { PixelStore } from '../packages/pgpc/dist/pipeline/pixels.js';
import { betweenMargins, pureLabels } from '../packages/pgpc/dist/pixels.js';
import { Trainer } from '../packages/pgpc/dist/training/trainer.js';
import { describeMachine, machineLine, markdown, readFlags, saveResults } from './lib.mjs';

const flags = readFlags({
  sweeps: 'runs/ablations',
  data: 'data/street-synth-1',
  seed: 11,
  seeds: 1,
  steps: 300,
  'source-steps': 500,
  only: '',
});
const { sweeps, seed: firstSeed, seeds, steps, only, 'source-steps': sourceSteps } = flags;
// Tensors of this size gain little from a second thread.
useCores(1);

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

const roots = streetSynthFolders(flags.data);
const source = await openGta5(roots.source);
const target = await openCityscapes(roots.target, 'train');
const data = {
  source: new PixelStore(source),
  sourceStatistics: await classStatistics(source),
  target: new PixelStore(target),
  workers: 0,
};
const validation = await openCityscapes(roots.target, 'val');

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

async function miouOf(seed, { settings, truth = false }) {
  const runs = plan('evidence', { out: sweeps, scale: 'demo', seeds: [seed], set: {}, sourceSteps, steps });
  const run = runs.find(({ cell }) => cell?.name === 'pgpc-plus-contrast');
  const folder = /** @type {any} */ (run)?.start;
  if (!existsSync(join(folder, MODEL_FILE))) {
    throw new Error(
      `${folder} is missing: npx pgpc ablate evidence --cells source-only --seed ${seed} trains it`,
    );
  }
  const trainer = new Trainer(withSettings(/** @type {any} */ (run).experiment, settings), data);
  const labelled = truth ? anchorsByTruth(trainer) : undefined;
  const { segmentor } = trainer.learner;
  const start = loadSegmentor(join(folder, MODEL_FILE));
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

const results = [];
for (const [name, cell] of Object.entries(cells)) {
  if (!name.includes(only)) continue;
  const miou = [];
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) miou.push(await miouOf(seed, cell));
  results.push({ name, miou });
  console.error(`${name}: ${miou.map((x) => x.toFixed(1)).join(', ')}`);
}
console.log(machineLine(describeMachine()));
console.log(
  markdown(
    ['', 'mIoU'],
    results.map(({ name, miou }) => [name, miou.map((x) => x.toFixed(1)).join(', ')]),
  ),
);
saveResults(flags.results, 'contrast-bound', { flags, results });
