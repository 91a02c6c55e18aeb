// The training step on an NVIDIA GPU against PyTorch's, eager and compiled, in turns, within so many seconds.
//
//   node bench/gpu.mjs --backbone mit_b5 --size 512 --batch 2 --channels 256 --rounds 5 --budget 400
//
// A side that fails is named, and the others continue.

import { spawnSync } from 'node:child_process';
import {
  attempt,
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
} from './lib.mjs';
import { checkFlags, equalityTable, methodsOf, Training, unequal } from './training.mjs';

const ITERATIONS = 40_000;
/** Past the three steps before which nothing is captured, and cuDNN's choice of kernels. */
const WARM_UP_STEPS = 8;
/** Seconds for a question, or for a worker to get ready. */
const LIMIT = 90;
/** Once the budget is spent, so that sides that hang do not add up. */
const LEAST_LIMIT = 10;
/** What is left of the budget when no further round is begun: for the questions after the rounds. */
const RESERVE = 35;
/** Steps over which the time in JavaScript is averaged. */
const JAVASCRIPT_STEPS = 10;
/** On the CPU, where this only shows that it runs, what the rates are measured on is small. */
const RATES = { cuda: { side: 8192, copyMiB: 2048 }, cpu: { side: 256, copyMiB: 16 } };

const flags = readFlags({
  backbone: 'mit_b5',
  methods: 'pgpc,daformer,source-only',
  /** More methods, which the peer does not have; with commas between. */
  'without-peer': '',
  size: 512,
  channels: 256,
  batch: 2,
  threads: 4,
  rounds: 5,
  'steps-per-round': 10,
  budget: 400,
  device: 'cuda',
  precision: 'bfloat16',
  compile: 'default',
  'compile-limit': 190,
  /** The comparison of losses may be left out where it has just been made. */
  unchecked: false,
});
const { backbone, size, channels, batch, threads, rounds, device, precision } = flags;
const { budget, 'steps-per-round': stepsPerRound, 'compile-limit': compileLimit } = flags;
const compileModes = ['default', 'reduce-overhead', 'blocks', 'none'];
if (!compileModes.includes(flags.compile)) {
  throw new RangeError(`--compile is one of ${compileModes.join(', ')}, not ${flags.compile}`);
}
const methods = checkFlags(flags);
const alone = flags['without-peer'] ? methodsOf('--without-peer', flags['without-peer']) : [];
const twice = alone.find((name) => methods.includes(name));
if (twice !== undefined) throw new RangeError(`--without-peer ${twice}: it is one of --methods already`);
const onGpu = device === 'cuda';
const python = findPython(flags.python);

const began = performance.now();
const elapsed = () => (performance.now() - began) / 1000;
const left = () => budget - elapsed();
const say = (text) => console.error(`${elapsed().toFixed(0).padStart(4)} s  ${text}`);

/** What the driver says of the GPU; without it, nothing. */
function describeGpu() {
  const asked = ['name', 'driver_version', 'memory.total', 'power.limit', 'clocks.max.sm'];
  const run = spawnSync('nvidia-smi', [`--query-gpu=${asked.join()}`, '--format=csv,noheader'], {
    encoding: 'utf8',
  });
  if (run.status !== 0) return undefined;
  const values = run.stdout.split('\n')[0].split(', ');
  return Object.fromEntries(asked.map((name, i) => [name, values[i]]));
}

const gpu = onGpu ? describeGpu() : undefined;
const settings = { backbone, size, channels, batch, threads, device, precision };
const failures = [];
const results = {
  settings: {
    ...settings,
    rounds,
    stepsPerRound,
    budget,
    compile: flags.compile,
    warmUpSteps: WARM_UP_STEPS,
  },
  machine: { ...describeMachine(), device: gpu?.name ?? (onGpu ? 'GPU' : 'CPU'), gpu },
  failures,
};
/** After every part: the next one may not come to an end. */
function save() {
  results.seconds = elapsed();
  saveResults(flags.results, onGpu ? 'gpu' : 'gpu-on-cpu', results);
}

const graphs = (value) => (onGpu ? { graphs: value } : {});
/**
 * @typedef {object} Side what is timed, and what is found of it
 * @property {string} of
 * @property {string} name
 * @property {string} method
 * @property {object} [config]
 * @property {number[]} ms by round
 * @property {any} [worker]
 * @property {any} [software]
 * @property {any} [memory]
 * @property {any} [kernels]
 * @property {number | undefined} [flops]
 * @property {number | undefined} [javascriptMs]
 */

/** In the order in which they are taken up, the most wanted first. @type {Side[]} */
const sides = [
  ...methods.map((method) => ({ of: 'pgpc', name: 'CUDA graphs', method, config: graphs(true) })),
  ...methods.map((method) => ({ of: 'PyTorch', name: 'eager', method })),
  ...alone.map((method) => ({ of: 'pgpc', name: 'CUDA graphs', method, config: graphs(true) })),
  { of: 'pgpc', name: 'no graphs', method: methods[0], config: graphs(false) },
  { of: 'PyTorch', name: 'eager, channels last', method: methods[0], config: { channelsLast: true } },
].map((side) => ({ ...side, ms: [] }));
/** @returns {Side} */
const compiledSide = (mode) => {
  return { of: 'PyTorch', name: `compile, ${mode}`, method: methods[0], config: { compile: mode }, ms: [] };
};
const label = ({ of, name, method }) => `${of}, ${name}, ${method}`;
const find = (of, name, method) =>
  sides.find((side) => side.of === of && side.name.startsWith(name) && side.method === method);

