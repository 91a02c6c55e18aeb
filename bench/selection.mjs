// Whether scores without labels order checkpoints as their true mIoU does: PGPC starts from the source networks of a
// sweep, well and badly set, and each of its checkpoints is scored both ways.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { plan } from '../packages/pgpc/dist/ablation/plan.js';
import { sweeps as tables } from '../packages/pgpc/dist/ablation/sweeps.js';
import { withSettings } from '../packages/pgpc/dist/config/settings.js';
import { evaluateSegmentor } from '../packages/pgpc/dist/evaluation/evaluate.js';
import { spearman } from '../packages/pgpc/dist/evaluation/rank-correlation.js';
import { useCores } from '../packages/pgpc/dist/machine.js';
import { loadSegmentor, MODEL_FILE } from '../packages/pgpc/dist/models/checkpoint.js';
import { goodness, scoreStep, scoringImages } from '../packages/pgpc/dist/training/selection.js';
import { Trainer } from '../packages/pgpc/dist/training/trainer.js';
import { describeMachine, machineLine, markdown, readFlags, saveResults } from './lib.mjs';
import { openStreets } from './streets.mjs';

const SCORES = ['information', 'density', 'entropy', 'agreement', 'margin'];

/** The preset, and what a user could have chosen instead. */
const SETTINGS = {
  preset: {},
  'rate of 4e-3': { 'optimizer.lr': 4e-3 },
  'every pseudo-label': { 'method.selfTraining.threshold': 0, 'method.selfTraining.alpha': 0.5 },
  'lambda_t of 5': { 'method.selfTraining.weight': 5 },
};

const flags = readFlags({
  sweeps: 'runs/ablations',
  data: 'data/street-synth-1',
  seeds: 3,
  'source-steps': 4000,
  steps: 800,
  every: 100,
});
const { sweeps, seeds, steps, every, 'source-steps': sourceSteps } = flags;
// Tensors of this size gain little from a second thread.
useCores(1);

/** What the sweep of methods does with a seed: the source's training, and PGPC's that starts from it. */
function plannedRuns(seed) {
  const runs = plan(tables.methods, {
    out: sweeps,
    scale: 'demo',
    seeds: [seed],
    sourceSteps,
    steps,
    set: {},
  });
  const pgpc = runs.find(({ cell }) => cell?.name === 'pgpc');
  if (!pgpc?.start) throw new Error('the sweep of methods has no run of PGPC');
  const network = join(pgpc.start, MODEL_FILE);
  if (!existsSync(network)) {
    throw new Error(
      `${network} is missing: run \`npx pgpc ablate methods --source-steps ${sourceSteps} --steps ${steps}\` first`,
    );
  }
  return { network, experiment: pgpc.experiment };
}

const { data, validation } = await openStreets(flags.data);
const images = await scoringImages(data.target);

/** Scores and mIoU of every checkpoint of a run. */
async function scoredRun(seed, setting) {
  const { network, experiment } = plannedRuns(seed);
  const trainer = new Trainer(withSettings(experiment, SETTINGS[setting]), data);
  const start = loadSegmentor(network);
  trainer.learner.segmentor.loadStateDict(start.stateDict());
  start.dispose();
  trainer.step.adoptStudent();
  const checkpoints = [];
  while (trainer.iteration < steps) {
    const pause = new AbortController();
    const onStep = (done) => done % every === 0 && pause.abort();
    await trainer.run({ signal: pause.signal, onStep });
    const scores = scoreStep(trainer.step, images);
    const { miou } = (await evaluateSegmentor(trainer.learner.segmentor, validation)).scores;
    checkpoints.push({ iteration: trainer.iteration, miou, scores });
  }
  await trainer.dispose();
  console.error(
    `seed ${seed}, ${setting}: mIoU ${checkpoints.map(({ miou }) => (100 * miou).toFixed(1)).join(', ')}`,
  );
  return { seed, setting, checkpoints };
}

const machine = describeMachine();
const runs = [];
for (let seed = 1; seed <= seeds; seed++) {
  for (const setting of Object.keys(SETTINGS)) runs.push(await scoredRun(seed, setting));
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** What following a score among checkpoints comes to. */
function judged(score, checkpoints) {
  const values = checkpoints.map(({ scores }) => goodness(scores, score));
  const mious = checkpoints.map(({ miou }) => miou);
  const chosen = mious[values.indexOf(Math.max(...values))];
  return { rho: spearman(values, mious), chosen, lost: Math.max(...mious) - chosen };
}

const all = runs.flatMap(({ checkpoints }) => checkpoints);
const judgements = SCORES.map((score) => {
  const inRuns = runs.map(({ checkpoints }) => judged(score, checkpoints));
  const inSeeds = Array.from({ length: seeds }, (_, i) =>
    judged(
      score,
      runs.filter(({ seed }) => seed === i + 1).map(({ checkpoints }) => checkpoints.at(-1)),
    ),
  );
  return {
    score,
    inRuns: mean(inRuns.map(({ rho }) => rho)),
    lostInRuns: mean(inRuns.map(({ lost }) => lost)),
    betweenRuns: mean(inSeeds.map(({ rho }) => rho)),
    lostBetweenRuns: mean(inSeeds.map(({ lost }) => lost)),
    overall: judged(score, all).rho,
  };
});
const lastLoses = mean(
  runs.map(({ checkpoints }) => Math.max(...checkpoints.map(({ miou }) => miou)) - checkpoints.at(-1).miou),
);

const points = (share) => (100 * share).toFixed(1);
console.log(
  [
    markdown(
      ['seed', 'setting', `mIoU after every ${every} steps`],
      runs.map(({ seed, setting, checkpoints }) => [
        seed,
        setting,
        checkpoints.map(({ miou }) => points(miou)).join(', '),
      ]),
    ),
    markdown(
      [
        'score (lower entropy counts as better)',
        'rho in a run',
        'lost in a run',
        'rho between runs',
        'lost between runs',
        'rho over all',
      ],
      judgements.map((row) => [
        row.score,
        row.inRuns.toFixed(2),
        points(row.lostInRuns),
        row.betweenRuns.toFixed(2),
        points(row.lostBetweenRuns),
        row.overall.toFixed(2),
      ]),
    ),
    `Spearman's rho with mIoU; lost: points of mIoU that the best of the checkpoints has over the one with the best score.`,
    `The last checkpoint of a run, taken unseen, loses ${points(lastLoses)} on average.`,
    machineLine(machine),
  ].join('\n\n'),
);
saveResults(flags.results, 'selection', { machine, steps, every, runs, judgements, lastLoses });
