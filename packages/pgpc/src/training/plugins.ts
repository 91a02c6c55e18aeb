// Modules of a user's own, which register parts of methods when they are imported.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Imports module files; each once in a process. @throws Error that names the file that cannot be imported. */
export async function loadPlugins(files: readonly string[] = []): Promise<void> {
  for (const file of files) {
    try {
      await import(pathToFileURL(resolve(file)).href);
    } catch (error) {
      throw new Error(`plugin ${file}: ${(error as Error).message}`, { cause: error });
    }
  }
}
