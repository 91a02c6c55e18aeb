// Layers that add values on the sides of the last axes.

import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';
import { Module } from './module.js';
import { written } from './sizes.js';

/** One number for all sides, or the last axis' both sides, then the one's before it, and so on. */
type Sides = number | readonly number[];

abstract class Pad extends Module {
  protected readonly padding: number[];

  /** @throws RangeError unless there is one whole number, or two an axis */
  constructor(padding: Sides) {
    super();
    const sides = 2 * this.axes();
    this.padding = typeof padding === 'number' ? Array.from({ length: sides }, () => padding) : [...padding];
    if (this.padding.length !== sides || !this.padding.every(Number.isSafeInteger)) {
      throw new RangeError(
        `${this.constructor.name} takes one whole number, or ${sides}: two an axis, the last axis first. It was given ` +
          `${written(padding)}.`,
      );
    }
  }

  /** How many of the last axes are padded. */
  protected abstract axes(): number;

  override extraRepr(): string {
    return written(this.padding);
  }
}

abstract class ConstantPad extends Pad {
  readonly #value: number;

  constructor(padding: Sides, value: number) {
    super(padding);
    this.#value = value;
  }

  forward(x: Tensor): Tensor {
    return ops.pad(x, this.padding, 'constant', this.#value);
  }

  override extraRepr(): string {
    return `padding=${super.extraRepr()}, value=${this.#value}`;
  }
}

/** Adds one value on the sides of (..., L). */
export class ConstantPad1d extends ConstantPad {
  protected axes() {
    return 1;
  }
}

/** Adds one value on the sides of (..., H, W). */
export class ConstantPad2d extends ConstantPad {
  protected axes() {
    return 2;
  }
}

/** Adds one value on the sides of (..., D, H, W). */
export class ConstantPad3d extends ConstantPad {
  protected axes() {
    return 3;
  }
}

/** Adds zeros on the sides of (..., H, W); a negative number takes values off. */
export class ZeroPad2d extends Pad {
  protected axes() {
    return 2;
  }

  forward(x: Tensor): Tensor {
    return ops.pad(x, this.padding, 'constant', 0);
  }
}

abstract class ReflectionPad extends Pad {
  forward(x: Tensor): Tensor {
    return ops.pad(x, this.padding, 'reflect');
  }
}

/** Mirrors (B, C, L) at its ends, which are not repeated. */
export class ReflectionPad1d extends ReflectionPad {
  protected axes() {
    return 1;
  }
}

/** Mirrors (B, C, H, W) at its borders, which are not repeated. */
export class ReflectionPad2d extends ReflectionPad {
  protected axes() {
    return 2;
  }
}

/** Mirrors (B, C, D, H, W) at its borders, which are not repeated. */
export class ReflectionPad3d extends ReflectionPad {
  protected axes() {
    return 3;
  }
}

abstract class ReplicationPad extends Pad {
  forward(x: Tensor): Tensor {
    return ops.pad(x, this.padding, 'replicate');
  }
}

/** Repeats the values at the ends of (B, C, L). */
export class ReplicationPad1d extends ReplicationPad {
  protected axes() {
    return 1;
  }
}

/** Repeats the values at the borders of (B, C, H, W). */
export class ReplicationPad2d extends ReplicationPad {
  protected axes() {
    return 2;
  }
}

/** Repeats the values at the borders of (B, C, D, H, W). */
export class ReplicationPad3d extends ReplicationPad {
  protected axes() {
    return 3;
  }
}
