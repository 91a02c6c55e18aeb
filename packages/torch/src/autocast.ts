// Automatic mixed precision: products in 16 bits, what needs the range or the digits of float32 in float32.

import { type DType, isHalf } from './dtype.js';
import { attempt, describeValue } from './errors.js';
import { dtypeCodes } from './generated/protocol.js';
import { native } from './native.js';

const OFF = -1;

/** What autocast computes products in, or undefined for what tensors are. */
export type AutocastDtype = 'bfloat16' | 'float16' | undefined;

/**
 * Runs `fn` with libtorch's autocast on all devices: matrix products and convolutions take `dtype`, softmax, norms and
 * losses float32, and all other operators the types that they are given. `undefined` switches it off inside.
 * @throws TypeError for another dtype, or if `fn` returns a promise; TorchError where libtorch has none of that dtype (1.13 has
 * no float16 on the CPU).
 */
export function autocast<T>(dtype: AutocastDtype, fn: () => T): T {
  if (dtype !== undefined && !isHalf(dtype)) {
    throw new TypeError(`autocast computes in 'bfloat16' or 'float16', not ${describeValue(dtype)}`);
  }
  const before = native.autocastState();
  try {
    attempt('autocast', [dtype], () => native.setAutocast(dtype === undefined ? OFF : dtypeCodes[dtype]));
    const result = fn();
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
      throw new TypeError('autocast() needs a synchronous function: the mode ends when it returns');
    }
    return result;
  } finally {
    native.setAutocast(before);
  }
}

/** The dtype of the autocast that this runs in. */
export function autocastDtype(): AutocastDtype {
  const code = native.autocastState();
  if (code === OFF) return undefined;
  return Object.entries(dtypeCodes).find(([, own]) => own === code)![0] as DType as AutocastDtype;
}
