// Our 3x3 convolution by Winograd's algorithm against libtorch's, in turns, forward and backward: where it pays.
// Usage: node bench/winograd.mjs [--threads 1] [--rounds 5]

import { grad, noGrad, ops, randn, setNumThreads, tidy } from '@pgpc/torch';
import {
  describeMachine,
  finish,
  markdown,
  median,
  ratioOf,
  readFlags,
  stopwatch,
  takeTurns,
} from './lib.mjs';

const flags = readFlags({ threads: 1, rounds: 5 });
const { threads, rounds } = flags;
setNumThreads(threads);

/** Images, channels in and out, sides: DAFormer's fusion first, the last stay with libtorch. */
const shapes = [
  [2, 1024, 256, 64],
  [18, 1024, 256, 32],
  [2, 512, 512, 32],
  [4, 512, 128, 32],
  [2, 256, 256, 32],
  [2, 256, 64, 64],
  [2, 192, 192, 32],
  [2, 128, 128, 64],
  [2, 96, 96, 64],
  [4, 64, 64, 32],
  [2, 256, 256, 16],
  [2, 512, 512, 8],
];
/** @type {Record<string, (x: import('@pgpc/torch').Tensor, weight: import('@pgpc/torch').Tensor) => any>} */
const sides = {
  pgpc: (x, weight) => ops.call('pgpc::winograd_conv2d', x, weight),
  libtorch: (x, weight) => ops.conv2d(x, weight, null, [1, 1], [1, 1], [1, 1], 1),
};
const passes = {
  forward: (convolve, x, weight) => tidy(() => noGrad(() => void convolve(x, weight))),
  'forward and backward': (convolve, x, weight) =>
    tidy(() => void grad(convolve(x, weight).sum(), [x, weight])),
};

const machine = describeMachine();
const rows = [];
for (const shape of shapes) {
  const [images, inputs, outputs, side] = shape;
  const x = randn([images, inputs, side, side]).requiresGrad_();
  const weight = randn([outputs, inputs, 3, 3]).requiresGrad_();
  const difference = tidy(() =>
    noGrad(() => sides.pgpc(x, weight).sub(sides.libtorch(x, weight)).abs().max().item()),
  );
  /** @type {Record<string, any>} */
  const row = { shape, difference };
  for (const [pass, run] of Object.entries(passes)) {
    const times = { pgpc: [], libtorch: [] };
    await takeTurns(Object.keys(sides), { rounds }, async (name, round) => {
      const since = stopwatch();
      run(sides[name], x, weight);
      // A busy machine changes the processor's time less.
      const { cpuMs } = since();
      if (round >= 0) times[name].push(cpuMs);
    });
    const { pgpc, libtorch } = times;
    row[pass] = { pgpc: median(pgpc), libtorch: median(libtorch), ratio: ratioOf(pgpc, libtorch) };
  }
  rows.push(row);
  x.dispose();
  weight.dispose();
}

const cells = ({ pgpc, libtorch, ratio }) => [pgpc.toFixed(1), libtorch.toFixed(1), ratio.toFixed(2)];
console.log(`Processor time in ms, ${threads} threads, medians of ${rounds}:\n`);
console.log(
  markdown(
    [
      'images',
      'channels',
      'side',
      'forward, pgpc',
      'libtorch',
      'ratio',
      'and backward, pgpc',
      'libtorch',
      'ratio',
    ],
    rows.map((row) => [
      ...[row.shape[0], `${row.shape[1]} to ${row.shape[2]}`, row.shape[3]],
      ...cells(row.forward),
      ...cells(row['forward and backward']),
    ]),
  ),
);
finish(flags.results, 'winograd', machine, { settings: { threads, rounds }, rows });
