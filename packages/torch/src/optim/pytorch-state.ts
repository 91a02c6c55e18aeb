// States of optimizers in the form that PyTorch gives them.

import { Tensor } from '../tensor.js';
import type { OptimizerState, PlainSetting } from './optimizer.js';

/** What `state_dict()` of an optimizer of PyTorch holds, with dictionaries as maps. */
export type PytorchState = Map<'state' | 'param_groups', unknown>;

type Settings = Readonly<Record<string, PlainSetting>>;

/**
 * @param derived what PyTorch keeps of a parameter besides its running values, from its number of updates
 */
export function toPytorch(
  { tensors, settings: { steps, groups } }: OptimizerState,
  settings: Settings,
  derived: (steps: number) => Readonly<Record<string, number>>,
): PytorchState {
  const state = new Map<number, Map<string, unknown>>();
  for (const [index, count] of steps.entries()) {
    if (count > 0)
      state.set(index, new Map<string, unknown>(Object.entries({ step: count, ...derived(count) })));
  }
  for (const [name, value] of tensors) {
    const [index, slot] = name.split('.', 2);
    state.get(Number(index))?.set(slot!, value);
  }
  let next = 0;
  const written = groups.map(({ lr, weightDecay, size }) => {
    const params = Array.from({ length: size }, () => next++);
    return new Map<string, unknown>(Object.entries({ lr, weight_decay: weightDecay, ...settings, params }));
  });
  return new Map<'state' | 'param_groups', unknown>([
    ['state', state],
    ['param_groups', written],
  ]);
}

/** Settings of PyTorch that say how it computes, or that it keeps for schedules; what is computed does not depend on them. */
const WITHOUT_EFFECT = new Set([
  'foreach',
  'capturable',
  'differentiable',
  'fused',
  'initial_lr',
  'params',
  'name',
]);

/**
 * @param settings what the optimizer was made with
 * @param derived the names of what follows from the number of updates
 * @param names of the optimizer's groups
 * @throws Error for another form, or settings that the optimizer was not made with
 */
export function fromPytorch(
  given: unknown,
  settings: Settings,
  derived: readonly string[],
  names: readonly string[],
): OptimizerState {
  const [state, groups] = given instanceof Map ? [given.get('state'), given.get('param_groups')] : [];
  if (!(state instanceof Map && Array.isArray(groups) && groups.every((group) => group instanceof Map))) {
    throw new Error(
      "This is no optimizer's state of PyTorch, a dictionary with state and param_groups: give what " +
        "optimizer.state_dict() was saved as, such as loadPth(path).get('optimizer').",
    );
  }
  // Parameters are numbered over all groups, in their order.
  const order = (groups as Map<string, unknown>[]).flatMap((group) => group.get('params') as number[]);
  const steps = order.map(() => 0);
  const tensors = new Map<string, Tensor>();
  for (const [position, id] of order.entries()) {
    for (const [slot, value] of (state.get(id) as Map<string, unknown> | undefined) ?? []) {
      if (slot === 'step') steps[position] = value instanceof Tensor ? value.item() : Number(value);
      else if (value instanceof Tensor && !derived.includes(slot)) tensors.set(`${position}.${slot}`, value);
    }
  }
  const read = (groups as Map<string, unknown>[]).map((group, index) => {
    checkSettings(group, settings, index);
    const size = (group.get('params') as number[]).length;
    const weightDecay = Number(group.get('weight_decay') ?? 0);
    return { name: names[index] ?? String(index), lr: Number(group.get('lr')), weightDecay, size };
  });
  return { tensors, settings: { steps, groups: read } };
}

function checkSettings(group: Map<string, unknown>, settings: Settings, index: number): void {
  for (const [name, value] of group) {
    if (name === 'lr' || name === 'weight_decay' || WITHOUT_EFFECT.has(name)) continue;
    const own = settings[name];
    const same = own === undefined ? !value : JSON.stringify(own) === JSON.stringify(value);
    if (same) continue;
    const here =
      own === undefined ? 'this optimizer has no such setting' : `here it is ${JSON.stringify(own)}`;
    throw new Error(
      `The state's group ${index} has ${name} = ${JSON.stringify(value)}, but ${here}: make the optimizer with the ` +
        'settings of the state.',
    );
  }
}
