// The training data's loader against a PyTorch DataLoader with Pillow, on the same files and as many cores.

import { existsSync } from 'node:fs';
import { cp, rename } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheDataset, GTA5_LABEL_TO_TRAIN_ID, openDataset } from '@pgpc/datasets';
import { streetSynthFolders, writeStreetSynth } from '@pgpc/street-synth';
import sharp from 'sharp';
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
  takeTurns,
  Worker,
} from './lib.mjs';

const flags = readFlags({
  width: 1914,
  height: 1052,
  images: 12,
  workers: availableParallelism(),
  batches: 16,
  rounds: 5,
  data: 'data/bench-loader',
});
const { width, height, images, workers, batches, rounds } = flags;
const python = findPython(flags.python, ['torch', 'PIL', 'numpy']);

/** DAFormer's: two images of each domain, resized to 1280 x 720 and 1024 x 512 at most. */
const batch = 2;
const crop = { width: 512, height: 512, catMaxRatio: 0.75, flip: 0.5 };
const sourceScale = { width: 1280, height: 720 };
const targetScale = { width: 1024, height: 512 };
const bounds = ({ width, height }) => [width, height];

function checkSamples(ours, theirs) {
  const close = (a, b) => Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b));
  if (!close(ours.mean, theirs.mean) || !close(ours.square, theirs.square)) {
    throw new Error(`the two do not read the same image: ${JSON.stringify([ours.mean, theirs.mean])}`);
  }
  if (ours.counts.join() !== theirs.counts.join()) throw new Error('the two do not read the same label');
}

/** Images of batches that were loaded in `ms`, a second. */
const rate = (ms) => (batches * batch * 2) / (ms / 1000);

/** Both sides in turn, on the same files. */
async function compare(name, config) {
  const options = {
    threads: 1,
    // Threads of libuv decode the images; there are four unless it is told otherwise.
    env: { UV_THREADPOOL_SIZE: String(Math.max(4, workers)) },
  };
  const forPeer = {
    ...config,
    sourceScale: config.sourceScale && bounds(config.sourceScale),
    targetScale: config.targetScale && bounds(config.targetScale),
    batches,
    table: [...GTA5_LABEL_TO_TRAIN_ID],
  };
  const sides = [
    { worker: await Worker.start([...own('loader.mjs'), JSON.stringify(config)], options), rates: [] },
    {
      worker: await Worker.start([...peer(python, 'loader.py'), JSON.stringify(forPeer)], options),
      rates: [],
    },
  ];
  const [ours, theirs] = sides;
  checkSamples(ours.worker.info.sample, theirs.worker.info.sample);
  // The first round fills the page cache and starts the threads and processes.
  await takeTurns(sides, { rounds }, async ({ worker, rates }, round) => {
    const { ms } = await worker.ask({ batches });
    if (round >= 0) rates.push(rate(ms));
  });
  for (const { worker } of sides) worker.stop();
  return {
    files: name,
    pgpc: median(ours.rates),
    pytorch: median(theirs.rates),
    ratio: ratioOf(ours.rates, theirs.rates),
    rounds: { pgpc: ours.rates, pytorch: theirs.rates },
    software: { pgpc: ours.worker.info.software, pytorch: theirs.worker.info.software },
  };
}

const root = join(flags.data, `${width}x${height}`);
console.log(`street-synth of ${images} + ${images} images at ${width} x ${height} in ${root} ...`);
await writeStreetSynth(root, {
  seed: 1,
  sourceTrain: images,
  sourceVal: 0,
  targetTrain: images,
  targetVal: 0,
  width,
  height,
});
const { source: sourceRoot, target: targetRoot } = streetSynthFolders(root);
const copies = { sourceRoot: join(root, 'copies/gta5'), targetRoot: join(root, 'copies/cityscapes') };
const source = await openDataset({ format: 'gta5', root: sourceRoot, split: 'all' });
const target = await openDataset({ format: 'cityscapes', root: targetRoot, split: 'train' });
await cacheDataset(source, copies.sourceRoot, { scale: sourceScale });
await cacheDataset(target, copies.targetRoot, { scale: targetScale });

/** The same images with the row filters that libpng, and so most programs, would choose; the rendered have none. */
async function withFilters({ samples, root }, copy) {
  if (existsSync(copy)) return;
  const part = `${copy}.part`;
  await cp(root, part, { recursive: true });
  for (const { image } of samples) {
    await sharp(image).png({ adaptiveFiltering: true }).toFile(image.replace(root, part));
  }
  await rename(part, copy);
}
const filtered = { sourceRoot: join(root, 'filtered/gta5'), targetRoot: join(root, 'filtered/cityscapes') };
await withFilters(source, filtered.sourceRoot);
await withFilters(target, filtered.targetRoot);

const machine = describeMachine();
const common = { crop, batch, workers };
const results = [
  await compare('as they are', { sourceRoot, targetRoot, sourceScale, targetScale, ...common }),
  await compare('with row filters', { ...filtered, sourceScale, targetScale, ...common }),
  await compare('copies by `pgpc data cache`', { ...copies, ...common }),
];

console.log(
  `\nImages per second, ${workers} threads or processes that decode, ${batch} + ${batch} images a batch, medians of ${rounds} rounds of ${batches} batches:\n`,
);
console.log(
  markdown(
    ['files', 'pgpc', 'PyTorch DataLoader', 'pgpc / PyTorch'],
    results.map(({ files, pgpc, pytorch, ratio }) => [
      files,
      pgpc.toFixed(1),
      pytorch.toFixed(1),
      ratio.toFixed(2),
    ]),
  ),
  '\n',
);
for (const [side, software] of Object.entries(results[0].software)) console.log(`${side}: ${software}`);
finish(flags.results, 'loader', machine, {
  settings: { width, height, images, batch, crop, sourceScale, targetScale, workers, batches, rounds },
  results,
});