const training = new Training({ ...settings, python });

/** Starts a side. It has a worker then, or is on the list of failures, as after every question. */
async function begin(side, limit = LIMIT) {
  const command = side.of === 'pgpc' ? own('gpu.mjs') : peer(python, 'gpu.py');
  const folder = label(side).replaceAll(/\W+/g, '-');
  const config = { ...training.recipe(side.method), ...side.config };
  const start = () => training.start(command, folder, config, { limit });
  side.worker = await attempt(failures, label(side), start);
}

/** @returns whether the side is fit to be timed. */
async function warmUp(side, limit = LIMIT) {
  const answer = await ask(side, { do: 'warm_up', steps: WARM_UP_STEPS }, limit);
  if (!answer) return false;
  side.software = side.worker.inspect().software;
  say(`${label(side)}: warm`);
  return true;
}

/** Both within the seconds given. */
async function beginCompiled(side, seconds) {
  const end = elapsed() + seconds;
  await begin(side, seconds);
  return warmUp(side, Math.max(5, end - elapsed()));
}

/** A side's answer; one that fails is done with. */
async function ask(side, question, limit = LIMIT) {
  const { worker } = side;
  if (!worker) return undefined;
  const answer = await attempt(failures, label(side), () =>
    worker.ask(question, Math.min(limit, Math.max(LEAST_LIMIT, left()))),
  );
  if (answer === undefined) {
    worker.stop();
    side.worker = undefined;
  }
  return answer;
}

/** Both sides' losses on a small image, as float32 and as bfloat16 has them. */
async function check() {
  const small = new Training({ ...settings, size: Math.min(size, 128), python });
  /** @type {Record<string, { graphs?: boolean }>} */
  const ours = onGpu ? { 'no graphs': { graphs: false }, graphs: { graphs: true } } : { pgpc: {} };
  results.equality = {};
  for (const kind of ['float32', ...(precision === 'bfloat16' ? ['bfloat16'] : [])]) {
    const compared = await small.compareLosses(kind, { otherDraws: onGpu, ours });
    failures.push(...compared.failures);
    results.equality[kind] = compared.rows;
    console.log(
      `Losses in ${kind} on equal weights and data, ${backbone}, ${batch} x ${small.settings.size}²`,
    );
    if (onGpu)
      console.log('(the contrast with equal anchors, but negatives that each side draws for itself)');
    console.log(`\n${equalityTable(compared.rows)}\n`);
    const names = unequal(compared.rows);
    if (names.length > 0) {
      failures.push({ side: `check in ${kind}`, error: `more than allowed: ${names.join(', ')}` });
    }
    save();
  }
}

// What torch.compile does on the processor runs beside the check and the other sides' warm-up.
const compiling = compiledSide(flags.compile);
const compiled =
  flags.compile !== 'none' && beginCompiled(compiling, Math.min(compileLimit, Math.max(10, left() / 2)));
if (!flags.unchecked) await attempt(failures, 'check', check);
say('checked');
await Promise.all(sides.map((side) => begin(side)));
// One after the other, so that the least wanted is the one for which memory may not suffice.
for (const side of sides) await warmUp(side);
if (await compiled) {
  sides.push(compiling);
} else if (['default', 'reduce-overhead'].includes(flags.compile) && left() > 90) {
  const blocks = compiledSide('blocks');
  if (await beginCompiled(blocks, 60)) sides.push(blocks);
}
say('all are ready');

const enough = () => left() < RESERVE;
await takeTurns(sides, { rounds, warmUp: 1, enough }, async (side, round) => {
  const answer = await ask(side, { do: 'steps', steps: round < 0 ? 2 : stepsPerRound });
  if (answer && round >= 0) side.ms[round] = answer.ms;
});
const taken = Math.max(...sides.map(({ ms }) => ms.length));
say(`${taken} rounds`);
for (const side of sides) side.memory = await ask(side, { do: 'memory' });

/** Median of the rounds' ratios, of those rounds that both sides have. */
function ratio(side, other) {
  const both = side.ms.flatMap((_, round) => (other?.ms[round] ? [round] : []));
  if (both.length === 0) return undefined;
  return ratioOf(
    both.map((round) => side.ms[round]),
    both.map((round) => other.ms[round]),
  );
}

const compiledOf = (method) => find('PyTorch', 'compile', method);
const eagerOf = (method) => find('PyTorch', 'eager', method);

