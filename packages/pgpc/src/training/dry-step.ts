// The program of the memory check: takes an experiment by message, runs one step of it, answers with the peak.

import { Generator, randint, randn, tidy } from '@pgpc/torch';
import { Learner } from '../adaptation/learner.js';
import { AdaptationStep } from '../adaptation/step.js';
import { useCores } from '../versions.js';
import type { Experiment } from './experiment.js';
import type { StepMemory } from './memory.js';
import { buildOptimizer } from './optimizer.js';

process.once('message', (experiment: Experiment) => {
  useCores();
  const { segmentor, method, batch, crop, iterations, seed } = experiment;
  const student = new Learner(segmentor, seed, method.contrast);
  const optimizer = buildOptimizer(student, experiment.optimizer);
  const { activationCheckpointing } = experiment;
  const step = new AdaptationStep(method, student, optimizer, iterations, seed, { activationCheckpointing });
  const shape = [batch, 3, crop.height, crop.width];
  const began = performance.now();
  tidy(() => {
    using generator = new Generator(seed);
    const image = () => randn(shape, { generator });
    const sourceLabel = randint(0, segmentor.classes, [batch, crop.height, crop.width], { generator });
    // The last iteration: by then every part of the loss has set in.
    step.run({ sourceImage: image(), sourceLabel, targetImage: image() }, iterations - 1);
  });
  const seconds = (performance.now() - began) / 1000;
  const values = student.parameters().reduce((sum, { numel }) => sum + numel, 0);
  const answer: StepMemory = {
    peak: process.resourceUsage().maxRSS * 1024,
    // AdamW's two running means a parameter, float32.
    optimizer: 8 * values,
    seconds,
  };
  process.send!(answer, () => process.exit(0));
});
