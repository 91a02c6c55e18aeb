// The command line run in the test's own process.

import { Writable } from 'node:stream';
import { type MainOptions, main } from '../../src/cli/main.js';

/** Keeps what is written to it. */
export class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    callback();
  }
}

/** Runs one command line, in an empty environment, with nobody to stop it. */
export async function runMain(args: readonly string[], options: Partial<MainOptions> = {}) {
  const [stdout, stderr] = [new Sink(), new Sink()];
  const { signal } = new AbortController();
  const code = await main(args, { stdout, stderr, signal, env: {}, ...options });
  return { code, out: stdout.text, err: stderr.text };
}
