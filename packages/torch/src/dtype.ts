// Element types: their names, libtorch's codes and the typed arrays that hold them.

import { dtypeCodes, foreignDtypeCodes } from './generated/protocol.js';

/** Element types that have a form in JavaScript. */
export type DType = keyof typeof dtypeCodes;

export type TypedArray =
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

const names = new Map<number, DType>(
  Object.entries({ ...dtypeCodes, ...foreignDtypeCodes }).map(([name, code]) => [code, name as DType]),
);

/** The name of a c10::ScalarType. */
export function dtypeName(code: number): DType {
  return names.get(code) ?? (`type ${code}` as DType);
}

export function isDType(value: unknown): value is DType {
  return typeof value === 'string' && Object.hasOwn(dtypeCodes, value);
}

/** The dtype whose elements a typed array holds, or undefined where libtorch has none (unsigned 16, 32, 64 bit). */
export function dtypeOfTypedArray(array: ArrayBufferView): DType | undefined {
  if (array instanceof Float32Array) return 'float32';
  if (array instanceof Float64Array) return 'float64';
  if (array instanceof Uint8Array || array instanceof Uint8ClampedArray) return 'uint8';
  if (array instanceof Int8Array) return 'int8';
  if (array instanceof Int16Array) return 'int16';
  if (array instanceof Int32Array) return 'int32';
  if (array instanceof BigInt64Array) return 'int64';
  return undefined;
}

const arrays = {
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float32: Float32Array,
  float64: Float64Array,
  bool: Uint8Array,
} as const;

/** The typed array class for a dtype; undefined where JavaScript has none (16-bit floats, complex, quantized). */
export function arrayClass(dtype: DType): (typeof arrays)[keyof typeof arrays] | undefined {
  return Object.hasOwn(arrays, dtype) ? arrays[dtype as keyof typeof arrays] : undefined;
}

/** Whether it is one of the floats of 16 bits. */
export function isHalf(dtype: DType): boolean {
  return dtype === 'float16' || dtype === 'bfloat16';
}

/** Bytes of one element. */
export function itemSize(dtype: DType): number {
  return arrayClass(dtype)?.BYTES_PER_ELEMENT ?? 2;
}
