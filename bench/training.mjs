// What the benchmarks of the training step share: weights and batch, both sides' folders, and the check of their losses.

import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { manualSeed, ops, randint, randn, tidy } from '@pgpc/torch';
import { Learner } from '../packages/pgpc/dist/adaptation/learner.js';
import { pgpcContrast } from '../packages/pgpc/dist/config/contrast.js';
import { daformerFeatureDistance } from '../packages/pgpc/dist/config/feature-distance.js';
import { micMaskedConsistency } from '../packages/pgpc/dist/config/masked-consistency.js';
import { methodConfig, methodNames } from '../packages/pgpc/dist/config/method.js';
import { multiResolutionFor } from '../packages/pgpc/dist/config/multi-resolution.js';
import { segmentorConfig } from '../packages/pgpc/dist/config/segmentor.js';
import { daformerSelfTraining } from '../packages/pgpc/dist/config/self-training.js';
import { isVit } from '../packages/pgpc/dist/config/vit.js';
import { seedFor } from '../packages/pgpc/dist/random.js';
import { attempt, markdown, own, peer, scaleWeight, temporaryFolder, Worker, writeTensors } from './lib.mjs';

const SEED = 1;
const CHECK_STEPS = 3;
/** With CUDA graphs the first three steps run before anything is captured, the fourth captures, the others replay. */
const CHECK_STEPS_OF_GRAPHS = 6;
/**
 * AdamW's first steps go by the gradient's sign, which rounding may turn: at the recipe's rate that shows. At the
 * recipe's decay three steps would not show whether there is any.
 */
const checkOptimizer = { lr: 6e-6, headMultiplier: 10, weightDecay: 100 };
/** Relative; q counts pixels above a threshold, which rounding may swap. */
const TOLERANCE = { source: 1e-4, featureDistance: 1e-4, target: 1e-4, contrast: 1e-4, q: 1e-3 };
const TOLERANCE_OF_MASKED = 1e-4;
/** Of the contrast, where the sides draw different negatives from equal banks. */
const TOLERANCE_OF_OTHER_DRAWS = 2e-3;
/** Of every loss in bfloat16, which has 8 bits, rounded off in different places. */
const TOLERANCE_OF_BFLOAT16 = 2e-2;
/** What rounding grows to in the steps after the first three, in float32. */
const LATER_STEPS = 3;
/** So many that the choice of others hardly changes the loss, and few enough for a small GPU. */
const NEGATIVES_OF_OTHER_DRAWS = 16384;
/** Seconds for one step of the check, or to get ready for it. */
const CHECK_LIMIT = 90;

/** Methods of the peer, whose step is to be the same. */
const peerMethods = ['source-only', 'self-training', 'daformer', 'pgpc'];

const choices = {
  backbone: ['mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5', 'dinov2_vits14'],
  device: ['cpu', 'cuda'],
  precision: ['float32', 'bfloat16'],
};

/**
 * The methods that a flag names.
 * @param {string} flag as people write it @param {string} text names with commas between
 * @param {readonly string[]} known
 * @throws RangeError for a name that is not known.
 */
export function methodsOf(flag, text, known = methodNames) {
  const names = text.split(',');
  for (const name of names) {
    if (known.includes(name)) continue;
    throw new RangeError(`${flag} are some of ${known.join(', ')} with commas between, not ${name}`);
  }
  return names;
}

/** @returns the methods' names. @throws RangeError for flags that name no training step that the peer has, too. */
export function checkFlags(flags) {
  for (const [name, values] of Object.entries(choices)) {
    if (!values.includes(flags[name])) {
      throw new RangeError(`--${name} is one of ${values.join(', ')}, not ${flags[name]}`);
    }
  }
  const methods = methodsOf('--methods', flags.methods, peerMethods);
  if (flags['two-resolutions'] && flags.size % 64 !== 0) {
    throw new RangeError(`--size is a multiple of 64 at two resolutions, not ${flags.size}`);
  }
  if (isVit(flags.backbone)) {
    if (flags.size % 224 !== 0) {
      throw new RangeError(`--size is a multiple of 224 with a DINOv2 encoder, not ${flags.size}`);
    }
    if (flags['two-resolutions']) throw new RangeError('--two-resolutions is of MiT encoders');
    if (methods.includes('daformer')) {
      throw new RangeError('DINO encoders have no feature distance: --methods self-training, not daformer');
    }
  }
  if (flags.size % 32 !== 0) {
    throw new RangeError(`--size is a multiple of 32, the encoder's last stride, not ${flags.size}`);
  }
  return methods;
}

/** One network with one set of weights, and one batch, which all workers read. */
export class Training {
  #root = temporaryFolder();

