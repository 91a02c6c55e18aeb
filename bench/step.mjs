// The training step against the same step in PyTorch: equal losses first, then times and memory side by side.

import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  compiled,
  describeMachine,
  findPython,
  machineLine,
  markdown,
  median,
  own,
  peer,
  ratioOf,
  readFlags,
  saveResults,
  softwareLines,
  takeTurns,
  temporaryFolder,
  Worker,
  writeTensors,
} from './lib.mjs';

const { manualSeed, ops, randint, randn, tidy } = await compiled('torch');
const { daformerFeatureDistance, daformerSelfTraining, methodConfig, pgpcContrast } =
  await compiled('pgpc/adaptation/config');
const { Learner } = await compiled('pgpc/adaptation/learner');
const { segmentorConfig } = await compiled('pgpc/models/segmentor');
const { seedFor } = await compiled('pgpc/pipeline/rng');
const { methodNames } = await compiled('pgpc/presets/names');

const SEED = 1;
const CHECK_STEPS = 3;
const WARM_UP_ROUNDS = 2;
/**
 * AdamW's first steps go by the gradient's sign, which rounding may turn: at the recipe's rate that shows. At the
 * recipe's decay three steps would not show whether there is any.
 */
const checkOptimizer = { lr: 6e-6, headMultiplier: 10, weightDecay: 100 };
/** Relative; q counts pixels above a threshold, which rounding may swap. */
const TOLERANCE = { source: 1e-4, featureDistance: 1e-4, target: 1e-4, contrast: 1e-4, q: 1e-3 };
const backbones = ['mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5'];

const flags = readFlags({
  backbone: 'mit_b0',
  methods: 'source-only,daformer,pgpc',
  size: 256,
  channels: 256,
  batch: 2,
  threads: 2,
  rounds: 8,
  'activation-checkpointing': false,
});
const { backbone, size, channels, batch, threads, rounds } = flags;
const { 'activation-checkpointing': checkpointing } = flags;
const methods = flags.methods.split(',');
if (!backbones.includes(backbone)) {
  throw new RangeError(`--backbone is one of ${backbones.join(', ')}, not ${backbone}`);
}
for (const name of methods) {
  if (!methodNames.includes(name)) {
    throw new RangeError(`--methods are some of ${methodNames.join(', ')} with commas between, not ${name}`);
  }
}
if (size % 32 !== 0)
  throw new RangeError(`--size is a multiple of 32, the encoder's last stride, not ${size}`);
const python = findPython(flags.python);

const segmentor = segmentorConfig(backbone, 'daformer', { channels });
const optimizer = { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 };
/** The recipe's numbers, with the contrast from the first step on. */
const contrast = { ...pgpcContrast, warmup: 0, width: Math.min(pgpcContrast.width, channels) };

/** One set of weights and one batch, of coherent patches, which all workers read. */
function writeWeightsAndBatch(folder) {
  manualSeed(SEED);
  tidy(() => {
    const learner = new Learner(segmentor, SEED, contrast);
    const tensors = new Map(learner.stateDict());
    // Scores far enough apart for the teacher to be sure of some pixels, so that q is neither 0 nor 1.
    const classifier = 'segmentor.decode_head.conv_seg.weight';
    tensors.set(
      classifier,
      tensors
        .get(classifier)
        .detach()
        .mul(200 / Math.sqrt(channels)),
    );
    const image = () =>
      ops.upsampleBilinear2d(randn([batch, 3, size / 8, size / 8]), [size, size], false).contiguous();
    // As large as a pixel of the encoder's last stage, of which the feature distance wants most in one class.
    const patches = randint(0, segmentor.classes + 1, [batch, 1, size / 32, size / 32], { dtype: 'float32' });
    const label = ops.upsampleNearest2d(patches, [size, size]).squeeze(1).to('int64');
    tensors.set('sourceImage', image());
    tensors.set('sourceLabel', label.maskedFill(label.eq(segmentor.classes), 255));
    tensors.set('targetImage', image());
    writeTensors(folder, tensors);
    learner.dispose();
  });
}

