// How the teacher's pseudo-labels are cleaned.

import { z } from 'zod';
import { defaultsOf, field } from './fields.js';

const where = field(
  z.enum(['labels', 'contrast', 'both']),
  'whose view is cleaned: the pseudo-labels and weights of L_t, the choice of anchors and negatives, or both',
  'both',
);

/** The defaults are ours where they differ from the paper's, see docs/options.md. */
const prototypesSchema = z.strictObject({
  kind: field(z.literal('prototypes'), "distance to the classes' mean features (ProDA)", 'prototypes'),
  where,
  temperature: field(z.number().gt(0), 'tau: the smaller, the more the nearest prototype decides', 0.3),
  momentum: field(z.number().min(0).lt(1), 'share of a prototype that a batch leaves as it is', 0.99),
});

const agreementSchema = z.strictObject({
  kind: field(z.literal('agreement'), 'the teacher looks several times', 'agreement'),
  where,
  flip: field(z.boolean(), 'look at the mirrored image too', true),
  scales: field(
    z.array(z.number().min(0.25).max(4)),
    'look at the image with its sides times each of these too',
    [],
  ),
});

export const denoiseSchema = z
  .discriminatedUnion('kind', [prototypesSchema, agreementSchema])
  .refine((denoise) => denoise.kind !== 'agreement' || denoise.flip || denoise.scales.length > 0, {
    error: 'agreement needs flip or at least one of scales: one view has nothing to agree with',
  });

export type DenoiseOptions = z.infer<typeof denoiseSchema>;
export type PrototypeDenoiseOptions = z.infer<typeof prototypesSchema>;
export type AgreementOptions = z.infer<typeof agreementSchema>;
export type DenoiseName = DenoiseOptions['kind'];

export const denoisers: { prototypes: PrototypeDenoiseOptions; agreement: AgreementOptions } = {
  prototypes: defaultsOf(prototypesSchema),
  agreement: defaultsOf(agreementSchema),
};

export const denoiseNames = ['none', 'prototypes', 'agreement'] as const satisfies readonly (
  | DenoiseName
  | 'none'
)[];

/** What a choice by name adds to a method. */
export function chosenDenoising(name: DenoiseName | 'none'): DenoiseOptions | undefined {
  return name === 'none' ? undefined : denoisers[name];
}
