// `pgpc setup`: sets up the packages that have native parts, one after the other.

import { setUp as setUpDatasets } from '@pgpc/datasets/setup';
import { setUp as setUpTorch } from '@pgpc/torch/setup';
import type { CommandIo } from './io.js';

/** @throws Error that says what must be installed first, or what the compiler said. */
export async function setUp(_: object, { stdout, stderr, signal }: CommandIo): Promise<void> {
  const say = (text: string) => stderr.write(`pgpc: ${text}\n`);
  const parts = [await setUpTorch({ say, signal }), await setUpDatasets({ say, signal })];
  stdout.write(`ready (${parts.join('; ')})\n`);
}
