// What one operator call costs through the bridge, next to the same call in PyTorch, in short rounds in turn.
//
//   node bench/bridge.mjs [--rounds 100] [--calls 200] [--python python3]

import { buildInfo, full, noGrad, ones, ops, rand, setNumThreads, tidy } from '@pgpc/torch';
import {
  describeMachine,
  findPython,
  finish,
  librariesOf,
  median,
  peer,
  ratioOf,
  readFlags,
  Worker,
} from './lib.mjs';

// A round is shorter than a time slice of the scheduler, so that the median is of undisturbed ones.
const flags = readFlags({ rounds: 100, calls: 200 });
const { rounds, calls } = flags;
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

const machine = describeMachine();
const python = await Worker.start(peer(findPython(flags.python), 'bridge.py'), { threads: 1 });
const results = [];
for (const name of Object.keys(cases)) {
  const sides = {
    tidy: (n) => measure(loops[name].tidy, n),
    dispose: (n) => measure(loops[name].dispose, n),
    python: (n) => python.ask({ case: name, calls: n }),
  };
  const times = { tidy: [], dispose: [], python: [] };
  for (const run of Object.values(sides)) await run(WARM_UP_CALLS);
  for (let round = 0; round < rounds; round++) {
    for (const [who, run] of Object.entries(sides)) times[who].push(await run(calls));
  }
  const ns = (who) => Math.round(median(times[who]));
  /** Round by round, since the machine's speed changes over time for both alike. */
  const ratio = (who) => Number(ratioOf(times[who], times.python).toFixed(2));
  results.push({
    operator: name,
    tidyNs: ns('tidy'),
    disposeNs: ns('dispose'),
    pythonNs: ns('python'),
    tidyRatio: ratio('tidy'),
    disposeRatio: ratio('dispose'),
  });
}
const software = {
  pgpc: { libtorch: buildInfo().libtorch, threads: 1, libraries: librariesOf(process.pid) },
  pytorch: python.inspect().software,
};
python.stop();

const row = (cells) => cells.map((cell, i) => (i ? String(cell).padStart(17) : cell.padEnd(20))).join('');
console.log(`ns a call, median of ${rounds} rounds of ${calls} calls, on one thread\n`);
console.log(row(['operator', 'tidy', 'dispose', 'Python', 'tidy / Python', 'dispose / Python']));
for (const r of results) {
  console.log(
    row([r.operator, r.tidyNs, r.disposeNs, r.pythonNs, r.tidyRatio.toFixed(2), r.disposeRatio.toFixed(2)]),
  );
}

finish(flags.results, 'bridge', machine, {
  settings: { rounds, calls, threads: 1 },
  software,
  results,
});
