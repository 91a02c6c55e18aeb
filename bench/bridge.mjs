// What one operator call costs through the bridge, next to the same call in PyTorch, in short rounds in turn.
//
//   node bench/bridge.mjs [--rounds 100] [--calls 200] [--python python3]

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const path = (name) => fileURLToPath(new URL(name, import.meta.url));
if (!existsSync(path('../packages/torch/dist/index.js'))) {
  throw new Error('the packages are not built: run `npm run setup` in the project folder');
}
const { buildInfo, full, noGrad, ones, ops, rand, setNumThreads, tidy } = await import('@pgpc/torch');

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    // A round is shorter than a time slice of the scheduler, so that the median is of undisturbed ones.
    calls: { type: 'string', default: '200' },
    python: { type: 'string' },
  },
});
const count = (name) => {
  const value = Number(flags[name]);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new RangeError(`--${name} is a whole number from 1, not ${flags[name]}`);
  }
  return value;
};
const [rounds, calls] = ['rounds', 'calls'].map(count);
/** Calls in one scope, about as many as a layer makes. */
const SCOPE = 20;
/** Enough for V8 to have compiled the path of a call. */
const WARM_UP_CALLS = 20_000;

setNumThreads(1);
const a = ones([4]);
const b = full([4], 2);
const m = rand([4, 4]);
const ten = Array.from({ length: 10 }, () => ones([4]));

/** One call, and how its result is disposed of by hand; nothing where it makes no tensor. */
const dispose = (tensor) => tensor.dispose();
const cases = {
  add: [() => a.add(b), dispose],
  'mul scalar': [() => a.mul(2.5), dispose],
  view: [() => m.view([2, 8]), dispose],
  'matmul 4x4': [() => m.matmul(m), dispose],
  sum: [() => m.sum(), dispose],
  'cat of 2': [() => ops.cat([a, b]), dispose],
  'foreach add of 10': [() => ops._foreachAdd(ten, 1), (tensors) => tensors.forEach(dispose)],
  add_: [() => a.add_(0), () => {}],
};

/** A function of its own for each case, so that none is compiled for the mixture of all. */
const compile = (body) => new Function('call', 'dispose', 'tidy', 'SCOPE', body);
const inScopes =
  'return (n) => { for (let i = 0; i < n; i += SCOPE) tidy(() => { for (let j = 0; j < SCOPE; j++) call(); }); };';
const byHand = 'return (n) => { for (let i = 0; i < n; i++) dispose(call()); };';
const loops = Object.fromEntries(
  Object.entries(cases).map(([name, [call, disposeOf]]) => [
    name,
    {
      tidy: compile(inScopes)(call, disposeOf, tidy, SCOPE),
      dispose: compile(byHand)(call, disposeOf, tidy, SCOPE),
    },
  ]),
);

function measure(loop, n) {
  const start = process.hrtime.bigint();
  noGrad(() => loop(n));
  return Number(process.hrtime.bigint() - start) / n;
}

/** PyTorch in a process that lives as long as this one, so that both run under the same conditions. */
async function startPython() {
  const candidates = [flags.python ?? process.env.PYTHON, 'python3', '/usr/bin/python3'].filter(Boolean);
  const python = candidates.find(
    (name) => spawnSync(name, ['-c', 'import torch'], { stdio: 'ignore' }).status === 0,
  );
  if (!python) {
    throw new Error(
      `none of ${candidates.join(', ')} has PyTorch: install it (Debian: apt-get install python3-torch; ` +
        'elsewhere: pip install torch) or name one that has, with --python or PYTHON',
    );
  }
  const child = spawn(python, [path('peer/bridge.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ended: see its message above`);
    return JSON.parse(value);
  };
  const { torch } = await read();
  return {
    torch,
    measure(name, n) {
      child.stdin.write(`${JSON.stringify({ case: name, calls: n })}\n`);
      return read();
    },
    end: () => child.stdin.end(),
  };
}

const median = (values) => {
  const sorted = [...values].sort((x, y) => x - y);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

const python = await startPython();
const results = [];
for (const name of Object.keys(cases)) {
  const sides = {
    tidy: (n) => measure(loops[name].tidy, n),
    dispose: (n) => measure(loops[name].dispose, n),
    python: (n) => python.measure(name, n),
  };
  const times = { tidy: [], dispose: [], python: [] };
  for (const run of Object.values(sides)) await run(WARM_UP_CALLS);
  for (let round = 0; round < rounds; round++) {
    for (const [who, run] of Object.entries(sides)) times[who].push(await run(calls));
  }
  const ns = (who) => Math.round(median(times[who]));
  /** Round by round, since the machine's speed changes over time for both alike. */
  const ratio = (who) => Number(median(times[who].map((time, i) => time / times.python[i])).toFixed(2));
  results.push({
    operator: name,
    tidyNs: ns('tidy'),
    disposeNs: ns('dispose'),
    pythonNs: ns('python'),
    tidyRatio: ratio('tidy'),
    disposeRatio: ratio('dispose'),
  });
}
python.end();

const row = (cells) => cells.map((cell, i) => (i ? String(cell).padStart(17) : cell.padEnd(20))).join('');
console.log(
  `ns a call, median of ${rounds} rounds of ${calls} calls, on one thread, PyTorch ${python.torch}\n`,
);
console.log(row(['operator', 'tidy', 'dispose', 'Python', 'tidy / Python', 'dispose / Python']));
for (const r of results) {
  console.log(
    row([r.operator, r.tidyNs, r.disposeNs, r.pythonNs, r.tidyRatio.toFixed(2), r.disposeRatio.toFixed(2)]),
  );
}

mkdirSync(path('results'), { recursive: true });
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, load: loadavg()[0] };
const versions = { node: process.version, libtorch: buildInfo().libtorch, pytorch: python.torch };
writeFileSync(
  path('results/bridge.json'),
  `${JSON.stringify({ ...versions, machine, rounds, calls, results }, null, 2)}\n`,
);
