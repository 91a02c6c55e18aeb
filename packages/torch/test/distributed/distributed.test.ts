// Several processes: collectives, gradients, batch norm and dropout over all their batches, and the death of one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  alone,
  distributedBackends,
  ops,
  ProcessGroup,
  type Rendezvous,
  rendezvousFromEnvironment,
  tensor,
} from '../../src/index.js';

const PROGRAM = fileURLToPath(new URL('./rank.mjs', import.meta.url));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

interface Seen {
  collectives: unknown;
  batchNorm: Record<string, number>;
  reducer: { seen: unknown[][]; disposed: string };
  dropout: { difference: number; zeros: number };
  twice: string;
  left: string;
  die: { error: string; seconds: number; after: string };
}

/** What the ranks print, by rank; undefined for one that prints nothing. */
async function inRanks<T = Seen>(
  names: readonly (keyof Seen)[],
  { size = 2, start = size, env = {} }: { size?: number; start?: number; env?: Record<string, string> } = {},
): Promise<T[]> {
  const port = String(await freePort());
  return Promise.all(
    Array.from({ length: start }, async (_, rank) => {
      const child = spawn(process.execPath, [PROGRAM, ...names], {
        env: {
          ...process.env,
          OMP_NUM_THREADS: '1',
          MASTER_ADDR: '127.0.0.1',
          MASTER_PORT: port,
          WORLD_SIZE: String(size),
          RANK: String(rank),
          ...env,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      await once(child, 'close');
      return text === '' ? undefined : JSON.parse(text);
    }),
  ) as Promise<T[]>;
}

let two: Seen[];
let three: (Seen | undefined)[];
beforeAll(async () => {
  two = await inRanks(['collectives', 'batchNorm', 'reducer', 'dropout', 'twice', 'left']);
  three = await inRanks(['die'], { size: 3 });
}, 120_000);

test('collectives', () => {
  for (const [rank, { collectives }] of two.entries()) {
    expect(collectives).toEqual({
      sum: [3, 30],
      mean: [1.5, 15],
      max: [2, 20],
      count: 2 ** 41 + 1,
      untouched: [rank + 1, 10 * (rank + 1)],
      gather0: [[0], [10], [1], [11]],
      gather1: [
        [0, 1],
        [10, 11],
      ],
      part0: [
        [4 * rank, 4 * rank + 1],
        [4 * rank + 2, 4 * rank + 3],
      ],
      odd: 'RangeError: axis 0 of [5] has no equal parts for 2 ranks',
      broadcast: [
        [1, 2],
        [1, 3],
      ],
      from: 2 ** 40 + 1,
    });
  }
});

test('batch norm over two ranks is batch norm of the whole batch, forward and backward', () => {
  for (const { batchNorm } of two) {
    const { unlike, ...differences } = batchNorm;
    expect(Object.keys(differences)).toHaveLength(6);
    for (const [name, difference] of Object.entries(differences)) {
      expect([name, difference]).toEqual([name, expect.closeTo(0, 12)]);
    }
    // The ranks' own statistics are far from it, so that the test could fail.
    expect(unlike).toBeGreaterThan(0.01);
  }
});

test('the reducer averages what all passes since the last exchange have left', () => {
  for (const { reducer } of two) {
    // Ranks 0 and 1: (1 + 10) and (2 + 20), mean 16.5; b: 0 and 1.
    expect(reducer.seen).toEqual([
      [[16.5, 16.5], null, null],
      [[16.5, 16.5], [0.5, 0.5], null],
      [[16.5, 16.5], [0.5, 0.5], null],
    ]);
    expect(reducer.disposed).toContain('no such reducer');
  }
});

test('dropout draws one mask for all ranks', () => {
  for (const { dropout } of two) {
    expect(dropout.difference).toBe(0);
    expect(dropout.zeros > 0 && dropout.zeros < 16).toBe(true);
  }
});

describe('what goes wrong', () => {
  test('the death of a rank reaches the others in seconds, with its cause', () => {
    const [first, second, third] = three;
    expect(third).toBeUndefined();
    for (const rank of [first, second]) {
      const { error, seconds, after } = rank!.die;
      expect(error).toMatch(/^Error: rank \d of 3 lost another rank, which has ended or hangs \(.+\)$/);
      expect(seconds).toBeLessThan(5);
      expect(after).toBe('left');
    }
  });

  test.each(['an address', 'a file'])(
    'at %s, ranks that do not come are waited for no longer than the timeout',
    async (at) => {
      const folder = mkdtempSync(join(tmpdir(), 'pgpc-store-'));
      const file = join(folder, 'store');
      const began = performance.now();
      const env = { TIMEOUT: '1', ...(at === 'a file' && { PGPC_STORE_FILE: file }) };
      const [only] = await inRanks<string>([], { start: 1, env });
      rmSync(folder, { recursive: true });
      expect(only).toMatch(/^Error: rank 0 of 2 did not meet the others at .+: .+/);
      expect(only!.includes(` at ${file}: `)).toBe(at === 'a file');
      expect(performance.now() - began).toBeLessThan(15_000);
    },
  );

  test('a process is in one group at a time, and calls nothing after it has left', () => {
    for (const { twice, left } of two) {
      expect(twice).toContain('has joined a process group already');
      expect(left).toBe('Error: all_reduce: this process has left its group');
    }
  });

  test('without a group the collectives refuse', () => {
    expect(() => ops.call('pgpc::all_reduce_', tensor([1]))).toThrow('has joined no process group');
    expect(() => ops.call('pgpc::all_gather', tensor([1]))).toThrow('has joined no process group');
    expect(() => ops.call('pgpc::make_reducer', [tensor([1])], 8)).toThrow('has joined no process group');
  });

  test('wrong places are refused before anything is connected', () => {
    const place: Rendezvous = {
      rank: 0,
      size: 2,
      localRank: 0,
      host: '127.0.0.1',
      port: 1,
      hostsStore: true,
      prefix: '',
    };
    expect(() => new ProcessGroup({ ...place, rank: 2 })).toThrow(
      'the rank is a whole number from 0 to 1, not 2',
    );
    expect(() => new ProcessGroup({ ...place, size: 0 })).toThrow('the number of ranks');
    expect(() => new ProcessGroup({ ...place, port: 70_000 })).toThrow(
      'the port is a whole number from 1 to 65535',
    );
    expect(() => new ProcessGroup(place, { timeout: 0 })).toThrow('the timeout');
    expect(distributedBackends()).toContain('gloo');
    if (!distributedBackends().includes('nccl')) {
      expect(() => new ProcessGroup(place, { backend: 'nccl' })).toThrow('over nccl: it has gloo');
    }
  });
});

describe("torchrun's variables", () => {
  const env = { MASTER_ADDR: 'node7', MASTER_PORT: '29500', RANK: '5', WORLD_SIZE: '8', LOCAL_RANK: '1' };
  const place = { rank: 5, size: 8, localRank: 1, host: 'node7', port: 29500, hostsStore: false, prefix: '' };

  test('say who this process is', () => {
    expect(rendezvousFromEnvironment(env)).toEqual(place);
    expect(rendezvousFromEnvironment({ ...env, RANK: '0' })).toEqual({ ...place, rank: 0, hostsStore: true });
    expect(rendezvousFromEnvironment({ ...env, LOCAL_RANK: undefined })).toEqual({ ...place, localRank: 0 });
    const onOneMachine = { RANK: '5', WORLD_SIZE: '8', PGPC_STORE_FILE: '/run/store' };
    expect(rendezvousFromEnvironment(onOneMachine)).toEqual({
      rank: 5,
      size: 8,
      localRank: 0,
      file: '/run/store',
    });
    const elastic = { TORCHELASTIC_USE_AGENT_STORE: 'True', TORCHELASTIC_RESTART_COUNT: '2', RANK: '0' };
    expect(rendezvousFromEnvironment({ ...env, ...elastic })).toEqual({
      ...place,
      rank: 0,
      prefix: '/worker/attempt_2',
    });
  });

  test('are optional for a process on its own', () => {
    expect(rendezvousFromEnvironment({})).toBeUndefined();
    expect(rendezvousFromEnvironment({ WORLD_SIZE: '1' })).toBeUndefined();
    const x = tensor([1, 2]);
    for (const method of ['sum', 'mean', 'gather', 'part'] as const) expect(alone[method](x)).toBe(x);
  });

  test.each(['MASTER_ADDR', 'MASTER_PORT', 'RANK'])('%s is needed with WORLD_SIZE', (name) => {
    expect(() => rendezvousFromEnvironment({ ...env, [name]: undefined })).toThrow(
      `WORLD_SIZE is set to 8, but ${name} is not set`,
    );
  });

  test.each([
    ['RANK', '8'],
    ['RANK', 'x'],
    ['MASTER_PORT', '0'],
    ['WORLD_SIZE', '1.5'],
    ['LOCAL_RANK', '-1'],
  ])('%s is not %s', (name, value) => {
    expect(() => rendezvousFromEnvironment({ ...env, [name]: value })).toThrow(
      new RegExp(`^${name} is a whole number from \\d+ to \\d+, not '${value}'$`),
    );
  });
});
