// An exported network in ONNX Runtime against this library's own forward pass: one image, as many threads, in turns.

import { fromTypedArray, Generator, inferenceMode, randn, setNumThreads, tidy } from '@pgpc/torch';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Segmentor, segmentorConfig } from 'pgpc';
import { toOnnx } from '../packages/pgpc/dist/export/onnx.js';
import { describeMachine, finish, markdown, median, ratioOf, readFlags, takeTurns } from './lib.mjs';

const flags = readFlags({ height: 512, width: 1024, threads: 1, rounds: 5 });
const { height, width, threads, rounds } = flags;
const shape = [1, 3, height, width];
/** As `pgpc export onnx` allows. */
const TOLERANCE = 1e-3;

const machine = describeMachine();
setNumThreads(threads);
const segmentor = new Segmentor(segmentorConfig('mit_b0', 'daformer'), 0).eval();
const image = randn(shape, { generator: new Generator(1) });
const session = await InferenceSession.create(toOnnx(segmentor).bytes, { intraOpNumThreads: threads });
const feeds = { pixel_values: new Tensor('float32', /** @type {Float32Array} */ (image.toArray()), shape) };

const sides = [
  { name: 'ONNX Runtime', times: [], run: async () => (await session.run(feeds)).logits.data },
  {
    name: 'pgpc',
    times: [],
    run: async () => inferenceMode(() => tidy(() => segmentor.call(image).logits.toArray())),
  },
];
const outputs = new Map();
await takeTurns(sides, { rounds }, async ({ name, times, run }, round) => {
  const began = performance.now();
  outputs.set(name, await run());
  if (round >= 0) times.push(performance.now() - began);
});
const error = tidy(() => {
  const [a, b] = [...outputs.values()].map((values) => fromTypedArray(values, [values.length]));
  return a.sub(b).abs().max().item();
});
if (!(error <= TOLERANCE)) throw new Error(`the logits differ by ${error}, allowed is ${TOLERANCE}`);

const [theirs, ours] = sides.map(({ times }) => times);
const row = {
  network: 'daformer_mitb0',
  onnxMs: median(theirs),
  pgpcMs: median(ours),
  ratio: ratioOf(theirs, ours),
  error,
};
console.log(
  markdown(
    ['network', 'ONNX Runtime, ms', 'pgpc, ms', 'ONNX Runtime / pgpc', 'max error'],
    [
      [
        row.network,
        row.onnxMs.toFixed(0),
        row.pgpcMs.toFixed(0),
        row.ratio.toFixed(2),
        error.toExponential(0),
      ],
    ],
  ),
);
console.log(
  `\n${shape.join(' x ')}, ${threads} threads, medians of ${rounds} forward passes taken in turns\n`,
);
finish(flags.results, 'export', machine, {
  settings: { shape, rounds, threads },
  ...row,
  times: { onnx: theirs, pgpc: ours },
});
