// What the commands show while they open data.

import type { OpenEvent } from '../../training/open-data.js';
import type { CommandIo } from '../io.js';
import { fileProgress } from './progress.js';

/** Shows how far each of several stages is. */
export function stageBars(
  io: CommandIo,
): (stage: string, done: number, total: number, unit?: string) => void {
  const bars = new Map<string, ReturnType<typeof fileProgress>>();
  return (stage, done, total, unit) => {
    const bar = bars.get(stage) ?? fileProgress(stage, io, unit);
    bars.set(stage, bar);
    bar.onProgress(done, total);
    if (done === total) bar.done();
  };
}

/** Shows what {@link openTelling} tells. */
export function openTeller(io: CommandIo): (event: OpenEvent) => void {
  const show = stageBars(io);
  return (event) => {
    if (event.kind === 'data') show(event.stage, event.done, event.total);
    else io.stderr.write(event.faults.map(({ message }) => `${message}\n`).join(''));
  };
}
