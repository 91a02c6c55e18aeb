// `pgpc setup`: sets up the packages that have native parts, one after the other.

import { setUp as setUpDatasets } from '@pgpc/datasets/setup';
import { setUp as setUpTorch } from '@pgpc/torch/setup';
import type { CommandIo } from './io.js';

/** @throws Error after it has said what must be installed first, or what the compiler says: lines of their own. */
export async function setUp(_: object, { stdout, stderr, signal }: CommandIo): Promise<void> {
  const say = (text: string) => stderr.write(`pgpc: ${text}\n`);
  try {
    const parts = [await setUpTorch({ say, signal }), await setUpDatasets({ say, signal })];
    stdout.write(`ready (${parts.join('; ')})\n`);
  } catch (cause) {
    if (signal.aborted) throw cause;
    for (const line of (cause instanceof Error ? cause.message : String(cause)).split('\n')) say(line);
    throw new Error('nothing is set up', { cause });
  }
}
