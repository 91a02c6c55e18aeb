// The training step against the same step in PyTorch: equal losses first, then times and memory side by side.

import {
  describeMachine,
  findPython,
  finish,
  markdown,
  median,
  own,
  ratioOf,
  readFlags,
  takeTurns,
} from './lib.mjs';
import { checkFlags, equalityTable, Training, unequal } from './training.mjs';

const WARM_UP_ROUNDS = 2;

const flags = readFlags({
  backbone: 'mit_b0',
  methods: 'source-only,daformer,pgpc',
  size: 256,
  channels: 256,
  batch: 2,
  threads: 2,
  rounds: 8,
  device: 'cpu',
  precision: 'float32',
  'activation-checkpointing': false,
  'other-draws': false,
  'two-resolutions': false,
  masked: false,
});
const { backbone, size, channels, batch, threads, rounds } = flags;
const { 'activation-checkpointing': checkpointing } = flags;
const methods = checkFlags(flags);
const onGpu = flags.device === 'cuda';
const training = new Training({ ...flags, python: findPython(flags.python) });

/** Times every method on both sides, all processes alive, one step each in turn. */
async function compareTimes() {
  const runs = [];
  for (const method of methods) {
    const config = training.recipe(method);
    const pair = await training.startPair(method, config);
    if (checkpointing) {
      const twice = { ...config, activationCheckpointing: true };
      pair.checkpointed = await training.start(own('step.mjs'), `${method}-checkpointed`, twice);
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

const machine = describeMachine();

const ours = onGpu ? { pgpc: { graphs: false }, graphs: { graphs: true } } : undefined;
const equality = [];
for (const precision of new Set(['float32', flags.precision])) {
  const check = { otherDraws: onGpu || flags['other-draws'], ours };
  const { rows, failures } = await training.compareLosses(precision, check);
  equality.push(...rows);
  console.log(
    `Losses in ${precision} on equal weights and data, nothing drawn at random but by equal generators:\n`,
  );
  console.log(equalityTable(rows), '\n');
  if (failures.length > 0) throw new Error(failures.map(({ side, error }) => `${side}: ${error}`).join('\n'));
  const names = unequal(rows);
  if (names.length > 0) {
    throw new Error(
      `the two steps are not the same computation, so their times mean nothing: ${names.join(', ')}`,
    );
  }
}

const runs = await compareTimes();
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
const withAndWithout = ['pgpc', methods.includes('daformer') ? 'daformer' : 'self-training'];
const contrastCost =
  withAndWithout.every((method) => methods.includes(method)) &&
  Object.fromEntries(
    ['pgpc', 'pytorch'].map((side) => [
      side,
      ratioOf(...withAndWithout.map((method) => find(method, side).ms)),
    ]),
  );

console.log(
  `${backbone}, DAFormer head of ${channels} channels${flags['two-resolutions'] ? ', two resolutions (HRDA)' : ''}${flags.masked ? ', masked images (MIC)' : ''}, ${batch} x ${size} x ${size}, ${threads} threads, medians of ${rounds}:\n`,
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
const variant = [
  ...(backbone === 'mit_b0' ? [] : [backbone]),
  ...(flags['two-resolutions'] ? ['hrda'] : []),
  ...(flags.masked ? ['mic'] : []),
];
finish(flags.results, ['step', ...variant].join('-'), machine, {
  settings: {
    backbone,
    size,
    channels,
    batch,
    threads,
    rounds,
    device: flags.device,
    precision: flags.precision,
    twoResolutions: flags['two-resolutions'],
    masked: flags.masked,
    ompWaitPolicy: 'passive',
  },
  software,
  equality,
  methods: rows,
  ...(checkpointed && { checkpointed }),
  ...(contrastCost && { contrastCost }),
  times: runs.map(({ method, side, ms, cpuMs }) => ({ method, side, ms, cpuMs })),
});
