// Ranks that are killed while they train, as torchrun starts them and as `--nproc` does, and what follows: an end in bounded time,
// and a restart that ends as a training in which nobody died. PGPC_RANK_KILLS=0 runs it, 20 kills that many at random moments besides.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeStreetSynth } from '@pgpc/street-synth';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Rng } from '../../src/random.js';
import { runContents } from '../support/run-contents.js';

const kills = Number(process.env.PGPC_RANK_KILLS ?? 0);
const program = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pgpc-rank-kills-'));
const state = (place: string) => join(place, 'runs/run/checkpoints/self-training/training.safetensors');
/** The same in every place, as its run has the command. */
const command = [
  ...['train', '--source-root', join(folder, 'data/gta5'), '--target-root', join(folder, 'data/cityscapes')],
  ...['--method', 'self-training', '--crop', '32x32', '--batch', '1', '--iterations', '6'],
  ...['--checkpoint-every', '2', '--no-memory-check', '--workers', '0', '--device', 'cpu', '--name', 'run'],
  ...['--set', 'segmentor.channels=16'],
];
let contents: Record<string, string>;
/** Milliseconds of a whole training. */
let whole: number;

interface Running {
  child: ChildProcess;
  stderr: string;
  ended: Promise<{ code: number | null; signal: string | null; at: number }>;
}

function start(place: string, args: readonly string[], env: Record<string, string>): Running {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: place,
    env: { ...process.env, OMP_NUM_THREADS: '1', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const running: Running = {
    child,
    stderr: '',
    ended: once(child, 'close').then(([code, signal]) => ({ code, signal, at: performance.now() })),
  };
  child.stderr!.on('data', (text) => {
    running.stderr += text;
  });
  return running;
}

/** Two ranks with torchrun's variables; `restarts` is how often it has started them before. */
async function torchrun(place: string, restarts: number): Promise<[Running, Running]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  const env = {
    MASTER_ADDR: '127.0.0.1',
    MASTER_PORT: String(port),
    WORLD_SIZE: '2',
    LOCAL_WORLD_SIZE: '2',
    TORCHELASTIC_RESTART_COUNT: String(restarts),
  };
  return [0, 1].map((rank) =>
    start(place, command, { ...env, RANK: String(rank), LOCAL_RANK: String(rank) }),
  ) as [Running, Running];
}

function made(name: string): string {
  const place = join(folder, name);
  mkdirSync(place);
  return place;
}

const codes = async (ranks: readonly Running[]) =>
  (await Promise.all(ranks.map(({ ended }) => ended))).map(({ code }, i) => [code, code && ranks[i]!.stderr]);

beforeAll(async () => {
  const counts = { sourceTrain: 3, sourceVal: 1, targetTrain: 3, targetVal: 1 };
  await writeStreetSynth(join(folder, 'data'), { seed: 9, ...counts, width: 64 });
  const place = made('whole');
  const began = performance.now();
  expect(await codes(await torchrun(place, 0))).toEqual([
    [0, 0],
    [0, 0],
  ]);
  whole = performance.now() - began;
  contents = runContents(join(place, 'runs/run'));
}, 240_000);
afterAll(() => rmSync(folder, { recursive: true }));

// Six trainings of two processes each are more than every run of the tests has time for.
test.skipIf(process.env.PGPC_RANK_KILLS === undefined)(
  'a rank is killed inside of a collective: the other ends at once, and a restart resumes to the same files',
  async () => {
    const place = made('torchrun');
    const [first, second] = await torchrun(place, 0);
    while (!existsSync(state(place))) await setTimeout(5);
    // Rank 1 is left waiting in a collective that rank 0 does not come to.
    first.child.kill('SIGSTOP');
    await setTimeout(300);
    second.child.kill('SIGKILL');
    const killed = performance.now();
    first.child.kill('SIGCONT');
    const { code, at } = await first.ended;
    expect(code).toBe(1);
    expect(first.stderr).toMatch(/pgpc: rank 0 of 2 lost another rank, which has ended or hangs/);
    expect(at - killed).toBeLessThan(20_000);
    expect(await codes(await torchrun(place, 1))).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(runContents(join(place, 'runs/run'))).toEqual(contents);
  },
  240_000,
);

/** The ranks that a launcher has started. */
function ranksOf(launcher: ChildProcess): number[] {
  const { pid } = launcher;
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

test.skipIf(kills === 0)(
  'ranks of --nproc are killed at random moments, and their launcher says which',
  async () => {
    const rng = new Rng(Number(process.env.PGPC_SEED ?? 1), 'rank kills');
    const place = made('nproc');
    const seconds: number[] = [];
    for (let i = 0; i < kills; ) {
      rmSync(join(place, 'runs'), { recursive: true, force: true });
      for (let done = false; !done; ) {
        const args = existsSync(state(place))
          ? ['train', '--resume', 'runs/run']
          : [...command, '--overwrite'];
        const launcher = start(place, [...args, '--nproc', '2'], {});
        const victim = rng.below(2);
        const first = await Promise.race([
          launcher.ended,
          i < kills ? setTimeout(rng.uniform(500, whole)).then(() => undefined) : launcher.ended,
        ]);
        const pid = first ? undefined : ranksOf(launcher.child)[victim];
        if (pid === undefined) {
          const { code } = await launcher.ended;
          expect([i, code, code && launcher.stderr]).toEqual([i, 0, 0]);
          done = true;
          continue;
        }
        process.kill(pid, 'SIGKILL');
        const at = performance.now();
        const end = await launcher.ended;
        // It may have done all that it had to do.
        if (end.code === 0) done = true;
        else expect(launcher.stderr).toMatch(new RegExp(`pgpc: rank ${victim} of 2 ended with SIGKILL`));
        seconds.push((end.at - at) / 1000);
        i++;
      }
      const { ...found } = runContents(join(place, 'runs/run'));
      // Its command has --nproc and --overwrite.
      for (const one of [found, contents]) delete one['run.json'];
      expect([i, found]).toEqual([i, contents]);
      process.stderr.write(`${i} kills; until all had ended at most ${Math.max(...seconds).toFixed(1)} s\n`);
    }
  },
  36_000_000,
);
