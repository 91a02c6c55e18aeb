// Every network against PyTorch: the same numbers first, then parameters, multiply-adds and times side by side.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32 } from 'node:zlib';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = '../packages/pgpc/dist';
if (!existsSync(join(here, dist, 'models/networks.js'))) {
  throw new Error('the packages are not built: run `npm run setup` in the project folder');
}
const { buildInfo, fromTypedArray, inferenceMode, setNumThreads, tidy } = await import('@pgpc/torch');
const { createNetwork, networkNames } = await import(`${dist}/models/networks.js`);
const { withoutInitialValues } = await import(`${dist}/models/initial-values.js`);

/** Every encoder, and every decoder on the smallest and the largest one that it fits. */
const inTable = networkNames.filter((name) => !/^daformer$|_mitb[1-4]$/.test(name));
/** Of the goldens; float32 kernels in another order of operations stay well below. */
const TOLERANCE = { logits: 1e-6, stages: 2e-5 };

const { values: flags } = parseArgs({
  options: {
    height: { type: 'string', default: '128' },
    width: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '10' },
    python: { type: 'string', default: 'python3' },
    networks: { type: 'string', default: inTable.join() },
  },
});
const count = (name) => {
  const value = Number(flags[name]);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`--${name} is a whole number from 1, not ${flags[name]}`);
  }
  return value;
};
const [height, width, rounds] = ['height', 'width', 'rounds'].map(count);
const shape = [1, 3, height, width];
const sizeOf = (dimensions) => dimensions.reduce((product, size) => product * size, 1);

/** The rule by which both sides fill their weights: a sequence of period 65536, seeded by the entry's name. */
function filled(name, dimensions) {
  const size = sizeOf(dimensions);
  const phase = (crc32(Buffer.from(name)) % 10007) * 78.233;
  const isVector = dimensions.length === 1;
  const isScale = name.endsWith('running_var') || (isVector && name.endsWith('weight'));
  const isShift = name.endsWith('running_mean') || (isVector && name.endsWith('bias'));
  const isCount = name.endsWith('num_batches_tracked');
  const factor = isCount ? 0 : isScale ? 0.2 : isShift ? 0.1 : Math.sqrt(3 / sizeOf(dimensions.slice(1)));
  const values = new Float32Array(size);
  for (let i = 0; i < Math.min(size, 65536); i++) {
    const s = Math.sin(i * 12.9898 + phase) * 43758.5453;
    values[i] = (s - Math.floor(s) - 0.5) * factor + (isScale ? 1 : 0);
  }
  for (let i = 65536; i < size; i += 65536) values.copyWithin(i, 0, 65536);
  return values;
}

function createFilled(name) {
  return tidy(() => {
    const network = withoutInitialValues(() => createNetwork(name));
    const entries = [...network.stateDict()].map(([entry, { shape: dimensions }]) => {
      return [entry, fromTypedArray(filled(entry, dimensions), dimensions)];
    });
    network.loadStateDict(new Map(entries));
    return network;
  });
}

function exampleInput(dimensions) {
  const values = Float32Array.from(
    { length: sizeOf(dimensions) },
    (_, i) => 1.5 * Math.sin(0.01 * i) + 0.5 * Math.cos(0.0037 * i),
  );
  return fromTypedArray(values, dimensions);
}

/** The PyTorch process and its line-by-line conversation. */
class Peer {
  #process = spawn(flags.python, [join(here, 'peer/networks.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
  });
  #lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();

  constructor() {
    this.#process.on('error', (error) => {
      console.error(`${flags.python} does not start: ${error.message}`);
      process.exit(1);
    });
  }

  async ask(command) {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await this.#lines.next();
    if (done)
      throw new Error(`${flags.python} ended early; it needs PyTorch (--python names the interpreter)`);
    return JSON.parse(value);
  }

  stop() {
    this.#process.stdin.end();
  }
}

/** The largest difference between the two sides' outputs, over all values. */
function compare(outputs, shapes, file) {
  const theirs = new Float32Array(new Uint8Array(readFileSync(file)).buffer);
  let offset = 0;
  const error = { stages: 0, logits: 0 };
  for (const [name, dimensions] of Object.entries(shapes)) {
    if (String(outputs[name]?.shape) !== String(dimensions)) throw new Error(`${name} has another shape`);
    const kind = name === 'logits' ? 'logits' : 'stages';
    for (const value of outputs[name].toArray()) {
      // Written so that NaN fails too.
      const difference = Math.abs(value - theirs[offset++]);
      if (!(difference <= error[kind])) error[kind] = difference;
    }
  }
  return { stages: error.stages, ...('logits' in shapes && { logits: error.logits }) };
}

