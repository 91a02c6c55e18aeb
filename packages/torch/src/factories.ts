// Tensors from JavaScript's values and typed arrays.

import { markAsUntransferable } from 'node:worker_threads';
import { arrayClass, type DType, dtypeOfTypedArray, isDType, itemSize, type TypedArray } from './dtype.js';
import { describeValue } from './errors.js';
import { dtypeCodes } from './generated/protocol.js';
import type { Generator } from './generator.js';
import { native } from './native.js';
import { ops } from './ops.js';
import { Tensor, tidy } from './tensor.js';

export interface TensorOptions {
  /** Default float32. */
  dtype?: DType;
  /** 'cpu' (default), 'cuda', 'cuda:1', ... */
  device?: string;
  requiresGrad?: boolean;
}

export interface RandomOptions extends TensorOptions {
  /** Default: the process's generator, see `manualSeed`. */
  generator?: Generator;
}

export type NestedNumbers = number | boolean | readonly NestedNumbers[];

/** As many dimensions as libtorch's tensors have. */
const MOST_DIMENSIONS = 64;

/** Beyond about 2^27 items V8 ends the process. */
const MOST_NUMBERS = 2 ** 26;

function shapeOf(value: NestedNumbers): number[] {
  const shape: number[] = [];
  let level = value;
  while (Array.isArray(level)) {
    // An array may also contain itself.
    if (shape.length === MOST_DIMENSIONS) throw new RangeError('arrays are nested more than 64 deep');
    shape.push(level.length);
    level = level[0] ?? 0;
  }
  return shape;
}

/** Adds the numbers in C order. @throws RangeError if the nesting is ragged; TypeError for what is no number. */
function flatten(
  value: NestedNumbers,
  shape: readonly number[],
  depth: number,
  flat: (number | boolean)[],
): void {
  if (Array.isArray(value) ? value.length !== shape[depth] : depth !== shape.length) {
    throw new RangeError('the nested arrays are not of one shape');
  }
  if (Array.isArray(value)) {
    for (const item of value) flatten(item, shape, depth + 1, flat);
  } else if (typeof value === 'number' || typeof value === 'boolean') {
    flat.push(value);
  } else {
    throw new TypeError(`a tensor is made of numbers or booleans, not ${describeValue(value)}`);
  }
}

function checkShape(shape: readonly number[]): void {
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new TypeError(`a shape is a list of whole numbers from 0, not ${JSON.stringify(shape)}`);
  }
}

function checkDtype(dtype: unknown): void {
  if (isDType(dtype)) return;
  throw new TypeError(
    `there is no dtype ${describeValue(dtype)}; allowed: ${Object.keys(dtypeCodes).join(', ')}`,
  );
}

function withGrad(tensor: Tensor, options: TensorOptions): Tensor {
  return options.requiresGrad ? tensor.requiresGrad_() : tensor;
}

/** What the operators that make tensors are told: dtype and place. */
function kind({ dtype, device }: TensorOptions, fallback: DType): { dtype: DType; device: string | null } {
  return { dtype: dtype ?? fallback, device: device ?? null };
}

/**
 * A tensor with a copy of nested arrays of numbers; booleans alone give dtype bool, numbers float32.
 * @throws RangeError if the nesting is ragged, more than 64 deep or of more than 2^26 numbers, or a number does not fit int64;
 * TypeError for what is no
 * number.
 */
