// Evaluating one whole image against the same in PyTorch: equal predictions first, then times and memory.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = '../packages/pgpc/dist';
if (!existsSync(join(here, dist, 'evaluation/inference.js'))) {
  throw new Error('the packages are not built: run `npm run setup` in the project folder');
}
const { manualSeed, ops, randint, tidy } = await import('@pgpc/torch');
const { Segmentor } = await import(`${dist}/models/segmentor.js`);

const SEED = 1;
/** Share of pixels that rounding may turn from one class to another with nearly the same score. */
const TOLERANCE = 1e-3;

const { values: flags } = parseArgs({
  options: {
    height: { type: 'string', default: '1024' },
    width: { type: 'string', default: '2048' },
    channels: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
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
const [height, width, channels, threads, rounds] = ['height', 'width', 'channels', 'threads', 'rounds'].map(
  count,
);
const segmentor = {
  backbone: 'mit_b0',
  head: 'daformer',
  channels,
  classes: 19,
  dropout: 0.1,
  dropPath: 0.1,
};

/** Weights, an image and a label, of coherent patches, which both workers read. */
function writeTensors(folder) {
  manualSeed(SEED);
  tidy(() => {
    const tensors = new Map(new Segmentor(segmentor, SEED).stateDict());
    // Scores far enough apart for rounding to change few classes.
    const classifier = 'decode_head.conv_seg.weight';
    tensors.set(classifier, tensors.get(classifier).detach().mul(100));
    const patches = (limit, kinds) =>
      ops.upsampleNearest2d(
        randint(0, limit, [1, kinds, Math.ceil(height / 32), Math.ceil(width / 32)], { dtype: 'float32' }),
        [height, width],
      );
    tensors.set('image', patches(256, 3).squeeze(0).permute([1, 2, 0]).to('uint8').contiguous());
    const label = patches(20, 1).view([height, width]);
    tensors.set('label', label.maskedFill(label.eq(19), 255).to('uint8'));
    const index = [];
    const parts = [];
    let offset = 0;
    for (const [name, tensor] of tensors) {
      const array = tensor.toArray();
      index.push({ name, dtype: tensor.dtype, shape: tensor.shape, offset, elements: array.length });
      const padding = (8 - (array.byteLength % 8)) % 8;
      parts.push(Buffer.from(array.buffer, array.byteOffset, array.byteLength), Buffer.alloc(padding));
      offset += array.byteLength + padding;
    }
    writeFileSync(join(folder, 'tensors.bin'), Buffer.concat(parts));
    writeFileSync(join(folder, 'tensors.json'), JSON.stringify(index));
  });
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ segmentor, threads }));
}

/** A worker process and its line-by-line conversation. */
class Worker {
  /** What the process said of itself on starting. */
  info;
  #process;
  #lines;

  static async start(side, folder) {
    const worker = new Worker();
    const [command, script] =
      side === 'pgpc'
        ? [process.execPath, join(here, 'own/evaluate.mjs')]
        : [flags.python, join(here, 'peer/evaluate.py')];
    worker.#process = spawn(command, [script, folder], {
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

  /** Evaluates the image. @returns {Promise<{ms: number, networkMs: number, cpuMs: number, confusion: number[][]}>} */
  async evaluate() {
    this.#process.stdin.write('\n');
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

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

const root = mkdtempSync(join(tmpdir(), 'pgpc-bench-'));
process.on('exit', () => rmSync(root, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));
writeTensors(root);

const loadBefore = loadavg()[0];
const sides = [];
for (const side of ['pgpc', 'pytorch']) {
  sides.push({ side, worker: await Worker.start(side, root), rounds: [] });
}

// The first image warms up, and shows whether both predict the same.
const [own, peer] = [await sides[0].worker.evaluate(), await sides[1].worker.evaluate()];
const pixels = own.confusion.flat().reduce((sum, n) => sum + n);
const moved = own.confusion.flat().reduce((sum, n, i) => sum + Math.abs(n - peer.confusion.flat()[i]), 0) / 2;
if (!(moved <= TOLERANCE * pixels)) {
  throw new Error(`the confusion matrices differ in ${moved} of ${pixels} pixels: not the same computation`);
}
for (let round = 0; round < rounds; round++) {
  // Every second round goes backwards, so that neither side always follows the other.
  for (const run of round % 2 === 0 ? sides : sides.toReversed()) {
    const { ms, networkMs, cpuMs } = await run.worker.evaluate();
    run.rounds.push({ ms, networkMs, restMs: ms - networkMs, cpuMs });
  }
}
const [pgpc, pytorch] = sides.map(({ worker, rounds: times }) => {
  const { peakMiB, libraries } = worker.inspect();
  worker.stop();
  return { rounds: times, peakMiB, software: { ...worker.info, libraries } };
});

const measures = {
  networkMs: 'network, ms',
  restMs: 'normalise, resize, arg-max, count, ms',
  ms: 'all, ms',
  cpuMs: 'all, ms of CPU time',
};
const rows = Object.entries(measures).map(([key, measure]) => {
  const [ours, theirs] = [pgpc, pytorch].map((side) => side.rounds.map((times) => times[key]));
  const ratio = median(ours.map((value, i) => value / theirs[i]));
  return { measure, pgpc: median(ours), pytorch: median(theirs), ratio };
});
const peak = { pgpc: pgpc.peakMiB, pytorch: pytorch.peakMiB };
rows.push({ measure: 'peak, MiB', ...peak, ratio: peak.pgpc / peak.pytorch });

const line = (cells) => `| ${cells.join(' | ')} |`;
console.log(
  `MiT-B0, DAFormer head of ${channels} channels, one image of ${width} x ${height}, ${threads} threads, ` +
    `medians of ${rounds}; ${moved} of ${pixels} pixels differ:\n`,
);
console.log(line(['', 'pgpc', 'PyTorch', 'pgpc / PyTorch']));
console.log(line(['---', '---', '---', '---']));
for (const { measure, ratio, ...row } of rows) {
  console.log(line([measure, row.pgpc.toFixed(0), row.pytorch.toFixed(0), ratio.toFixed(3)]));
}
if (pgpc.software.libraries.join() !== pytorch.software.libraries.join()) {
  console.log('\nThe two do not run on the same libraries: the ratios compare those too.');
}
console.log(`\nCPU: ${cpus()[0].model} (${cpus().length} cores), load before ${loadBefore.toFixed(2)}`);

mkdirSync(join(here, 'results'), { recursive: true });
const results = {
  settings: { height, width, channels, threads, rounds, ompWaitPolicy: 'passive' },
  machine: { cpu: cpus()[0].model, cores: cpus().length, loadBefore },
  node: process.version,
  differingPixels: { moved, pixels },
  medians: rows,
  pgpc,
  pytorch,
};
writeFileSync(join(here, 'results/evaluate.json'), `${JSON.stringify(results, null, 2)}\n`);
