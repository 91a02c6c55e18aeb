// Evaluating one whole image against the same in PyTorch: equal predictions first, then times and memory.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manualSeed, ops, randint, tidy } from '@pgpc/torch';
import { segmentorConfig } from '../packages/pgpc/dist/config/segmentor.js';
import { Segmentor } from '../packages/pgpc/dist/models/segmentor.js';
import {
  describeMachine,
  findPython,
  finish,
  markdown,
  median,
  own,
  peer,
  ratioOf,
  readFlags,
  scaleWeight,
  takeTurns,
  temporaryFolder,
  Worker,
  writeTensors,
} from './lib.mjs';

const SEED = 1;
/** Share of pixels that rounding may turn from one class to another with nearly the same score. */
const TOLERANCE = 1e-3;

const flags = readFlags({
  backbone: 'mit_b0',
  height: 1024,
  width: 2048,
  channels: 256,
  threads: 2,
  rounds: 3,
});
const { backbone, height, width, channels, threads, rounds } = flags;
const python = findPython(flags.python);
const segmentor = segmentorConfig(/** @type {any} */ (backbone), 'daformer', { channels });

/** Weights, an image and a label, of coherent patches, which both workers read. */
function writeWeightsAndImage(folder) {
  manualSeed(SEED);
  tidy(() => {
    const tensors = new Map(new Segmentor(segmentor, SEED).stateDict());
    // Scores far enough apart for rounding to change few classes.
    const classifier = 'decode_head.conv_seg.weight';
    scaleWeight(tensors, classifier, 100);
    const patches = (limit, kinds) =>
      ops.upsampleNearest2d(
        randint(0, limit, [1, kinds, Math.ceil(height / 32), Math.ceil(width / 32)], { dtype: 'float32' }),
        [height, width],
      );
    tensors.set('image', patches(256, 3).squeeze(0).permute([1, 2, 0]).to('uint8').contiguous());
    const label = patches(20, 1).view([height, width]);
    tensors.set('label', label.maskedFill(label.eq(19), 255).to('uint8'));
    writeTensors(folder, tensors);
  });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ segmentor, threads }));
}

const machine = describeMachine();
const root = temporaryFolder();
writeWeightsAndImage(root);

const commands = { pgpc: own('evaluate.mjs'), pytorch: peer(python, 'evaluate.py') };
const sides = [];
for (const [side, command] of Object.entries(commands)) {
  sides.push({ side, worker: await Worker.start([...command, root], { threads }), rounds: [] });
}

// The first image warms up, and shows whether both predict the same.
const [ours, theirs] = [(await sides[0].worker.ask()).confusion, (await sides[1].worker.ask()).confusion];
const pixels = ours.flat().reduce((sum, n) => sum + n);
const moved = ours.flat().reduce((sum, n, i) => sum + Math.abs(n - theirs.flat()[i]), 0) / 2;
if (!(moved <= TOLERANCE * pixels)) {
  throw new Error(`the confusion matrices differ in ${moved} of ${pixels} pixels: not the same computation`);
}
await takeTurns(sides, { rounds, warmUp: 0 }, async (side) => {
  const { ms, networkMs, cpuMs } = await side.worker.ask();
  side.rounds.push({ ms, networkMs, restMs: ms - networkMs, cpuMs });
});
const [pgpc, pytorch] = sides.map(({ worker, rounds: times }) => {
  const seen = worker.inspect();
  worker.stop();
  return { rounds: times, ...seen };
});

const measures = {
  networkMs: 'network, ms',
  restMs: 'normalise, resize, arg-max, count, ms',
  ms: 'all, ms',
  cpuMs: 'all, ms of CPU time',
};
const rows = Object.entries(measures).map(([key, measure]) => {
  const [ours, theirs] = [pgpc, pytorch].map((side) => side.rounds.map((times) => times[key]));
  return { measure, pgpc: median(ours), pytorch: median(theirs), ratio: ratioOf(ours, theirs) };
});
const peak = { pgpc: pgpc.peakMiB, pytorch: pytorch.peakMiB };
rows.push({ measure: 'peak, MiB', ...peak, ratio: peak.pgpc / peak.pytorch });

console.log(
  `${backbone}, DAFormer head of ${channels} channels, one image of ${width} x ${height}, ${threads} threads, ` +
    `medians of ${rounds}; ${moved} of ${pixels} pixels differ:\n`,
);
console.log(
  markdown(
    ['', 'pgpc', 'PyTorch', 'pgpc / PyTorch'],
    rows.map(({ measure, ratio, ...row }) => [
      measure,
      row.pgpc.toFixed(0),
      row.pytorch.toFixed(0),
      ratio.toFixed(3),
    ]),
  ),
  '\n',
);
const software = { pgpc: pgpc.software, pytorch: pytorch.software };
finish(flags.results, backbone === 'mit_b0' ? 'evaluate' : `evaluate-${backbone}`, machine, {
  settings: { backbone, height, width, channels, threads, rounds, ompWaitPolicy: 'passive' },
  software,
  differingPixels: { moved, pixels },
  medians: rows,
  rounds: { pgpc: pgpc.rounds, pytorch: pytorch.rounds },
});