/** Where a worker finds its configuration and the tensors of `root`. */
function folderOf(root, name, config) {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of ['tensors.bin', 'tensors.json']) linkSync(join(root, file), join(folder, file));
  // The peer's draws for the contrast are ours, by the same generator.
  const common = { optimizer, threads, seed: SEED, contrastSeed: seedFor(SEED, 'contrast') };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...common, ...config }));
  return folder;
}

/** Both sides of one configuration. */
async function startPair(root, name, config) {
  const folder = folderOf(root, name, config);
  const [ours, theirs] = [own('step.mjs'), peer(python, 'step.py')];
  return {
    pgpc: await Worker.start([...ours, folder], { threads }),
    pytorch: await Worker.start([...theirs, folder], { threads }),
  };
}

/** Runs both sides on the same numbers. @returns the losses of every step, side by side. */
async function compareLosses(root) {
  const selfTraining = { ...daformerSelfTraining, jitterProbability: 0, blurProbability: 0, threshold: 0.5 };
  const pair = await startPair(root, 'exact', {
    exact: true,
    // From a copy of itself the encoder is as far as rounding puts it, and the gradient points anywhere.
    frozenScale: 1.05,
    optimizer: checkOptimizer,
    segmentor: { ...segmentor, dropout: 0, dropPath: 0 },
    method: methodConfig('pgpc', {
      selfTraining,
      contrast: { ...contrast, weight: 1 },
      featureDistance: { ...daformerFeatureDistance, weight: 1 },
    }),
  });
  const rows = [];
  for (let iteration = 0; iteration < CHECK_STEPS; iteration++) {
    const { losses: ours } = await pair.pgpc.ask({ iteration });
    const { losses: theirs } = await pair.pytorch.ask({ iteration });
    for (const [loss, tolerance] of Object.entries(TOLERANCE)) {
      const difference = Math.abs(ours[loss] - theirs[loss]) / Math.abs(theirs[loss]);
      rows.push({ step: iteration, loss, pgpc: ours[loss], pytorch: theirs[loss], difference, tolerance });
    }
  }
  for (const worker of Object.values(pair)) worker.stop();
  return rows;
}

/** Times every method on both sides, all processes alive, one step each in turn. */
async function compareTimes(root) {
  const runs = [];
  for (const method of methods) {
    const config = { exact: false, segmentor, method: methodConfig(method, { contrast }) };
    const pair = await startPair(root, method, config);
    if (checkpointing) {
      const folder = folderOf(root, `${method}-checkpointed`, { ...config, activationCheckpointing: true });
      pair.checkpointed = await Worker.start([...own('step.mjs'), folder], { threads });
    }
    for (const [side, worker] of Object.entries(pair)) {
      runs.push({ method, side, worker, ms: [], cpuMs: [], iteration: 0 });
    }
  }
  await takeTurns(runs, { rounds, warmUp: WARM_UP_ROUNDS }, async (run, round) => {
    const { ms, cpuMs } = await run.worker.ask({ iteration: run.iteration++ });
    if (round < 0) return;
    run.ms.push(ms);
    run.cpuMs.push(cpuMs);
  });
  return runs.map(({ method, side, worker, ms, cpuMs }) => {
    const seen = worker.inspect();
    worker.stop();
    return { method, side, ms, cpuMs, ...seen };
  });
}

const root = temporaryFolder();
const machine = describeMachine();
writeWeightsAndBatch(root);

const equality = await compareLosses(root);
console.log('Losses on equal weights and data, nothing drawn at random but by equal generators:\n');
console.log(
  markdown(
    ['step', 'loss', 'pgpc', 'PyTorch', 'relative difference', 'allowed'],
    equality.map((row) => [
      row.step,
      row.loss,
      row.pgpc.toPrecision(8),
      row.pytorch.toPrecision(8),
      row.difference.toExponential(1),
      row.tolerance,
    ]),
  ),
  '\n',
);
const unequal = equality.filter(({ difference, tolerance }) => !(difference <= tolerance));
if (unequal.length > 0) {
  const names = unequal.map(({ step, loss }) => `${loss} at step ${step}`).join(', ');
  throw new Error(`the two steps are not the same computation, so their times mean nothing: ${names}`);
}

