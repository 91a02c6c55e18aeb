// Where the time goes: every operator that libtorch runs, by name and by module, self and total.

import { native } from './native.js';
import { watchCalls } from './nn/module.js';
import type { StateModule } from './nn/state-module.js';

/** One operator or module call. Times in nanoseconds since the start of the profile. */
export interface ProfileEvent {
  /** 'aten::mm', 'MmBackward0', or a module's path. */
  name: string;
  kind: 'operator' | 'backward' | 'module';
  /** Sizes of its tensor arguments, as '2x64x32x32 64'; empty where shapes were not asked for. */
  shapes: string;
  thread: number;
  start: number;
  duration: number;
  /** Its duration less that of the calls inside it. */
  self: number;
  /** The module it belongs to: the innermost one that was running, for backward the one whose forward it undoes. */
  module: string;
}

/** Sums over the calls of one name, in milliseconds. */
export interface ProfileRow {
  name: string;
  shapes: string;
  calls: number;
  self: number;
  total: number;
}

export interface ProfileOptions {
  /** Networks whose modules are told apart, each under a name of its own. */
  modules?: Readonly<Record<string, StateModule>>;
  /** Tell calls of different tensor sizes apart; costs some time a call. */
  shapes?: boolean;
}

/** What {@link profile} saw. */
export class Profile {
  constructor(
    readonly events: readonly ProfileEvent[],
    /** Wall time of the whole, milliseconds. */
    readonly wall: number,
  ) {}

  /** Operators by name, and by shapes where they were recorded; the largest self time first. */
  byOperator(): ProfileRow[] {
    const operators = this.events.filter(({ kind }) => kind !== 'module');
    return summed(operators, ({ name, shapes }) => ({ name, shapes }));
  }

  /**
   * Modules by path, forward and backward: `self` is the time of operators of the module itself, `total` that and of
   * all modules below it. The largest total first; '' is what ran outside of all modules.
   */
  byModule(): (ProfileRow & { backward: number })[] {
    const rows = new Map<string, ProfileRow & { backward: number }>();
    const row = (name: string) => {
      const found = rows.get(name) ?? { name, shapes: '', calls: 0, self: 0, total: 0, backward: 0 };
      rows.set(name, found);
      return found;
    };
    for (const { name, kind, module, self } of this.events) {
      if (kind === 'module') row(name).calls++;
      const ms = self / 1e6;
      row(module).self += ms;
      for (const path of pathsUpFrom(module)) {
        row(path).total += ms;
        if (kind === 'backward') row(path).backward += ms;
      }
    }
    return [...rows.values()].sort((a, b) => b.total - a.total);
  }

  /** The events in the form that chrome://tracing and Perfetto open. */
  chromeTrace(): { traceEvents: object[]; displayTimeUnit: 'ms' } {
    return {
      displayTimeUnit: 'ms',
      traceEvents: this.events.map(({ name, kind, shapes, thread, start, duration, module }) => ({
        name,
        cat: kind,
        ph: 'X',
        pid: 1,
        tid: thread,
        ts: start / 1000,
        dur: duration / 1000,
        args: { module, ...(shapes && { shapes }) },
      })),
    };
  }
}

/**
 * Runs `work` and records every operator in it, on all threads. Costs about a microsecond an operator.
 * @throws Error if a profile is being taken already
 */
export function profile(work: () => void, options: ProfileOptions = {}): Profile {
  const paths = new Map<StateModule, string>();
  for (const [name, module] of Object.entries(options.modules ?? {})) {
    for (const [path, child] of module.namedModules()) paths.set(child, path ? `${name}.${path}` : name);
  }
  native.profilerStart(options.shapes ?? false);
  const unwatch = watchCalls({
    enter: (module) => {
      const path = paths.get(module);
      if (path === undefined) return false;
      native.profilerPush(path);
      return true;
    },
    leave: () => native.profilerPop(),
  });
  const began = performance.now();
  let recorded: ReturnType<typeof native.profilerStop>;
  try {
    work();
  } finally {
    unwatch();
    recorded = native.profilerStop();
  }
  return new Profile(eventsOf(recorded, new Set(paths.values())), performance.now() - began);
}

function eventsOf(
  { names, shapes, fields, events }: ReturnType<typeof native.profilerStop>,
  paths: ReadonlySet<string>,
): ProfileEvent[] {
  const found = Array.from({ length: events.length / fields }, (_, i) => {
    const [name, shape, thread, start, duration, sequence, backward] = events.subarray(
      i * fields,
      (i + 1) * fields,
    ) as unknown as [number, number, number, number, number, number, number];
    const engine = backward === 1 || names[name]!.startsWith('autograd::engine');
    const kind = engine ? 'backward' : paths.has(names[name]!) ? 'module' : 'operator';
    const event: ProfileEvent = {
      name: names[name]!,
      kind,
      shapes: shapes[shape] ?? '',
      thread,
      start,
      duration,
      self: duration,
      module: '',
    };
    return { event, sequence };
  });
  // An outer call starts no later than those inside it, and ends no earlier.
  found.sort((a, b) => a.event.start - b.event.start || b.event.duration - a.event.duration);

  const moduleOfSequence = new Map<number, string>();
  const stacks = new Map<number, ProfileEvent[]>();
  for (const { event, sequence } of found) {
    const stack = stacks.get(event.thread) ?? [];
    stacks.set(event.thread, stack);
    while (stack.length > 0 && stack.at(-1)!.start + stack.at(-1)!.duration <= event.start) stack.pop();
    const parent = stack.at(-1);
    if (parent) parent.self -= event.duration;
    if (event.kind === 'module') event.module = event.name;
    else if (event.kind === 'backward') event.module = moduleOfSequence.get(sequence) ?? parent?.module ?? '';
    else {
      event.module = parent?.module ?? '';
      // A forward operator inside another has the number of the node made last; the outer one comes first.
      if (sequence >= 0 && parent?.kind !== 'backward' && !moduleOfSequence.has(sequence)) {
        moduleOfSequence.set(sequence, event.module);
      }
    }
    // What runs inside a backward node is part of the backward pass.
    if (parent?.kind === 'backward' && event.kind === 'operator') event.kind = 'backward';
    stack.push(event);
  }
  return found.map(({ event }) => event);
}

function pathsUpFrom(path: string): string[] {
  const parts = path.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}

function summed(
  events: readonly ProfileEvent[],
  key: (event: ProfileEvent) => { name: string; shapes: string },
): ProfileRow[] {
  const rows = new Map<string, ProfileRow>();
  for (const event of events) {
    const { name, shapes } = key(event);
    const id = `${name} ${shapes}`;
    const row = rows.get(id) ?? { name, shapes, calls: 0, self: 0, total: 0 };
    rows.set(id, row);
    row.calls++;
    row.self += event.self / 1e6;
    row.total += event.duration / 1e6;
  }
  return [...rows.values()].sort((a, b) => b.self - a.self);
}
