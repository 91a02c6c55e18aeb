// The base of every layer and network: a tree of named parameters, buffers and child modules.

import { type AutocastDtype, autocast } from '../autocast.js';
import { noGrad } from '../autograd.js';
import type { DType } from '../dtype.js';
import { keep, type Tensor, tidy } from '../tensor.js';

/** A module of any input and output, for places that only look at its parameters. */
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

/** What a state dict and a module did not have in common. */
export interface LoadReport {
  /** Names that the module has and the state dict lacks; their values stayed as they were. */
  missing: string[];
  /** Names that the state dict has and the module lacks; their values were not used. */
  unexpected: string[];
}

/**
 * The base class of layers and networks.
 *
 * A subclass registers what it owns under the name that PyTorch gives it, as in libtorch's own C++ classes, so
 * that the names of its state dict are those of a PyTorch checkpoint:
 *
 * ```ts
 * class Mlp extends Module {
 *   readonly fc1 = this.registerModule('fc1', new Linear(4, 16));
 *   readonly fc2 = this.registerModule('fc2', new Linear(16, 4));
 *   forward(x: Tensor): Tensor {
 *     return this.fc2.call(this.fc1.call(x).relu());
 *   }
 * }
 * ```
 *
 * `forward` says what the module computes; `call` runs it and frees its intermediate tensors. Names come in the
 * order of registration: a module's own parameters, then its own buffers, then its children.
 */
export abstract class Module<Args extends unknown[] = [x: Tensor], Result = Tensor> {
  readonly #parameters = new Map<string, Tensor>();
  readonly #buffers = new Map<string, Tensor>();
  readonly #children = new Map<string, AnyModule>();
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

  /**
   * Makes `value` a trained parameter of this module: it requires a gradient and outlives any `tidy` scope.
   * @returns `value`
   * @throws Error if the name is taken, empty or has a dot
   */
  protected registerParameter(name: string, value: Tensor): Tensor {
    this.#checkName(name);
    this.#parameters.set(name, keep(value).requiresGrad_());
    return value;
  }

  /**
   * Makes `value` part of the module's state without training it; it outlives any `tidy` scope.
   * @returns `value`
   * @throws Error if the name is taken, empty or has a dot
   */
  protected registerBuffer(name: string, value: Tensor): Tensor {
    this.#checkName(name);
    this.#buffers.set(name, keep(value));
    return value;
  }

  /**
   * Makes `child` a part of this module.
   * @returns `child`
   * @throws Error if the name is taken, empty or has a dot
   */
  protected registerModule<M extends AnyModule>(name: string, child: M): M {
    this.#checkName(name);
    this.#children.set(name, child);
    return child;
  }

  /** This module under the name `''` and all below it by their dotted names, parents first, each once. */
  namedModules(): Map<string, AnyModule> {
    const named = new Map<string, AnyModule>();
    const seen = new Set<AnyModule>();
    for (const [name, module] of this.#tree('')) {
      if (!seen.has(module)) named.set(name, module);
      seen.add(module);
    }
    return named;
  }

  /** All parameters by their dotted names; one that is shared comes once, under its first name. */
  namedParameters(): Map<string, Tensor> {
    return this.#collect((module) => module.#parameters);
  }

  /** All parameters, each once, in the order of `namedParameters`. */
  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** All buffers by their dotted names; one that is shared comes once, under its first name. */
  namedBuffers(): Map<string, Tensor> {
    return this.#collect((module) => module.#buffers);
  }

  /** All buffers, each once, in the order of `namedBuffers`. */
  buffers(): Tensor[] {
    return [...this.namedBuffers().values()];
  }

