// Sizes inside of a network as functions of its input's size, so that one graph serves every size.

import type { Value } from './values.js';

/** Of the input (batch, 3, height, width). */
export interface InputSize {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

type SizeFunction = (input: InputSize) => number;

/** A size that changes with the input's, and the first value and axis that have it. */
export interface Dim {
  readonly at: SizeFunction;
  readonly source: { readonly value: Value; readonly axis: number };
}

export type Size = number | Dim;

/** A network that cannot be followed over several sizes of its input; of one size it can be exported. */
export class ChangingSizeError extends Error {}

/** Input sizes at which two functions are taken for the same; no multiples of each other. */
const PROBES: readonly InputSize[] = Array.from({ length: 48 }, (_, i) => ({
  batch: 1 + (i % 7),
  height: 64 + ((i * 389) % 1021),
  width: 64 + ((i * 577) % 1511),
}));

interface Known extends Dim {
  /** Its numbers at the sizes that were traced, and at the probes. */
  readonly traced: string;
  readonly probed: string;
}

/** All sizes that change, by what they are at the input sizes that were traced. */
export class SizeTable {
  readonly #dims: Known[] = [];

  constructor(readonly inputs: readonly InputSize[]) {}

  /**
   * The size that was seen at the traced input sizes, one number each: a constant, or a dimension that an earlier value has.
   * @returns undefined where no value has it. @throws ChangingSizeError where it may be one of several
   */
  find(seen: readonly number[]): Size | undefined {
    if (seen.every((size) => size === seen[0])) return seen[0]!;
    const key = seen.join();
    const [found, ...others] = this.#dims.filter(({ traced }) => traced === key);
    if (others.length > 0) {
      throw new ChangingSizeError(`${seen.join(', ')} may be any of ${others.length + 1} sizes`);
    }
    return found;
  }

  /** A size by its function; where an earlier value has the same, that one's. */
  define(at: SizeFunction, source: Dim['source']): Size {
    const probed = PROBES.map(at);
    if (probed.every((size) => size === probed[0])) return probed[0]!;
    const key = probed.join();
    const known = this.#dims.find((dim) => dim.probed === key);
    if (known) return known;
    const made = { at, source, traced: this.inputs.map(at).join(), probed: key };
    this.#dims.push(made);
    return made;
  }

  /** Whether a size is what was seen. */
  fits(size: Size, seen: readonly number[]): boolean {
    return this.inputs.every((input, i) => sizeAt(size, input) === seen[i]);
  }
}

export function sizeAt(size: Size, input: InputSize): number {
  return typeof size === 'number' ? size : size.at(input);
}
