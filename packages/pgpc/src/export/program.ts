// What a network computes at any size of its input: several recorded passes brought together, sizes as functions.

import type { nn, Tensor } from '@pgpc/torch';
import { rand, tidy } from '@pgpc/torch';
import { type RecordedCall, type Recording, recordPass, Traced } from './record.js';
import { ChangingSizeError, type InputSize, type Size, SizeTable, sizeAt } from './sizes.js';
import { type Argument, Constant, type Program, type Step, Value } from './values.js';
import { type Window, windowOf, windowsIn } from './windows.js';

/**
 * Input sizes that are traced together. At these, no two sizes inside of an encoder (its sides at strides 1 to 32 by rounding
 * up or down, and their products) are the same at all four, and none is constant. Stride 4 has less than 512 pixels: of more,
 * attention is cut in parts, whose number is no size.
 */
const TRACED: readonly InputSize[] = [
  { batch: 1, height: 51, width: 52 },
  { batch: 2, height: 92, width: 37 },
  { batch: 3, height: 38, width: 37 },
  { batch: 1, height: 48, width: 89 },
];

/** Seen at each of the traced input sizes. */
type Seen<T> = readonly T[];

class Merger {
  readonly #table: SizeTable;
  readonly #values = new Map<number, Value>();

  constructor(readonly inputs: readonly InputSize[]) {
    this.#table = new SizeTable(inputs);
  }

  input({ id, dtype, shape }: Traced): Value {
    const value = new Value(id, dtype, []);
    const size = (key: keyof InputSize, axis: number) =>
      this.inputs.length === 1 ? shape[axis]! : this.#table.define((input) => input[key], { value, axis });
    value.sizes = [size('batch', 0), shape[1]!, size('height', 2), size('width', 3)];
    this.#values.set(id, value);
    return value;
  }

  value(id: number): Value {
    return this.#values.get(id)!;
  }

  step(seen: Seen<RecordedCall>): Step {
    const [{ name, module, args, results }] = seen as [RecordedCall];
    const where = `${name} in '${module}'`;
    for (const call of seen) {
      if (call.name !== name || call.results.length !== results.length) {
        throw new ChangingSizeError(`${where} is called at one size of the input, ${call.name} at another`);
      }
    }
    const operands = [...args.values()].flat().filter((arg) => arg instanceof Traced);
    const inputs = operands.map(({ id }) => this.value(id));
    const window = windowOf(name, args);
    const made = results.map((_, i) => {
      const shapes = seen.map((call) => call.results[i]!.shape);
      const value = new Value(results[i]!.id, results[i]!.dtype, []);
      value.sizes = shapes[0]!.map((_, axis) => {
        const sizes = shapes.map((shape) => shape[axis]!);
        const size = window && axis >= 2 ? this.#windows(inputs[0]!, window, value, axis) : undefined;
        const found = size ?? this.#size(sizes, inputs, value, axis);
        if (found !== undefined && this.#table.fits(found, sizes)) return found;
        throw new ChangingSizeError(`${where} gives sizes ${sizes.join(', ')}, which follow from no others`);
      });
      this.#values.set(value.id, value);
      return value;
    });
    const merged = [...args.keys()].map((key): [string, Argument] => [
      key,
      this.#argument(
        seen.map((call) => call.args.get(key)),
        `${where}: ${key}`,
      ),
    ]);
    return { name, module, args: new Map(merged), results: made };
  }

  #windows(from: Value, window: Window, value: Value, axis: number): Size {
    const before = from.sizes[axis]!;
    return this.#table.define((input) => windowsIn(sizeAt(before, input), window, axis - 2), { value, axis });
  }

  /** A constant, a size of an operand (best of the same axis), another that was asked for, or a product of two. */
  #size(seen: Seen<number>, operands: readonly Value[], value: Value, axis: number): Size | undefined {
    if (seen.every((size) => size === seen[0])) return seen[0]!;
    const near = operands.flatMap(({ sizes }) => sizes[axis] ?? []);
    const sizes = [...near, ...operands.flatMap((operand) => operand.sizes)];
    const own = sizes.find((size) => this.#table.fits(size, seen));
    if (own !== undefined) return own;
    const known = this.#table.find(seen);
    if (known !== undefined) return known;
    for (const a of sizes) {
      for (const b of sizes) {
        if (seen.some((size, i) => sizeAt(a, this.inputs[i]!) * sizeAt(b, this.inputs[i]!) !== size))
          continue;
        return this.#table.define((input) => sizeAt(a, input) * sizeAt(b, input), { value, axis });
      }
    }
    return undefined;
  }

  #argument(seen: Seen<unknown>, where: string): Argument {
    const [first] = seen;
    if (Array.isArray(first)) {
      const lists = seen as Seen<readonly unknown[]>;
      if (lists.some(({ length }) => length !== first.length)) {
        throw new ChangingSizeError(`${where} has ${lists.map(({ length }) => length).join(', ')} items`);
      }
      return first.map((_, i) =>
        this.#argument(
          lists.map((list) => list[i]),
          where,
        ),
      );
    }
    if (first instanceof Traced) return this.value(first.id);
    if (first instanceof Constant) {
      if (!seen.every((constant) => isSame(first, constant as Constant))) {
        throw new ChangingSizeError(`${where} is a constant that changes with the size of the input`);
      }
      return first;
    }
    if (seen.every((value) => value === first)) return first as Argument;
    const size = seen.every(Number.isSafeInteger) ? this.#table.find(seen as number[]) : undefined;
    if (size === undefined)
      throw new ChangingSizeError(`${where} is ${seen.join(', ')}, which no tensor has`);
    return size;
  }
}

function isSame(a: Constant, b: Constant): boolean {
  if (a.name !== undefined) return a.name === b.name;
  if (a.shape.join() !== b.shape.join()) return false;
  const values = b.read();
  return a.read().every((value, i) => value === values[i]);
}

function merged(recordings: Seen<Recording>, inputs: readonly InputSize[]): Program {
  const [{ input, output, calls }] = recordings as [Recording];
  for (const other of recordings) {
    if (other.calls.length === calls.length && other.output.id === output.id) continue;
    throw new ChangingSizeError('the network calls more operators at one size of the input than at another');
  }
  const merger = new Merger(inputs);
  const value = merger.input(input);
  const steps = calls.map((_, i) => merger.step(recordings.map((recording) => recording.calls[i]!)));
  return { input: value, output: merger.value(output.id), steps: leadingTo(output.id, steps) };
}

/** Without steps whose results are not needed. */
function leadingTo(output: number, steps: readonly Step[]): Step[] {
  const needed = new Set([output]);
  const kept = steps.toReversed().filter(({ args, results }) => {
    if (!results.some(({ id }) => needed.has(id))) return false;
    for (const arg of [...args.values()].flat()) if (arg instanceof Value) needed.add(arg.id);
    return true;
  });
  return kept.reverse();
}

/**
 * Traces a network at several sizes of its input, or at one.
 * @param run gives the output of interest of an image (B, 3, H, W)
 * @param only the one size; without it the program holds for all
 * @throws ChangingSizeError that says what cannot be followed over several sizes
 */
export function traceProgram(
  network: nn.StateModule,
  run: (image: Tensor) => Tensor,
  only?: InputSize,
): Program {
  const inputs = only ? [only] : TRACED;
  const recordings = inputs.map(({ batch, height, width }) =>
    tidy(() => recordPass(network, rand([batch, 3, height, width]), run)),
  );
  return merged(recordings, inputs);
}
