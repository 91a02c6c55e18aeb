// The training loop: batch, learning rate, step, log; and the checkpoint from which it resumes exactly.

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { parsedBy } from '@pgpc/datasets';
import {
  fromTypedArray,
  loadSafetensors,
  ops,
  optim,
  type ProcessGroup,
  saveSafetensors,
  spreadOver,
  type Tensor,
  tidy,
} from '@pgpc/torch';
import { Learner } from '../adaptation/learner.js';
import { AdaptationStep, type StepLosses } from '../adaptation/step.js';
import { type Experiment, experimentSchema } from '../config/experiment.js';
import { usesTarget } from '../config/method.js';
import { aboutTexts, readAbout } from '../models/about.js';
import { MODEL_FILE, saveSegmentor } from '../models/checkpoint.js';
import { type Batch, disposeBatch } from '../pipeline/batch.js';
import { BatchLoader } from '../pipeline/loader.js';
import type { PixelStore } from '../pipeline/pixels.js';
import { type ImageClasses, RareClassSampler } from '../pipeline/rare-class-sampling.js';
import { commitCheckpoint, FORMAT, FORMATS, findCheckpoint } from './checkpoint-files.js';
import { savedBeside, savedExperiment, savedState } from './checkpoint-texts.js';
import { enterDevice } from './device.js';
import { Replica } from './distributed.js';
import { describeDrawn, FiniteSteps, type NotFiniteStep } from './finite-steps.js';
import { sameButChangeable } from './length.js';
import { namedLosses } from './losses.js';
import { buildOptimizer } from './optimizer.js';
import { type SavedBytes, savedBytes } from './saved-bytes.js';

/** What a run trains on. */
export interface TrainingData {
  source: PixelStore;
  /** Pixels of every class in every source image, and its size, which rare class sampling needs. */
  sourceStatistics?: ImageClasses;
  target?: PixelStore;
  /** Threads that decode; by default one less than the cores. What is trained does not depend on it. */
  workers?: number;
}

export interface LogEntry {
  /** Steps done. */
  iteration: number;
  /**
   * 'loss/total', 'loss/source', 'loss/target', 'loss/contrast', 'loss/masked', 'loss/feature-distance', 'q', 'weight/target',
   * 'weight/contrast', 'lr'; where steps may be skipped 'skipped', how many were so far.
   */
  values: Record<string, number>;
}

export interface SkippedStep {
  /** Steps done with it. */
  iteration: number;
  /** What is not finite, and the files of the batch. */
  message: string;
}

export interface RunOptions {
  signal?: AbortSignal;
  /** Losses are read, which waits for the device, every so many steps. */
  logEvery?: number;
  onLog?: (entry: LogEntry) => void;
  /** A step was skipped, as its losses or gradients are not finite: told when losses are read next, or at a checkpoint. */
  onSkipped?: (step: SkippedStep) => void;
  /** Decoding threads ended of themselves and were replaced: how many so far, and why the last did. */
  onThreadsLost?: (iteration: number, lost: { readonly count: number; readonly last: Error }) => void;
  /** Called after every step; a promise is waited for before the next. */
  onStep?: (done: number) => unknown;
}

/** Where and by whom a trainer's experiment is run. */
export interface TrainerSurroundings {
  /**
   * The processes that train together; each gives the same arguments, and trains on as many images a step as the
   * experiment's batch has. Their weights are the same as of one process with all the images.
   */
  group?: ProcessGroup | undefined;
  /** 'cpu' (default), 'cuda', 'cuda:1', ... */
  device?: string | undefined;
  /** See {@link AdaptationStep}; by default graphs are used where they can be. */
  graphs?: boolean | undefined;
}

/** One student, its method and its data, at some iteration. */
export class Trainer {
  readonly learner: Learner;
  readonly step: AdaptationStep;
  readonly optimizer: optim.AdamW;
  readonly loader: BatchLoader;
  /** Steps done. */
  iteration = 0;
  /** How many of them were skipped, as far as is known: a step is looked at when losses are read. */
  skipped = 0;
  /** What was saved beside the state that this trainer has taken up. */
  beside: Readonly<Record<string, unknown>> = {};
  readonly #scale: (t: number) => number;
  readonly #peaks: number[];
  readonly #replica: Replica | undefined;
  readonly #finite: FiniteSteps;
  #onSkipped: RunOptions['onSkipped'];
  readonly group: ProcessGroup | undefined;
  readonly device: string;

