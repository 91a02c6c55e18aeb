// A network as a program: operators, the tensors between them, and constants.

import type { TypedArray } from '@pgpc/torch';
import type { Size } from './sizes.js';

/** A tensor that does not depend on the input: a weight, or made of weights. */
export class Constant {
  constructor(
    /** Of a weight; undefined for others. */
    readonly name: string | undefined,
    readonly shape: readonly number[],
    readonly dtype: string,
    readonly read: () => TypedArray,
  ) {}
}

/** A tensor that depends on the input. */
export class Value {
  constructor(
    readonly id: number,
    readonly dtype: string,
    /** Of its dimensions. */
    public sizes: readonly Size[],
  ) {}
}

export type Argument = Value | Constant | Size | boolean | string | null | readonly Argument[];

/** One operator. */
export interface Step {
  /** As 'aten::add.Tensor'. */
  readonly name: string;
  /** Dotted path of the module that calls it. */
  readonly module: string;
  readonly args: ReadonlyMap<string, Argument>;
  readonly results: readonly Value[];
}

export interface Program {
  readonly input: Value;
  readonly output: Value;
  /** In their order; every one leads to the output. */
  readonly steps: readonly Step[];
}
