// Every network against PyTorch: the same numbers first, then parameters, multiply-adds and times side by side.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { networkNames } from '../packages/pgpc/dist/models/networks.js';
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
  temporaryFolder,
  Worker,
} from './lib.mjs';

/** Every encoder of the papers, and every decoder on the smallest and the largest one that it fits. */
const inTable = networkNames.filter((name) => !/^daformer$|_mitb[1-4]$|^dinov[23]_/.test(name));
/** Of the goldens; float32 kernels in another order of operations stay well below. */
const TOLERANCE = { logits: 1e-6, stages: 2e-5 };

const flags = readFlags({ height: 128, width: 128, threads: 1, rounds: 10, networks: inTable.join() });
const { height, width, threads, rounds } = flags;
const python = findPython(flags.python, ['torch', 'numpy']);
const shape = [1, 3, height, width];

/** The largest difference between the two sides' outputs, over all values. */
function compare(ours, theirs, files) {
  if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
    throw new Error(`the outputs' shapes differ: ${JSON.stringify(ours)} and ${JSON.stringify(theirs)}`);
  }
  const [a, b] = files.map((file) => new Float32Array(new Uint8Array(readFileSync(file)).buffer));
  if (a.length !== b.length) throw new Error(`the outputs have ${a.length} and ${b.length} values`);
  let offset = 0;
  const error = { stages: 0, logits: 0 };
  for (const [name, dimensions] of Object.entries(ours)) {
    const kind = name === 'logits' ? 'logits' : 'stages';
    const end = offset + dimensions.reduce((product, size) => product * size, 1);
    for (; offset < end; offset++) {
      // Written so that NaN fails too.
      const difference = Math.abs(a[offset] - b[offset]);
      if (!(difference <= error[kind])) error[kind] = difference;
    }
  }
  return { stages: error.stages, ...('logits' in ours && { logits: error.logits }) };
}

async function measure(sides, name, folder) {
  const files = sides.map((_, i) => join(folder, `outputs-${i}.bin`));
  const made = [];
  for (const [i, worker] of sides.entries()) {
    made.push(await worker.ask({ do: 'create', name, shape, file: files[i] }));
  }
  const [{ shapes, golden, parameters }, { shapes: expected, multiplyAdds }] = made;
  const error = compare(shapes, expected, files);
  const times = new Map(sides.map((worker) => [worker, []]));
  await takeTurns(sides, { rounds }, async (worker, round) => {
    const { ms } = await worker.ask({ do: 'run' });
    if (round >= 0) times.get(worker).push(ms);
  });
  const [ours, theirs] = times.values();
  return {
    name,
    stride: height / (shapes.logits ?? shapes.stage4)[2],
    parameters,
    multiplyAdds,
    error,
    golden,
    pgpcMs: median(ours),
    pytorchMs: median(theirs),
    ratio: ratioOf(ours, theirs),
    times: { pgpc: ours, pytorch: theirs },
  };
}

const machine = describeMachine();
const folder = temporaryFolder();
const sides = [];
for (const command of [own('networks.mjs'), peer(python, 'networks.py')]) {
  sides.push(await Worker.start(command, { threads }));
}
const networks = [];
for (const name of flags.networks.split(',')) {
  const row = await measure(sides, name, folder);
  for (const [kind, allowed] of Object.entries(TOLERANCE)) {
    if (!((row.error[kind] ?? 0) <= allowed)) {
      throw new Error(`${name}: ${kind} differ by ${row.error[kind]}, allowed is ${allowed}`);
    }
  }
  console.error(name);
  networks.push(row);
}
const [pgpc, pytorch] = sides.map((worker) => worker.inspect().software);
const software = { pgpc, pytorch };
for (const worker of sides) worker.stop();

const power = (value) => (value === undefined ? '' : value.toExponential(0));
const head = ['network', 'stride', 'parameters', 'GMACs', 'max error, stages', 'max error, logits'];
head.push('against the goldens', 'pgpc, ms', 'PyTorch, ms', 'pgpc / PyTorch');
console.log(
  markdown(
    head,
    networks.map((row) => [
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
    ]),
  ),
);
console.log(
  `\n1 x 3 x ${height} x ${width}, ${threads} threads, medians of ${rounds} forward passes taken in turns\n`,
);
finish(flags.results, 'networks', machine, {
  settings: { shape, rounds, threads },
  software,
  networks,
});
