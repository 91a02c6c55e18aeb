// What a network computes, operator by operator: for exports to other runtimes.

import { watchCalls } from './nn/module.js';
import type { StateModule } from './nn/state-module.js';
import { type OperatorCall, watchOperators } from './ops.js';

export type { OperatorCall } from './ops.js';

/** An operator's call and where in the network it was made. */
export interface TracedCall extends OperatorCall {
  /** Dotted path of the innermost module that was running; '' outside of all. */
  readonly module: string;
}

/**
 * Runs `work` and tells of every operator that it calls, in order, each when it has run: of tensors that scopes free later
 * the values can be read then, and the tensors still tell one another apart afterwards.
 * @param network whose modules give their paths
 * @returns what `work` returns
 */
export function traceOperators<T>(
  network: StateModule,
  work: () => T,
  onCall: (call: TracedCall) => void,
): T {
  const paths = new Map([...network.namedModules()].map(([path, module]) => [module, path]));
  const running: string[] = [];
  const unwatch = watchCalls({
    enter: (module) => {
      const path = paths.get(module);
      if (path === undefined) return false;
      running.push(path);
      return true;
    },
    leave: () => running.pop(),
  });
  const before = watchOperators((call) => onCall({ ...call, module: running.at(-1) ?? '' }));
  try {
    return work();
  } finally {
    watchOperators(before);
    unwatch();
  }
}
