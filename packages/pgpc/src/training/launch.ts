// A training in several processes of this machine: starts the ranks, and ends them together.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Errors of ranks that only lost another one come with it; so long the first failure is waited on for its cause. */
const SETTLE_MS = 500;

const PROGRAM = fileURLToPath(new URL('../../bin/pgpc.js', import.meta.url));
const NPROC = '--nproc';

/** What a rank says that is well itself. */
const LOST = /lost another rank/;

/** Where the ranks' output goes, and what stops them. */
export interface LaunchIo {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
  /** Passed on as Ctrl-C, at which the ranks write a checkpoint and end. */
  readonly signal: AbortSignal;
}

interface Rank {
  rank: number;
  child: ChildProcess;
  /** The last line of stderr that says something, where it passes through here. */
  lastLine: string;
  /** 'exit code 1', 'SIGKILL': how it ended; undefined while it runs, '' if it did what it should. */
  end: string | undefined;
}

/**
 * Runs `pgpc` with the arguments of this command line, less `--nproc`, once a rank, with torchrun's variables. The ranks meet
 * in a file that this user alone may open, and talk over loopback: nobody else can join, and nothing listens to a network.
 * @param count ranks, and processes. @param args the command line's arguments.
 * @param command program and arguments that come before them.
 * @throws Error that names the rank that failed first and the last line of its errors; the others are ended by then.
 */
export async function launchTraining(
  count: number,
  io: LaunchIo,
  args: readonly string[] = process.argv.slice(2),
  command: readonly [string, ...string[]] = [process.execPath, PROGRAM],
): Promise<void> {
  const meeting = mkdtempSync(join(tmpdir(), 'pgpc-ranks-'));
  const store = join(meeting, 'store');
  const ranks = Array.from({ length: count }, (_, rank) => start(rank, count, store, io, args, command));
  const ended = ranks.map((rank) => outcome(rank));
  const interrupt = () => signalAll(ranks, 'SIGINT');
  if (io.signal.aborted) interrupt();
  io.signal.addEventListener('abort', interrupt);
  try {
    await Promise.race([Promise.all(ended), ...ended.map(untilFailure)]);
    if (ranks.every(({ end }) => end === '') || io.signal.aborted) {
      await Promise.all(ended);
      return;
    }
    await setTimeout(SETTLE_MS);
    const failed = ranks.filter(({ end }) => end);
    const cause = failed.find(({ lastLine }) => !LOST.test(lastLine)) ?? failed[0]!;
    const left = ranks.filter(({ end }) => end === undefined);
    const running = left.map(({ rank }) => rank);
    const suspended = left.filter(isSuspended).map(({ rank }) => rank);
    // A request to end would be one for a checkpoint, which they cannot agree on any more.
    signalAll(ranks, 'SIGKILL');
    await Promise.all(ended);
    const what = cause.lastLine ? `: ${cause.lastLine}` : '';
    // One that hangs is among these.
    const stopped = running.length > 0 ? `; then stopped: ${running.join(', ')}` : '';
    const why =
      suspended.length > 0 && LOST.test(cause.lastLine)
        ? `rank ${suspended.join(', ')} of ${count} is suspended (SIGSTOP, or a debugger) and was not waited for any longer: `
        : '';
    throw new Error(`${why}rank ${cause.rank} of ${count} ended with ${cause.end}${what}${stopped}`);
  } finally {
    io.signal.removeEventListener('abort', interrupt);
    rmSync(meeting, { recursive: true, force: true });
  }
}

function start(
  rank: number,
  count: number,
  store: string,
  io: LaunchIo,
  args: readonly string[],
  [program, ...before]: readonly [string, ...string[]],
): Rank {
  const cores = Math.max(1, Math.floor(availableParallelism() / count));
  const child = spawn(program, [...before, ...withoutCount(args)], {
    env: {
      OMP_NUM_THREADS: String(cores),
      // What NCCL says of where its ranks are goes by sockets too.
      NCCL_SOCKET_IFNAME: 'lo',
      ...process.env,
      PGPC_STORE_FILE: store,
      WORLD_SIZE: String(count),
      LOCAL_WORLD_SIZE: String(count),
      RANK: String(rank),
      LOCAL_RANK: String(rank),
    },
    // A terminal's Ctrl-C would reach the ranks twice, here and through the signal, and the second ends them at once.
    detached: true,
    // The channel tells a rank when this process is gone.
    stdio: [
      'ignore',
      shown(io.stdout as object, process.stdout),
      shown(io.stderr as object, process.stderr),
      'ipc',
    ],
  });
  const self: Rank = { rank, child, lastLine: '', end: undefined };
  child.stdout?.pipe(io.stdout, { end: false });
  if (child.stderr) {
    createInterface({ input: child.stderr }).on('line', (line) => {
      // This process says it once for all.
      if (io.signal.aborted && /^(pgpc: stop.*)?$/.test(line)) return;
      if (line.trim()) self.lastLine = line.replace(/^pgpc: /, '').trim();
      io.stderr.write(`${rank === 0 ? '' : `[rank ${rank}] `}${line}\n`);
    });
  }
  return self;

  /** Rank 0 draws its progress on the terminal itself. */
  function shown(stream: { isTTY?: boolean }, own: NodeJS.WriteStream): 'inherit' | 'pipe' {
    return rank === 0 && stream.isTTY && own.isTTY ? 'inherit' : 'pipe';
  }
}

/** Whether a process is stopped where it is, as the kernel has it. */
function isSuspended({ child }: Rank): boolean {
  try {
    // The name before it is in parentheses and may hold anything.
    const state = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ').at(-1)![0];
    return state === 'T' || state === 't';
  } catch {
    return false;
  }
}

async function outcome(self: Rank): Promise<Rank> {
  try {
    const [code, signal] = await once(self.child, 'close');
    self.end = code === 0 ? '' : (signal ?? `exit code ${code}`);
  } catch (error) {
    self.end = (error as Error).message;
  }
  return self;
}

/** Ends when the rank has failed, and never for one that did not. */
async function untilFailure(ended: Promise<Rank>): Promise<void> {
  if ((await ended).end === '') await new Promise(() => {});
}

function signalAll(ranks: readonly Rank[], signal: NodeJS.Signals): void {
  for (const { child, end } of ranks) {
    if (end === undefined) child.kill(signal);
  }
}

function withoutCount(args: readonly string[]): string[] {
  return args.filter((arg, i) => arg !== NPROC && args[i - 1] !== NPROC && !arg.startsWith(`${NPROC}=`));
}

/** For the program that is launched: it does not outlive the process that started it as a rank. */
export function endWithLauncher(): void {
  // A program that is no rank may have a channel of its own.
  if (!process.connected || process.env.LOCAL_WORLD_SIZE === undefined) return;
  process.once('disconnect', () => {
    const { PGPC_STORE_FILE: store } = process.env;
    if (store) rmSync(dirname(store), { recursive: true, force: true });
    process.exit(1);
  });
  process.channel?.unref();
}
