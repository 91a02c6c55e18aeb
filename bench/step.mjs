// The training step against the same step in PyTorch: equal losses first, then times and memory side by side.

import { spawn } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = '../packages/pgpc/dist';
if (!existsSync(join(here, dist, 'adaptation/step.js'))) {
  throw new Error('the packages are not built: run `npm run setup` in the project folder');
}
const { manualSeed, ops, randint, randn, tidy } = await import('@pgpc/torch');
const { daformerSelfTraining, methodConfig, pgpcContrast } = await import(`${dist}/adaptation/config.js`);
/** Those that the peer has too. */
const methodNames = ['source-only', 'self-training', 'pgpc'];
const { Learner } = await import(`${dist}/adaptation/learner.js`);

const SEED = 1;
const CHECK_STEPS = 3;
const WARM_UP_ROUNDS = 2;
/**
 * AdamW's first steps go by the gradient's sign, which rounding may turn: at the recipe's rate that shows. At the
 * recipe's decay three steps would not show whether there is any.
 */
const checkOptimizer = { lr: 6e-6, headMultiplier: 10, weightDecay: 100 };
/** Relative; q and the contrast's anchors are chosen by a threshold, at which rounding may swap a pixel. */
const TOLERANCE = { source: 1e-4, target: 1e-4, q: 1e-3, contrast: 1e-3 };

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: '256' },
    channels: { type: 'string', default: '256' },
    batch: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '8' },
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
const [size, channels, batch, threads, rounds] = ['size', 'channels', 'batch', 'threads', 'rounds'].map(
  count,
);
if (size % 32 !== 0)
  throw new RangeError(`--size is a multiple of 32, the encoder's last stride, not ${size}`);

const segmentor = {
  backbone: 'mit_b0',
  head: 'daformer',
  channels,
  classes: 19,
  dropout: 0.1,
  dropPath: 0.1,
};
const optimizer = { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 };
/** The recipe's numbers, with the contrast from the first step on. */
const contrast = { ...pgpcContrast, warmup: 0, width: Math.min(pgpcContrast.width, channels) };

/** One set of weights and one batch, of coherent patches, which all workers read. */
function writeTensors(folder) {
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
    const patches = randint(0, segmentor.classes + 1, [batch, 1, size / 16, size / 16], { dtype: 'float32' });
    const label = ops.upsampleNearest2d(patches, [size, size]).squeeze(1).to('int64');
    tensors.set('sourceImage', image());
    tensors.set('sourceLabel', label.maskedFill(label.eq(segmentor.classes), 255));
    tensors.set('targetImage', image());

    const index = [];
    const parts = [];
    let offset = 0;
    for (const [name, tensor] of tensors) {
      const array = tensor.toArray();
      index.push({ name, dtype: tensor.dtype, shape: tensor.shape, offset, elements: array.length });
      parts.push(Buffer.from(array.buffer, array.byteOffset, array.byteLength));
      const padding = (8 - (array.byteLength % 8)) % 8;
      parts.push(Buffer.alloc(padding));
      offset += array.byteLength + padding;
    }
    writeFileSync(join(folder, 'tensors.bin'), Buffer.concat(parts));
    writeFileSync(join(folder, 'tensors.json'), JSON.stringify(index));
    learner.dispose();
  });
}

/** A worker process and its line-by-line conversation. */
class Worker {
  /** What the process said of itself on starting. */
  info;
  #process;
  #lines;

  static async start(side, folder) {
    const worker = new Worker();
    const [command, ...script] =
      side === 'own'
        ? [process.execPath, join(here, 'own/step.mjs')]
        : [flags.python, join(here, 'peer/step.py')];
    worker.#process = spawn(command, [...script, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        ...process.env,
        OMP_NUM_THREADS: String(threads),
        OPENBLAS_NUM_THREADS: String(threads),
        // Threads that spin while the other process works would be measured there.
        OMP_WAIT_POLICY: 'passive',
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
        `${this.#process.spawnargs[0]} ended before it answered; it needs PyTorch (--python names the interpreter)`,
      );
    }
    return JSON.parse(value);
  }

  /** @returns {Promise<{ms: number, losses: Record<string, number>}>} */
  async step(iteration) {
    this.#process.stdin.write(`${JSON.stringify({ iteration })}\n`);
    return this.#receive();
  }

  /** Peak resident size in MiB, and the files of libtorch and BLAS that the process has loaded. */
  inspect() {
    const read = (file) => readFileSync(`/proc/${this.#process.pid}/${file}`, 'utf8');
    const libraries = read('maps').match(/\/\S*\/lib(torch_cpu|openblas|blas|mkl_core)[-.\w]*/g);
    return {
      peakMiB: Number(/VmHWM:\s+(\d+)/.exec(read('status'))[1]) / 1024,
      libraries: [...new Set(libraries)].sort(),
    };
  }

  stop() {
    this.#process.stdin.end();
  }
}

/** Both sides of one configuration, on the tensors of `root`. */
async function startPair(root, name, config) {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const file of ['tensors.bin', 'tensors.json']) linkSync(join(root, file), join(folder, file));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ optimizer, threads, seed: SEED, ...config }));
  const own = await Worker.start('own', folder);
  const peer = await Worker.start('peer', folder);
  return { own, peer };
}

