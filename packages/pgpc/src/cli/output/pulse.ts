// A sign of life where a command is silent for seconds: its last bar, or what it does, with the time since.

import { Worker } from 'node:worker_threads';
import { compiledProgram } from '@pgpc/datasets';
import { noteEnd, noteWrite, PULSE_STATE } from './pulse-beat.js';

const PROGRAM = compiledProgram(import.meta.url, './pulse-worker.js');

type Stream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

export interface Pulse {
  /** The stream, whose writes are noted. */
  watch<T extends Stream>(stream: T): T;
  /** Says what begins; undefined: another process shows what is under way. */
  stage(text: string | undefined): void;
  end(): void;
}

/** @param command what is shown before a stage is named. */
export function startPulse(command: string): Pulse {
  const stream = process.stderr;
  const live = stream.isTTY === true && process.env.TERM !== 'dumb';
  const state = new Int32Array(new SharedArrayBuffer(4 * PULSE_STATE));
  noteWrite(state, Date.now());
  const worker = new Worker(PROGRAM, { workerData: { state, live } });
  worker.unref();
  let label = `pgpc  ${command}`;
  const say = (line: string, bar = false) => worker.postMessage({ line, bar, columns: stream.columns || 80 });
  say(label);
  const wrote = (text: string) => {
    if (noteWrite(state, Date.now()) && live) stream.write('\r\x1b[K');
    const bar = barOf(text, live);
    say(bar ?? label, bar !== undefined);
  };
  const watch = <T extends Stream>(watched: T): T =>
    new Proxy(watched, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        if (key !== 'write') return value.bind(target);
        return (chunk: string | Uint8Array, ...rest: unknown[]) => {
          wrote(typeof chunk === 'string' ? chunk : '');
          return value.call(target, chunk, ...rest);
        };
      },
    });
  return {
    watch,
    stage: (text) => {
      label = text === undefined ? '' : `pgpc  ${command}: ${text}`;
      if (noteWrite(state, Date.now()) && live) stream.write('\r\x1b[K');
      say(label);
    },
    end: () => {
      noteEnd(state);
      if (noteWrite(state, Date.now()) && live) stream.write('\r\x1b[K');
      void worker.terminate();
    },
  };
}

/** A bar under way, which a terminal keeps on its line; undefined for lines that stay. */
function barOf(text: string, live: boolean): string | undefined {
  if (live) return text.endsWith('\n') ? undefined : text.replace('\r', '').replace('\x1b[K', '');
  return text.startsWith('pgpc  ') && text.endsWith(' left\n') ? text.trimEnd() : undefined;
}
