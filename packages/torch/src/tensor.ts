// The tensor, and who frees it: explicit dispose, a tidy scope, or the garbage collector.

import { AsyncLocalStorage } from 'node:async_hooks';
import { arrayClass, type DType, dtypeName, isHalf, type TypedArray } from './dtype.js';
import { attempt, described } from './errors.js';
import type { TensorMethods } from './generated/ops.js';
import { command, growCommand, native } from './native.js';

/**
 * A libtorch tensor. Every ATen operator whose first argument is `self` is a method, under ATen's name in
 * camelCase (an in-place operator keeps its trailing underscore).
 *
 * A tensor made inside {@link tidy} is freed when the scope ends unless it is returned or {@link keep | kept};
 * one made outside is freed by `dispose`, by `using`, or at last by the garbage collector.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the methods are put on the prototype by ops.ts from the same schemas
export class Tensor {
  /** The index in the native table; 0 once disposed. For the modules of this package only. */
  handle: number;
  /** The scope that this tensor belongs to; undefined once the garbage collector watches it. */
  owner: Tensor[] | undefined;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;

  constructor(handle: number) {
    if (!(handle > 0))
      throw new TypeError('tensors are made by operators, and by functions as tensor() and zeros()');
    this.handle = handle;
    const owner = scope === unscoped && openAsyncScopes > 0 ? outermost() : scope;
    this.owner = owner;
    owner.push(this);
    if (owner === unscoped) watchSoon();
  }

  #describe(): void {
    const [code, ...shape] = native.describe(liveHandle(this));
    this.#dtype = dtypeName(code!);
    this.#shape = Object.freeze(shape);
  }

  /** Sizes of the dimensions. */
  get shape(): readonly number[] {
    if (this.#shape === undefined || this.handle === 0) this.#describe();
    return this.#shape!;
  }

  get dtype(): DType {
    if (this.#dtype === undefined || this.handle === 0) this.#describe();
    return this.#dtype!;
  }

  /** Forgets the cached shape and dtype; called after every operator that writes to this tensor. */
  changed(): void {
    this.#shape = undefined;
    this.#dtype = undefined;
  }

  get ndim(): number {
    return this.shape.length;
  }

  get numel(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** 'cpu', 'cuda:0', ... */
  get device(): string {
    return native.deviceOf(liveHandle(this));
  }

  get requiresGrad(): boolean {
    return native.requiresGrad(liveHandle(this));
  }

  /** Marks a leaf as one that gradients are computed for. @throws TorchError unless it is a leaf of floats. */
  requiresGrad_(on = true): this {
    const handle = liveHandle(this);
    attempt('requiresGrad_', [this, on], () => native.setRequiresGrad(handle, on));
    return this;
  }

  /** The accumulated gradient, or null. Each read is a new handle on the same gradient. */
  get grad(): Tensor | null {
    const handle = native.getGrad(liveHandle(this));
    return handle === 0 ? null : new Tensor(handle);
  }

  /** @throws TorchError for a gradient of another shape, dtype or device. */
  set grad(value: Tensor | null) {
    const [handle, grad] = [liveHandle(this), value === null ? 0 : liveHandle(value)];
    attempt('grad', [this, value], () => native.setGrad(handle, grad));
  }

  /**
   * Accumulates the gradients of the leaves.
   * @param gradient of the same shape; may be left out for a tensor of one element.
   * @throws TorchError where there is no graph (or no longer), or a gradient does not fit.
   */
  backward(gradient?: Tensor | null, options: { retainGraph?: boolean; createGraph?: boolean } = {}): void {
    const { createGraph = false, retainGraph = createGraph } = options;
    const outputs = [liveHandle(this)];
    const gradients = [gradient ? liveHandle(gradient) : 0];
    attempt('backward', gradient ? [this, gradient] : [this], () =>
      native.backward(outputs, gradients, retainGraph, createGraph),
    );
  }

  /**
   * The only element as a number (a bool as 0 or 1). On a GPU this waits for the device.
   * @throws RangeError if there is more or less than one.
   */
  item(): number {
    if (this.numel !== 1) throw new RangeError(`item() needs one element; the shape is [${this.shape}]`);
    return Number(this.toArray()[0]);
  }

  /**
   * A copy of the elements in C order; 16-bit floats come as Float32Array, bool as Uint8Array of 0 and 1.
   * @throws TypeError for complex and quantized elements; TorchError where there are none to copy ('meta').
   */
  toArray(): TypedArray {
    const { dtype } = this;
    if (isHalf(dtype)) return tidy(() => this.to('float32').toArray());
    const Class = arrayClass(dtype);
    if (Class === undefined) throw new TypeError(`JavaScript has no typed array of ${dtype}`);
    const array = new Class(this.numel);
    attempt('toArray', [this], () => native.copyTo(this.handle, array));
    return array;
  }

  /**
   * The elements without a copy: the array shares this tensor's memory and keeps it alive.
   * @throws TorchError unless the tensor is contiguous and on the CPU; TypeError for a dtype without a typed array.
   */
  toSharedArray(): TypedArray {
    const Class = arrayClass(this.dtype);
    if (Class === undefined) throw new TypeError(`JavaScript has no typed array of ${this.dtype}`);
    return new Class(attempt('toSharedArray', [this], () => native.arrayBuffer(this.handle)));
  }

  /**
   * Nested arrays of numbers (int64 too: exact below 2^53) or, for bool, of booleans; a bare value for a scalar.
   * @throws RangeError for more than 2^26 arrays and numbers in all: JavaScript's heap ends the process where it is full.
   */
  tolist(): unknown {
    if (nestedParts(this.shape) > MOST_NESTED) {
      throw new RangeError(
        `tolist() of shape [${this.shape}] would not fit JavaScript's memory: take toArray()`,
      );
    }
    const flat = this.toArray();
    const bool = this.dtype === 'bool';
    let at = 0;
    const build = (dimension: number): unknown => {
      if (dimension === this.ndim) return bool ? flat[at++] !== 0 : Number(flat[at++]);
      return Array.from({ length: this.shape[dimension]! }, () => build(dimension + 1));
    };
    return build(0);
  }

  get disposed(): boolean {
    return this.handle === 0;
  }

  /** Frees the handle now; a second call does nothing. Memory that other tensors share or the graph needs stays. */
  dispose(): void {
    if (this.handle === 0) return;
    command[0] = 1;
    command[1] = this.handle;
    native.disposeMany();
    this.handle = 0;
    if (this.owner === undefined) collected.unregister(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    if (this.disposed) return 'Tensor(disposed)';
    return `Tensor([${this.shape}] ${this.dtype}${this.numel <= 16 ? this.#elements() : ''})`;
  }

  /** Nothing where there are no elements to be read: printing a tensor never throws. */
  #elements(): string {
    // Without elements it may still be of many rows.
    if (nestedParts(this.shape) > 100) return '';
    try {
      return ` ${JSON.stringify(this.tolist())}`;
    } catch {
      return '';
    }
  }

  /** dtype and shape, as errors write an argument. */
  [described](): string {
    return this.disposed ? 'a disposed tensor' : `${this.dtype}[${this.shape.join(',')}]`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export interface Tensor extends TensorMethods {}

const MOST_NESTED = 2 ** 26;

/** How many arrays and numbers nested arrays of the shape are in all. */
function nestedParts(shape: readonly number[]): number {
  let level = 1;
  let all = 1;
  for (const size of shape) {
    level *= size;
    all += level;
  }
  return all;
}

/** The handle of a tensor that must still be there. */
export function liveHandle(tensor: Tensor): number {
  if (!(tensor instanceof Tensor)) throw new TypeError(`expected a Tensor, got ${typeof tensor}`);
  if (tensor.handle === 0) throw new TypeError('the tensor was disposed');
  return tensor.handle;
}

// ---- memory ----

/** Tensors outside all tidy scopes that the garbage collector does not watch yet. */
const unscoped: Tensor[] = [];

/** Tensors made in the innermost synchronous scope; `unscoped` where there is none. */
let scope = unscoped;

/** A scope whose function awaits: other code runs meanwhile, so it is found by the asynchronous context, not by `scope`. */
interface AsyncScope {
  readonly made: Tensor[];
  open: boolean;
}

const asyncScopes = new AsyncLocalStorage<AsyncScope>();

/** While it is 0 nothing asks for the asynchronous context, which costs as much as a small operator. */
let openAsyncScopes = 0;

/** What owns the tensors made outside of all synchronous scopes. */
function outermost(): Tensor[] {
  const found = asyncScopes.getStore();
  // Work that nobody awaited may outlive its scope.
  return found?.open ? found.made : unscoped;
}

const collected = new FinalizationRegistry<number>((handle) => native.dispose(handle));

/**
 * Tensors are held here rather than watched at once: many are disposed soon after, and registering costs as much as
 * a small operator. Until the program yields, the garbage collector could not free them anyway.
 */
const MOST_UNWATCHED = 64;

let watching = false;

function watchSoon(): void {
  if (unscoped.length >= MOST_UNWATCHED) {
    watch();
  } else if (!watching) {
    watching = true;
    queueMicrotask(watch);
  }
}

function watch(): void {
  watching = false;
  for (const tensor of unscoped) {
    if (tensor.handle === 0 || tensor.owner !== unscoped) continue;
    tensor.owner = undefined;
    collected.register(tensor, tensor.handle, tensor);
    native.reportMemory(tensor.handle);
  }
  unscoped.length = 0;
}

function moveTo(owner: Tensor[], tensor: Tensor): void {
  tensor.owner = owner;
  owner.push(tensor);
  if (owner === unscoped) watchSoon();
}

/** Every tensor in a value: itself, or a member of arrays, maps, sets and objects at any depth. */
function tensorsIn(root: unknown): Tensor[] {
  if (root instanceof Tensor) return [root];
  const found: Tensor[] = [];
  const seen = new Set<object>();
  const pending = [root];
  // No recursion: what a caller returns may be nested deeper than the stack.
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (value instanceof Tensor) {
      found.push(value);
    } else if (value instanceof Map) {
      for (const [key, member] of value) pending.push(key, member);
    } else if (value instanceof Set || Array.isArray(value)) {
      for (const member of value) pending.push(member);
    } else if (!ArrayBuffer.isView(value)) {
      for (const member of Object.values(value)) pending.push(member);
    }
  }
  return found;
}

/** Frees what a scope still owns. */
function disposeAll(made: Tensor[]): void {
  let n = 0;
  if (made.length + 1 > command.length) growCommand(made.length + 1);
  for (const tensor of made) {
    if (tensor.handle === 0 || tensor.owner !== made) continue;
    command[++n] = tensor.handle;
    tensor.handle = 0;
  }
  command[0] = n;
  if (n > 0) native.disposeMany();
}

/**
 * Runs `fn` and frees every tensor made inside it, except those in what it returns (directly, or inside arrays,
 * maps, sets and objects) and those marked by {@link keep}. Scopes nest: what leaves an inner one belongs to the
 * outer. If `fn` throws or rejects, everything made inside is freed.
 *
 * `fn` may be an `async` function. Its scope then holds across every `await`, also while other scopes run in between,
 * and ends when its promise settles; a synchronous scope around the call does not wait for it. Of code that runs without
 * being awaited, what it makes after the end of its scope belongs to no scope.
 * @returns what `fn` returns: for an `async` function its promise
 * @throws TypeError if `fn` returns a promise without being an `async` function
 */
export function tidy<T>(fn: () => T): T {
  if (isAsync(fn)) return tidyAsync(fn) as T;
  const outer = scope;
  const made: Tensor[] = [];
  scope = made;
  try {
    const result = fn();
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
      throw new TypeError(
        'tidy() got a promise from a function that is not async, so its scope ends before the work does: write ' +
          'tidy(async () => ...)',
      );
    }
    moveOut(result, made, outer);
    return result;
  } finally {
    scope = outer;
    disposeAll(made);
  }
}

/** Whether it is declared `async`: to be known before it runs, and also of functions of another realm. */
function isAsync(fn: () => unknown): fn is () => Promise<unknown> {
  return (fn as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] === 'AsyncFunction';
}

async function tidyAsync<T>(fn: () => Promise<T>): Promise<T> {
  const own: AsyncScope = { made: [], open: true };
  const around = scope;
  openAsyncScopes++;
  try {
    // A synchronous scope around this call ends before anything is awaited: it owns nothing of what is made here.
    scope = unscoped;
    let running: Promise<T>;
    try {
      running = asyncScopes.run(own, fn);
    } finally {
      scope = around;
    }
    const result = await running;
    moveOut(result, own.made, unscoped);
    return result;
  } finally {
    own.open = false;
    openAsyncScopes--;
    disposeAll(own.made);
  }
}

/** Gives the tensors in a scope's result to the scope around it. */
function moveOut(result: unknown, made: Tensor[], outer: Tensor[]): void {
  for (const tensor of tensorsIn(result)) {
    if (tensor.owner !== made || tensor.handle === 0) continue;
    moveTo(outer === unscoped && openAsyncScopes > 0 ? outermost() : outer, tensor);
  }
}

/** The tensors in a value that were made in the innermost scope and are still its own. */
export function madeHere(value: unknown): Tensor[] {
  const here = scope === unscoped && openAsyncScopes > 0 ? outermost() : scope;
  return tensorsIn(value).filter((tensor) => tensor.owner === here && tensor.handle !== 0);
}

/**
 * Takes a tensor out of every tidy scope: it lives until `dispose` or until nothing refers to it any more.
 * @throws TypeError if it was disposed.
 */
export function keep<T extends Tensor>(tensor: T): T {
  liveHandle(tensor);
  if (tensor.owner !== undefined && tensor.owner !== unscoped) moveTo(unscoped, tensor);
  return tensor;
}

/** What is alive now: the number of tensors and the bytes of their distinct storages. */
export function memory(): { tensors: number; bytes: number } {
  const [tensors, bytes] = native.memory();
  return { tensors, bytes };
}

/** The number of live tensors, for leak tests. */
export function liveTensors(): number {
  return native.memory()[0];
}
