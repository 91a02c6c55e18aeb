// What this library's workers of the training step begin with: configuration, batch, networks, step.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildInfo, deviceMath, fromTypedArray, setNumThreads, tidy } from '@pgpc/torch';
import { Learner } from '../../packages/pgpc/dist/adaptation/learner.js';
import { AdaptationStep } from '../../packages/pgpc/dist/adaptation/step.js';
import { buildOptimizer } from '../../packages/pgpc/dist/training/optimizer.js';
import { readTensors } from './tensors.mjs';

/** Configuration, step and batch of a folder that bench/training.mjs wrote. */
export function prepare(folder) {
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  setNumThreads(config.threads);
  const { method, segmentor, seed, exact, ownProjection } = config;
  const { activationCheckpointing, device, precision, graphs } = config;
  if (device === 'cuda') deviceMath({ tf32: !exact, benchmark: false });
  const tensors = new Map(
    [...readTensors(folder)].map(([name, { array, shape }]) => [name, fromTypedArray(array, shape)]),
  );
  const student = new Learner(segmentor, seed, method.contrast);
  const weights = new Map();
  const [given, prefix] = ownProjection ? [student.segmentor, 'segmentor.'] : [student, ''];
  for (const name of given.stateDict().keys()) weights.set(name, tensors.get(prefix + name));
  given.loadStateDict(weights);
  for (const tensor of weights.values()) tensor.dispose();
  if (device !== 'cpu') student.to({ device });
  const optimizer = buildOptimizer(student, config.optimizer);
  const surroundings = { activationCheckpointing, device, precision, graphs };
  const step = new AdaptationStep(method, student, optimizer, 1, seed, surroundings);
  /** @param {string} name */
  const onDevice = (name) => /** @type {import('@pgpc/torch').Tensor} */ (tensors.get(name)).to({ device });
  const batch = {
    sourceImage: onDevice('sourceImage'),
    sourceLabel: onDevice('sourceLabel'),
    targetImage: onDevice('targetImage'),
  };
  if (config.frozenScale && step.parts.featureDistance) {
    const { encoder } = step.parts.featureDistance;
    const trained = encoder.namedParameters();
    tidy(() => {
      // From the student's, since the encoder's own may have been rounded already.
      const scaled = new Map();
      for (const [name, value] of student.segmentor.backbone.stateDict()) {
        scaled.set(name, trained.has(name) ? value.mul(config.frozenScale) : value);
      }
      encoder.loadStateDict(scaled);
    });
  }
  return { config, step, batch };
}

/** What the process runs on. */
export function description() {
  const { libtorch, threads, device } = buildInfo();
  return { libtorch, threads, device };
}

/**
 * Frees the losses of a step.
 * @param {import('../../packages/pgpc/dist/adaptation/step.js').StepLosses} losses
 * @param {(name: string, loss: import('@pgpc/torch').Tensor) => void} read what to do with each before
 */
export function disposeLosses(losses, read = () => {}) {
  for (const [name, loss] of Object.entries(losses)) {
    if (loss === undefined) continue;
    read(name, loss);
    loss.dispose();
  }
}
