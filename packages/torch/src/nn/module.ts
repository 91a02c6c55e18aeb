// The base of every layer and network: what has a state and computes something.

import { type AutocastDtype, autocast } from '../autocast.js';
import { type Tensor, tidy } from '../tensor.js';
import { StateModule } from './state-module.js';

/** A module of any input and output, for places that run it without looking at them. */
// biome-ignore lint/suspicious/noExplicitAny: what a child takes and returns is known to its parent alone
export type AnyModule = Module<any, any>;

/** Is told when modules run: the profiler. */
export interface CallWatcher {
  /** Before `forward`. @returns whether `leave` is to be called after it. */
  enter(module: AnyModule): boolean;
  leave(): void;
}

let watcher: CallWatcher | undefined;

/** Has `calls` told of every module that runs. @returns a function that ends it. */
export function watchCalls(calls: CallWatcher): () => void {
  watcher = calls;
  return () => {
    watcher = undefined;
  };
}

/** Runs some modules in a way of its own: activation checkpointing. */
export interface CallInterceptor {
  readonly modules: ReadonlySet<AnyModule>;
  /** @returns what the module's `forward` gives. */
  run(module: AnyModule, args: unknown[]): unknown;
}

let interceptor: CallInterceptor | undefined;

/** Has `calls` run its modules, or nobody. @returns who did so before. */
export function interceptCalls(calls: CallInterceptor | undefined): CallInterceptor | undefined {
  const before = interceptor;
  interceptor = calls;
  return before;
}

/**
 * The base class of layers and networks: a {@link StateModule} that computes something.
 *
 * `forward` says what the module computes; `call` runs it and frees its intermediate tensors.
 */
export abstract class Module<Args extends unknown[] = [x: Tensor], Result = Tensor> extends StateModule {
  #training = true;
  #autocast: AutocastDtype;

  /** What the module computes. Call it through `call`, which also frees the intermediate tensors. */
  abstract forward(...args: Args): Result;

  /**
   * Runs `forward` in a `tidy` scope: every tensor made inside is disposed on return, except the result and what
   * autograd saved for the backward pass. This keeps the peak memory where reference counting would keep it.
   */
  call(...args: Args): Result {
    if (interceptor?.modules.has(this)) return interceptor.run(this, args) as Result;
    if (!watcher?.enter(this)) return this.#run(args);
    try {
      return this.#run(args);
    } finally {
      watcher?.leave();
    }
  }

  #run(args: Args): Result {
    if (this.#autocast === undefined) return tidy(() => this.forward(...args));
    return tidy(() => autocast(this.#autocast, () => this.forward(...args)));
  }

  /** Has this module, with all below it, run in automatic mixed precision from here on, or, with undefined, as it is. */
  autocast_(dtype: AutocastDtype): this {
    this.#autocast = dtype;
    return this;
  }

  /** Whether the module is in training mode (the state after construction) rather than evaluation mode. */
  get training(): boolean {
    return this.#training;
  }

  /** Sets training mode (batch statistics, dropout) or, with `false`, evaluation mode, here and below. */
  train(on = true): this {
    for (const module of this.namedModules().values()) if (module instanceof Module) module.#training = on;
    return this;
  }

  /** Sets evaluation mode, here and below. */
  eval(): this {
    return this.train(false);
  }
}