function summarise() {
  const [ours, theirs] = ['pgpc', 'PyTorch'].map((of) =>
    sides.find((side) => side.of === of && side.software),
  );
  results.software = {
    node: process.version,
    ...(ours && { pgpc: ours.software }),
    ...(theirs && { pytorch: theirs.software }),
  };
  results.sides = sides
    .filter(({ ms }) => ms.length > 0)
    .map((side) => {
      const { of, name, method, memory, ms } = side;
      const typical = median(ms.filter(Number.isFinite));
      const flops = eagerOf(method)?.flops;
      const tflops = flops && flops / typical / 1e9;
      return {
        ...{ of, name, method, ms: typical, times: ms },
        toEager: ratio(side, eagerOf(method)),
        toCompiled: ratio(side, compiledOf(method)),
        iterationsPerSecond: 1000 / typical,
        hours: (ITERATIONS * typical) / 3_600_000,
        ...memory,
        flops,
        tflops,
        share: tflops && results.rates && tflops / results.rates.tflops,
        kernels: side.kernels,
        javascriptMs: side.javascriptMs,
      };
    });
  const extra = (of, name, method, over) => {
    const [more, less] = [method, over].map((one) => find(of, name, one));
    if (!more?.ms.length || !less?.ms.length) return [];
    const ms = median(more.ms.filter(Number.isFinite)) - median(less.ms.filter(Number.isFinite));
    return [{ of, name, method, over, ms, ratio: ratio(more, less) }];
  };
  results.costs = [
    ['pgpc', 'CUDA graphs'],
    ['PyTorch', 'eager'],
  ].flatMap(([of, name]) =>
    ['pgpc', 'pgpc-plus'].flatMap((method) =>
      ['daformer', 'self-training'].flatMap((over) => extra(of, name, method, over)),
    ),
  );
}

summarise();
save();
// What is asked from here on may fail without taking a time with it.
const timed = sides.filter(({ ms }) => ms.length > 0);
const eager = timed.filter(({ of, name }) => of === 'PyTorch' && name === 'eager');
if (eager[0]) results.rates = await ask(eager[0], { do: 'rates', ...RATES[device] }, 30);
for (const side of eager) side.flops = (await ask(side, { do: 'flops' }, 30))?.flops;
for (const side of timed.filter(({ method }) => method === methods[0])) {
  if (left() < 5) break;
  if (side.of === 'PyTorch') side.kernels = await ask(side, { do: 'kernels' }, 30);
  else side.javascriptMs = (await ask(side, { do: 'javascript', steps: JAVASCRIPT_STEPS }))?.javascriptMs;
}
summarise();
save();

const digits = (value, count) => value?.toFixed(count) ?? '';
console.log(
  `${backbone}, DAFormer head of ${channels} channels, ${batch} + ${batch} images of ${size} x ${size}, ${precision}; ` +
    `medians of ${taken} rounds of ${stepsPerRound} steps\n`,
);
console.log(
  markdown(
    [
      ...['side, method', 'ms', '/ eager', '/ compiled', 'iterations/s', `hours for ${ITERATIONS}`],
      ...['peak MiB allocated', 'reserved', 'TFLOP/s', 'of the rate'],
    ],
    results.sides.map((side) => [
      label(side),
      ...[digits(side.ms, 2), digits(side.toEager, 3), digits(side.toCompiled, 3)],
      ...[digits(side.iterationsPerSecond, 2), digits(side.hours, 2)],
      ...[digits(side.allocatedMiB, 0), digits(side.reservedMiB, 0)],
      ...[
        digits(side.tflops, 1),
        digits(side.share && 100 * side.share, 1).replace(/$/, side.share ? ' %' : ''),
      ],
    ]),
  ),
  '\n',
);
console.log(
  markdown(
    ['a step of', 'ms', 'in JavaScript, ms', 'of the step', 'kernels by profiler, ms'],
    results.sides
      .filter(({ method }) => method === methods[0])
      .map((side) => [
        label(side),
        digits(side.ms, 2),
        digits(side.javascriptMs, 2),
        side.javascriptMs === undefined ? '' : `${((100 * side.javascriptMs) / side.ms).toFixed(1)} %`,
        digits(side.kernels?.ms, 2),
      ]),
  ),
  '\n',
);
for (const { of, name, method, over, ms, ratio: times } of results.costs) {
  console.log(`${of}, ${name}: ${method} over ${over} ${digits(ms, 2)} ms, ${digits(times, 3)} times`);
}
const flops = eagerOf(methods[0])?.flops;
if (flops)
  console.log(`a step of ${methods[0]}: ${(flops / 1e12).toFixed(3)} TFLOP in products and convolutions`);
const { rates, machine, software } = results;
if (rates) {
  console.log(
    `the device at best: ${digits(rates.tflops, 1)} TFLOP/s in bfloat16, copies ${digits(rates.gigabytes, 0)} GB/s`,
  );
}
const { node, ...libraries } = software;
console.log([`Node ${node}`, ...softwareLines(libraries)].join('\n'));
console.log(`${machineLine(machine)}${machine.gpu ? `; ${Object.values(machine.gpu).join(', ')}` : ''}`);
for (const { side, error } of failures) console.log(`failed: ${side}: ${error}`);
say('done');
for (const { worker } of [...sides, compiling]) worker?.stop();
// A side that hangs does not keep this process.
process.exit(results.sides.length > 0 ? 0 : 1);
