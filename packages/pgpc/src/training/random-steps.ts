// Steps of an experiment on random tensors, without data: what their time and memory are measured on.

import { Generator, randint, randn, tidy } from '@pgpc/torch';
import { Learner } from '../adaptation/learner.js';
import { AdaptationStep, type StepLosses } from '../adaptation/step.js';
import type { Experiment } from '../config/experiment.js';
import type { TargetBatch } from '../pipeline/batch.js';
import { FiniteSteps } from './finite-steps.js';
import { buildOptimizer } from './optimizer.js';

/**
 * Side in pixels of the squares that labels are made of. Labels that change from pixel to pixel would leave no feature
 * with a class of its own, and the contrast with nothing to compute.
 */
const PATCH = 16;

/** An experiment's student and step, which learn from noise. {@link dispose} frees both. */
export class RandomSteps {
  readonly student: Learner;
  readonly #optimizer: ReturnType<typeof buildOptimizer>;
  readonly #step: AdaptationStep;
  readonly #finite: FiniteSteps;

  /**
   * @param device 'cpu', 'cuda:0', ..., which this process has entered.
   * @param graphs whether a GPU's operators are recorded as graphs, as in training.
   */
  constructor(
    readonly experiment: Experiment,
    readonly device: string,
    { graphs = true }: { graphs?: boolean } = {},
  ) {
    const { segmentor, method, iterations, seed, activationCheckpointing, precision } = experiment;
    this.student = new Learner(segmentor, seed, method.contrast).to({ device });
    this.#optimizer = buildOptimizer(this.student, experiment.optimizer);
    this.#step = new AdaptationStep(method, this.student, this.#optimizer, iterations, seed, {
      activationCheckpointing,
      precision,
      graphs,
    });
    const undo = (experiment.skipNotFinite ?? 0) > 0;
    this.#finite = new FiniteSteps(this.#step, this.#optimizer, undo);
  }

  /** Random images, and labels in squares, of the experiment's batch and crop. Within a `tidy`. */
  batch(): TargetBatch {
    const { batch, crop, segmentor, seed } = this.experiment;
    const { width, height } = crop;
    using generator = new Generator(seed);
    const [rows, columns] = [Math.ceil(height / PATCH), Math.ceil(width / PATCH)];
    const image = () => randn([batch, 3, height, width], { generator }).to({ device: this.device });
    const label = randint(0, segmentor.classes, [batch, rows, columns], { generator })
      .repeatInterleave(PATCH, 1)
      .repeatInterleave(PATCH, 2)
      .narrow(1, 0, height)
      .narrow(2, 0, width)
      .contiguous()
      .to({ device: this.device });
    return { sourceImage: image(), sourceLabel: label, targetImage: image() };
  }

  /** One step of the last iteration: by then every part of the loss has set in. @param look at its losses, to wait for them. */
  run(look: (losses: StepLosses) => void = () => {}): void {
    tidy(() => {
      this.#finite.begin();
      const losses = this.#step.run(this.batch(), Math.max(1, this.experiment.iterations - 1));
      this.#finite.end(1, losses, { source: [], target: undefined });
      look(losses);
    });
  }

  dispose(): void {
    this.#finite.dispose();
    this.#step.dispose();
    this.#optimizer.dispose();
    this.student.dispose();
  }
}

/** Steps that count, after one that does not. */
const FEW = 3;

/**
 * Seconds of a step: the median of a few. Takes a second or two at the demo's size; `timeSteps` measures with the loader.
 * @param device 'cpu', 'cuda:0', ..., which this process has entered.
 */
export function stepSeconds(experiment: Experiment, device: string): number {
  const steps = new RandomSteps(experiment, device, { graphs: false });
  try {
    const times = Array.from({ length: 1 + FEW }, () => {
      const began = performance.now();
      // Reading the loss waits for the device.
      steps.run(({ total }) => total.item());
      return (performance.now() - began) / 1000;
    });
    return times.slice(1).sort((a, b) => a - b)[Math.floor(FEW / 2)]!;
  } finally {
    steps.dispose();
  }
}
