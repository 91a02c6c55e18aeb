// The program of the tests of data parallel: one rank, or a process on its own. Runs what `tsc -b` built.
//
//   node distributed-rank.mjs '{ "experiment": {...}, "out": "folder" }'
//
// The rank is in the environment, as torchrun has it. Rank 0 writes a checkpoint to `out` every five steps and at the
// end, where the log is beside it. `restore` is the folder of a checkpoint to resume from; at `dieAt` steps the last rank
// kills itself.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { setNumThreads } from '@pgpc/torch';
import { parseExperiment } from '../../dist/config/experiment.js';
import { PixelStore } from '../../dist/pipeline/pixels.js';
import { Rng } from '../../dist/random.js';
import { joinGroup } from '../../dist/training/distributed.js';
import { Trainer } from '../../dist/training/trainer.js';

const SIDE = 40;

/** An image in which every class has a colour of its own, under noise, and one class has most pixels. */
function sample(seed, classes) {
  const rng = new Rng(seed, 'distributed test');
  const one = seed % classes;
  const blocks = Array.from({ length: 25 }, () => [255, rng.below(classes)][rng.below(8)] ?? one);
  const label = Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const [y, x] = [Math.floor(i / SIDE), i % SIDE];
    return blocks[5 * (y >> 3) + (x >> 3)];
  });
  const image = Uint8Array.from({ length: 3 * SIDE * SIDE }, (_, i) => {
    const value = label[Math.floor(i / 3)];
    return ((value * 50 * ((i % 3) + 1)) % 200) + rng.below(40);
  });
  return {
    image: { width: SIDE, height: SIDE, data: image },
    label: { width: SIDE, height: SIDE, data: label },
  };
}

function store(seeds, classes) {
  const samples = seeds.map((seed) => sample(seed, classes));
  return new PixelStore({
    name: 'memory',
    root: 'memory',
    split: 'train',
    classes: CITYSCAPES_CLASSES.slice(0, classes),
    ignoreIndex: 255,
    labelCoding: { kind: 'values', table: Uint8Array.from({ length: 256 }, (_, i) => i) },
    samples: samples.map((_, i) => ({ id: String(i), image: `image-${i}`, label: `label-${i}` })),
    readImage: async (index) => samples[index].image,
    readLabel: async (index) => samples[index].label,
  });
}

const { experiment: given, out, restore, dieAt } = JSON.parse(process.argv[2]);
setNumThreads(1);
const experiment = parseExperiment(given);
const { classes } = experiment.segmentor;
const group = joinGroup();
const data = {
  source: store([1, 2, 3, 4, 5, 6], classes),
  target: store([7, 8, 9, 10], classes),
  workers: 0,
};
const trainer = new Trainer(experiment, data, { group });
if (restore) trainer.restore(restore);
const log = [];
const writes = !group || group.rank === 0;
await trainer.run({
  logEvery: 1,
  onLog: (entry) => log.push(entry),
  onStep: (done) => {
    if (writes && done % 5 === 0) trainer.save(out);
    if (done === dieAt && group.rank === group.size - 1) process.kill(process.pid, 'SIGKILL');
  },
});
if (writes) {
  trainer.save(out);
  writeFileSync(join(out, 'log.json'), JSON.stringify(log));
}
await trainer.dispose();
group?.barrier();
group?.dispose();
