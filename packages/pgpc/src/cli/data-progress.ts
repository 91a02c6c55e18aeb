// Progress over files whose number is known only once the first is done.
import type { CommandIo } from './io.js';
import { type Progress, progress } from './output/progress.js';

/** A progress bar in the form that the dataset functions call; it appears with the first file. */
export function fileProgress(
  label: string,
  io: CommandIo,
): { onProgress: (done: number, total: number) => void; done: () => void } {
  let bar: Progress | undefined;
  return {
    onProgress: (done, total) => {
      bar ??= progress({ label, total, stream: io.stderr, unit: 'files' });
      bar.update(done);
    },
    done: () => bar?.done(),
  };
}
