// This library's worker: one step per line of JSON on stdin, its time and losses as JSON on stdout.
// Run by bench/training.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Generator, synchronize } from '@pgpc/torch';
import { classMixMask } from '../../packages/pgpc/dist/adaptation/class-mix.js';
import { description, disposeLosses, prepare } from './prepare.mjs';
import { serve } from './tensors.mjs';

/**
 * Writes the mask that ClassMix is about to draw, for the peer to use the same.
 * @param {string} folder
 * @param {number} iteration
 * @param {import('../../packages/pgpc/dist/adaptation/step.js').AdaptationStep} step
 * @param {import('@pgpc/torch').Tensor} label
 * @param {number} classes
 */
function writeMask(folder, iteration, step, label, classes) {
  const twin = new Generator(0);
  twin.setState(step.parts.mixGenerator.getState());
  const mask = classMixMask(label, classes, twin);
  writeFileSync(join(folder, `mask-${iteration}.bin`), mask.toArray());
  mask.dispose();
  twin.dispose();
}

await serve(() => {
  const folder = process.argv[2] ?? '';
  const { config, step, batch } = prepare(folder);
  const answer = ({ iteration }) => {
    if (config.exact) writeMask(folder, iteration, step, batch.sourceLabel, config.segmentor.classes);
    synchronize();
    const cpu = process.cpuUsage();
    const start = performance.now();
    const losses = step.run(batch, iteration);
    synchronize();
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    const values = {};
    disposeLosses(losses, (name, loss) => {
      if (name !== 'total') values[name] = loss.item();
    });
    return { ms, cpuMs: (user + system) / 1000, losses: values };
  };
  return { description: description(), answer };
});
