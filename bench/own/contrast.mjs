// The worker of bench/contrast.mjs: the contrast alone, on features of a given size, or a whole training step.
// Its only argument is the configuration as JSON; for each line on stdin one measurement, its times as JSON on stdout.

import { createInterface } from 'node:readline';
import { buildInfo, Generator, ops, randint, randn, setNumThreads, tidy } from '@pgpc/torch';
import { PixelContrast } from '../../packages/pgpc/dist/adaptation/contrast/contrast.js';
import { ProjectionHead } from '../../packages/pgpc/dist/adaptation/contrast/projection-head.js';
import { Learner } from '../../packages/pgpc/dist/adaptation/learner.js';
import { AdaptationStep } from '../../packages/pgpc/dist/adaptation/step.js';
import { buildOptimizer } from '../../packages/pgpc/dist/training/optimizer.js';
import { send } from './tensors.mjs';

const SEED = 1;
/** Pixels of a feature map along a patch of one class: single pixels would be unlike any image. */
const PATCH = 4;
const STRIDE = 4;

const { threads, batch, channels, classes, height, width, ...config } = JSON.parse(process.argv[2]);
setNumThreads(threads);
const generator = new Generator(SEED);
const features = () => randn([batch, channels, height, width], { generator });
const [rows, columns] = [height / PATCH, width / PATCH];

/** Class scores that agree within patches, some far from the others and some near. */
function logits() {
  return tidy(() =>
    ops
      .upsampleBilinear2d(randn([batch, classes, rows, columns], { generator }), [height, width], false)
      .mul(8)
      .contiguous(),
  );
}

function labels() {
  return tidy(() => {
    const patches = randint(0, classes, [batch, 1, rows, columns], { generator }).to('float32');
    return ops
      .upsampleNearest2d(patches, [STRIDE * height, STRIDE * width])
      .squeeze(1)
      .to('int64');
  });
}

/** CPU milliseconds of all threads until now: on a busy machine these say what is computed, wall time does not. */
function now() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** CPU milliseconds of what a step does for the contrast. */
function contrastAlone() {
  const contrast = new PixelContrast(classes, config.contrast, SEED);
  const head = () => new ProjectionHead(channels, config.contrast, generator);
  const [teacher, student] = [head().requiresGrad_(false), head()];
  const label = labels();
  const source = { features: features(), logits: logits() };
  const target = { features: features(), logits: logits() };
  const mixed = features().requiresGrad_();
  const sourceMask = tidy(() => label.lt(classes / 2));
  return () =>
    tidy(() => {
      const times = [now()];
      contrast.storeSource(source, label, teacher);
      times.push(now());
      contrast.storeTarget(target, teacher);
      times.push(now());
      const loss = contrast.loss(mixed, sourceMask, target, student);
      times.push(now());
      loss.backward();
      times.push(now());
      mixed.grad = null;
      for (const parameter of student.parameters()) parameter.grad = null;
      const [storeSource, storeTarget, forward, backward] = times.slice(1).map((time, i) => time - times[i]);
      return { storeSource, storeTarget, forward, backward, total: times[times.length - 1] - times[0] };
    });
}

/** CPU milliseconds of a whole step on random images. */
function wholeStep() {
  const { segmentor, method, optimizer } = config.step;
  const student = new Learner(segmentor, SEED, method.contrast);
  const step = new AdaptationStep(method, student, buildOptimizer(student, optimizer), 1, SEED);
  const shape = [batch, 3, STRIDE * height, STRIDE * width];
  const images = { sourceImage: randn(shape, { generator }), targetImage: randn(shape, { generator }) };
  const sourceLabel = labels();
  return () => {
    const began = now();
    const losses = step.run({ ...images, sourceLabel }, 0);
    const total = now() - began;
    for (const loss of Object.values(losses)) loss?.dispose();
    return { total };
  };
}

const measure = config.step ? wholeStep() : contrastAlone();
const startMiB = process.resourceUsage().maxRSS / 1024;
const info = buildInfo();
send({ libtorch: info.libtorch, threads: info.threads, startMiB });
for await (const _ of createInterface({ input: process.stdin })) send(measure());
