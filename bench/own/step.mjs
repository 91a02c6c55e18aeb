// This library's worker: one step per line of JSON on stdin, its time and losses as JSON on stdout.
// Run by bench/training.mjs with a folder that it wrote (config.json, tensors.json, tensors.bin) as the only argument.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Generator, ops, synchronize, tidy } from '@pgpc/torch';
import { classMixMask } from '../../packages/pgpc/dist/adaptation/class-mix.js';
import { masked } from '../../packages/pgpc/dist/adaptation/masked-consistency.js';
import { description, disposeLosses, prepare } from './prepare.mjs';
import { serve } from './tensors.mjs';

/** What `draw` will draw next, by a generator of the same state; its own stays as it is. */
function foreseen(generator, draw) {
  const twin = new Generator(0);
  twin.setState(generator.getState());
  const drawn = draw(twin);
  twin.dispose();
  return drawn;
}

/**
 * Runs a step and writes what it drew, for the peer to use the same: ClassMix's mask, the patches that stay of masked images,
 * and the detail crops of a network of two resolutions.
 * @param {string} folder
 * @param {number} iteration
 * @param {import('../../packages/pgpc/dist/adaptation/step.js').AdaptationStep} step
 * @param {import('../../packages/pgpc/dist/pipeline/batch.js').TargetBatch} batch
 * @param {number} classes
 */
function runTelling(folder, iteration, step, batch, classes) {
  const { parts, method } = step;
  tidy(() => {
    const mask = foreseen(parts.mixGenerator, (twin) => classMixMask(batch.sourceLabel, classes, twin));
    writeFileSync(join(folder, `mask-${iteration}.bin`), mask.toArray());
    const { maskedConsistency } = method;
    if (!parts.maskGenerator || !maskedConsistency) return;
    const images = ops.onesLike(batch.targetImage);
    const stays = foreseen(parts.maskGenerator, (twin) => masked(images, maskedConsistency, twin));
    writeFileSync(join(folder, `hidden-${iteration}.bin`), stays.select(1, 0).to('bool').toArray());
  });
  const boxes = [];
  const detailBox = parts.detailBox.bind(parts);
  parts.detailBox = (size) => {
    const box = detailBox(size);
    if (box) boxes.push([box.top, box.left, box.height, box.width]);
    return box;
  };
  const losses = step.run(batch, iteration);
  parts.detailBox = detailBox;
  const draws = { boxes, hidden: parts.maskGenerator !== undefined };
  writeFileSync(join(folder, `draws-${iteration}.json`), JSON.stringify(draws));
  return losses;
}

await serve(() => {
  const folder = process.argv[2] ?? '';
  const { config, step, batch } = prepare(folder);
  const answer = ({ iteration }) => {
    synchronize();
    const cpu = process.cpuUsage();
    const start = performance.now();
    const losses = config.exact
      ? runTelling(folder, iteration, step, batch, config.segmentor.classes)
      : step.run(batch, iteration);
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
