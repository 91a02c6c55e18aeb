// Autograd beyond Tensor.backward: modes in which nothing is recorded, and gradients by function.

import { attempt } from './errors.js';
import { native } from './native.js';
import { liveHandle, Tensor } from './tensor.js';

function synchronous<T>(name: string, result: T): T {
  if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
    throw new TypeError(`${name}() needs a synchronous function: the mode ends when it returns`);
  }
  return result;
}

/** Runs `fn` without recording operations for backward. @throws TypeError if `fn` returns a promise. */
export function noGrad<T>(fn: () => T): T {
  const before = native.setGradMode(false);
  try {
    return synchronous('noGrad', fn());
  } finally {
    native.setGradMode(before);
  }
}

/** Runs `fn` with recording on, inside {@link noGrad}. @throws TypeError if `fn` returns a promise. */
export function enableGrad<T>(fn: () => T): T {
  const before = native.setGradMode(true);
  try {
    return synchronous('enableGrad', fn());
  } finally {
    native.setGradMode(before);
  }
}

/**
 * As {@link noGrad}, and faster: tensors made inside carry no autograd bookkeeping at all and can never take part
 * in a graph.
 */
export function inferenceMode<T>(fn: () => T): T {
  native.enterInferenceMode();
  try {
    return synchronous('inferenceMode', fn());
  } finally {
    native.leaveInferenceMode();
  }
}

export interface GradOptions {
  /** Gradients of the outputs; may be left out for outputs of one element. */
  gradOutputs?: readonly (Tensor | null)[];
  retainGraph?: boolean;
  /** Records the gradients' own computation, for second derivatives. */
  createGraph?: boolean;
  /** Gives null for an input that the outputs do not depend on, instead of throwing. */
  allowUnused?: boolean;
}

/**
 * The gradients of the sum of `outputs` with respect to `inputs`, without touching any `.grad`.
 * @throws TorchError where there is no graph (or no longer), or an input is not part of it.
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  const { createGraph = false, retainGraph = createGraph, allowUnused = false } = options;
  const from = outputs instanceof Tensor ? [outputs] : outputs;
  const seeds = options.gradOutputs ?? from.map(() => null);
  if (seeds.length !== from.length) {
    throw new RangeError(`gradOutputs has ${seeds.length} entries for ${from.length} outputs`);
  }
  const fromHandles = from.map(liveHandle);
  const inputHandles = inputs.map(liveHandle);
  const seedHandles = seeds.map((seed) => (seed === null ? 0 : liveHandle(seed)));
  return attempt('grad', [from, inputs], () =>
    native.grad(fromHandles, inputHandles, seedHandles, retainGraph, createGraph, allowUnused),
  ).map((handle) => (handle === 0 ? null : new Tensor(handle)));
}
