import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests run from the sources; the command line's own tests run what `tsc -b` built.
export default defineConfig({
  resolve: {
    alias: { '@pgpc/torch': fileURLToPath(new URL('packages/torch/src/index.ts', import.meta.url)) },
  },
  test: {
    include: ['packages/*/test/**/*.test.ts'],
    // Libtorch keeps state in the process (threads, operators), and two cores serve one test file at a time best.
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 60_000,
  },
});
