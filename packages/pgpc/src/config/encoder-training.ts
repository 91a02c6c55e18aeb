// How much of a DINO encoder is trained: all of it, nothing, or few numbers beside it.

import { z } from 'zod';
import { count, field } from './fields.js';

/** Few trained numbers beside a plain transformer that stays as it is. */
export const adapterSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: field(
      z.literal('lora'),
      'low-rank changes of the matrix of queries, keys and values in every block',
    ),
    rank: field(count, 'of the changes'),
  }),
  z.strictObject({
    kind: field(z.literal('rein'), 'tokens after every block, to which patches are compared'),
    tokens: field(count.min(2), 'of each block'),
    rank: field(count, 'of the tokens of a block as a matrix'),
  }),
]);

export type AdapterConfig = Readonly<z.infer<typeof adapterSchema>>;

/** What `--encoder-training` chooses from. */
export const encoderTrainings = ['full', 'frozen', 'lora', 'rein'] as const;

/** The papers' sizes: rank 16 of LoRA as Rein's authors compare with it, 100 tokens of rank 16 in Rein. */
export const adapters: Readonly<Record<AdapterConfig['kind'], AdapterConfig>> = {
  lora: { kind: 'lora', rank: 16 },
  rein: { kind: 'rein', tokens: 100, rank: 16 },
};
