// Trains the encoder that comes with the package: MiT-B0 with a head for segmentation on rendered streets of varied looks,
// which are of neither domain of the demo. Writes the encoder in 16 bits, with a header that says what it was made from.
// With --task presence the encoder learns which classes are in a crop instead: the choice that was measured against it.
// Usage: node bench/start.mjs [--iterations 10000] [--scenes 6000] [--seed 7] [--threads 1] [--data FOLDER] [--out FILE]

import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { buildInfo, Generator, nn, ops, optim, saveSafetensors, setNumThreads, tidy } from '@pgpc/torch';
import {
  classStatistics,
  openGta5,
  PixelStore,
  parseExperiment,
  STREET_SYNTH_VERSION,
  streetSynthFolders,
  streetSynthPreset,
  Trainer,
  writeStreetSynth,
} from 'pgpc';
import { readFlags } from './lib.mjs';

const { task, iterations, scenes, seed, threads, data, out } = readFlags({
  task: 'segmentation',
  iterations: 10_000,
  scenes: 6000,
  seed: 7,
  threads: 1,
  data: 'data/street-synth-varied',
  out: 'runs/start/mit_b0-street-synth.safetensors',
});

/** Steps between two logged losses, and logged losses between two writings. */
const LOGGED = 250;
const WRITTEN = 10;

const none = { sourceTrain: 0, sourceVal: 0, targetTrain: 0, targetVal: 0 };
await writeStreetSynth(data, { seed, ...none, varied: scenes, threads: availableParallelism() });
const dataset = await openGta5(streetSynthFolders(data).varied);
const { pretraining } = streetSynthPreset({ seed, sourceSteps: iterations });
const experiment = parseExperiment({
  ...pretraining,
  batch: 4,
  schedule: { ...pretraining.schedule, warmupIters: Math.min(500, Math.ceil(iterations / 10)) },
});
setNumThreads(threads);
const trainer = new Trainer(experiment, {
  source: new PixelStore(dataset),
  sourceStatistics: await classStatistics(dataset),
  workers: 1,
});
const { segmentor } = trainer.learner;
const { backbone, head, classes } = segmentor.config;
const began = performance.now();
const seconds = () => Math.round((performance.now() - began) / 1000);
const losses = [];

/** With the mean of the last ten losses that were logged. @param done steps done. */
function write(done) {
  const last = losses.slice(-WRITTEN);
  const loss = last.reduce((sum, value) => sum + value, 0) / last.length;
  mkdirSync(dirname(out), { recursive: true });
  tidy(() => {
    const state = [...segmentor.backbone.stateDict()];
    const half = new Map(state.map(([name, value]) => [`backbone.${name}`, value.to('float16')]));
    saveSafetensors(out, half, {
      format: 'pgpc-backbone/1',
      backbone,
      licence: 'MIT',
      // The feature distance is to ImageNet's features: by this entry, it does not take these for them.
      trained: `${backbone} with ${head}, ${classes} classes, on street-synth`,
      data: `${STREET_SYNTH_VERSION}, ${scenes} varied scenes, seed ${seed}`,
      task,
      iterations: String(done),
      loss: loss.toFixed(4),
      seconds: String(seconds()),
      versions: `node ${process.versions.node}, libtorch ${buildInfo().libtorch}`,
      command: ['node bench/start.mjs', ...process.argv.slice(2)].join(' '),
    });
  });
  console.log(`${out} after ${done} steps, ${seconds()} s`);
}

if (task === 'presence') await learnPresence();
else if (task !== 'segmentation') throw new Error(`--task is segmentation or presence, not ${task}`);
else await learnSegmentation();
await trainer.dispose();

/** The encoder's last map, averaged, tells which classes have more than 20 pixels in the crop. */
async function learnPresence() {
  const lr = 1e-3;
  const rest = { weightDecay: 0.01, lr };
  const classifier = new nn.Linear(256, classes, { generator: new Generator(seed) });
  const optimizer = new optim.AdamW([
    { params: segmentor.backbone.parameters(), ...rest },
    { params: classifier.parameters(), ...rest },
  ]);
  const scale = optim.polySchedule({ baseLr: 1, maxIters: iterations, ...experiment.schedule });
  for (let step = 1; step <= iterations; step++) {
    const batch = await trainer.loader.next();
    for (const group of [0, 1]) optimizer.setLr(group, lr * scale(step - 1));
    tidy(() => {
      const pixels = Array.from({ length: classes }, (_, c) => batch.sourceLabel.eq(c).flatten(1).sum([1]));
      const present = ops.stack(pixels, 1).gt(20).to('float32');
      const map = segmentor.backbone.call(batch.sourceImage)[3];
      const logits = classifier.call(/** @type {import('@pgpc/torch').Tensor} */ (map).mean([2, 3]));
      const loss = ops.binaryCrossEntropyWithLogits(logits, present);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      if (step % LOGGED === 0 || step === iterations) log(step, loss.item());
    });
    for (const tensor of [batch.sourceImage, batch.sourceLabel]) tensor.dispose();
    if (step % (LOGGED * WRITTEN) === 0 || step === iterations) write(step);
  }
}

function log(/** @type {number} */ step, /** @type {number} */ loss) {
  losses.push(loss);
  console.log(step, loss.toFixed(4), `${seconds()} s`);
}

function learnSegmentation() {
  return trainer.run({
    logEvery: LOGGED,
    onLog: ({ iteration, values }) => log(iteration, values['loss/source']),
    onStep: (done) => {
      if (done % (LOGGED * WRITTEN) === 0 || done === iterations) write(done);
    },
  });
}
