// One forward pass as a list of operator calls whose tensors are told apart: made from the input, or constant.

import { type nn, noGrad, Tensor, type TracedCall, tidy, traceOperators } from '@pgpc/torch';
import { Constant } from './values.js';

/** A tensor that depends on the input, in one pass. */
export class Traced {
  constructor(
    readonly id: number,
    readonly shape: readonly number[],
    readonly dtype: string,
  ) {}
}

/** Arguments as they were given, tensors replaced by {@link Traced} and {@link Constant}. */
export interface RecordedCall {
  readonly name: string;
  readonly module: string;
  readonly args: ReadonlyMap<string, unknown>;
  readonly results: readonly Traced[];
}

export interface Recording {
  readonly input: Traced;
  readonly output: Traced;
  readonly calls: readonly RecordedCall[];
}

/** Operators whose result may be the memory of their first argument. */
const VIEWS: ReadonlySet<string> = new Set([
  'aten::chunk',
  'aten::contiguous',
  'aten::expand',
  'aten::flatten.using_ints',
  'aten::narrow',
  'aten::permute',
  'aten::reshape',
  'aten::split_with_sizes',
  'aten::to.dtype',
  'aten::transpose.int',
  'aten::unbind.int',
  'aten::view',
]);

/** Memory that tensors share, and how often it was written to. */
interface Storage {
  version: number;
}

interface Entry {
  readonly traced: Traced;
  readonly storage: Storage;
  readonly version: number;
}

class Recorder {
  readonly calls: RecordedCall[] = [];
  readonly #entries = new Map<Tensor, Entry>();
  readonly #weights: ReadonlyMap<Tensor, string>;
  #made = 0;

  constructor(network: nn.StateModule) {
    this.#weights = new Map([...network.stateDict()].map(([name, tensor]) => [tensor, name]));
  }

  enter(tensor: Tensor, storage: Storage = { version: 0 }): Traced {
    const traced = new Traced(this.#made++, tensor.shape, tensor.dtype);
    this.#entries.set(tensor, { traced, storage, version: storage.version });
    return traced;
  }

  entryOf(tensor: Tensor): Entry | undefined {
    return this.#entries.get(tensor);
  }

  call({ name, module, args, results, written }: TracedCall): void {
    const used: Entry[] = [];
    const operand = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(operand);
      if (!(value instanceof Tensor)) return value;
      const entry = this.#entries.get(value);
      if (entry === undefined) return this.#constant(value);
      if (entry.version !== entry.storage.version) {
        const what = `${name} in '${module}' reads a tensor whose memory another view of it has since written to`;
        throw new Error(`${what}; an export needs the later value to be read where it was written`);
      }
      used.push(entry);
      return entry.traced;
    };
    // Constants are copied only for calls that come to be part of the graph.
    const isTraced = (value: unknown): boolean =>
      Array.isArray(value) ? value.some(isTraced) : value instanceof Tensor && this.#entries.has(value);
    if (![...args.values()].some(isTraced)) return;
    const operands = new Map([...args].map(([key, value]) => [key, operand(value)]));
    const writes = written.map((key) => args.get(key));
    const tensors = results.filter((result) => result instanceof Tensor);
    const made = tensors.map((result) => {
      if (writes.includes(result)) {
        const storage = this.#entries.get(result)?.storage ?? { version: 0 };
        storage.version++;
        return this.enter(result, storage);
      }
      return this.enter(result, VIEWS.has(name) ? used[0]!.storage : undefined);
    });
    this.calls.push({ name, module, args: operands, results: made });
  }

  #constant(tensor: Tensor): Constant {
    const weight = this.#weights.get(tensor);
    // Only weights outlive the pass.
    const copy = weight === undefined ? tensor.toArray() : undefined;
    return new Constant(weight, tensor.shape, tensor.dtype, () => copy ?? tensor.toArray());
  }
}

/**
 * Runs a network on one input and records what it computes.
 * @param image (B, 3, H, W)
 * @param run gives the output of interest
 * @throws Error where the output does not depend on the input, or memory is shared in a way that a graph cannot express
 */
export function recordPass(
  network: nn.StateModule,
  image: Tensor,
  run: (image: Tensor) => Tensor,
): Recording {
  const recorder = new Recorder(network);
  const input = recorder.enter(image);
  return tidy(() =>
    noGrad(() => {
      const output = traceOperators(
        network,
        () => run(image),
        (call) => recorder.call(call),
      );
      const entry = recorder.entryOf(output);
      if (entry === undefined) throw new Error('the output of the network does not depend on its input');
      return { input, output: entry.traced, calls: recorder.calls };
    }),
  );
}
