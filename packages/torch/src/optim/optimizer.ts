// What all optimizers share: groups of parameters, gradients to skip, exact resume.

import { noGrad } from '../autograd.js';
import { ops } from '../ops.js';
import { keep, type Tensor, tidy } from '../tensor.js';
import { fromPytorch, type PytorchState, toPytorch } from './pytorch-state.js';

/** Parameters that share their settings. */
export interface ParameterGroup {
  params: readonly Tensor[];
  /** Learning rate; the optimizer's by default. */
  lr?: number;
  /** The optimizer's by default. */
  weightDecay?: number;
  /** For logs and messages. */
  name?: string;
}

/** A group as the optimizer holds it, with nothing left to default. */
export interface OptimizerGroup {
  readonly params: readonly Tensor[];
  readonly lr: number;
  readonly weightDecay: number;
  readonly name: string;
}

/** All that an optimizer needs to resume exactly where it stopped, besides the parameters themselves. */
export interface OptimizerState {
  /** Running values by `<parameter's position over all groups>.<what it is>`: the tensors themselves, not copies. */
  tensors: Map<string, Tensor>;
  /** Plain values for JSON. */
  settings: {
    /** The number of updates that each parameter has seen. */
    steps: number[];
    groups: { name: string; lr: number; weightDecay: number; size: number }[];
  };
}

/** A setting as PyTorch's groups have it. */
export type PlainSetting = number | boolean | readonly number[];

/** A parameter that takes part in the present step. */
export interface Update {
  /** Position over all groups. */
  readonly index: number;
  readonly param: Tensor;
  readonly grad: Tensor;
}

/**
 * The base class of optimizers. Parameters without a gradient are skipped, and neither decay nor count a step.
 * Updates go through libtorch's list operators: a handful of calls a group, however many parameters it has.
 */
export abstract class Optimizer {
  readonly #groups: { params: readonly Tensor[]; lr: number; weightDecay: number; name: string }[];
  readonly #slots: ReadonlyMap<string, Map<number, Tensor>>;
  readonly #steps: number[];