const runs = await compareTimes(root);
const find = (method, side) => runs.find((run) => run.method === method && run.side === side);
const rows = methods.map((method) => {
  const [ours, theirs] = [find(method, 'pgpc'), find(method, 'pytorch')];
  return {
    method,
    pgpcMs: median(ours.ms),
    pytorchMs: median(theirs.ms),
    ratio: ratioOf(ours.ms, theirs.ms),
    cpuRatio: ratioOf(ours.cpuMs, theirs.cpuMs),
    pgpcPeakMiB: ours.peakMiB,
    pytorchPeakMiB: theirs.peakMiB,
  };
});
const checkpointed =
  checkpointing &&
  methods.map((method) => {
    const [twice, once] = [find(method, 'checkpointed'), find(method, 'pgpc')];
    return {
      method,
      ms: median(twice.ms),
      ratio: ratioOf(twice.ms, once.ms),
      cpuRatio: ratioOf(twice.cpuMs, once.cpuMs),
      peakMiB: twice.peakMiB,
    };
  });
const withAndWithout = ['pgpc', 'daformer'];
const contrastCost =
  withAndWithout.every((method) => methods.includes(method)) &&
  Object.fromEntries(
    ['pgpc', 'pytorch'].map((side) => [
      side,
      ratioOf(...withAndWithout.map((method) => find(method, side).ms)),
    ]),
  );

console.log(
  `${backbone}, DAFormer head of ${channels} channels, ${batch} x ${size} x ${size}, ${threads} threads, medians of ${rounds}:\n`,
);
console.log(
  markdown(
    [
      'method',
      'pgpc, ms',
      'PyTorch, ms',
      'pgpc / PyTorch',
      'of CPU time',
      'pgpc, peak MiB',
      'PyTorch, peak MiB',
    ],
    rows.map((row) => [
      row.method,
      row.pgpcMs.toFixed(0),
      row.pytorchMs.toFixed(0),
      row.ratio.toFixed(3),
      row.cpuRatio.toFixed(3),
      row.pgpcPeakMiB.toFixed(0),
      row.pytorchPeakMiB.toFixed(0),
    ]),
  ),
  '\n',
);
if (checkpointed) {
  console.log('With activation checkpointing:\n');
  console.log(
    markdown(
      ['method', 'pgpc, ms', 'with / without', 'of CPU time', 'pgpc, peak MiB', 'with / without'],
      checkpointed.map(({ method, ms, ratio, cpuRatio, peakMiB }) => [
        method,
        ms.toFixed(0),
        ratio.toFixed(3),
        cpuRatio.toFixed(3),
        peakMiB.toFixed(0),
        (peakMiB / find(method, 'pgpc').peakMiB).toFixed(3),
      ]),
    ),
    '\n',
  );
}
if (contrastCost) {
  const { pgpc, pytorch } = contrastCost;
  console.log(`Step with contrast / without: pgpc ${pgpc.toFixed(3)}, PyTorch ${pytorch.toFixed(3)}`);
}
const software = Object.fromEntries(runs.slice(0, 2).map((run) => [run.side, run.software]));
console.log([...softwareLines(software), machineLine(machine)].join('\n'));

saveResults(flags.results, backbone === 'mit_b0' ? 'step' : `step-${backbone}`, {
  settings: { backbone, size, channels, batch, threads, rounds, ompWaitPolicy: 'passive' },
  machine,
  software: { node: process.version, ...software },
  equality,
  methods: rows,
  ...(checkpointed && { checkpointed }),
  ...(contrastCost && { contrastCost }),
  times: runs.map(({ method, side, ms, cpuMs }) => ({ method, side, ms, cpuMs })),
});