  /** @param settings backbone, channels, size and batch of the step, its device and precision; threads, python. */
  constructor(settings) {
    this.settings = settings;
    const { backbone, channels, size } = settings;
    const multiResolution = settings['two-resolutions'] && multiResolutionFor({ width: size, height: size });
    this.segmentor = segmentorConfig(backbone, 'daformer', {
      channels,
      ...(multiResolution && { multiResolution }),
    });
    /** Of DINO encoders there is none. */
    this.featureDistance = !isVit(backbone) && daformerFeatureDistance;
    this.maskedConsistency = settings.masked ? micMaskedConsistency : undefined;
    /** The recipe's numbers, with the contrast from the first step on. */
    this.contrast = { ...pgpcContrast, warmup: 0, width: Math.min(pgpcContrast.width, channels) };
    this.#writeWeightsAndBatch();
  }

  /** The batch is of coherent patches. */
  #writeWeightsAndBatch() {
    const { segmentor, contrast } = this;
    const { channels, size, batch } = this.settings;
    manualSeed(SEED);
    tidy(() => {
      const learner = new Learner(segmentor, SEED, contrast);
      const tensors = new Map(learner.stateDict());
      // Scores far enough apart for the teacher to be sure of some pixels, so that q is neither 0 nor 1.
      const head = segmentor.multiResolution ? 'decode_head.head' : 'decode_head';
      const classifier = `segmentor.${head}.conv_seg.weight`;
      scaleWeight(tensors, classifier, 200 / Math.sqrt(channels));
      const image = () =>
        ops.upsampleBilinear2d(randn([batch, 3, size / 8, size / 8]), [size, size], false).contiguous();
      // As large as a pixel of the encoder's last stage, of two resolutions of the context's; the feature distance wants most of such a pixel in one class.
      const patch = segmentor.multiResolution ? 64 : 32;
      const patches = randint(0, segmentor.classes + 1, [batch, 1, size / patch, size / patch], {
        dtype: 'float32',
      });
      const label = ops.upsampleNearest2d(patches, [size, size]).squeeze(1).to('int64');
      tensors.set('sourceImage', image());
      tensors.set('sourceLabel', label.maskedFill(label.eq(segmentor.classes), 255));
      tensors.set('targetImage', image());
      writeTensors(this.#root, tensors);
      learner.dispose();
    });
  }

  /** The configuration of a method by the recipe. */
  recipe(name) {
    const { contrast, featureDistance, maskedConsistency } = this;
    const method = methodConfig(name, { contrast, featureDistance, maskedConsistency });
    // The head that both sides share takes the decoder's features.
    const ownProjection = method.contrast?.features === 'encoder';
    return { exact: false, segmentor: this.segmentor, method, ownProjection };
  }