  /**
   * @param params parameters, or groups of them with settings of their own
   * @param defaults settings of the groups that do not say otherwise
   * @param slots names of the running values that the optimizer keeps for a parameter
   * @throws Error for a parameter that comes twice, no parameter at all, or an impossible setting
   */
  protected constructor(
    params: readonly Tensor[] | readonly ParameterGroup[],
    defaults: { lr: number; weightDecay: number },
    slots: readonly string[],
  ) {
    this.#groups = toGroups(params).map(({ params, lr, weightDecay, name }, index) => ({
      params: [...params],
      lr: checkSetting('lr', lr ?? defaults.lr),
      weightDecay: checkSetting('weightDecay', weightDecay ?? defaults.weightDecay),
      name: name ?? String(index),
    }));
    const all = this.#groups.flatMap((group) => group.params);
    if (all.length === 0) throw new Error('The optimizer has been given no parameters.');
    const twice = all.find((param, index) => all.indexOf(param) !== index);
    if (twice)
      throw new Error(`A parameter of shape [${twice.shape}] comes twice in the optimizer's groups.`);
    this.#steps = all.map(() => 0);
    this.#slots = new Map(slots.map((slot) => [slot, new Map()]));
  }

  get groups(): readonly OptimizerGroup[] {
    return this.#groups;
  }

  /** Sets the learning rate of one group. @throws RangeError for a group that does not exist or a negative rate */
  setLr(groupIndex: number, lr: number): void {
    const group = this.#groups[groupIndex];
    if (!group)
      throw new RangeError(`There is no group ${groupIndex}; the optimizer has ${this.#groups.length}.`);
    group.lr = checkSetting('lr', lr);
  }

  /**
   * Updates all parameters that have a gradient, once. Gradients stay as they are: see `zeroGrad`.
   * @param gradientOf a parameter, of its shape and on its device, of whatever dtype; its own by default.
   */
  step(gradientOf: (param: Tensor) => Tensor | null = ({ grad }) => grad): void {
    tidy(() =>
      noGrad(() => {
        let start = 0;
        for (const group of this.#groups) {
          const updates: Update[] = [];
          for (const [offset, param] of group.params.entries()) {
            const grad = gradientOf(param);
            if (grad) updates.push({ index: start + offset, param, grad });
          }
          if (updates.length > 0) this.update(group, updates);
          for (const { index } of updates) this.#steps[index]! += 1;
          start += group.params.length;
        }
      }),
    );
  }

  /** One step of the parameters of one group that have a gradient; runs without gradients in a `tidy` scope. */
  protected abstract update(group: OptimizerGroup, updates: readonly Update[]): void;

  /** Updates by the number that their parameter's will be, from 1: the same for all that never lacked a gradient. */
  protected byCount(updates: readonly Update[]): Map<number, Update[]> {
    const byCount = new Map<number, Update[]>();
    for (const update of updates) {
      const count = this.#steps[update.index]! + 1;
      const alike = byCount.get(count);
      if (alike) alike.push(update);
      else byCount.set(count, [update]);
    }
    return byCount;
  }

  /** Gradients in the dtype of their parameters, with a share of these added. */
  protected decayed(updates: readonly Update[], weightDecay: number): Tensor[] {
    const gradients = updates.map(({ param, grad }) => grad.to(param.dtype));
    if (weightDecay === 0) return gradients;
    const params = updates.map(({ param }) => param);
    return ops._foreachAdd(gradients, params, { alpha: weightDecay });
  }

  /** The share of the last direction that is kept, or undefined where the method has none; with betas, the first. */
  get momentum(): number | undefined {
    return undefined;
  }

  /** Sets the momentum of all groups. @throws Error where the method has none; RangeError outside of [0, 1) */
  setMomentum(momentum: number): void {
    if (this.momentum === undefined) throw new Error(`${this.constructor.name} has no momentum to set.`);
    if (!(momentum >= 0 && momentum < 1)) {
      throw new RangeError(`A momentum must be in [0, 1), but is ${momentum}.`);
    }
    this.changeMomentum(momentum);
  }

  protected changeMomentum(_momentum: number): void {}

  /** The settings of all groups besides rate and decay, by PyTorch's names. */
  protected abstract settings(): Readonly<Record<string, PlainSetting>>;

  /** What PyTorch keeps of a parameter after some updates that follows from their number. */
  protected derived(_steps: number): Readonly<Record<string, number>> {
    return {};
  }

  /** The running value of each parameter, made by `init` from its position in `updates` where there is none yet. */
  protected slot(name: string, updates: readonly Update[], init: (position: number) => Tensor): Tensor[] {
    const values = this.#slots.get(name)!;
    return updates.map(({ index }, position) => {
      const value = values.get(index) ?? keep(init(position));
      values.set(index, value);
      return value;
    });
  }

  /** Drops the gradients of all parameters: they become `null`, not zero, and their memory is free. */
  zeroGrad(): void {
    for (const { params } of this.#groups) for (const param of params) param.grad = null;
  }

  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    for (const [slot, values] of this.#slots) {
      for (const [index, value] of values) tensors.set(`${index}.${slot}`, value);
    }
    const groups = this.#groups.map(({ name, lr, weightDecay, params }) => ({
      name,
      lr,
      weightDecay,
      size: params.length,
    }));
    return { tensors, settings: { steps: [...this.#steps], groups } };
  }

  /**
   * Takes copies of a state that an optimizer of the same kind and groups gave. Nothing changes unless all fits.
   * @throws Error that names what does not fit: another number or size of groups, an unknown or mis-shaped tensor
   */
  loadStateDict({ tensors, settings }: OptimizerState): void {
    const own = this.#groups.map(({ params }) => params.length).join(', ');
    const theirs = settings.groups.map(({ size }) => size).join(', ');
    if (own !== theirs || settings.steps.length !== this.#steps.length) {
      throw new Error(
        `The optimizer has groups of ${own} parameters, but the state is of groups of ${theirs}.`,
      );
    }
    const params = this.#groups.flatMap((group) => group.params);
    const found: [values: Map<number, Tensor>, index: number, value: Tensor][] = [];
    for (const [name, value] of tensors) {
      const [index, slot] = name.split('.', 2);
      const param = params[Number(index)];
      const values = this.#slots.get(slot ?? '');
      if (!param || !values) throw new Error(`This optimizer has no running value '${name}'.`);
      if (String(value.shape) !== String(param.shape)) {
        throw new Error(
          `The running value '${name}' is [${value.shape}], but its parameter [${param.shape}].`,
        );
      }
      found.push([values, Number(index), value]);
    }
    const groups = settings.groups.map(({ lr, weightDecay }) => ({
      lr: checkSetting('lr', lr),
      weightDecay: checkSetting('weightDecay', weightDecay),
    }));

    this.#freeSlots();
    for (const [values, index, value] of found) {
      const { device } = params[index]!;
      values.set(index, keep(tidy(() => noGrad(() => value.to({ device }).clone()))));
    }
    for (const [index, group] of groups.entries()) Object.assign(this.#groups[index]!, group);
    this.#steps.splice(0, Infinity, ...settings.steps);
  }

  /**
   * The state in the form of PyTorch's `state_dict()`, as `loadPth` reads it: dictionaries are maps. Tensors are the running
   * values themselves, not copies.
   */
  pytorchStateDict(): PytorchState {
    return toPytorch(this.stateDict(), this.settings(), (steps) => this.derived(steps));
  }

  /**
   * Takes copies of a state that PyTorch's optimizer of the same name gave by `state_dict()`, as `loadPth` reads it.
   * Nothing changes unless all fits.
   * @throws Error that names what does not fit: groups, running values, or settings that this optimizer was not made with
   */
  loadPytorchStateDict(state: unknown): void {
    const names = this.#groups.map(({ name }) => name);
    const derived = Object.keys(this.derived(0));
    this.loadStateDict(fromPytorch(state, this.settings(), derived, names));
  }

  /** Frees the running values, not the parameters. */
  dispose(): void {
    this.#freeSlots();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #freeSlots(): void {
    for (const values of this.#slots.values()) {
      for (const value of values.values()) value.dispose();
      values.clear();
    }
  }
}

function toGroups(params: readonly Tensor[] | readonly ParameterGroup[]): readonly ParameterGroup[] {
  const isGroups = (list: readonly object[]): list is readonly ParameterGroup[] =>
    list.length > 0 && list.every((item) => 'params' in item);
  return isGroups(params) ? params : [{ params: params as readonly Tensor[] }];
}

function checkSetting(name: string, value: number): number {
  if (!(value >= 0 && value < Infinity)) {
    throw new RangeError(`The optimizer's ${name} must be 0 or larger, but is ${value}.`);
  }
  return value;
}
