// Seeded random numbers, one generator a purpose, whose state can be saved and restored.

import { native } from './native.js';
import { liveHandle, Tensor } from './tensor.js';

const collected = new FinalizationRegistry<number>((index) => native.disposeGenerator(index));

function checkSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`a seed is a whole number from 0 to 2^53 - 1, not ${seed}`);
  }
}

function stateOf(index: number): Uint8Array {
  using state = new Tensor(native.generatorState(index));
  return state.toArray() as Uint8Array;
}

function restore(index: number, bytes: Uint8Array): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a state is the Uint8Array that getState gave');
  using state = new Tensor(native.fromTypedArray(bytes, 0, [bytes.length]));
  native.setGeneratorState(index, liveHandle(state));
}

/** A random number generator of its own (Mersenne Twister on the CPU). */
export class Generator {
  /** The index in the native table. For the modules of this package only. */
  readonly index: number;
  disposed = false;

  /** @param seed whole number from 0 to 2^53 - 1. */
  constructor(seed: number) {
    checkSeed(seed);
    this.index = native.newGenerator(seed);
    collected.register(this, this.index, this);
  }

  #live(): number {
    if (this.disposed) throw new TypeError('the generator was disposed');
    return this.index;
  }

  /** The state, to be put into a checkpoint. */
  getState(): Uint8Array {
    return stateOf(this.#live());
  }

  /** @throws Error if the bytes are not a state that `getState` gave. */
  setState(bytes: Uint8Array): void {
    restore(this.#live(), bytes);
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    collected.unregister(this);
    native.disposeGenerator(this.index);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

const GLOBAL = -1;

/** Seeds the generator that operators use when they are given none. */
export function manualSeed(seed: number): void {
  checkSeed(seed);
  native.seedGenerator(GLOBAL, seed);
}

export function globalRngState(): Uint8Array {
  return stateOf(GLOBAL);
}

export function setGlobalRngState(bytes: Uint8Array): void {
  restore(GLOBAL, bytes);
}
