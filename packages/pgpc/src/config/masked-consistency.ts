// Options of MIC's masked image consistency (Hoyer et al. 2023, arXiv 2212.01322).

import { z } from 'zod';
import { defaultsOf, field, share } from './fields.js';

/** Whose images are masked; `both` is half of a batch of each, for targets that differ in weather or light. */
export const maskedDomains = ['target', 'source', 'both'] as const;
export type MaskedDomain = (typeof maskedDomains)[number];

/** The defaults are MIC's from simulated streets to real ones (`separatetrgaug`). */
export const maskedConsistencySchema = z.strictObject({
  weight: field(z.number().min(0), 'lambda_M, the weight of the loss', 1),
  domain: field(z.enum(maskedDomains), 'whose images are masked', 'target'),
  ratio: field(share, 'how likely a patch is hidden', 0.7),
  patch: field(
    z.number().gt(0).max(1),
    "side of the square patches, as a share of the crop's height: 32 of 512 pixels, 64 of 1024",
    1 / 16,
  ),
  augment: field(
    z.boolean(),
    'jitter and blur the images as the mixed image is, with draws of their own',
    true,
  ),
});

export type MaskedConsistencyOptions = z.infer<typeof maskedConsistencySchema>;

export const micMaskedConsistency: MaskedConsistencyOptions = defaultsOf(maskedConsistencySchema);

/** MIC as its authors have it for simulated sources, and for adverse weather and night. */
export const maskings = {
  mic: micMaskedConsistency,
  'mic-adverse': { ...micMaskedConsistency, domain: 'both', augment: false },
} satisfies Record<string, MaskedConsistencyOptions>;
export type MaskingName = keyof typeof maskings;

/** What a choice by name is; undefined: nothing is masked. */
export function chosenMasking(name: MaskingName | 'none'): MaskedConsistencyOptions | undefined {
  return name === 'none' ? undefined : maskings[name];
}

/** Why masked images are refused where nobody says what is hidden. */
export function withoutTeacher(name: MaskingName | 'none', methods: readonly string[]): string {
  return `--masked-consistency ${name}: ${methods.join(', ')} has no teacher to say what is hidden`;
}

export const maskingNames = ['none', 'mic', 'mic-adverse'] as const satisfies readonly (
  | MaskingName
  | 'none'
)[];
