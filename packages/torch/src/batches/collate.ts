// Items to batches.

import type { TypedArray } from '../dtype.js';
import { tensor } from '../factories.js';
import { ops } from '../ops.js';
import { Tensor, tidy } from '../tensor.js';

/** What {@link defaultCollate} makes of items of a type. */
export type Collated<Item> = Item extends Tensor | number | bigint | boolean | TypedArray
  ? Tensor
  : Item extends string
    ? string[]
    : { -readonly [Key in keyof Item]: Collated<Item[Key]> };

/**
 * Puts items together: tensors and typed arrays are stacked along a new first axis; numbers become float32, bigints (such
 * as the class `3n`) int64, booleans bool, each a tensor (B); strings stay a list. Of items that are arrays or plain
 * objects, each member is put together by itself.
 * @throws TypeError for other items, or items that differ in form; TorchError for tensors of different shapes
 */
export function defaultCollate<Item>(items: readonly Item[]): Collated<Item> {
  return tidy(() => collate(items, 'item')) as Collated<Item>;
}

function collate(items: readonly unknown[], path: string): unknown {
  if (all(items, (item) => item instanceof Tensor)) return ops.stack(items);
  if (all(items, (item) => typeof item === 'number')) return tensor(items);
  if (all(items, (item) => typeof item === 'boolean')) return tensor(items);
  if (all(items, (item) => typeof item === 'bigint')) return tensor(BigInt64Array.from(items));
  if (all(items, (item) => typeof item === 'string')) return [...items];
  if (all(items, isTypedArray)) return ops.stack(items.map((item) => tensor(item)));
  if (all(items, isList)) {
    const { length } = items[0]!;
    if (items.some((item) => item.length !== length)) {
      throw new TypeError(`${path}: arrays of different lengths cannot be put together; give a collate.`);
    }
    const member = (i: number) => items.map((item) => item[i]);
    return Array.from({ length }, (_, i) => collate(member(i), `${path}[${i}]`));
  }
  if (all(items, isPlain)) {
    const member = (key: string) => items.map((item) => item[key]);
    const fields = Object.keys(items[0]!).map((key) => [key, collate(member(key), `${path}.${key}`)]);
    return Object.fromEntries(fields);
  }
  const types = [...new Set(items.map(typeName))].join(', ');
  throw new TypeError(`${path}: there is no way to put ${types} together; give a collate.`);
}

function all<T>(items: readonly unknown[], is: (item: unknown) => item is T): items is readonly T[] {
  return items.every(is);
}

function isList(item: unknown): item is readonly unknown[] {
  return Array.isArray(item);
}

function isTypedArray(item: unknown): item is TypedArray {
  return ArrayBuffer.isView(item) && !(item instanceof DataView);
}

function isPlain(item: unknown): item is Record<string, unknown> {
  return typeof item === 'object' && item !== null && Object.getPrototypeOf(item) === Object.prototype;
}

function typeName(item: unknown): string {
  if (typeof item !== 'object' || item === null) return item === null ? 'null' : typeof item;
  return item.constructor?.name ?? 'object';
}
