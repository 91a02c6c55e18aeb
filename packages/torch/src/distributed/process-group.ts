// A process's membership in a group of them, on torch.distributed's C++ engine (native/distributed.cpp).

import { noGrad } from '../autograd.js';
import { TorchError } from '../errors.js';
import { native } from '../native.js';
import { ops } from '../ops.js';
import { type Tensor, tidy } from '../tensor.js';
import type { World } from './world.js';

export type Backend = 'gloo' | 'nccl';

/** Where the processes meet, and who this one is. */
export type Rendezvous = RankPlace & (StoreAddress | StoreFile);

interface RankPlace {
  rank: number;
  size: number;
  /** Place on this machine, from 0: the GPU to use. */
  localRank: number;
}

interface StoreAddress {
  /**
   * Address and port of the store through which the processes find each other. It listens on every interface; with libtorch 2
   * on loopback alone where the address is of it.
   */
  host: string;
  port: number;
  /** Whether this process runs that store: rank 0, unless a launcher does. */
  hostsStore: boolean;
  /** Comes before this group's keys in the store. */
  prefix: string;
}

interface StoreFile {
  /**
   * A file that is the store, for the processes of one machine: whoever may open it may join. It is not there before the first
   * of them, and of one group alone. Over Gloo nothing listens but on loopback.
   */
  file: string;
}

export interface GroupOptions {
  /** 'gloo' for tensors on the CPU (default), 'nccl' for those on GPUs. */
  backend?: Backend;
  /** Seconds after which meeting, or a collective, fails: 1800 by default, as in torch.distributed. */
  timeout?: number;
}

const DEFAULT_TIMEOUT = 1800;

/** What this build can train on together; empty where libtorch came without torch.distributed. */
export function distributedBackends(): Backend[] {
  return native.distributedBackends() as Backend[];
}

/**
 * The processes of one training run. A process is in one group at a time.
 *
 * A collective blocks JavaScript as any operator does. When a rank has died, the ranks that wait for it throw within
 * milliseconds (its connections are closed); when one hangs, after the timeout. The group is of no use then.
 */
export class ProcessGroup implements World {
  readonly rank: number;
  readonly size: number;
  #left = false;

  /**
   * Meets the others; blocks until all are there.
   * @throws RangeError for a rank, size, port or timeout out of range; Error if the backend is missing, the others do
   *   not come in time, or this process is in a group already.
   */
  constructor(
    readonly rendezvous: Rendezvous,
    { backend = 'gloo', timeout = DEFAULT_TIMEOUT }: GroupOptions = {},
  ) {
    const { rank, size } = rendezvous;
    const { host, port, hostsStore, prefix, file } =
      'file' in rendezvous
        ? { host: '', port: 0, hostsStore: false, prefix: '', file: rendezvous.file }
        : { ...rendezvous, file: '' };
    check('the number of ranks', size, 1, 2 ** 20);
    check('the rank', rank, 0, size - 1);
    if (file === '') check('the port', port, 1, 65_535);
    if (!(timeout > 0)) throw new RangeError(`the timeout is a number of seconds above 0, not ${timeout}`);
    const backends = distributedBackends();
    if (!backends.includes(backend)) {
      const had = backends.length === 0 ? 'built without torch.distributed' : `it has ${backends.join(', ')}`;
      throw new Error(`this libtorch cannot train in several processes over ${backend}: ${had}`);
    }
    const milliseconds = Math.ceil(timeout * 1000);
    try {
      native.distributedJoin(backend, rank, size, milliseconds, host, port, hostsStore, prefix, file);
    } catch (error) {
      throw new Error(
        `rank ${rank} of ${size} did not meet the others at ${file || `${host}:${port}`}: ${firstLine((error as Error).message)}`,
      );
    }
    this.rank = rank;
    this.size = size;
  }

  sum(x: Tensor): Tensor {
    return this.#reduced(x, 'sum');
  }

  mean(x: Tensor): Tensor {
    return this.#reduced(x, 'mean');
  }

  /** The largest over the ranks. @param x numbers of any shape. */
  max(x: Tensor): Tensor {
    return this.#reduced(x, 'max');
  }

  gather(x: Tensor, axis = 0): Tensor {
    return this.#collective('all_gather', () => {
      const stacked = ops.call('pgpc::all_gather', x) as Tensor;
      return stacked.movedim(0, axis).flatten(axis, axis + 1);
    });
  }

  part(x: Tensor, axis = 0): Tensor {
    const share = x.shape[axis]! / this.size;
    if (!Number.isInteger(share)) {
      throw new RangeError(`axis ${axis} of [${x.shape}] has no equal parts for ${this.size} ranks`);
    }
    return x.narrow(axis, this.rank * share, share);
  }

  /** Gives every tensor the values that it has on rank `root`, in place. */
  broadcast_(tensors: readonly Tensor[], root = 0): void {
    this.#collective('broadcast', () => ops.call('pgpc::broadcast_', tensors, root));
  }

  /** Returns when every rank has got here. */
  barrier(): void {
    this.#collective('barrier', () => ops.call('pgpc::barrier'));
  }

  /** Leaves the group; connections close. A second call does nothing. */
  dispose(): void {
    if (!this.#left) native.distributedLeave();
    this.#left = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** An error of an operator that waits for other ranks, in words about ranks; any other error as it is. */
  explain(error: unknown): unknown {
    if (!(error instanceof TorchError) || !/connection|timed? ?out|socket|gloo|nccl|pipe/i.test(error.reason))
      return error;
    return new Error(
      `rank ${this.rank} of ${this.size} lost another rank, which has ended or hangs (${firstLine(error.reason)})`,
    );
  }

  #reduced(x: Tensor, op: 'sum' | 'mean' | 'max'): Tensor {
    return this.#collective('all_reduce', () => {
      const copy = x.detach().clone();
      ops.call('pgpc::all_reduce_', copy, op);
      return copy;
    });
  }

  #collective<T>(name: string, run: () => T): T {
    if (this.#left) throw new Error(`${name}: this process has left its group`);
    try {
      return tidy(() => noGrad(run));
    } catch (error) {
      throw this.explain(error);
    }
  }
}

function check(what: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    throw new RangeError(`${what} is a whole number from ${least} to ${most}, not ${value}`);
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0]!;
}
