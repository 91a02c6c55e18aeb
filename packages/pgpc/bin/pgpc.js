#!/usr/bin/env node
// Starts the command line from what `tsc -b` built.
import { existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(entry)) {
  const { main } = await import(entry.href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write('pgpc: not built yet: run `npm run setup` in the repository first\n');
  process.exitCode = 1;
}