/** Runs both sides on the same numbers. @returns the losses of every step, side by side. */
async function compareLosses(root) {
  const selfTraining = { ...daformerSelfTraining, jitterProbability: 0, blurProbability: 0, threshold: 0.5 };
  const { own, peer } = await startPair(root, 'exact', {
    exact: true,
    optimizer: checkOptimizer,
    segmentor: { ...segmentor, dropout: 0, dropPath: 0 },
    method: methodConfig('pgpc', {
      selfTraining,
      contrast: { ...contrast, weight: 1 },
      featureDistance: false,
    }),
  });
  const rows = [];
  for (let iteration = 0; iteration < CHECK_STEPS; iteration++) {
    const ours = (await own.step(iteration)).losses;
    const theirs = (await peer.step(iteration)).losses;
    for (const [loss, tolerance] of Object.entries(TOLERANCE)) {
      const difference = Math.abs(ours[loss] - theirs[loss]) / Math.abs(theirs[loss]);
      rows.push({ step: iteration, loss, pgpc: ours[loss], pytorch: theirs[loss], difference, tolerance });
    }
  }
  own.stop();
  peer.stop();
  return rows;
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** Times every method on both sides, all processes alive, one step each in turn. */
async function compareTimes(root) {
  const runs = [];
  for (const method of methodNames) {
    const config = {
      exact: false,
      segmentor,
      method: methodConfig(method, { contrast, featureDistance: false }),
    };
    const pair = await startPair(root, method, config);
    for (const side of ['pgpc', 'pytorch']) {
      runs.push({ method, side, worker: side === 'pgpc' ? pair.own : pair.peer, ms: [] });
    }
  }
  for (let round = 0; round < WARM_UP_ROUNDS + rounds; round++) {
    // Every second round goes backwards, so that neither side always follows the other.
    for (const run of round % 2 === 0 ? runs : runs.toReversed()) {
      const { ms } = await run.worker.step(round);
      if (round >= WARM_UP_ROUNDS) run.ms.push(ms);
    }
  }
  return runs.map(({ worker, ...run }) => {
    const { peakMiB, libraries } = worker.inspect();
    worker.stop();
    return { ...run, peakMiB, software: { ...worker.info, libraries } };
  });
}

function printTable(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'), '\n');
}

const root = mkdtempSync(join(tmpdir(), 'pgpc-bench-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));
writeTensors(root);

const equality = await compareLosses(root);
console.log(`Losses on equal weights and data, nothing drawn at random but by equal generators:\n`);
printTable(
  ['step', 'loss', 'pgpc', 'PyTorch', 'relative difference', 'allowed'],
  equality.map((row) => [
    row.step,
    row.loss,
    row.pgpc.toPrecision(8),
    row.pytorch.toPrecision(8),
    row.difference.toExponential(1),
    row.tolerance,
  ]),
);
const unequal = equality.filter(({ difference, tolerance }) => !(difference <= tolerance));
if (unequal.length > 0) {
  const names = unequal.map(({ step, loss }) => `${loss} at step ${step}`).join(', ');
  throw new Error(`the two steps are not the same computation, so their times mean nothing: ${names}`);
}

const loadBefore = loadavg()[0];
const runs = await compareTimes(root);
const timeOf = (method, side) => median(runs.find((run) => run.method === method && run.side === side).ms);
const peakOf = (method, side) => runs.find((run) => run.method === method && run.side === side).peakMiB;
const methods = methodNames.map((method) => ({
  method,
  pgpcMs: timeOf(method, 'pgpc'),
  pytorchMs: timeOf(method, 'pytorch'),
  ratio: timeOf(method, 'pgpc') / timeOf(method, 'pytorch'),
  pgpcPeakMiB: peakOf(method, 'pgpc'),
  pytorchPeakMiB: peakOf(method, 'pytorch'),
}));
const contrastCost = {
  pgpc: timeOf('pgpc', 'pgpc') / timeOf('self-training', 'pgpc'),
  pytorch: timeOf('pgpc', 'pytorch') / timeOf('self-training', 'pytorch'),
};

console.log(
  `MiT-B0, DAFormer head of ${channels} channels, ${batch} x ${size} x ${size}, ${threads} threads, medians of ${rounds}:\n`,
);
printTable(
  ['method', 'pgpc, ms', 'PyTorch, ms', 'pgpc / PyTorch', 'pgpc, peak MiB', 'PyTorch, peak MiB'],
  methods.map((row) => [
    row.method,
    row.pgpcMs.toFixed(0),
    row.pytorchMs.toFixed(0),
    row.ratio.toFixed(3),
    row.pgpcPeakMiB.toFixed(0),
    row.pytorchPeakMiB.toFixed(0),
  ]),
);
console.log(
  `Step with contrast / without: pgpc ${contrastCost.pgpc.toFixed(3)}, PyTorch ${contrastCost.pytorch.toFixed(3)}`,
);
const [pgpc, pytorch] = runs.map(({ software }) => software);
for (const [side, { libtorch, threads, libraries }] of Object.entries({ pgpc, pytorch })) {
  console.log(`${side}: libtorch ${libtorch}, ${threads} threads, ${libraries.join(', ')}`);
}
if (pgpc.libraries.join() !== pytorch.libraries.join()) {
  console.log('The two do not run on the same libraries: the ratios compare those too.');
}
console.log(
  `CPU: ${cpus()[0].model} (${cpus().length} cores), load before the timing ${loadBefore.toFixed(2)}`,
);

mkdirSync(join(here, 'results'), { recursive: true });
const results = {
  settings: { size, channels, batch, threads, rounds, ompWaitPolicy: 'passive' },
  machine: { cpu: cpus()[0].model, cores: cpus().length, loadBefore },
  software: { node: process.version, pgpc, pytorch },
  equality,
  methods,
  contrastCost,
  times: runs.map(({ method, side, ms }) => ({ method, side, ms })),
};
writeFileSync(join(here, 'results/step.json'), `${JSON.stringify(results, null, 2)}\n`);