export function tensor(values: NestedNumbers | TypedArray, options: TensorOptions = {}): Tensor {
  if (ArrayBuffer.isView(values)) {
    return withGrad(
      tidy(() => {
        const shared = fromTypedArray(values, [values.length]);
        const copied = options.dtype ? shared.to(options.dtype, false, true) : shared.clone();
        return placed(copied, options);
      }),
      options,
    );
  }
  const shape = shapeOf(values);
  if (shape.reduce((product, size) => product * size, 1) > MOST_NUMBERS) {
    throw new RangeError(
      `arrays of shape [${shape}] are too large: fill a typed array, and take fromTypedArray`,
    );
  }
  const flat: (number | boolean)[] = [];
  flatten(values, shape, 0, flat);
  const dtype =
    options.dtype ?? (flat.length > 0 && flat.every((v) => typeof v === 'boolean') ? 'bool' : 'float32');
  checkDtype(dtype);
  const Class = arrayClass(dtype);
  const build = () => {
    if (Class === undefined) return fromTypedArray(Float64Array.from(flat, Number), shape).to(dtype);
    if (Class === BigInt64Array) return fromTypedArray(BigInt64Array.from(flat, BigInt), shape);
    return fromTypedArray((Class as Float64ArrayConstructor).from(flat, Number), shape, { dtype });
  };
  return withGrad(
    tidy(() => placed(build(), options)),
    options,
  );
}

function placed(made: Tensor, { device }: TensorOptions): Tensor {
  return device === undefined ? made : made.to({ device });
}

/**
 * A tensor over a typed array's own memory, without a copy: writes to one are seen in the other. The array is held
 * as long as the tensor lives, and its buffer can no longer be transferred to another thread: the memory would go
 * with it.
 * @throws TypeError for an array that libtorch has no type for, or a resizable buffer; RangeError if the shape
 * does not fit the array's length.
 */
export function fromTypedArray(
  array: TypedArray,
  shape: readonly number[],
  options: {
    /** What the bytes are read as, e.g. 'bool' or 'float16' for a Uint8Array; default the array's own. */
    dtype?: DType;
  } = {},
): Tensor {
  checkShape(shape);
  const own = ArrayBuffer.isView(array) ? dtypeOfTypedArray(array) : undefined;
  if (own === undefined) {
    throw new TypeError('fromTypedArray needs a Float32/64, Int8/16/32, BigInt64 or Uint8 array');
  }
  if ((array.buffer as { resizable?: boolean }).resizable) {
    throw new TypeError('the memory of a resizable ArrayBuffer can shrink under the tensor; copy it first');
  }
  const dtype = options.dtype ?? own;
  checkDtype(dtype);
  const bytes = shape.reduce((product, size) => product * size, itemSize(dtype));
  if (bytes !== array.byteLength) {
    throw new RangeError(
      `shape [${shape}] of ${dtype} needs ${bytes} bytes; the array has ${array.byteLength}`,
    );
  }
  if (array.byteOffset % itemSize(dtype) !== 0) {
    throw new RangeError(`the array starts at byte ${array.byteOffset}, which is no place for ${dtype}`);
  }
  markAsUntransferable(array.buffer);
  return new Tensor(native.fromTypedArray(array, dtypeCodes[dtype], shape));
}

/** Zeros. */
export function zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return withGrad(ops.zeros(shape, kind(options, 'float32')), options);
}

/** Ones. */
export function ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
  return withGrad(ops.ones(shape, kind(options, 'float32')), options);
}

/** One value everywhere. */
export function full(shape: readonly number[], value: number | boolean, options: TensorOptions = {}): Tensor {
  return withGrad(ops.full(shape, value, kind(options, 'float32')), options);
}

/** 0, 1, ..., end - 1; int64 by default. */
export function arange(end: number, options: TensorOptions = {}): Tensor {
  return withGrad(ops.arange(end, kind(options, 'int64')), options);
}

/** Uniform on [0, 1). */
export function rand(shape: readonly number[], options: RandomOptions = {}): Tensor {
  const made = ops.empty(shape, kind(options, 'float32'));
  return withGrad(made.uniform_(0, 1, { generator: options.generator ?? null }), options);
}

/** Standard normal. */
export function randn(shape: readonly number[], options: RandomOptions = {}): Tensor {
  const made = ops.empty(shape, kind(options, 'float32'));
  return withGrad(made.normal_(0, 1, { generator: options.generator ?? null }), options);
}

/** Whole numbers from `low` to `high` - 1; int64 by default. */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  options: RandomOptions = {},
): Tensor {
  const made = ops.empty(shape, kind(options, 'int64'));
  return withGrad(made.random_(low, high, { generator: options.generator ?? null }), options);
}
