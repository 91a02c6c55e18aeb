// What has a state: named parameters, buffers and children, each registered by being a field.

import { noGrad } from '../autograd.js';
import type { DType } from '../dtype.js';
import { keep, Tensor, tidy } from '../tensor.js';

/** What a state dict and a module did not have in common. */
export interface LoadReport {
  /** Names that the module has and the state dict lacks; their values stayed as they were. */
  missing: string[];
  /** Names that the state dict has and the module lacks; their values were not used. */
  unexpected: string[];
}

type Kind = 'parameter' | 'buffer';

/** What a module itself owns, by name. */
interface Members {
  readonly parameters: Map<string, Tensor>;
  readonly buffers: Map<string, Tensor>;
  readonly children: Map<string, StateModule>;
}

/**
 * The base of what owns tensors: a tree of named parameters, buffers and children. {@link Module} adds what can be called.
 *
 * A public field is part of the tree if it holds a module, or a tensor that `parameter` or `buffer` marked. Its name is the
 * field's in snake_case, as PyTorch would have it: `decodeHead` is `decode_head`, `block1` stays `block1`.
 *
 * ```ts
 * class Mlp extends Module {
 *   readonly fc1 = new Linear(4, 16);
 *   readonly fc2 = new Linear(16, 4);
 *   readonly scale = this.parameter(ones([4]));
 *   forward(x: Tensor): Tensor {
 *     return this.fc2.call(this.fc1.call(x).relu()).mul(this.scale);
 *   }
 * }
 * ```
 *
 * Members in an array or a `Map` of a field are part of it as well, by their position or key: `blocks[0]` is `blocks.0`.
 * Where PyTorch's name is another, `named` gives it. A `#private` field is no part of the tree. Names come in this order:
 * a module's own parameters, its own buffers, its children. Each of the three follows the order in which fields are
 * declared, after what `named` registered and no field holds.
 *
 * `String(module)` and `console.log(module)` show the tree as PyTorch does.
 */
export abstract class StateModule {
  readonly #kinds = new Map<Tensor, Kind>();
  readonly #names = new Map<string, StateModule | Tensor>();
  /** What `#members` read, and from which values. */
  #known: { members: Members; values: unknown[] } | undefined;

  /**
   * Marks `value` as a trained parameter of this module: it requires a gradient and outlives any `tidy` scope.
   * @returns `value`, for a field to hold
   */
  protected parameter(value: Tensor): Tensor {
    this.#mark(value, 'parameter');
    return value.requiresGrad_();
  }

  /**
   * Marks `value` as part of this module's state that is not trained; it outlives any `tidy` scope.
   * @returns `value`, for a field to hold
   */
  protected buffer(value: Tensor): Tensor {
    return this.#mark(value, 'buffer');
  }

