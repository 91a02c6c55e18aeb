// This library's worker: evaluates one image per line on stdin; times and confusion matrix as JSON on stdout.
// Run by bench/evaluate.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildInfo, fromTypedArray, setNumThreads, tidy } from '@pgpc/torch';
import { confusionMatrix } from '../../packages/pgpc/dist/evaluation/confusion.js';
import { predictLabels } from '../../packages/pgpc/dist/evaluation/inference.js';
import { Segmentor } from '../../packages/pgpc/dist/models/segmentor.js';
import { readTensors, send } from './tensors.mjs';

const folder = process.argv[2];
const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
setNumThreads(config.threads);
const tensors = readTensors(folder);
const segmentor = new Segmentor(config.segmentor, 0);
tidy(() => {
  const weights = new Map();
  for (const name of segmentor.stateDict().keys()) {
    const { array, shape } = tensors.get(name);
    weights.set(name, fromTypedArray(array, shape));
  }
  segmentor.loadStateDict(weights);
});
segmentor.eval();
const { array: data, shape } = tensors.get('image');
const image = { width: shape[1], height: shape[0], data };
const label = fromTypedArray(tensors.get('label').array, tensors.get('label').shape);

let networkMs = 0;
const timed = {
  call: (input) => {
    const start = performance.now();
    const output = segmentor.call(input);
    networkMs = performance.now() - start;
    return output;
  },
};

const { libtorch, threads } = buildInfo();
send({ libtorch, threads });
for await (const _line of createInterface({ input: process.stdin })) {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const confusion = tidy(() =>
    confusionMatrix(label, predictLabels(timed, image), config.segmentor.classes).tolist(),
  );
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  send({ ms, networkMs, cpuMs: (user + system) / 1e3, confusion });
}
