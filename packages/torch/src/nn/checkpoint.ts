// Activation checkpointing: less memory for more time (Chen et al. 2016, arXiv 1604.06174).

import { autocast, autocastDtype } from '../autocast.js';
import { native } from '../native.js';
import { keep, Tensor, tidy } from '../tensor.js';
import { type AnyModule, interceptCalls } from './module.js';

/** The pass over a checkpointed module that is under way. */
interface Pass {
  readonly draws: Tensor[];
  /** How many of the draws have been used again; undefined in the first pass, which makes them. */
  used?: number;
}

let pass: Pass | undefined;

/**
 * The result of `draw`, which makes what a module decides at random. When a checkpointed module runs again, it is the
 * tensor of the first time: no generator is asked twice, and the gradient is that of what was computed.
 */
export function drawnOnce(draw: () => Tensor): Tensor {
  if (pass === undefined) return draw();
  if (pass.used !== undefined) return pass.draws[pass.used++]!;
  const drawn = keep(draw());
  pass.draws.push(drawn);
  return drawn;
}

/** Whether a module runs for the second time on the same input, so that running statistics have seen it already. */
export function isRecomputing(): boolean {
  return pass?.used !== undefined;
}

/** Where the graph was cut: what comes after it sees a leaf, whose gradient `back` takes on to what came before. */
interface Cut {
  leaf: Tensor;
  /** What is needed until then and goes with the cut. */
  held: Tensor[];
  back: (gradient: Tensor) => void;
}

/**
 * Trains through modules and keeps only their inputs: each runs without recording a graph, and once more, with
 * one, when the backward pass has come to its output.
 *
 * ```ts
 * const checkpoints = new nn.ActivationCheckpoints(network.blocks);
 * checkpoints.record(() => checkpoints.backward(loss(network.call(x))));
 * ```
 *
 * Such a module takes a tensor and any other values but tensors, gives one tensor, and draws at random by the layers of
 * this package or by {@link drawnOnce}. Anything may lie between the modules, with one limit: what the loss depends on
 * both by way of a checkpointed module and without one has to be a leaf, or the output of a checkpointed module, or made
 * of these by operators that keep no tensor for the backward pass, such as sums and views.
 */
export class ActivationCheckpoints {
  readonly #modules: ReadonlySet<AnyModule>;
  #tape: Cut[] = [];
  /** The leaves by what the program holds of them. */
  #leaves = new WeakMap<Tensor, Tensor>();

  /** @param modules the ones to run twice. A module inside another runs with it. */
  constructor(modules: Iterable<AnyModule>) {
    this.#modules = new Set(modules);
  }

  /**
   * Runs `fn`, in which `backward` has to be called, and forgets what was recorded, also if it throws. Calls of the
   * modules under `noGrad` run as ever.
   * @throws Error if modules were called after the last `backward`, or without one.
   */
  record<T>(fn: () => T): T {
    const run = (module: AnyModule, args: unknown[]) => this.#run(module, args);
    const before = interceptCalls({ modules: this.#modules, run });
    try {
      const result = fn();
      if (this.#tape.length === 0) return result;
      throw new Error(
        'checkpointed modules were called without a backward pass of their checkpoints: their gradients would be ' +
          'missing; use backward() of the checkpoints, and noGrad() for what is not trained',
      );
    } finally {
      interceptCalls(before);
      this.#forget();
    }
  }

  /**
   * Accumulates the gradients of all leaves, as `loss.backward()` does without checkpoints. Only once for what was
   * called since the last time: nothing of that can be part of a later loss.
   * @param loss of one element.
   * @throws TorchError where there is no graph, or none any more; Error if an input was changed before it was used again.
   */
  backward(loss: Tensor): void {
    const before = interceptCalls(undefined);
    try {
      loss.backward();
      for (let cut = this.#tape.pop(); cut; cut = this.#tape.pop()) {
        const { leaf, back } = cut;
        try {
          tidy(() => {
            const gradient = leaf.grad;
            // Whoever wants the output to live longer has a handle of his own.
            leaf.dispose();
            if (gradient) back(gradient);
          });
        } finally {
          disposeCut(cut);
        }
      }
    } finally {
      interceptCalls(before);
      this.#forget();
    }
  }

  #forget(): void {
    for (const cut of this.#tape) disposeCut(cut);
    this.#tape = [];
    this.#leaves = new WeakMap();
  }

  #run(module: AnyModule, args: unknown[]): unknown {
    const [input, ...rest] = args;
    const name = module.constructor.name;
    if (!(input instanceof Tensor))
      throw new TypeError(`${name} cannot be checkpointed: its input is no tensor`);
    const trained = input.requiresGrad || module.parameters().some((parameter) => parameter.requiresGrad);
    const recording = native.setGradMode(false);
    const before = interceptCalls(undefined);
    const outer = pass;
    const current: Pass = { draws: [] };
    try {
      if (!recording || !trained) return module.call(input, ...rest);
      pass = current;
      const result: unknown = module.call(input, ...rest);
      if (!(result instanceof Tensor))
        throw new TypeError(`${name} cannot be checkpointed: its output is no tensor`);
      const leaf = keep(result.detach()).requiresGrad_();
      native.setGradMode(true);
      const given = this.#given(leaf);
      const [from, owned] = this.#inputOf(input);
      const version = from._version();
      const precision = autocastDtype();
      const back = (gradient: Tensor) => {
        if (from._version() !== version) {
          throw new Error(
            `the input of ${name} was changed in place before it was needed again for backward`,
          );
        }
        const rerun = () => autocast(precision, () => module.call(from, ...rest));
        again(current.draws, rerun).backward(gradient);
      };
      this.#tape.push({ leaf, held: [...current.draws, ...owned], back });
      return given;
    } catch (error) {
      for (const drawn of current.draws) drawn.dispose();
      throw error;
    } finally {
      pass = outer;
      interceptCalls(before);
      native.setGradMode(recording);
    }
  }

  /** A leaf for the program to hold: it may dispose of it, and the leaf stays. */
  #given(leaf: Tensor): Tensor {
    const given = leaf.alias();
    this.#leaves.set(given, leaf);
    return given;
  }

  /** What a module is to read when it runs again, and what of that the module's cut owns. */
  #inputOf(input: Tensor): [from: Tensor, owned: Tensor[]] {
    if (!input.requiresGrad) {
      const same = keep(input.detach());
      return [same, [same]];
    }
    const known = this.#leaves.get(input);
    if (known) return [known, []];
    // Cut here as well: several modules may read it, and the graph before it should be walked once. Parts of it may
    // also lie before other cuts, so it is kept until the last handle on it is gone.
    const before = keep(input.alias());
    const leaf = keep(input.detach()).requiresGrad_();
    const back = (gradient: Tensor) => before.backward(gradient, { retainGraph: true });
    this.#tape.push({ leaf, held: [before], back });
    this.#leaves.set(input, leaf);
    return [leaf, []];
  }
}

function again<T>(draws: Tensor[], run: () => T): T {
  pass = { draws, used: 0 };
  try {
    return run();
  } finally {
    pass = undefined;
  }
}

function disposeCut({ leaf, held }: Cut): void {
  for (const tensor of [leaf, ...held]) tensor.dispose();
}
