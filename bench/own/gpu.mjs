// This library's worker of bench/gpu.mjs: groups of steps, and their memory.
// Run with a folder that bench/training.mjs wrote as the only argument.

import { deviceMemory, ones, resetPeakMemory, synchronize, tidy } from '@pgpc/torch';
import { median } from '../lib.mjs';
import { description, disposeLosses, prepare } from './prepare.mjs';
import { serve } from './tensors.mjs';

const MIB = 2 ** 20;
/** Of a block: 256 MiB, and as much again for the sums. */
const MOST_ROWS = 2 ** 25;

await serve(() => {
  const { config, step, batch } = prepare(process.argv[2]);
  const { device } = config;
  const onGpu = device === 'cuda';
  let iteration = 0;

  function run(steps) {
    for (let i = 0; i < steps; i++) disposeLosses(step.run(batch, iteration++));
  }

  /** Milliseconds of device and host together, from idle to idle. */
  function timed(work) {
    synchronize();
    const start = performance.now();
    work();
    synchronize();
    return performance.now() - start;
  }

  /** Keeps the device busy with one kernel: rows are summed up one after the other by a single thread. */
  function block(rows) {
    tidy(() => {
      ones([Math.min(MOST_ROWS, Math.round(rows)), 2], { device }).cumsum(0);
    });
  }

  function rowsPerMillisecond() {
    let [rows, taken] = [10_000, 0];
    while (taken < 20 && rows < MOST_ROWS) {
      rows *= 2;
      block(rows);
      taken = timed(() => block(rows));
    }
    return rows / taken;
  }

  /** Issues steps while the device is busy. @returns nothing if the host was not done before the device was. */
  function issueBehindBlock(steps, rows) {
    const alone = timed(() => block(rows));
    let [issuing, issued] = [0, 0];
    const start = performance.now();
    const total = timed(() => {
      block(rows);
      issuing = performance.now();
      run(steps);
      issued = performance.now();
    });
    if (issued - start > alone) return undefined;
    return { hostMs: (issued - issuing) / steps, deviceMs: (total - alone) / steps };
  }

  const answers = {
    warm_up({ steps }) {
      const ms = timed(() => run(steps));
      if (onGpu) resetPeakMemory();
      return { ms };
    },

    steps({ steps }) {
      return { ms: timed(() => run(steps)) / steps };
    },

    memory() {
      if (!onGpu) return {};
      const { peak, peakReserved } = deviceMemory();
      return { allocatedMiB: peak / MIB, reservedMiB: peakReserved / MIB };
    },

    /** Host and device time of a step apart: the host issues steps while the device is busy with something else. */
    issue({ steps: numbers, trials: count }) {
      const rate = rowsPerMillisecond();
      for (const steps of numbers) {
        // Issued to an idle device, once, for the length of the block.
        const rows = rate * (1.5 * timed(() => run(steps)) + 30);
        const trials = [];
        while (trials.length < count) {
          const trial = issueBehindBlock(steps, rows);
          if (!trial) break;
          trials.push(trial);
        }
        if (trials.length < count) continue;
        const of = (name) => median(trials.map((trial) => trial[name]));
        return { steps, hostMs: of('hostMs'), deviceMs: of('deviceMs') };
      }
      return {};
    },
  };
  return { description: description(), answer: (question) => answers[question.do](question) };
});
