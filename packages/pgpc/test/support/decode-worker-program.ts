// Compiles the decoding thread's program for tests, which run from the sources and have no compiled one.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'vite';

/** Bundles src/pipeline/decode-worker.ts to where its dependencies are found; `remove` deletes it. */
export async function compileDecodeWorker(): Promise<{ program: URL; remove: () => void }> {
  const root = fileURLToPath(new URL('../../../..', import.meta.url));
  const outDir = join(root, 'node_modules', '.cache', `decode-worker-${process.pid}`);
  await build({
    root,
    configFile: false,
    logLevel: 'error',
    build: {
      ssr: fileURLToPath(new URL('../../src/pipeline/decode-worker.ts', import.meta.url)),
      outDir,
      rollupOptions: { output: { entryFileNames: 'decode-worker.js', format: 'esm' } },
    },
  });
  return {
    program: pathToFileURL(join(outDir, 'decode-worker.js')),
    remove: () => rmSync(outDir, { recursive: true, force: true }),
  };
}