  /**
   * Registers a module or a marked tensor under a name that its field does not give, or that no field holds.
   * @returns `member`
   * @throws Error if the name is taken, empty or has a dot
   */
  protected named<M extends StateModule | Tensor>(name: string, member: M): M {
    this.#checkName(name);
    if (this.#names.has(name)) throw this.#nameTaken(name);
    this.#names.set(name, member);
    this.#known = undefined;
    return member;
  }

  /** This module under the name `''` and all below it by their dotted names, parents first, each once. */
  namedModules(): Map<string, StateModule> {
    const named = new Map<string, StateModule>();
    const seen = new Set<StateModule>();
    for (const [name, module] of this.#tree('')) {
      if (!seen.has(module)) named.set(name, module);
      seen.add(module);
    }
    return named;
  }

  /** All parameters by their dotted names; one that is shared comes once, under its first name. */
  namedParameters(): Map<string, Tensor> {
    return this.#collect('parameters');
  }

  /** All parameters, each once, in the order of `namedParameters`. */
  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** All buffers by their dotted names; one that is shared comes once, under its first name. */
  namedBuffers(): Map<string, Tensor> {
    return this.#collect('buffers');
  }

  /** All buffers, each once, in the order of `namedBuffers`. */
  buffers(): Tensor[] {
    return [...this.namedBuffers().values()];
  }

  /** All parameters and buffers by PyTorch's names: the tensors themselves, not copies. */
  stateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [prefix, , { parameters, buffers }] of this.#tree('')) {
      for (const [name, value] of [...parameters, ...buffers]) state.set(join(prefix, name), value);
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
  apply(visit: (module: StateModule) => void): this {
    for (const child of this.#members().children.values()) child.apply(visit);
    visit(this);
    return this;
  }

  /** What `toString` shows of the module's own settings, as `inFeatures=4, outFeatures=2`: nothing by default. */
  extraRepr(): string {
    return '';
  }

  /** The tree of modules as PyTorch prints it, with settings in camelCase. */
  toString(): string {
    const extra = this.extraRepr();
    const children = [...this.#members().children].map(([name, child]) => `(${name}): ${child}`);
    if (children.length === 0) return `${this.constructor.name}(${extra})`;
    const lines = [...(extra === '' ? [] : [extra]), ...children].flatMap((part) => part.split('\n'));
    return `${this.constructor.name}(\n${lines.map((line) => `  ${line}`).join('\n')}\n)`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }

  /** Frees all parameters and buffers with their gradients. The module cannot be used afterwards. */
  dispose(): void {
    for (const tensor of this.stateDict().values()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #mark(value: Tensor, kind: Kind): Tensor {
    this.#kinds.set(value, kind);
    this.#known = undefined;
    return keep(value);
  }

  /** What the fields hold now: nothing has to tell when one is set, and they are read anew only when one was. */
  #members(): Members {
    const values: unknown[] = [];
    for (const value of Object.values(this)) flatten(value, values);
    if (this.#known && sameItems(this.#known.values, values)) return this.#known.members;
    const members = this.#readFields();
    this.#known = { members, values };
    return members;
  }

  /** @throws Error where a member has no name, or two have the same. */
  #readFields(): Members {
    const members: Members = { parameters: new Map(), buffers: new Map(), children: new Map() };
    const unheld = new Set<Tensor>(this.#kinds.keys());
    const taken = new Set<string>();
    const add = (name: string, member: StateModule | Tensor) => {
      if (taken.has(name)) throw this.#nameTaken(name);
      taken.add(name);
      if (member instanceof StateModule) members.children.set(name, member);
      else members[this.#kinds.get(member) === 'buffer' ? 'buffers' : 'parameters'].set(name, member);
      if (member instanceof Tensor) unheld.delete(member);
    };
    const fields = Object.entries(this).flatMap(([field, value]) =>
      this.#fieldMembers(snakeCase(field), value),
    );
    const held = new Set(fields.map(([, member]) => member));
    const given = new Map<StateModule | Tensor, string>();
    for (const [name, member] of this.#names) {
      if (held.has(member) && !given.has(member)) given.set(member, name);
      else add(name, member);
    }
    for (const [field, member] of fields) {
      add(given.get(member) ?? field, member);
      given.delete(member);
    }
    if (unheld.size > 0) {
      const what = [...unheld].map((tensor) => `a ${this.#kinds.get(tensor)} [${tensor.shape}]`);
      throw new Error(
        `${this.constructor.name} marks ${what.join(', ')} that no public field holds: assign it to one, or give it a ` +
          'name with `named`.',
      );
    }
    return members;
  }

  /** The member that a field holds, or those in its array or map that `named` has given no name of their own. */
  #fieldMembers(name: string, value: unknown): [name: string, member: StateModule | Tensor][] {
    if (this.#isMember(value)) return [[name, value]];
    const named = new Set<unknown>(this.#names.values());
    const found: [name: string, member: StateModule | Tensor][] = [];
    const visit = (path: string, item: unknown) => {
      if (this.#isMember(item)) {
        if (!named.has(item)) found.push([path, item]);
      } else if (item instanceof Map) {
        for (const [key, inner] of item) {
          const before = found.length;
          visit(`${path}.${key}`, inner);
          if (found.length > before) this.#checkName(String(key));
        }
      } else if (Array.isArray(item)) {
        for (const [index, inner] of item.entries()) visit(`${path}.${index}`, inner);
      }
    };
    visit(name, value);
    return found;
  }

  #isMember(value: unknown): value is StateModule | Tensor {
    return value instanceof StateModule || (value instanceof Tensor && this.#kinds.has(value));
  }

  #checkName(name: string): void {
    if (name !== '' && !name.includes('.')) return;
    const owner = this.constructor.name;
    throw new Error(`${owner} cannot register the name '${name}': it must not be empty or have a dot.`);
  }

  #nameTaken(name: string): Error {
    return new Error(`${this.constructor.name} has already registered the name '${name}'.`);
  }

  *#tree(prefix: string): Generator<[name: string, module: StateModule, members: Members]> {
    const members = this.#members();
    yield [prefix, this, members];
    for (const [name, child] of members.children) yield* child.#tree(join(prefix, name));
  }

  #collect(kind: 'parameters' | 'buffers'): Map<string, Tensor> {
    const named = new Map<string, Tensor>();
    const seen = new Set<Tensor>();
    for (const [prefix, , members] of this.#tree('')) {
      for (const [name, value] of members[kind]) {
        if (!seen.has(value)) named.set(join(prefix, name), value);
        seen.add(value);
      }
    }
    return named;
  }
}

/** Appends what a field holds, item by item for arrays and maps, which change without being set anew. */
function flatten(value: unknown, into: unknown[]): void {
  if (Array.isArray(value)) for (const item of value) flatten(item, into);
  else if (value instanceof Map) for (const entry of value) flatten(entry, into);
  else into.push(value);
}

/** numBatchesTracked -> num_batches_tracked */
function snakeCase(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function join(prefix: string, name: string): string {
  return prefix === '' ? name : `${prefix}.${name}`;
}

function sameShape(a: Tensor, b: Tensor): boolean {
  return a.ndim === b.ndim && a.shape.every((size, axis) => size === b.shape[axis]);
}