/** The largest difference from the reference implementation's own values, where the repository has them. */
function compareGolden(name, network) {
  const path = join(here, `../packages/pgpc/test/goldens/${name}.outputs.json`);
  if (!existsSync(path)) return undefined;
  const golden = JSON.parse(readFileSync(path, 'utf8'));
  return tidy(() => {
    const outputs = inferenceMode(() => network.call(exampleInput(golden.input_shape)));
    const errors = golden.outputs.map(({ name: output, indices, values }) => {
      const flat = outputs[output].toArray();
      return Math.max(...indices.map((index, k) => Math.abs(flat[index] - values[k])));
    });
    return Math.max(...errors);
  });
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

async function measure(peer, name, file) {
  const network = createFilled(name);
  const image = exampleInput(shape);
  const forward = () => tidy(() => inferenceMode(() => network.call(image)));
  const { shapes, multiplyAdds } = await peer.ask({ do: 'create', name, shape, file });
  const outputs = forward();
  const error = compare(outputs, shapes, file);
  for (const output of Object.values(outputs)) output.dispose();
  const golden = compareGolden(name, network);
  const stride = height / (shapes.logits ?? shapes.stage4)[2];

  const turns = {
    pgpc: () => {
      const start = performance.now();
      const results = forward();
      const ms = performance.now() - start;
      for (const result of Object.values(results)) result.dispose();
      return ms;
    },
    pytorch: async () => (await peer.ask({ do: 'run' })).ms,
  };
  const ms = { pgpc: [], pytorch: [] };
  for (let round = 0; round <= rounds; round++) {
    // Every second round goes backwards; the first one is not counted.
    for (const side of round % 2 === 0 ? ['pgpc', 'pytorch'] : ['pytorch', 'pgpc']) {
      const time = await turns[side]();
      if (round > 0) ms[side].push(time);
    }
  }
  const parameters = network.parameters().reduce((sum, { numel }) => sum + numel, 0);
  network.dispose();
  image.dispose();
  const [own, theirs] = [median(ms.pgpc), median(ms.pytorch)];
  return {
    name,
    stride,
    parameters,
    multiplyAdds,
    error,
    golden,
    pgpcMs: own,
    pytorchMs: theirs,
    ratio: own / theirs,
    times: ms,
  };
}

setNumThreads(1);
const loadBefore = loadavg()[0];
const folder = mkdtempSync(join(tmpdir(), 'pgpc-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));
const peer = new Peer();
const networks = [];
const line = (cells) => console.log(`| ${cells.join(' | ')} |`);
const power = (value) => (value === undefined ? '' : value.toExponential(0));
const head = ['network', 'stride', 'parameters', 'GMACs', 'max error, stages', 'max error, logits'];
head.push('against the goldens', 'pgpc, ms', 'PyTorch, ms', 'pgpc / PyTorch');
line(head);
line(head.map((_, i) => (i === 0 ? '---' : '---:')));
for (const name of flags.networks.split(',')) {
  const row = await measure(peer, name, join(folder, 'outputs.bin'));
  networks.push(row);
  line([
    row.name,
    row.stride,
    row.parameters.toLocaleString('en'),
    (row.multiplyAdds / 1e9).toFixed(2),
    power(row.error.stages),
    power(row.error.logits),
    power(row.golden),
    row.pgpcMs.toFixed(0),
    row.pytorchMs.toFixed(0),
    row.ratio.toFixed(2),
  ]);
  for (const [kind, allowed] of Object.entries(TOLERANCE)) {
    if (!((row.error[kind] ?? 0) <= allowed)) {
      throw new Error(`${name}: ${kind} differ by ${row.error[kind]}, allowed is ${allowed}`);
    }
  }
}
const { libtorch } = await peer.ask({ do: 'run' });
peer.stop();
const machine = { cpu: cpus()[0].model, cores: cpus().length, loadBefore };
console.log(
  `\n1 x 3 x ${height} x ${width}, 1 thread, medians of ${rounds} forward passes taken in turns; ` +
    `${machine.cpu}, load before ${loadBefore.toFixed(2)}`,
);
mkdirSync(join(here, 'results'), { recursive: true });
const results = {
  settings: { shape, rounds, threads: 1 },
  machine,
  software: { node: process.version, libtorch: buildInfo().version, pytorch: libtorch },
  networks,
};
writeFileSync(join(here, 'results/networks.json'), `${JSON.stringify(results, null, 2)}\n`);
