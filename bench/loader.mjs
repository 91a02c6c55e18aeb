// The training data's loader against a PyTorch DataLoader with Pillow, on the same files and as many cores.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = '../packages/pgpc/dist';
if (!existsSync(join(here, dist, 'pipeline/decode-worker.js'))) {
  throw new Error('the packages are not built: run `npm run setup` in the project folder');
}
const { cacheDataset, GTA5_LABEL_TO_TRAIN_ID, openDataset, streetSynthFolders, writeStreetSynth } =
  await import(`${dist}/datasets/index.js`);

const { values: flags } = parseArgs({
  options: {
    width: { type: 'string', default: '1914' },
    height: { type: 'string', default: '1052' },
    images: { type: 'string', default: '12' },
    workers: { type: 'string', default: String(availableParallelism()) },
    batches: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: 'data/bench-loader' },
    python: { type: 'string', default: 'python3' },
  },
});
const count = (name) => {
  const value = Number(flags[name]);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`--${name} is a whole number from 1, not ${flags[name]}`);
  }
  return value;
};
const [width, height, images, workers, batches, rounds] = [
  'width',
  'height',
  'images',
  'workers',
  'batches',
  'rounds',
].map(count);

/** DAFormer's: two images of each domain, resized to 1280 x 720 and 1024 x 512 at most. */
const batch = 2;
const crop = { width: 512, height: 512, catMaxRatio: 0.75, flip: 0.5 };
const sourceScale = { width: 1280, height: 720 };
const targetScale = { width: 1024, height: 512 };
const bounds = ({ width, height }) => [width, height];

/** A worker process and its line-by-line conversation. */
class Worker {
  /** What the process said of itself on starting. */
  info;
  #process;
  #lines;

  static async start(side, config) {
    const worker = new Worker();
    const [command, script] =
      side === 'pgpc'
        ? [process.execPath, join(here, 'own/loader.mjs')]
        : [flags.python, join(here, 'peer/loader.py')];
    worker.#process = spawn(command, [script, JSON.stringify(config)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: '1',
        // Images are decoded by threads of libuv, of which there are four unless it is told otherwise.
        UV_THREADPOOL_SIZE: String(Math.max(4, workers)),
        PYTHONDONTWRITEBYTECODE: '1',
      },
    });
    worker.#process.on('error', (error) => {
      console.error(`${command} does not start: ${error.message}`);
      process.exit(1);
    });
    worker.#lines = createInterface({ input: worker.#process.stdout })[Symbol.asyncIterator]();
    worker.info = await worker.#receive();
    return worker;
  }

  async #receive() {
    const { value, done } = await this.#lines.next();
    if (done) {
      throw new Error(
        `${this.#process.spawnargs[0]} ended before it answered; the peer needs PyTorch and Pillow (--python names the interpreter)`,
      );
    }
    return JSON.parse(value);
  }

  /** @returns {Promise<number>} images per second */
  async round() {
    this.#process.stdin.write(`${JSON.stringify({ batches })}\n`);
    const { ms } = await this.#receive();
    return (batches * batch * 2) / (ms / 1000);
  }

  stop() {
    this.#process.stdin.end();
  }
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

function checkSamples(ours, theirs) {
  const close = (a, b) => Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(b));
  if (!close(ours.mean, theirs.mean) || !close(ours.square, theirs.square)) {
    throw new Error(`the two do not read the same image: ${JSON.stringify([ours.mean, theirs.mean])}`);
  }
  if (ours.counts.join() !== theirs.counts.join()) throw new Error('the two do not read the same label');
}

/** Both sides in turn, on the same files. */
async function compare(name, config) {
  const own = await Worker.start('pgpc', config);
  const peer = await Worker.start('pytorch', {
    ...config,
    sourceScale: config.sourceScale && bounds(config.sourceScale),
    targetScale: config.targetScale && bounds(config.targetScale),
    batches,
    table: [...GTA5_LABEL_TO_TRAIN_ID],
  });
  checkSamples(own.info.sample, peer.info.sample);
  const sides = [
    { worker: own, rates: [] },
    { worker: peer, rates: [] },
  ];
  for (let round = 0; round <= rounds; round++) {
    for (const { worker, rates } of round % 2 === 0 ? sides : sides.toReversed()) {
      const rate = await worker.round();
      // The first round fills the page cache and starts the threads and processes.
      if (round > 0) rates.push(rate);
    }
  }
  for (const { worker } of sides) worker.stop();
  const [pgpc, pytorch] = sides.map(({ rates }) => median(rates));
  return {
    files: name,
    pgpc,
    pytorch,
    ratio: pgpc / pytorch,
    rounds: { pgpc: sides[0].rates, pytorch: sides[1].rates },
    software: { pgpc: own.info.software, pytorch: peer.info.software },
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

const loadBefore = loadavg()[0];
const common = { crop, batch, workers };
const results = [
  await compare('as they are', { sourceRoot, targetRoot, sourceScale, targetScale, ...common }),
  await compare('copies by `pgpc data cache`', { ...copies, ...common }),
];

console.log(
  `\nImages per second, ${workers} threads or processes that decode, ${batch} + ${batch} images a batch, medians of ${rounds} rounds of ${batches} batches:\n`,
);
const line = (cells) => `| ${cells.join(' | ')} |`;
const head = ['files', 'pgpc', 'PyTorch DataLoader', 'pgpc / PyTorch'];
const rows = results.map(({ files, pgpc, pytorch, ratio }) => [
  files,
  pgpc.toFixed(1),
  pytorch.toFixed(1),
  ratio.toFixed(2),
]);
console.log([head, head.map(() => '---'), ...rows].map(line).join('\n'), '\n');
for (const [side, software] of Object.entries(results[0].software)) console.log(`${side}: ${software}`);
console.log(
  `CPU: ${cpus()[0].model} (${cpus().length} cores), load before the timing ${loadBefore.toFixed(2)}`,
);

mkdirSync(join(here, 'results'), { recursive: true });
const report = {
  settings: { width, height, images, batch, crop, sourceScale, targetScale, workers, batches, rounds },
  machine: { cpu: cpus()[0].model, cores: cpus().length, loadBefore },
  results,
};
writeFileSync(join(here, 'results/loader.json'), `${JSON.stringify(report, null, 2)}\n`);