  constructor(
    readonly experiment: Experiment,
    data: TrainingData,
    { group, device = 'cpu', graphs }: TrainerSurroundings = {},
  ) {
    this.group = group;
    this.device = device;
    const { segmentor, method, seed, crop, batch, rareClasses, schedule, iterations } = experiment;
    const { source, target, sourceStatistics, workers } = data;
    if (usesTarget(method) && !target) {
      throw new Error(`${method.selfTraining ? 'self-training' : 'style'} needs target images`);
    }
    if (rareClasses && !sourceStatistics)
      throw new Error('rare class sampling needs the class counts of the source');
    // Before there are tensors to free, since data in which no class can be drawn is refused here.
    const sampler = rareClasses && new RareClassSampler(sourceStatistics!, rareClasses);
    enterDevice(device, experiment.precision);
    this.learner = new Learner(segmentor, seed, method.contrast).to({ device });
    this.learner.segmentor.classInfo = source.dataset.classes;
    const { options: shown, dataset } = target ?? source;
    const { range } = dataset;
    this.learner.segmentor.about = { inputSize: shown.scale ?? 'full', ...(range && { range }) };
    this.optimizer = buildOptimizer(this.learner, experiment.optimizer);
    this.#peaks = this.optimizer.groups.map(({ lr }) => lr);
    this.#scale = optim.polySchedule({ baseLr: 1, maxIters: iterations, ...schedule });
    this.#replica =
      group &&
      new Replica(
        group,
        this.learner.parameters().filter(({ requiresGrad }) => requiresGrad),
      );
    this.step = new AdaptationStep(method, this.learner, this.optimizer, iterations, seed, {
      world: group,
      reducer: this.#replica?.reducer,
      activationCheckpointing: experiment.activationCheckpointing,
      precision: experiment.precision,
      graphs,
    });
    for (const network of [this.learner, this.step.parts.teacher?.network]) {
      if (group && network) spreadOver(group, network);
    }
    this.#finite = new FiniteSteps(this.step, this.optimizer, this.#mayBeSkipped > 0);
    this.loader = new BatchLoader({
      source,
      target: usesTarget(method) ? target : undefined,
      rareClasses: sampler,
      batch,
      crop,
      margins: method.selfTraining?.imageMargins,
      seed,
      workers,
      part: group,
      device,
    });
  }

