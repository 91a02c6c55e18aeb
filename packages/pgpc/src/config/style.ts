// How the source image is brought nearer to the target before it is learned from.

import { z } from 'zod';
import { defaultsOf, field } from './fields.js';

const fdaSchema = z.strictObject({
  kind: field(z.literal('fda'), 'exchange of low frequencies (Yang & Soatto 2020)', 'fda'),
  beta: field(
    z.number().min(0).max(0.5),
    "share of the crop's shorter side up to which frequencies are exchanged, on each side of frequency 0",
    0.01,
  ),
});

const dcanSchema = z.strictObject({
  kind: field(z.literal('dcan'), 'alignment of channels (Wu et al. 2018)', 'dcan'),
  image: field(z.boolean(), 'align the channels of the image', true),
  features: field(
    z.boolean(),
    "align the encoder's four maps before the decoder, in the source's own pass",
    true,
  ),
});

export const styleSchema = z
  .discriminatedUnion('kind', [fdaSchema, dcanSchema])
  .refine((style) => style.kind !== 'dcan' || style.image || style.features, {
    error: 'dcan needs image or features to be true: else it aligns nothing',
  });

export type StyleOptions = z.infer<typeof styleSchema>;
export type StyleName = StyleOptions['kind'];

/** FDA with the smallest of the paper's three windows; DCAN at both of the paper's levels. */
export const styles = { fda: defaultsOf(fdaSchema), dcan: defaultsOf(dcanSchema) } satisfies Record<
  StyleName,
  StyleOptions
>;

export const styleNames = ['none', 'fda', 'dcan'] as const satisfies readonly (StyleName | 'none')[];

/** What a choice by name adds to a method. @param beta of 'fda'; left out: the smallest of the paper's */
export function chosenStyle(name: StyleName | 'none', beta?: number): StyleOptions | undefined {
  if (name === 'none') return undefined;
  return name === 'fda' && beta !== undefined ? { ...styles.fda, beta } : styles[name];
}
