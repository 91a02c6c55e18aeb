// The teacher's weights: copies and running averages of another module's parameters.

import { noGrad } from '../autograd.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import type { StateModule } from './state-module.js';

/**
 * Copies all parameters of `from` into `to`; buffers, such as running statistics, stay as they are.
 * @throws Error if the modules' parameters differ in name or shape
 */
export function copyParameters(from: StateModule, to: StateModule): void {
  const [sources, targets] = pairParameters(from, to);
  noGrad(() => {
    for (const [index, target] of targets.entries()) target.copy_(sources[index]!);
  });
}

/**
 * teacher <- alpha teacher + (1 - alpha) student, over all parameters that the student trains; buffers stay as they are
 * (Tarvainen & Valpola 2017). Of two equal values that sum is not always the same value: what needs no gradient is left out.
 * @param alpha the teacher's own share, 0 ... 1
 * @throws Error if the modules' parameters differ in name or shape
 */
export function emaUpdate_(teacher: StateModule, student: StateModule, alpha: number): void {
  if (!(alpha >= 0 && alpha <= 1))
    throw new RangeError(`The EMA share alpha must be in [0, 1], but is ${alpha}.`);
  const [all, copies] = pairParameters(student, teacher);
  const sources = all.filter(({ requiresGrad }) => requiresGrad);
  if (sources.length === 0) return;
  const targets = sources.length === all.length ? copies : copies.filter((_, i) => all[i]!.requiresGrad);
  ops.call('pgpc::ema_', targets, sources, alpha);
}

type Pairs = [sources: Tensor[], targets: Tensor[]];

/** By the module that is written to: a teacher follows one student, and to compare a thousand names takes milliseconds. */
const known = new WeakMap<StateModule, { from: StateModule; pairs: Pairs }>();

function pairParameters(from: StateModule, to: StateModule): Pairs {
  const before = known.get(to);
  if (before?.from === from) return before.pairs;
  const pairs = matched(from, to);
  known.set(to, { from, pairs });
  return pairs;
}

function matched(from: StateModule, to: StateModule): Pairs {
  const sources = from.namedParameters();
  const targets = to.namedParameters();
  const describe = (named: Map<string, Tensor>) =>
    [...named].map(([name, { shape }]) => `${name} [${shape}]`);
  const theirs = new Set(describe(targets));
  const odd = describe(sources).find((line) => !theirs.delete(line)) ?? [...theirs][0];
  if (odd !== undefined) {
    throw new Error(`The two modules must have the same parameters, but only one has ${odd}.`);
  }
  return [[...sources.values()], [...sources.keys()].map((name) => targets.get(name)!)];
}
