// This library's worker: one step per line of JSON on stdin, its time and losses as JSON on stdout.
// Run by bench/step.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { buildInfo, fromTypedArray, Generator, noGrad, setNumThreads } from '@pgpc/torch';
import { classMixMask } from '../../packages/pgpc/dist/adaptation/class-mix.js';
import { Learner } from '../../packages/pgpc/dist/adaptation/learner.js';
import { AdaptationStep } from '../../packages/pgpc/dist/adaptation/step.js';
import { buildOptimizer } from '../../packages/pgpc/dist/training/optimizer.js';
import { readTensors, send } from './tensors.mjs';

/** Writes the mask that ClassMix is about to draw, for the peer to use the same. */
function writeMask(folder, iteration, step, label, classes) {
  const twin = new Generator(0);
  twin.setState(step.mixGenerator.getState());
  const mask = classMixMask(label, classes, twin);
  writeFileSync(join(folder, `mask-${iteration}.bin`), mask.toArray());
  mask.dispose();
  twin.dispose();
}

const folder = process.argv[2];
const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
setNumThreads(config.threads);

const { method, segmentor, seed, activationCheckpointing } = config;
const tensors = new Map(
  [...readTensors(folder)].map(([name, { array, shape }]) => [name, fromTypedArray(array, shape)]),
);
const student = new Learner(segmentor, seed, method.contrast);
const weights = new Map([...student.stateDict().keys()].map((name) => [name, tensors.get(name)]));
student.loadStateDict(weights);
const step = new AdaptationStep(
  method,
  student,
  buildOptimizer(student, config.optimizer),
  1,
  seed,
  undefined,
  undefined,
  activationCheckpointing,
);
const [sourceImage, sourceLabel, targetImage] = ['sourceImage', 'sourceLabel', 'targetImage'].map((name) =>
  tensors.get(name),
);
for (const tensor of weights.values()) tensor.dispose();
if (config.frozenScale) {
  noGrad(() => {
    for (const parameter of step.featureDistance.encoder.parameters()) parameter.mul_(config.frozenScale);
  });
}

const { libtorch, threads } = buildInfo();
send({ libtorch, threads });
for await (const line of createInterface({ input: process.stdin })) {
  const { iteration } = JSON.parse(line);
  if (config.exact) writeMask(folder, iteration, step, sourceLabel, segmentor.classes);
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { total, ...losses } = step.run({ sourceImage, sourceLabel, targetImage }, iteration);
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  total.dispose();
  const values = {};
  for (const [name, loss] of Object.entries(losses)) {
    if (loss === undefined) continue;
    values[name] = loss.item();
    loss.dispose();
  }
  send({ ms, cpuMs: (user + system) / 1000, losses: values });
}
