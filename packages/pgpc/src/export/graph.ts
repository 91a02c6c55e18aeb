// The ONNX graph while it is written: nodes, constants, shapes that are computed, and names.

import { fromTypedArray, type TypedArray, tidy } from '@pgpc/torch';
import type { Attribute, ElementType, OnnxNode, OnnxTensor } from './onnx-schema.js';
import { type Dim, type InputSize, type Size, sizeAt } from './sizes.js';
import { storeWeight } from './stored-weights.js';
import { Constant, type Value } from './values.js';
import type { WeightFormat } from './weight-formats.js';

/** Which axes of a weight a product sums over, and how it is to lie in the file. */
export interface WeightUse {
  /** Axis of the output's channels. */
  readonly channels: number;
  /** Whether the two axes are to change places: (out, in) to (in, out). */
  readonly transpose?: boolean;
}

export class GraphWriter {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxTensor[] = [];
  readonly #names = new Map<Value, string>();
  /** Constants and nodes by what they hold, so that each is written once. */
  readonly #written = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  /** Of constants that are no weights. */
  readonly #keys = new Map<Constant, number>();
  /** Of the module whose operators are being written. */
  #scope = '';

  constructor(
    readonly weights: WeightFormat,
    /** The one size of the input; undefined: sizes are computed. */
    readonly fixed: InputSize | undefined,
  ) {}

  enter(module: string): void {
    this.#scope = module === '' ? '' : `/${module.replaceAll('.', '/')}`;
  }

  bind(value: Value, name: string): void {
    this.#names.set(value, name);
  }

  /** The name of a value that was bound, or of a constant, in float32 as it is. */
  name(operand: Value | Constant): string {
    if (operand instanceof Constant)
      return this.#once(`plain ${this.#keyOf(operand)}`, () => this.#store(operand));
    return this.#names.get(operand)!;
  }

  /** Adds an operator. @returns the name of its result */
  node(
    opType: string,
    input: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const name = this.#unique(`${this.#scope}/${opType}`);
    const output = `${name}_output`;
    this.nodes.push({ opType, name, input, output: [output], attributes });
    return output;
  }

  /** A scalar of float32. */
  number(value: number): string {
    return this.#once(`number ${value}`, () =>
      this.#add('float32', [], Float32Array.of(value), this.#unique('constant')),
    );
  }

  /** int64; without `dims` a list. */
  whole(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.#once(`whole ${values.join()} ${dims.join()}`, () =>
      this.#add('int64', dims, BigInt64Array.from(values, BigInt), this.#unique('sizes')),
    );
  }

  /** Numbers that belong to the export itself. */
  numbers(name: string, dims: readonly number[], values: readonly number[]): string {
    return this.#add('float32', dims, Float32Array.from(values), this.#unique(name));
  }

  /** A size at the fixed size of the input, where there is one. */
  fix(size: Size): Size {
    return this.fixed === undefined ? size : sizeAt(size, this.fixed);
  }

  /** A list of sizes as a tensor of int64: from the shapes of earlier values where they change. */
  sizes(sizes: readonly Size[]): string {
    const fixed = sizes.map((size) => this.fix(size));
    if (fixed.every((size) => typeof size === 'number')) return this.whole(fixed);
    const parts: string[] = [];
    for (let i = 0; i < fixed.length; ) {
      let end = i + 1;
      while (end < fixed.length && follows(fixed[end - 1]!, fixed[end]!)) end++;
      const run = fixed.slice(i, end);
      parts.push(run.every((size) => typeof size === 'number') ? this.whole(run) : this.#shape(run as Dim[]));
      i = end;
    }
    return parts.length === 1 ? parts[0]! : this.node('Concat', parts, { axis: 0 });
  }

  /** A weight of a product, in the format of the file; the name is of what is read as float32. */
  weight(constant: Constant, { channels, transpose = false }: WeightUse): string {
    const placed = transpose ? transposed(constant) : constant;
    return this.#once(`weight ${this.#keyOf(constant)} ${transpose}`, () => {
      const name = this.#unique(placed.name ?? 'weight');
      const axis = transpose ? 1 - channels : channels;
      const stored = storeWeight(this.weights, placed.read() as Float32Array, placed.shape, axis, name);
      const inputs = stored.tensors.map(({ suffix, type, dims, data }) =>
        this.#add(type, dims, data, `${name}${suffix}`),
      );
      return stored.reader ? this.node(stored.reader.opType, inputs, stored.reader.attributes) : inputs[0]!;
    });
  }

  /** Consecutive axes of one value's shape. */
  #shape(run: readonly Dim[]): string {
    const { value, axis } = run[0]!.source;
    const end = axis + run.length;
    return this.#once(`shape ${value.id} ${axis} ${end}`, () =>
      this.node('Shape', [this.name(value)], { start: axis, end }),
    );
  }

  #store({ name, dtype, shape, read }: Constant): string {
    if (dtype !== 'float32') throw new Error(`a constant of ${dtype} has no place in the graph yet`);
    return this.#add('float32', shape, read(), this.#unique(name ?? 'constant'));
  }

  #keyOf(constant: Constant): string {
    if (constant.name !== undefined) return constant.name;
    const key = this.#keys.get(constant) ?? this.#keys.size;
    this.#keys.set(constant, key);
    return `#${key}`;
  }

  #add(type: ElementType, dims: readonly number[], data: TypedArray, name: string): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.constants.push({ name, dims, type, bytes });
    return name;
  }

  #once(key: string, write: () => string): string {
    const known = this.#written.get(key);
    if (known !== undefined) return known;
    const name = write();
    this.#written.set(key, name);
    return name;
  }

  #unique(name: string): string {
    const count = this.#counts.get(name) ?? 0;
    this.#counts.set(name, count + 1);
    return count === 0 ? name : `${name}_${count}`;
  }
}

/** Whether a size can be read together with the one before it. */
function follows(before: Size, size: Size): boolean {
  if (typeof before === 'number' || typeof size === 'number') return typeof before === typeof size;
  return before.source.value === size.source.value && before.source.axis + 1 === size.source.axis;
}

function transposed({ name, shape, dtype, read }: Constant): Constant {
  const turn = () => tidy(() => fromTypedArray(read(), shape).t().contiguous().toArray());
  return new Constant(name, shape.toReversed(), dtype, turn);
}
