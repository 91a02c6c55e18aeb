// Whether scores without labels order checkpoints as their true mIoU does: PGPC goes on from the source networks of a
// sweep, well and badly set, and each of its checkpoints is scored both ways.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compiled, describeMachine, machineLine, markdown, readFlags, saveResults } from './lib.mjs';

const { classStatistics } = await compiled('pgpc/datasets/statistics');
const { openCityscapes, openGta5, streetSynthFolders } = await compiled('pgpc/datasets/index');
const { evaluateSegmentor } = await compiled('pgpc/evaluation/evaluate');
const { spearman } = await compiled('pgpc/evaluation/rank-correlation');
const { loadSegmentor } = await compiled('pgpc/models/weights');
const { PixelStore } = await compiled('pgpc/pipeline/pixels');
const { streetSynthPreset } = await compiled('pgpc/presets/street-synth');
const { goodness, scoreStep } = await compiled('pgpc/training/selection');
const { withSettings } = await compiled('pgpc/training/settings');
const { MODEL_FILE, Trainer } = await compiled('pgpc/training/trainer');
const { useCores } = await compiled('pgpc/versions');

const SCORES = ['information', 'density', 'entropy', 'agreement', 'margin'];

/** Target images that are scored: as many as `pgpc train` takes. */
const IMAGES = 16;

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
  steps: 800,
  every: 100,
});
const { sweeps, seeds, steps, every } = flags;
if (!existsSync(flags.data)) {
  throw new Error(
    `${flags.data} is not there: \`npx pgpc ablate methods\` renders it, and trains the source networks`,
  );
}
// Tensors of this size gain little from a second thread.
useCores(1);

/** The network that every cell of a seed went on from. */
function sourceNetwork(seed) {
  const folder = join(sweeps, `seed${seed}`);
  const name = existsSync(folder) && readdirSync(folder).find((entry) => /^source-(?!only)/.test(entry));
  if (!name)
    throw new Error(`no source network of seed ${seed} in ${sweeps}: run \`npx pgpc ablate methods\` first`);
  return join(folder, name, MODEL_FILE);
}

const roots = streetSynthFolders(flags.data);
const source = await openGta5(roots.source);
const validation = await openCityscapes(roots.target, 'val');
const data = {
  source: new PixelStore(source),
  sourceCounts: (await classStatistics(source)).counts,
  target: new PixelStore(await openCityscapes(roots.target, 'train')),
  workers: 0,
};
const images = await Promise.all(
  Array.from({ length: IMAGES }, (_, i) => data.target.image(Math.floor((i * data.target.length) / IMAGES))),
);

/** Scores and mIoU of every checkpoint of a run. */
async function scoredRun(seed, setting) {
  const preset = streetSynthPreset({ seed, steps }).continuation('pgpc');
  const trainer = new Trainer(withSettings(preset, SETTINGS[setting]), data);
  const start = loadSegmentor(sourceNetwork(seed));
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