  get #mayBeSkipped(): number {
    return this.experiment.skipNotFinite ?? 0;
  }

  /**
   * Trains to the end of the experiment, or until the signal, and leaves everything at a whole step.
   * @throws Error that names the step and its files, once losses are read, where a loss or gradient since was not finite and
   * the experiment allows no more such steps to be skipped.
   */
  async run({
    signal,
    logEvery = 10,
    onLog,
    onSkipped,
    onThreadsLost,
    onStep,
  }: RunOptions = {}): Promise<'finished' | 'stopped'> {
    const { iterations } = this.experiment;
    this.#onSkipped = onSkipped;
    let lost = 0;
    tidy(() =>
      this.#replica?.align(
        [...this.step.parts.state().values()].flatMap((part) => [...part.stateDict().values()]),
        this.iteration,
      ),
    );
    while (this.iteration < iterations) {
      // The step blocks JavaScript; here signals and timers get their turn. Signals are looked for once in a turn, which
      // the first may be the end of.
      await setImmediate();
      await setImmediate();
      const aborted = signal?.aborted ?? false;
      if (this.#replica?.any(aborted) ?? aborted) return 'stopped';
      const batch = await this.loader.next();
      const { lostThreads } = this.loader;
      if (lostThreads && lostThreads.count > lost) {
        lost = lostThreads.count;
        onThreadsLost?.(this.iteration, lostThreads);
      }
      const scale = this.#scale(this.iteration);
      for (const [group, peak] of this.#peaks.entries()) this.optimizer.setLr(group, peak * scale);
      this.#finite.begin();
      const losses = this.#step(batch);
      this.iteration++;
      this.#finite.end(this.iteration, losses, this.loader.drawn!);
      disposeBatch(batch);
      const due = this.iteration % logEvery === 0 || this.iteration === iterations;
      const broken = due ? this.#finite.take() : [];
      const skipped = this.#mayBeSkipped > 0 && { skipped: this.skipped + broken.length };
      const values = due
        ? { ...this.#read(losses), ...skipped, lr: this.experiment.optimizer.lr * scale }
        : undefined;
      for (const loss of Object.values(losses)) (loss as Tensor | undefined)?.dispose();
      if (values) onLog?.({ iteration: this.iteration, values });
      // Before whoever is told of the step makes a checkpoint of it.
      this.#settle(broken);
      await onStep?.(this.iteration);
    }
    return 'finished';
  }

  #step(batch: Batch): StepLosses {
    try {
      return this.step.run(batch, this.iteration);
    } catch (error) {
      throw this.group?.explain(error) ?? error;
    }
  }

  #read(losses: StepLosses): Record<string, number> {
    return tidy(() => {
      const values = namedLosses(this.#replica?.means({ ...losses }) ?? losses);
      return Object.fromEntries(values.map(([name, value]) => [name, value.item()]));
    });
  }

  /** Counts and tells of steps that are not finite. @throws Error at the first that is one too many. */
  #settle(broken: readonly NotFiniteStep[]): void {
    const most = this.#mayBeSkipped;
    for (const { iteration, what, drawn } of broken) {
      const batch = `Its batch was ${describeDrawn(drawn)}.`;
      if (this.skipped >= most) {
        const why =
          most > 0
            ? `${this.skipped} such steps were skipped before, and skipNotFinite allows no more (--skip-not-finite ${most})`
            : 'the weights are of no use any more';
        throw new Error(
          `${what} at step ${iteration}: ${why}, and training stops. ${batch} ${WHAT_TO_DO}${most > 0 ? '' : '. Or have such steps skipped (--skip-not-finite COUNT)'}`,
        );
      }
      this.skipped++;
      const message = `${what}: the step was skipped, number ${this.skipped} of at most ${most}. ${batch}`;
      this.#onSkipped?.({ iteration, message });
    }
  }

  /**
   * Writes the student's model into `directory`, then the state, which is there at one moment: whatever dies before it, the
   * state before is the newest. That one is kept as well.
   * @param beside plain JSON that belongs to the state: a trainer that takes it up has it as `beside`.
   * @throws Error, before it writes anything, as `run` does, and if a weight is not finite.
   */
  save(directory: string, beside: Readonly<Record<string, unknown>> = {}): void {
    this.#settle(this.#finite.take());
    tidy(() => checkWeights(this.learner.stateDict(), this.iteration));
    saveSegmentor(join(directory, MODEL_FILE), this.learner.segmentor);
    const { parts } = this.step;
    const optimizer = this.optimizer.stateDict();
    tidy(() => {
      const tensors = new Map<string, Tensor>([
        ...[...parts.state()].flatMap(([name, part]) => prefixed(name, part.stateDict())),
        ...prefixed('optimizer', optimizer.tensors),
        ...[...parts.generators()].map(([name, generator]) => {
          const state = generator.getState();
          return [`rng.${name}`, fromTypedArray(state, [state.length])] as const;
        }),
      ]);
      const texts = {
        format: FORMAT,
        ...aboutTexts(this.learner.segmentor),
        experiment: JSON.stringify(this.experiment),
        state: JSON.stringify({
          iteration: this.iteration,
          skipped: this.skipped,
          optimizer: optimizer.settings,
          augment: parts.augmentRng.getState(),
          loader: this.loader.getState(),
        }),
        beside: JSON.stringify(beside),
      };
      commitCheckpoint(directory, (file) => saveSafetensors(file, tensors, texts, { checksum: true }));
    });
  }

  /** What the files of `save` take, less their headers: that of the state, and the model's. */
  bytes(): SavedBytes {
    return savedBytes(this.step.parts);
  }

  /**
   * Takes up the newest whole state that `save` wrote, or one of its files: what follows is what would have followed there,
   * or in an experiment of this length, learning rate or precision.
   * @throws Error if there is none, or the file is of another experiment.
   */
  restore(checkpoint: string): void {
    const path = statSync(checkpoint).isDirectory() ? findCheckpoint(checkpoint)?.file : checkpoint;
    if (path === undefined) throw new Error(`${checkpoint} has no checkpoint of a training`);
    tidy(() => {
      const { tensors, metadata } = loadSafetensors(path);
      if (!FORMATS.includes(metadata.format)) {
        throw new Error(`${path} is no training checkpoint of this version`);
      }
      const saved = parsedBy(experimentSchema, savedExperiment(path, metadata));
      if (!saved.success || !sameButChangeable(saved.data, this.experiment)) {
        throw new Error(`${path} belongs to another experiment than the one to be resumed`);
      }
      const { licence } = readAbout(path, metadata).about ?? {};
      this.learner.segmentor.about = { ...this.learner.segmentor.about, licence };
      const state = savedState(path, metadata);
      const { parts, execution } = this.step;
      const part = (prefix: string) =>
        new Map(
          [...tensors].flatMap(([name, value]) =>
            name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), value] as const] : [],
          ),
        );
      for (const [name, stateful] of parts.state()) stateful.loadStateDict(part(name));
      execution.weightsChanged();
      this.optimizer.loadStateDict({ tensors: part('optimizer'), settings: state.optimizer });
      for (const [name, generator] of parts.generators()) {
        generator.setState(tensors.get(`rng.${name}`)!.toArray() as Uint8Array);
      }
      parts.augmentRng.setState(state.augment);
      this.loader.setState(state.loader);
      this.iteration = state.iteration;
      this.skipped = state.skipped;
      this.beside = savedBeside(path, metadata);
    });
  }

  /** Frees everything but the data. */
  async dispose(): Promise<void> {
    await this.loader.dispose();
    this.#replica?.dispose();
    this.#finite.dispose();
    this.step.dispose();
    this.optimizer.dispose();
    this.learner.dispose();
  }
}

/** The device is waited for once. */
function checkWeights(weights: ReadonlyMap<string, Tensor>, iteration: number): void {
  const finite = ops.stack([...weights.values()].map((value) => value.isfinite().all())).toArray();
  const broken = [...weights.keys()].find((_, i) => !finite[i]);
  if (broken === undefined) return;
  throw new Error(
    `the weight ${broken} is not finite at step ${iteration}: the weights are of no use any more, and training stops. ${WHAT_TO_DO}`,
  );
}

const WHAT_TO_DO =
  'What was saved before is whole: resume it with a smaller learning rate (--resume RUN --lr RATE), from the checkpoint before it (--from STEP), or in float32 (--precision float32)';

function prefixed(prefix: string, tensors: ReadonlyMap<string, Tensor>): [string, Tensor][] {
  return [...tensors].map(([name, value]) => [`${prefix}.${name}`, value]);
}
