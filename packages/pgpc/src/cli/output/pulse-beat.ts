// Whether a silent command is to show that it is under way, and how.

import { duration } from '../../report/format.js';
import { PLAIN_MOST_MS } from './progress.js';

/** Milliseconds without a word after which a terminal's line moves, and after which a log gets a line. */
const LIVE_MS = 1000;
// A stage that begins without a word counts as one: up to this much may have passed before it.
const PLAIN_MS = 5000;
// A bar under way writes its own next line before; where it is late, a line still comes within ten seconds.
const PLAIN_BAR_MS = PLAIN_MOST_MS + 500;

/** Places in the state that both threads see. */
const QUIET_SINCE = 0;
const LAST_BEAT = 1;
const DRAWN = 2;
const ENDED = 3;
/** Its length. */
export const PULSE_STATE = 4;

/** What a beat goes by. */
export interface PulseState {
  /** What is under way: a bar as it stands, or words. */
  line: string;
  /** Whether the line is a bar's. */
  bar: boolean;
  /** Of a terminal. */
  columns: number;
  live: boolean;
  /** Seen by both threads. Times are in milliseconds, modulo 2^31. */
  state: Int32Array;
  /** Milliseconds, of the clock that {@link noteWrite} has. */
  now: number;
}

const clock = (now: number) => now % 2 ** 31;
const between = (from: number, to: number) => (to - from + 2 ** 31) % 2 ** 31;

/** The command has written something, or begun something else. @returns whether a line of ours is to be cleared before. */
export function noteWrite(state: Int32Array, now: number): boolean {
  Atomics.store(state, QUIET_SINCE, clock(now));
  Atomics.store(state, LAST_BEAT, clock(now));
  return Atomics.exchange(state, DRAWN, 0) === 1;
}

/** No beat writes from now on. */
export function noteEnd(state: Int32Array): void {
  Atomics.store(state, ENDED, 1);
}

/** Writes the line with the time since the last word, where it is time to. */
export function beat(
  { line, bar, columns, live, state, now }: PulseState,
  write: (text: string) => void,
): void {
  const since = between(Atomics.load(state, LAST_BEAT), clock(now));
  const due = live ? LIVE_MS : bar ? PLAIN_BAR_MS : PLAIN_MS;
  if (line === '' || Atomics.load(state, ENDED) === 1 || since < due) return;
  const seconds = Math.round(between(Atomics.load(state, QUIET_SINCE), clock(now)) / 1000);
  const silent = duration(seconds).replace('.0s', 's');
  Atomics.store(state, LAST_BEAT, clock(now));
  if (!live) {
    write(`${line}  (${silent})\n`);
    return;
  }
  const room = columns - 1 - silent.length - 4;
  Atomics.store(state, DRAWN, 1);
  write(`\r${line.slice(0, Math.max(0, room))}  (${silent})\x1b[K`);
}
