// This library's worker: one network at a time, as peer/networks.py. Run by bench/networks.mjs, by lines of JSON.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { crc32 } from 'node:zlib';
import { buildInfo, fromTypedArray, inferenceMode, setNumThreads, tidy } from '@pgpc/torch';
import { withoutInitialValues } from '../../packages/pgpc/dist/models/initial-values.js';
import { createNetwork } from '../../packages/pgpc/dist/models/networks.js';
import { send } from './tensors.mjs';

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
    const entries = new Map();
    for (const [entry, { shape: dimensions }] of network.stateDict()) {
      entries.set(entry, fromTypedArray(filled(entry, dimensions), dimensions));
    }
    network.loadStateDict(entries);
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

/** The largest difference from the reference implementation's own values, where the repository has them. */
function compareGolden(name, network) {
  const path = new URL(`../../packages/pgpc/test/goldens/${name}.outputs.json`, import.meta.url);
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

/** Makes a network and its input; writes its outputs, one after the other, to a file. */
function create({ name, shape, file }) {
  network = createFilled(name);
  image = exampleInput(shape);
  return tidy(() => {
    const outputs = Object.entries(inferenceMode(() => network.call(image)));
    writeFileSync(file, Buffer.concat(outputs.map(([, value]) => new Uint8Array(value.toArray().buffer))));
    return {
      shapes: Object.fromEntries(outputs.map(([output, value]) => [output, value.shape])),
      golden: compareGolden(name, network),
      parameters: network.parameters().reduce((sum, { numel }) => sum + numel, 0),
    };
  });
}

function run() {
  const start = performance.now();
  const outputs = tidy(() => inferenceMode(() => network.call(image)));
  const ms = performance.now() - start;
  for (const output of Object.values(outputs)) output.dispose();
  return { ms };
}

let network;
let image;
setNumThreads(Number(process.env.OMP_NUM_THREADS));
const { libtorch, threads } = buildInfo();
send({ libtorch, threads });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === 'run') send(run());
  else {
    network?.dispose();
    image?.dispose();
    send(create(command));
  }
}
