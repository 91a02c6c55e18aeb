// The environment variables by which torchrun, Slurm scripts and Kubernetes' PyTorchJob tell a process its rank.

import type { Rendezvous } from './process-group.js';

/**
 * The rendezvous that MASTER_ADDR, MASTER_PORT, RANK and WORLD_SIZE describe (torch.distributed's `env://`), or
 * undefined for a process on its own: no WORLD_SIZE, or one of 1. LOCAL_RANK is 0 where it is missing. PGPC_STORE_FILE, which
 * the launcher of one machine sets, takes the place of MASTER_ADDR and MASTER_PORT. Where torchrun the store itself
 * (TORCHELASTIC_USE_AGENT_STORE), each of its restarts has keys of its own.
 * @throws Error that names the variable that is missing or no whole number.
 */
export function rendezvousFromEnvironment(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Rendezvous | undefined {
  if (env.WORLD_SIZE === undefined) return undefined;
  const text = (name: string): string => {
    const value = env[name];
    if (!value) throw new Error(`WORLD_SIZE is set to ${env.WORLD_SIZE}, but ${name} is not set`);
    return value;
  };
  const number = (name: string, least: number, most: number): number => {
    const value = Number(text(name));
    if (!Number.isSafeInteger(value) || value < least || value > most) {
      throw new Error(`${name} is a whole number from ${least} to ${most}, not '${env[name]}'`);
    }
    return value;
  };
  const size = number('WORLD_SIZE', 1, 2 ** 20);
  if (size === 1) return undefined;
  const rank = number('RANK', 0, size - 1);
  const localRank = env.LOCAL_RANK === undefined ? 0 : number('LOCAL_RANK', 0, size - 1);
  if (env.PGPC_STORE_FILE) return { rank, size, localRank, file: env.PGPC_STORE_FILE };
  const agentStore = env.TORCHELASTIC_USE_AGENT_STORE === 'True';
  return {
    rank,
    size,
    localRank,
    host: text('MASTER_ADDR'),
    port: number('MASTER_PORT', 1, 65_535),
    hostsStore: rank === 0 && !agentStore,
    prefix: agentStore ? `/worker/attempt_${env.TORCHELASTIC_RESTART_COUNT ?? 0}` : '',
  };
}