  /** Starts a worker in a folder of its own, with the tensors and `config` in it. @param name of the folder. */
  async start(command, name, config, options) {
    const folder = join(this.#root, name);
    mkdirSync(folder);
    for (const file of ['tensors.bin', 'tensors.json']) linkSync(join(this.#root, file), join(folder, file));
    const { threads, device, precision } = this.settings;
    const common = {
      ...{ threads, device, precision, seed: SEED },
      optimizer: { lr: 6e-5, headMultiplier: 10, weightDecay: 0.01 },
      // On the CPU the peer's draws for the contrast are ours, by the same generator.
      contrastSeed: seedFor(SEED, 'contrast'),
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...common, ...config }));
    return Worker.start([...command, folder], { threads, ...options });
  }

  /** One of each side, at work on `config`. */
  async startPair(name, config) {
    return {
      pgpc: await this.start(own('step.mjs'), `${name}-pgpc`, config),
      pytorch: await this.start(peer(this.settings.python, 'step.py'), `${name}-pytorch`, config),
    };
  }

  /**
   * Runs both sides on the same numbers.
   * @param {string} precision
   * @param {{ otherDraws?: boolean, ours?: Record<string, { graphs?: boolean }> }} options `otherDraws`: whether the contrast draws other numbers on one side than on the other, as it does on a
   * GPU: then all anchors are taken, and so many negatives that their choice hardly matters.
   * `ours`: what else the configuration of this library's workers has, by their names.
   * @returns the losses of every step side by side, and what failed.
   */
  async compareLosses(precision, { otherDraws = false, ours = { pgpc: {} } } = {}) {
    const { segmentor, contrast } = this;
    const { size, batch, python } = this.settings;
    const steps = Object.values(ours).some(({ graphs }) => graphs) ? CHECK_STEPS_OF_GRAPHS : CHECK_STEPS;
    const pixels = batch * (size / 4) ** 2;
    const drawAll = {
      // The other losses are to feel the draws less than their tolerance.
      weight: contrast.weight,
      anchors: Math.ceil(contrast.anchorShare * pixels),
      negatives: NEGATIVES_OF_OTHER_DRAWS,
      enqueue: pixels,
      bankCapacity: 2 * pixels * steps,
    };
    const selfTraining = {
      ...daformerSelfTraining,
      jitterProbability: 0,
      blurProbability: 0,
      threshold: 0.5,
    };
    const name = `exact-${precision}`;
    const [first, ...others] = Object.keys(ours);
    const { featureDistance, ...always } = TOLERANCE;
    const exactly = {
      ...always,
      ...(this.featureDistance && { featureDistance }),
      ...(this.maskedConsistency && { masked: TOLERANCE_OF_MASKED }),
    };
    const tolerance = Object.fromEntries(
      Object.entries(exactly).map(([loss, exact]) => {
        if (precision === 'bfloat16') return [loss, TOLERANCE_OF_BFLOAT16];
        return [loss, otherDraws && loss === 'contrast' ? TOLERANCE_OF_OTHER_DRAWS : exact];
      }),
    );
    const config = {
      exact: true,
      precision,
      // The peer's ClassMix pastes what that of our first worker does.
      masks: join(this.#root, `${name}-${first}`),
      // From a copy of itself the encoder is as far as rounding puts it, and the gradient points anywhere.
      frozenScale: 1.05,
      optimizer: checkOptimizer,
      segmentor: { ...segmentor, dropout: 0, dropPath: 0 },
      method: methodConfig('pgpc', {
        selfTraining,
        contrast: { ...contrast, weight: 1, ...(otherDraws && drawAll) },
        featureDistance: this.featureDistance && { ...this.featureDistance, weight: 1 },
        maskedConsistency: this.maskedConsistency,
      }),
      ...(otherDraws && { contrastSeed: SEED }),
    };
    // On a GPU convolutions, and matrix products if asked to, would have 10 bits in float32.
    const options = { env: { NVIDIA_TF32_OVERRIDE: '0' }, limit: CHECK_LIMIT };
    const failures = [];
    const workers = {};
    const side = (of) => `${of}, check in ${precision}`;
    const begin = async (of, command, more) => {
      const start = () => this.start(command, `${name}-${of}`, { ...config, ...more }, options);
      workers[of] = await attempt(failures, side(of), start);
    };
    await Promise.all([
      begin('PyTorch', peer(python, 'step.py'), {}),
      ...Object.entries(ours).map(([of, more]) => begin(of, own('step.mjs'), more)),
    ]);
    const rows = [];
    for (let iteration = 0; workers[first] && workers.PyTorch && iteration < steps; iteration++) {
      const losses = {};
      for (const of of [first, 'PyTorch', ...others]) {
        const step = async () => (await workers[of].ask({ iteration }, CHECK_LIMIT)).losses;
        if (workers[of]) losses[of] = await attempt(failures, side(of), step);
        if (!losses[of]) delete workers[of];
        if (!workers[first]) break;
      }
      if (!losses.PyTorch) break;
      for (const of of Object.keys(ours)) {
        const growth = precision === 'float32' && iteration >= CHECK_STEPS ? LATER_STEPS : 1;
        if (losses[of]) rows.push(...compared(of, iteration, losses[of], losses.PyTorch, tolerance, growth));
      }
    }
    for (const worker of Object.values(workers)) worker?.stop();
    return { rows, failures };
  }
}

/** One row for each loss of a step. */
function compared(side, step, ours, theirs, tolerance, growth) {
  return Object.entries(tolerance).map(([loss, allowed]) => {
    const [pgpc, pytorch] = [ours[loss], theirs[loss]];
    const difference = Math.abs(pgpc - pytorch) / Math.abs(pytorch);
    return { side, step, loss, pgpc, pytorch, difference, tolerance: allowed * growth };
  });
}

/** Losses side by side. */
export function equalityTable(rows) {
  const several = new Set(rows.map(({ side }) => side)).size > 1;
  return markdown(
    [...(several ? ['side'] : []), 'step', 'loss', 'pgpc', 'PyTorch', 'relative difference', 'allowed'],
    rows.map((row) => [
      ...(several ? [row.side] : []),
      ...[row.step, row.loss, row.pgpc.toPrecision(8), row.pytorch.toPrecision(8)],
      ...[row.difference.toExponential(1), Number(row.tolerance.toPrecision(1))],
    ]),
  );
}

/** Names the losses that differ by more than is allowed. */
export function unequal(rows) {
  return rows
    .filter(({ difference, tolerance }) => !(difference <= tolerance))
    .map(({ side, step, loss }) => `${loss} of ${side} at step ${step}`);
}
