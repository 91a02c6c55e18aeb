import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const packages = fileURLToPath(new URL('packages/', import.meta.url));

// Test files run side by side, a process a core: their small tensors gain nothing from a second thread.
process.env.OMP_NUM_THREADS ??= '1';

// Tests run from the sources; the command line's own tests run what `tsc -b` built.
export default defineConfig({
  resolve: {
    alias: [
      { find: /^@pgpc\/(torch|datasets|street-synth)$/, replacement: `${packages}$1/src/index.ts` },
      { find: /^@pgpc\/datasets\/(formats|did-you-mean)$/, replacement: `${packages}datasets/src/$1.ts` },
    ],
  },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'examples/test/**/*.test.ts'],
    // Libtorch keeps state in the process: threads, operators.
    pool: 'forks',
    maxWorkers: '100%',
    testTimeout: 60_000,
  },
});
