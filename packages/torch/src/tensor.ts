// The tensor, and who frees it: explicit dispose, a tidy scope, or the garbage collector.

import { arrayClass, type DType, dtypeName, type TypedArray } from './dtype.js';
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
  /** Set while a scope's result is being collected, and for good by {@link keep}. */
  escapes = false;
  #shape: readonly number[] | undefined;
  #dtype: DType | undefined;

  constructor(handle: number) {
    this.handle = handle;
    if (scope !== undefined) scope.push(this);
    else collectLater(this);
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

  /** Marks a leaf as one that gradients are computed for. */
  requiresGrad_(on = true): this {
    native.setRequiresGrad(liveHandle(this), on);
    return this;
  }

  /** The accumulated gradient, or null. Each read is a new handle on the same gradient. */
  get grad(): Tensor | null {
    const handle = native.getGrad(liveHandle(this));
    return handle === 0 ? null : new Tensor(handle);
  }

  set grad(value: Tensor | null) {
    native.setGrad(liveHandle(this), value === null ? 0 : liveHandle(value));
  }

  /**
   * Accumulates the gradients of the leaves.
   * @param gradient of the same shape; may be left out for a tensor of one element.
   */
  backward(gradient?: Tensor | null, options: { retainGraph?: boolean; createGraph?: boolean } = {}): void {
    const { createGraph = false, retainGraph = createGraph } = options;
    native.backward([liveHandle(this)], [gradient ? liveHandle(gradient) : 0], retainGraph, createGraph);
  }

  /**
   * The only element as a number (a bool as 0 or 1). On a GPU this waits for the device.
   * @throws RangeError if there is more or less than one.
   */
  item(): number {
    if (this.numel !== 1) throw new RangeError(`item() needs one element; the shape is [${this.shape}]`);
    return Number(this.toArray()[0]);
  }

  /** A copy of the elements in C order; 16-bit floats come as Float32Array, bool as Uint8Array of 0 and 1. */
  toArray(): TypedArray {
    const Class = arrayClass(this.dtype);
    if (Class === undefined) return tidy(() => this.to('float32').toArray());
    const array = new Class(this.numel);
    native.copyTo(liveHandle(this), array);
    return array;
  }

  /**
   * The elements without a copy: the array shares this tensor's memory and keeps it alive.
   * @throws Error unless the tensor is contiguous and on the CPU.
   */
  toSharedArray(): TypedArray {
    const Class = arrayClass(this.dtype);
    if (Class === undefined) throw new TypeError(`JavaScript has no typed array of ${this.dtype}`);
    return new Class(native.arrayBuffer(liveHandle(this)));
  }

  /** Nested arrays of numbers (int64 too: exact below 2^53) or, for bool, of booleans; a bare value for a scalar. */
  tolist(): unknown {
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
    native.dispose(this.handle);
    this.handle = 0;
    collected.unregister(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    if (this.disposed) return 'Tensor(disposed)';
    const head = this.numel <= 16 ? ` ${JSON.stringify(this.tolist())}` : '';
    return `Tensor([${this.shape}] ${this.dtype}${head})`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export interface Tensor extends TensorMethods {}

/** The handle of a tensor that must still be there. */
export function liveHandle(tensor: Tensor): number {
  if (!(tensor instanceof Tensor)) throw new TypeError(`expected a Tensor, got ${typeof tensor}`);
  if (tensor.handle === 0) throw new TypeError('the tensor was disposed');
  return tensor.handle;
}

// ---- memory ----

/** Tensors made in the innermost tidy scope. */
let scope: Tensor[] | undefined;

const collected = new FinalizationRegistry<number>((handle) => native.dispose(handle));

function collectLater(tensor: Tensor): void {
  collected.register(tensor, tensor.handle, tensor);
  native.reportMemory(tensor.handle);
}

function forEachTensor(value: unknown, visit: (tensor: Tensor) => void, seen = new Set<object>()): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  if (value instanceof Tensor) {
    visit(value);
    return;
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return;
  seen.add(value);
  const members = value instanceof Map || value instanceof Set ? value.values() : Object.values(value);
  for (const member of members) forEachTensor(member, visit, seen);
}

function disposeAll(tensors: readonly Tensor[]): void {
  let n = 0;
  if (tensors.length + 1 > command.length) growCommand(tensors.length + 1);
  for (const tensor of tensors) {
    if (tensor.handle === 0) continue;
    command[++n] = tensor.handle;
    tensor.handle = 0;
  }
  command[0] = n;
  if (n > 0) native.disposeMany();
}

/**
 * Runs `fn` and frees every tensor made inside it, except those in what it returns (directly, or inside arrays,
 * maps, sets and plain objects) and those marked by {@link keep}. Scopes nest: what leaves an inner one belongs
 * to the outer. If `fn` throws, everything made inside is freed.
 *
 * The scope is synchronous: a function that awaits would collect tensors of whatever else runs meanwhile.
 * @throws TypeError if `fn` returns a promise; use `using` or `dispose` in asynchronous code, and tidy its parts.
 */
export function tidy<T>(fn: () => T): T {
  const outer = scope;
  const made: Tensor[] = [];
  scope = made;
  let result: T;
  try {
    result = fn();
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
      throw new TypeError('tidy() needs a synchronous function; tidy the parts between the awaits instead');
    }
  } catch (error) {
    scope = outer;
    disposeAll(made);
    throw error;
  }
  scope = outer;
  const returned: Tensor[] = [];
  forEachTensor(result, (tensor) => {
    if (tensor.escapes) return;
    tensor.escapes = true;
    returned.push(tensor);
  });
  disposeAll(made.filter((tensor) => !tensor.escapes));
  const mine = new Set(made);
  for (const tensor of returned) {
    tensor.escapes = false;
    if (tensor.handle === 0 || !mine.has(tensor)) continue;
    if (outer !== undefined) outer.push(tensor);
    else collectLater(tensor);
  }
  return result;
}

/** Takes a tensor out of every tidy scope: it lives until `dispose` or until nothing refers to it any more. */
export function keep<T extends Tensor>(tensor: T): T {
  if (!tensor.escapes) {
    tensor.escapes = true;
    if (scope !== undefined) collectLater(tensor);
  }
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
