// Who writes a run directory: one process at a time.

import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { z } from 'zod';

export const OWNER_FILE = 'owner.json';

const ownerSchema = z.object({
  host: z.string(),
  pid: z.number().int(),
  /** When the process began, in the kernel's ticks: another process may have its number later. */
  began: z.string().optional(),
  since: z.string(),
});

type Owner = z.infer<typeof ownerSchema>;

/** A run directory that this process alone writes. */
export interface Ownership {
  release(): void;
}

/**
 * Takes a run directory, which another process may have left behind when it died.
 * @throws Error if a process that lives, or one of another machine, has it.
 */
export function own(directory: string): Ownership {
  const file = path.join(directory, OWNER_FILE);
  const self: Owner = {
    host: hostname(),
    pid: process.pid,
    began: processOf(process.pid)?.began,
    since: new Date().toISOString(),
  };
  const mine = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  writeFileSync(mine, `${JSON.stringify(self)}\n`, { flag: 'wx' });
  try {
    // A link is made where there is no file of the name: of two processes that try at once, one has it.
    for (;;) {
      try {
        linkSync(mine, file);
        return { release: () => rmSync(file, { force: true }) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const other = ownerOf(file);
      if (other && isLive(other)) throw new Error(refusal(directory, file, other));
      putAside(file, other);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Removes what a dead process has left, unless another process has taken its place meanwhile. */
function putAside(file: string, dead: Owner | undefined): void {
  const aside = `${file}.${randomBytes(4).toString('hex')}.tmp`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  const taken = ownerOf(aside);
  if (taken && JSON.stringify(taken) !== JSON.stringify(dead)) linkSync(aside, file);
  rmSync(aside, { force: true });
}

/** Undefined for a file that a crash has cut off, or that is gone. */
function ownerOf(file: string): Owner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return undefined;
  }
}

/** A process of another machine counts as one that lives: it cannot be asked. */
function isLive({ host, pid, began }: Owner): boolean {
  if (host !== hostname()) return true;
  // One process may open a run that it has just trained.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const now = processOf(pid);
  // One that has ended has its number until its parent asks for it, which in a container may be never.
  if (now?.state === 'Z' || now?.state === 'X') return false;
  return began === undefined || now === undefined || now.began === began;
}

/** The state of a process and its start by /proc; undefined where that does not say. */
function processOf(pid: number): { state: string; began: string } | undefined {
  try {
    // The name before them is in parentheses and may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return { state: fields[0]!, began: fields[19]! };
  } catch {
    return undefined;
  }
}

function refusal(directory: string, file: string, { host, pid, since }: Owner): string {
  const where = host === hostname() ? '' : ` on ${host}`;
  const advice =
    host === hostname()
      ? 'wait for its end, stop it, or choose another name'
      : `if that process has ended, remove ${file}; else choose another name`;
  return `${directory} is being written by process ${pid}${where} since ${since}: ${advice}`;
}
