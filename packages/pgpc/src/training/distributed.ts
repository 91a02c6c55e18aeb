// A trainer's ties to the processes that train the same model with it.

import {
  GradientReducer,
  ops,
  ProcessGroup,
  rendezvousFromEnvironment,
  type Tensor,
  tensor,
  tidy,
} from '@pgpc/torch';

/**
 * Joins the group that the environment describes (see `rendezvousFromEnvironment`), over NCCL for a model on a GPU and
 * Gloo for one on the CPU. PGPC_TIMEOUT is the number of seconds after which a rank that waits gives up.
 * @returns undefined for a process on its own.
 * @throws Error if a variable is missing or wrong, or the others do not come in time.
 */
export function joinGroup(
  env: Readonly<Record<string, string | undefined>> = process.env,
  device: 'cpu' | 'cuda' = 'cpu',
): ProcessGroup | undefined {
  const rendezvous = rendezvousFromEnvironment(env);
  if (!rendezvous) return undefined;
  const { PGPC_TIMEOUT: given } = env;
  const timeout = given === undefined ? undefined : Number(given);
  if (timeout !== undefined && !(timeout > 0)) {
    throw new Error(`PGPC_TIMEOUT is a number of seconds above 0, not '${given}'`);
  }
  return new ProcessGroup(rendezvous, { backend: device === 'cuda' ? 'nccl' : 'gloo', timeout });
}

/** Processes of this training on this machine; launchers that start one a machine do not say. */
export function ranksHere(): number {
  return Number(process.env.LOCAL_WORLD_SIZE) || 1;
}

/** Rank 0 runs first: what it leaves in caches the others need not compute, and what it refuses they need not see. */
export async function inTurn<T>(group: ProcessGroup | undefined, run: () => Promise<T>): Promise<T> {
  if (group && group.rank > 0) group.barrier();
  const result = await run();
  if (group?.rank === 0) group.barrier();
  return result;
}

/** One rank's copy of what is trained, kept equal to the others'. */
export class Replica {
  readonly reducer: GradientReducer;
  readonly #device: string;

  /** @param parameters of the student, the same ones in the same order on every rank. */
  constructor(
    readonly group: ProcessGroup,
    parameters: readonly Tensor[],
  ) {
    this.reducer = new GradientReducer(group, parameters);
    this.#device = parameters[0]!.device;
  }

  /**
   * Gives `state` the values of rank 0, where they may have been loaded.
   * @param iteration steps done.
   * @throws Error if the ranks are at different steps: they restored different checkpoints.
   */
  align(state: readonly Tensor[], iteration: number): void {
    const [most, least] = tidy(() => {
      const both = this.group.max(this.#numbers([iteration, -iteration])).toArray();
      return [Number(both[0]), -Number(both[1])];
    });
    if (most !== least) {
      throw new Error(
        `rank ${this.group.rank} resumes from step ${iteration}, others from ${least} to ${most}: all machines must see the same run directory`,
      );
    }
    this.group.broadcast_(state);
  }

  /** Whether any rank says so. */
  any(flag: boolean): boolean {
    return tidy(() => this.group.max(this.#numbers([flag ? 1 : 0])).item() > 0);
  }

  /** The means over the ranks of scalars on this rank. */
  means<T extends Record<string, Tensor | undefined>>(scalars: T): T {
    return tidy(() => {
      const present = Object.entries(scalars).filter(([, value]) => value !== undefined) as [
        string,
        Tensor,
      ][];
      const means = this.group.mean(ops.stack(present.map(([, value]) => value)));
      return Object.fromEntries(present.map(([name], i) => [name, means.select(0, i).clone()])) as T;
    });
  }

  #numbers(values: number[]): Tensor {
    return tensor(values).to({ device: this.#device });
  }

  dispose(): void {
    this.reducer.dispose();
  }
}