  /** All parameters and buffers by PyTorch's names: the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [prefix, module] of this.#tree('')) {
      for (const own of [module.#parameters, module.#buffers]) {
        for (const [name, value] of own) state.set(join(prefix, name), value);
      }
    }
    return state;
  }

  /**
   * Copies the values of `state` into the parameters and buffers of the same names, converting dtypes. Nothing is
   * copied unless everything fits.
   * @throws Error that lists every tensor of another shape and, if strict, every missing and unexpected name
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    {
      strict = true,
    }: {
      /** Whether names that only one side has are an error (the default) or only reported. */
      strict?: boolean;
    } = {},
  ): LoadReport {
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unexpected = [...state.keys()].filter((name) => !own.has(name));
    const pairs: [target: Tensor, source: Tensor][] = [];
    const misshaped: string[] = [];
    for (const [name, target] of own) {
      const source = state.get(name);
      if (!source) continue;
      if (sameShape(source, target)) pairs.push([target, source]);
      else misshaped.push(`${name}: the module has [${target.shape}], the state dict [${source.shape}]`);
    }
    const faults: [what: string, names: string[]][] = [['of another shape', misshaped]];
    if (strict) faults.unshift(['missing in the state dict', missing], ['unknown to the module', unexpected]);
    const report = faults
      .filter(([, names]) => names.length > 0)
      .map(([what, names]) => `${names.length} ${what}:\n  ${names.join('\n  ')}`);
    if (report.length > 0) {
      const hint = strict ? ' (strict: false would accept missing and unknown names)' : '';
      throw new Error(`The state dict does not fit ${this.constructor.name}${hint}.\n${report.join('\n')}`);
    }
    tidy(() =>
      noGrad(() => {
        for (const [target, source] of pairs) target.copy_(source);
      }),
    );
    return { missing, unexpected };
  }

  /** Sets training mode (batch statistics, dropout) or, with `false`, evaluation mode, here and below. */
  train(on = true): this {
    this.#training = on;
    for (const child of this.#children.values()) child.train(on);
    return this;
  }

  /** Sets evaluation mode, here and below. */
  eval(): this {
    return this.train(false);
  }

  /**
   * Moves all parameters and buffers to a device, the floating-point ones to a dtype, and drops gradients. Do this
   * before an optimizer keeps running values of the parameters.
   */
  to({
    dtype,
    device,
  }: {
    dtype?: DType;
    /** 'cpu', 'cuda', 'cuda:1', ... */
    device?: string;
  }): this {
    this.zeroGrad();
    tidy(() =>
      noGrad(() => {
        for (const tensor of this.stateDict().values()) {
          tensor.setData(tensor.to({ dtype: tensor.isFloatingPoint() ? dtype : null, device }));
          tensor.changed();
        }
      }),
    );
    return this;
  }

  /** Switches gradients of all parameters on or off. */
  requiresGrad_(on = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(on);
    return this;
  }

  /** Drops the gradients of all parameters: they become `null`, not zero, and their memory is free. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Calls `visit` on every module below, children before parents, and last on this one. */
  apply(visit: (module: AnyModule) => void): this {
    for (const child of this.#children.values()) child.apply(visit);
    visit(this);
    return this;
  }

  /** Frees all parameters and buffers with their gradients. The module cannot be used afterwards. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkName(name: string): void {
    const owner = this.constructor.name;
    if (name === '' || name.includes('.')) {
      throw new Error(`${owner} cannot register the name '${name}': it must not be empty or have a dot.`);
    }
    if (this.#parameters.has(name) || this.#buffers.has(name) || this.#children.has(name)) {
      throw new Error(`${owner} has already registered the name '${name}'.`);
    }
  }

  *#tree(prefix: string): Generator<[name: string, module: AnyModule]> {
    yield [prefix, this];
    for (const [name, child] of this.#children) yield* child.#tree(join(prefix, name));
  }

  #collect(own: (module: AnyModule) => Map<string, Tensor>): Map<string, Tensor> {
    const named = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    for (const [prefix, module] of this.#tree('')) {
      for (const [name, value] of own(module)) {
        if (!seen.has(value)) named.set(join(prefix, name), value);
        seen.add(value);
      }
    }
    return named;
  }
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.ndim === b.ndim && a.shape.every((size, axis) => size === b.shape[axis]);
}
