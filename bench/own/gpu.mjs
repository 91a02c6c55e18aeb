// This library's worker of bench/gpu.mjs: groups of steps, and their memory.
// Run with a folder that bench/training.mjs wrote as the only argument.

import { deviceMemory, resetPeakMemory, synchronize } from '@pgpc/torch';
import { native } from '../../packages/torch/dist/native.js';
import { description, disposeLosses, prepare } from './prepare.mjs';
import { serve } from './tensors.mjs';

const MIB = 2 ** 20;

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

    /**
     * What of a step's time passes in JavaScript: all but what passes inside of calls to the bridge. The clock's own time
     * counts as JavaScript's, and so does what the device does meanwhile: no more than this can be lost.
     */
    javascript({ steps }) {
      let inside = 0;
      const originals = Object.entries(native).filter(([, value]) => typeof value === 'function');
      for (const [name, original] of originals) {
        native[name] = (...args) => {
          const from = performance.now();
          try {
            return original.apply(native, args);
          } finally {
            inside += performance.now() - from;
          }
        };
      }
      const start = performance.now();
      run(steps);
      const javascriptMs = (performance.now() - start - inside) / steps;
      for (const [name, original] of originals) native[name] = original;
      synchronize();
      return { javascriptMs };
    },
  };
  return { description: description(), answer: (question) => answers[question.do](question) };
});
