// Progress of long loops: one line that updates on a terminal, a few plain lines anywhere else.
import { duration, number } from '../../report/format.js';

/** What a progress bar is made from. */
export interface ProgressOptions {
  /** What is being done, for example the phase of the training. */
  readonly label: string;
  /** Number of steps, at least 1. */
  readonly total: number;
  /** Where to write; a terminal has `isTTY`. Default: stderr. */
  readonly stream?: NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
  /** What a step is called in `3.1 it/s`. Default: `it`. */
  readonly unit?: string;
  /** Steps that were done before, when a run is resumed. Default: 0. */
  readonly start?: number;
  /** Seconds of what comes besides the steps, such as an evaluation, by the seconds of a step. Default: none. */
  readonly ahead?: (done: number, stepSeconds: number) => number;
  /** Milliseconds on a clock that does not run backwards. Default: `performance.now`. */
  readonly now?: () => number;
}

/** A loop under way. */
export interface Progress {
  /** `done` steps of `total` are done; `values` are shown by name. Cheap: call it every step. */
  update(done: number, values?: Readonly<Record<string, number>>): void;
  /**
   * Something else is done between two steps: no time counts as a step's until this is called without values, or the next
   * step is done.
   * @param values are shown.
   */
  hold(values: Readonly<Record<string, number>> | undefined): void;
  /** Writes a line above the bar. */
  note(line: string): void;
  /** The loop has ended, here or earlier than planned: leaves one line, with `summary` at its end. */
  done(summary?: string): void;
}

const BAR_WIDTH = 20;
const REDRAW_MS = 100;
const WINDOW_MS = 15_000;
const SAMPLE_MS = 250;
const PLAIN_MS = 5000;
const PLAIN_SHARE = 0.1;
/** After so long a bar under way writes its next line where the stream is no terminal. */
export const PLAIN_MOST_MS = 9000;

/**
 * Shows the progress of a loop, as in
 * `pgpc  self-training  [#####---------------]  120/400  loss 0.83  3.1 it/s  1m 30s left`. The rate is that of the
 * last 15 seconds. Where the stream is no terminal, a line is written when both 5 seconds and a tenth of the loop
 * have passed since the one before, and after 9 seconds at the latest.
 *
 * @throws RangeError if `total` is no positive whole number
 */
export function progress(options: ProgressOptions): Progress {
  const { label, total, stream = process.stderr, unit = 'it', start = 0, ahead = () => 0 } = options;
  const now = options.now ?? (() => performance.now());
  if (!Number.isSafeInteger(total) || total < 1) {
    throw new RangeError(`progress of '${label}': total is ${total}, expected a positive whole number`);
  }
  const live = stream.isTTY === true && process.env.TERM !== 'dumb';
  const began = now();
  const samples: { at: number; done: number }[] = [{ at: began, done: start }];
  let lastShown = { at: live ? Number.NEGATIVE_INFINITY : began, done: start };
  let current = start;
  let values: Readonly<Record<string, number>> = {};
  let ended = false;
  /** When something else than steps began. */
  let held: number | undefined;

  const rate = (at: number) => {
    const oldest = samples[0]!;
    return at > oldest.at ? ((current - oldest.done) / (at - oldest.at)) * 1000 : 0;
  };
  const parts = (at: number) => {
    const speed = rate(held ?? at);
    const counts = `${number(current)}/${number(total)}`;
    const shown = Object.entries(values).map(([name, value]) => `${name} ${number(value)}`);
    if (speed === 0) return [counts, ...shown];
    const pace = speed >= 1 ? `${number(speed)} ${unit}/s` : `${number(1 / speed)} s/${unit}`;
    const left = Math.max(0, total - current) / speed + ahead(current, 1 / speed);
    return [counts, ...shown, pace, `${duration(left)} left`];
  };
  const draw = (at: number) => {
    const filled = Math.round(Math.min(1, current / total) * BAR_WIDTH);
    const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`;
    const columns = (stream.columns || 80) - 1;
    const full = ['pgpc', label, bar, ...parts(at)].join('  ');
    const line = full.length <= columns ? full : ['pgpc', label, ...parts(at)].join('  ').slice(0, columns);
    stream.write(`\r${line}\x1b[K`);
  };

  const show = (at: number) => {
    if (live) {
      if (at - lastShown.at < REDRAW_MS) return;
      draw(at);
    } else {
      const early = at - lastShown.at < PLAIN_MS || current - lastShown.done < PLAIN_SHARE * total;
      if (early && at - lastShown.at < PLAIN_MOST_MS) return;
      stream.write(`${['pgpc', label, ...parts(at)].join('  ')}\n`);
    }
    lastShown = { at, done: current };
  };

  const release = (at: number) => {
    for (const sample of samples) sample.at += at - (held ?? at);
    held = undefined;
  };

  return {
    update(done, newValues) {
      if (ended) return;
      const at = now();
      release(at);
      current = done;
      if (newValues !== undefined) values = newValues;
      if (at - samples.at(-1)!.at >= SAMPLE_MS) samples.push({ at, done });
      while (samples.length > 2 && at - samples[1]!.at >= WINDOW_MS) samples.shift();
      show(at);
    },
    hold(newValues) {
      if (ended) return;
      const at = now();
      if (newValues === undefined) {
        release(at);
        return;
      }
      held ??= at;
      values = newValues;
      show(at);
    },
    note(line) {
      stream.write(`${live ? '\r' : ''}${line}${live ? '\x1b[K' : ''}\n`);
      lastShown = live ? { at: Number.NEGATIVE_INFINITY, done: current } : lastShown;
    },
    done(summary) {
      if (ended) return;
      ended = true;
      const shown = Object.entries(values).map(([name, value]) => `${name} ${number(value)}`);
      const counts = `${number(current)}/${number(total)}`;
      const line = ['pgpc', label, counts, ...shown, duration((now() - began) / 1000)];
      if (summary !== undefined) line.push(summary);
      stream.write(`${live ? '\r' : ''}${line.join('  ')}${live ? '\x1b[K' : ''}\n`);
    },
  };
}

/** Progress over files whose number is known once the first is done, with which the bar appears. */
export function fileProgress(
  label: string,
  io: { readonly stderr: ProgressOptions['stream'] },
  unit = 'files',
): {
  onProgress: (done: number, total: number) => void;
  note: (line: string) => void;
  /** @param rate whether the last line says how many were done a second. */
  done: (rate?: boolean) => void;
} {
  let bar: Progress | undefined;
  let current = 0;
  const began = performance.now();
  return {
    onProgress: (done, total) => {
      bar ??= progress({ label, total, stream: io.stderr, unit });
      current = done;
      bar.update(done);
    },
    note: (line) => void (bar ? bar.note(line) : io.stderr?.write(`${line}\n`)),
    done: (rate) =>
      bar?.done(rate ? `${number((1000 * current) / (performance.now() - began))} ${unit}/s` : undefined),
  };
}
