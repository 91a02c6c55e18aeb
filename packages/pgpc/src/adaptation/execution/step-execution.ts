// How a step is computed: CUDA graphs, 16-bit weights, activation checkpointing, ranks. The step knows none of it.

import {
  type AutocastDtype,
  alone,
  cudaAvailable,
  type GradientReducer,
  nn,
  type optim,
  type Tensor,
  tidy,
  type World,
} from '@pgpc/torch';
import type { Precision } from '../../config/precision.js';
import type { Learner } from '../learner.js';
import type { StepParts } from '../step-parts.js';
import { eager, GraphedStages, type Stages, type Tensors } from './stages.js';

/** Where, how precisely and by whom a step is computed. */
export interface StepSurroundings {
  /** The ranks that share the batch; left out: this process has all of it. */
  world?: World | undefined;
  /** Averages the gradients over the ranks; absent in a single process. */
  reducer?: GradientReducer | undefined;
  /** Runs the student's blocks twice instead of keeping their activations. */
  activationCheckpointing?: boolean | undefined;
  /** What the products of all networks are computed in; float32 by default, as everything else is. */
  precision?: Precision | undefined;
  /**
   * Records the step's stages as CUDA graphs; by default where the student is on a GPU. Steps that cannot be recorded run
   * operator by operator all the same: with several processes, parts that are not `recordable`, or a moving anchor share.
   */
  graphs?: boolean | undefined;
}

/** Runs the stages of a step, its backward passes and its updates. */
export class StepExecution {
  readonly world: World;
  readonly #reducer: GradientReducer | undefined;
  /** Of the student's activations; undefined: all are kept until the backward pass. */
  readonly #checkpoints: nn.ActivationCheckpoints | undefined;
  readonly #stages: Stages;
  /** 16-bit copies of the student's weights, in which its gradients gather, and of the teacher's. */
  readonly #studentCasts: nn.CastWeights | undefined;
  readonly #teacherCasts: nn.CastWeights | undefined;

  constructor(
    readonly student: Learner,
    parts: StepParts,
    readonly optimizer: optim.Optimizer,
    surroundings: StepSurroundings,
  ) {
    const { world = alone, reducer, activationCheckpointing = false, precision = 'float32' } = surroundings;
    this.world = world;
    this.#reducer = reducer;
    if (activationCheckpointing) {
      this.#checkpoints = new nn.ActivationCheckpoints(student.segmentor.checkpointable);
    }
    const dtype: AutocastDtype = precision === 'float32' ? undefined : precision;
    const { teacher, featureDistance } = parts;
    for (const network of [student, teacher?.network, featureDistance?.encoder]) network?.autocast_(dtype);
    if (precision !== 'float32') {
      // Not where ranks average the gradients of the weights themselves, during the backward pass.
      if (world.size === 1) this.#studentCasts = new nn.CastWeights(student, precision);
      if (teacher) this.#teacherCasts = new nn.CastWeights(teacher.network, precision);
      if (featureDistance) nn.narrowWeights_(featureDistance.encoder, precision);
    }
    const { device } = student.parameters()[0]!;
    const graphs = surroundings.graphs ?? (cudaAvailable() && device.startsWith('cuda'));
    this.#stages = graphs && world.size === 1 && parts.recordable ? new GraphedStages() : eager;
  }

  /** A whole step. All its tensors but the result are freed. @param kind steps of one kind run the same operators. */
  step<T>(kind: string, work: () => T): T {
    const run = () =>
      tidy(() => {
        this.#stages.begin(kind);
        return work();
      });
    return this.#checkpoints ? this.#checkpoints.record(run) : run();
  }

  /** One stage of a step; see {@link Stages.run}. */
  stage<I extends Tensors, O extends Tensors>(name: string, inputs: I, work: (inputs: I) => O): O {
    return this.#stages.run(name, inputs, work);
  }

  zeroGrad(): void {
    this.optimizer.zeroGrad();
    this.#studentCasts?.zeroGrad();
  }

  /** @param last whether no other loss of this step follows, so that the gradients can be exchanged. */
  backward(loss: Tensor, last: boolean): void {
    if (!this.#checkpoints) {
      if (last) this.#reducer?.prepare(loss);
      loss.backward();
      return;
    }
    this.#checkpoints.backward(loss);
    if (last) this.#reducer?.average();
  }

  /** What has gathered for a parameter of the student since `zeroGrad`, perhaps in 16 bits. */
  gradientOf(param: Tensor): Tensor | null {
    return this.#studentCasts ? this.#studentCasts.gradientOf(param) : param.grad;
  }

  update(): void {
    this.optimizer.step(this.#studentCasts?.gradientOf);
    this.#studentCasts?.refresh();
  }

  teacherMoved(): void {
    this.#teacherCasts?.refresh();
  }

  /** To be called after others have changed weights of the student or the teacher. */
  weightsChanged(): void {
    this.#studentCasts?.refresh();
    this.#teacherCasts?.refresh();
  }

  dispose(): void {
    this.#stages.dispose();
    this.#studentCasts?.dispose();
    this.#teacherCasts?.dispose();
  }
}
