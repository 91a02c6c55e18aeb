// A long training of a small network by PGPC+, with decoding threads, validations and checkpoints: whether memory, files,
// threads and the time of a step stay as they were. Ends with exit code 1 where one does not (the rules: trend.mjs).
//
//   node bench/long.mjs --steps 5000

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { streetSynthFolders } from '@pgpc/street-synth';
import { memory } from '@pgpc/torch';
import { resolveTraining } from '../packages/pgpc/dist/training/resolve.js';
import { runTraining } from '../packages/pgpc/dist/training/run.js';
import { describeMachine, finish, markdown, readFlags, stopwatch, temporaryFolder } from './lib.mjs';
import { renderFew } from './streets.mjs';
import { verdicts } from './trend.mjs';

const MIB = 2 ** 20;
const flags = readFlags({
  steps: 5000,
  every: 200,
  sample: 50,
  workers: 2,
  threads: 1,
  crop: 32,
  data: 'data/bench-long',
});
const { steps: total, every, sample, workers, threads, crop } = flags;
if (every % sample !== 0)
  throw new RangeError(`--every is a multiple of --sample, not ${every} of ${sample}`);

await renderFew(flags.data);
const { source, target } = streetSynthFolders(flags.data);

// What is garbage is no leak.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

/** A sample, in bytes. */
function sampled(done) {
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  const { tensors, bytes } = memory();
  const [descriptors, threadsNow] = ['fd', 'task'].map((name) => readdirSync(`/proc/self/${name}`).length);
  return {
    done,
    rss,
    heap: heapUsed,
    external,
    tensorBytes: bytes,
    tensors,
    descriptors,
    threads: threadsNow,
  };
}

const machine = describeMachine();
const config = await resolveTraining({
  source,
  target,
  method: 'pgpc-plus',
  weights: 'none',
  crop: { width: crop, height: crop },
  batch: 1,
  iterations: total,
  checkpointEvery: every,
  workers,
  set: { 'segmentor.channels': 16 },
});
/** @type {{ samples: ReturnType<typeof sampled>[], checkpoints: { done: number, ms: number, cpuMs: number }[] }} */
const run = { samples: [], checkpoints: [] };
// Of one size from the start: a list that grows would be seen in the heap.
const stepMs = new Float64Array(total);
const since = stopwatch();
const began = performance.now();
const folder = temporaryFolder();
const result = await runTraining(config, {
  out: folder,
  name: 'long',
  device: 'cpu',
  threads,
  memoryCheck: false,
  onEvent: (event) => {
    if (event.kind === 'begin') since();
    else if (event.kind === 'step') {
      stepMs[event.done - 1] = since().cpuMs;
      // Between two checkpoints, when their pictures are written.
      if (event.done % sample === 0 && event.done % every !== 0) run.samples.push(sampled(event.done));
      since();
    } else if (event.kind === 'checkpoint') {
      run.checkpoints.push({ done: event.iteration, ...since() });
      console.error(`step ${event.iteration}: ${(process.memoryUsage.rss() / MIB).toFixed(0)} MiB`);
    }
  },
});
const minutes = (performance.now() - began) / 60_000;
if (result.outcome !== 'finished') {
  throw new Error(`the training ended after ${stepMs.findLastIndex((ms) => ms > 0) + 1} of ${total} steps`);
}
rmSync(join(folder, 'long'), { recursive: true });

const steps = Array.from(stepMs, (cpuMs, i) => ({ done: i + 1, cpuMs }));
const rules = verdicts({ ...run, steps }, total);
const UNITS = {
  rss: 'MiB',
  heap: 'MiB',
  external: 'MiB',
  tensorBytes: 'MiB',
  steps: 'ms',
  checkpoints: 'ms',
};
const shown = (what, value) => (UNITS[what] === 'MiB' ? (value / MIB).toFixed(2) : Number(value.toFixed(2)));
console.log(
  `${total} steps of pgpc-plus in ${minutes.toFixed(1)} minutes, ${workers} decoding threads, ` +
    `${run.checkpoints.length} checkpoints with validation. First and last fifth after the warm-up, the first fifth of all:\n`,
);
console.log(
  markdown(
    ['', 'unit', 'first fifth', 'last fifth', 'rule', 'kept'],
    rules.map(({ what, first, last, rule, kept }) => [
      what,
      UNITS[what] ?? '',
      shown(what, first),
      shown(what, last),
      rule,
      kept ? 'yes' : 'NO',
    ]),
  ),
);
const settings = {
  steps: total,
  every,
  sample,
  workers,
  threads,
  crop,
  backbone: config.experiment.segmentor.backbone,
};
// Not every step's time: 5,000 of them are no table.
finish(flags.results, 'long', machine, {
  settings,
  node: process.version,
  minutes,
  rules,
  samples: run.samples,
  checkpoints: run.checkpoints,
});
const broken = rules.filter(({ kept }) => !kept);
if (broken.length > 0) {
  console.error(`not as it was: ${broken.map(({ what, rule }) => `${what} (${rule})`).join('; ')}`);
  process.exitCode = 1;
}
