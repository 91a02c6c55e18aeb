// The stages of a step, which run the same operators on the same shapes every time: operator by operator, or, on a GPU,
// recorded once and started as a whole.

import { CudaGraph, keep, noGrad, type Tensor, tidy } from '@pgpc/torch';

export type Tensors = Readonly<Record<string, Tensor | undefined>>;

/** Runs the stages of a step. */
export interface Stages {
  /** At the beginning of a step. @param kind of the step; steps of one kind run the same operators. */
  begin(kind: string): void;
  /**
   * Runs one stage, in a `tidy` scope.
   * @param inputs all tensors that are new in this step and that the stage reads.
   * @param work the stage. It may also change what outlives the step: weights, gradients, banks, generators.
   * @returns what `work` gives, valid until the next step.
   */
  run<I extends Tensors, O extends Tensors>(name: string, inputs: I, work: (inputs: I) => O): O;
  dispose(): void;
}

/** Operator by operator. */
export const eager: Stages = {
  begin() {},
  run: (_name, inputs, work) => tidy(() => work(inputs)),
  dispose() {},
};

/** Steps of a kind before it is recorded: the optimizer, cuDNN and the generators make what they need in the first. */
const WARM_UP = 3;

interface Recorded {
  graph: CudaGraph;
  /** Where the inputs have to be. */
  inputs: Tensors;
  outputs: Tensors;
}

/**
 * As CUDA graphs. All stages of a step are recorded in the same step and share their memory. What one leaves to another,
 * gradients above all, then lies in the same place in every step.
 */
export class GraphedStages implements Stages {
  readonly #parts = new Map<string, Recorded>();
  #kind: string | undefined;
  #steps = 0;
  #last: CudaGraph | undefined;

  begin(kind: string): void {
    if (kind !== this.#kind) {
      this.dispose();
      this.#kind = kind;
      this.#steps = 0;
    }
    this.#steps++;
  }

  run<I extends Tensors, O extends Tensors>(name: string, inputs: I, work: (inputs: I) => O): O {
    if (this.#steps <= WARM_UP) return eager.run(name, inputs, work);
    if (this.#steps === WARM_UP + 1) this.#record(name, inputs, work);
    else this.#fill(name, inputs);
    const { graph, outputs } = this.#parts.get(name)!;
    graph.replay();
    return mapped(outputs, (tensor) => noGrad(() => tensor.alias())) as O;
  }

  #record<I extends Tensors>(name: string, inputs: I, work: (inputs: I) => Tensors): void {
    const held = mapped(inputs, (tensor) => keep(noGrad(() => tensor.clone())));
    const { graph, result } = CudaGraph.record(() => tidy(() => work(held as I)), this.#last);
    this.#last = graph;
    this.#parts.set(name, { graph, inputs: held, outputs: mapped(result, keep) });
  }

  #fill(name: string, inputs: Tensors): void {
    const { inputs: held } = this.#parts.get(name)!;
    noGrad(() => {
      for (const [key, tensor] of Object.entries(inputs)) if (tensor) held[key]!.copy_(tensor, true);
    });
  }

  /** Frees the graphs with all that they made. */
  dispose(): void {
    for (const { inputs, outputs } of this.#parts.values()) {
      for (const tensor of [...Object.values(inputs), ...Object.values(outputs)]) tensor?.dispose();
    }
    for (const { graph } of this.#parts.values()) graph.dispose();
    this.#parts.clear();
    this.#last = undefined;
  }
}

function mapped(tensors: Tensors, change: (tensor: Tensor) => Tensor): Tensors {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, tensor && change(tensor)]),
  );
}
