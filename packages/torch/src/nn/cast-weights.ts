// 16-bit copies of weights for passes under autocast, made once a step for all layers together.

import type { AutocastDtype } from '../autocast.js';
import { noGrad } from '../autograd.js';
import { ops } from '../ops.js';
import { keep, type Tensor, tidy } from '../tensor.js';
import { AnyConv } from './conv.js';
import { Linear } from './linear.js';
import { copies } from './products.js';
import type { StateModule } from './state-module.js';

/**
 * Autocast casts each weight and bias at each use, and each gradient back: thousands of small kernels a step, a fifth of
 * the time of a large MiT's step on a GPU. Here all weights are cast by one operator, and gradients stay
 * in 16 bits.
 *
 * The weights stay what they are, and what an optimizer changes. Under autocast of the given dtype, linear layers and
 * convolutions read the copies; gradients gather there, in 16 bits, for an optimizer to find by {@link gradientOf}.
 */
export class CastWeights {
  readonly #weights: Tensor[];
  readonly #casts: Tensor[];

  /** Copies the weights as they are; see {@link refresh}. */
  constructor(network: StateModule, dtype: NonNullable<AutocastDtype>) {
    this.#weights = factorsOf(network);
    this.#casts = this.#weights.map((weight) =>
      keep(tidy(() => noGrad(() => weight.to(dtype))).requiresGrad_(weight.requiresGrad)),
    );
    for (const [i, weight] of this.#weights.entries()) copies.set(weight, this.#casts[i]!);
  }

  /** Takes over what the weights are now: after every change to them. */
  refresh(): void {
    noGrad(() => copyAll(this.#casts, this.#weights));
  }

  /** Drops the copies' gradients, as `zeroGrad` of a module does. */
  zeroGrad(): void {
    for (const cast of this.#casts) cast.grad = null;
  }

  /** What has gathered in the copy of a weight, in 16 bits; of a parameter that has no copy, its own gradient. */
  readonly gradientOf = (param: Tensor): Tensor | null => (copies.get(param) ?? param).grad;

  /** Frees the copies; the layers read their weights again. */
  dispose(): void {
    for (const weight of this.#weights) copies.delete(weight);
    for (const cast of this.#casts) cast.dispose();
  }
}

/**
 * Gives the linear layers and convolutions of a network that is not trained weights of 16 bits: what
 * autocast of the dtype makes of them at each use, in half the memory.
 */
export function narrowWeights_(network: StateModule, dtype: NonNullable<AutocastDtype>): void {
  tidy(() =>
    noGrad(() => {
      for (const weight of factorsOf(network)) {
        weight.setData(weight.to(dtype));
        weight.changed();
      }
    }),
  );
}

/** The weights and biases that autocast casts. */
function factorsOf(network: StateModule): Tensor[] {
  return [...network.namedModules().values()]
    .filter((module) => module instanceof Linear || module instanceof AnyConv)
    .flatMap(({ weight, bias }) => (bias ? [weight, bias] : [weight]));
}

/** Libtorch 1.13 has no operator for all of them. */
const TOGETHER = '_foreachCopy_' in ops;

function copyAll(targets: readonly Tensor[], sources: readonly Tensor[]): void {
  if (targets.length === 0) return;
  if (TOGETHER) ops.call('_foreach_copy_', [...targets], [...sources]);
  else for (const [i, target] of targets.entries()) target.copy_(sources[i]!);
}
