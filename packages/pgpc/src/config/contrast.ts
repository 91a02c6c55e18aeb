// Options of the contrast: each of the paper's choices by name. Where the paper is silent the definitions are METHOD's.

import { z } from 'zod';
import { count, defaultsOf, field, fieldsOf, share } from './fields.js';

/** What an anchor is drawn to and pushed from: the paper's hybrid is drawn to a prototype and pushed from pixels. */
export const contrastTypes = ['hybrid', 'pixel-to-pixel', 'pixel-to-prototype'] as const;
export type ContrastType = (typeof contrastTypes)[number];

/** What makes a target pixel certain enough to be an anchor. */
export const anchorSelections = [
  'global-entropy',
  'class-entropy',
  'class-confidence',
  'threshold',
  'random',
] as const;
export type AnchorSelection = (typeof anchorSelections)[number];

/** Whose features the anchors have: the ClassMix image's, the clean target image's, or the masked target image's. */
export const anchorViews = ['mixed', 'target', 'masked'] as const;
export type AnchorView = (typeof anchorViews)[number];

/**
 * The layer whose features are projected: the classifier's input, or the encoder's four stages, resized to the decoder's
 * resolution and concatenated.
 */
export const contrastedFeatures = ['decoder', 'encoder'] as const;
export type ContrastedFeatures = (typeof contrastedFeatures)[number];

/** How negatives are drawn from a bank: each as likely, or the more often the more its class looks like the anchors'. */
export const negativeSamplings = ['uniform', 'class-similarity'] as const;
export type NegativeSampling = (typeof negativeSamplings)[number];

/** Between the layers of the projection head. */
export const projectionNorms = ['none', 'layer'] as const;
export type ProjectionNorm = (typeof projectionNorms)[number];

export type Domain = 'source' | 'target';
export const domainChoices = ['source', 'target', 'both'] as const;
export type DomainChoice = (typeof domainChoices)[number];

/** How a class's centres become its prototype. */
export const prototypeKinds = ['queue', 'momentum', 'batch'] as const;
export type PrototypeKind = (typeof prototypeKinds)[number];

const eta = z.number().gt(0).max(1);

const contrastFields = z.strictObject({
  weight: field(z.number().min(0), 'lambda_c, the weight of the loss', 0.1),
  warmup: field(share, 'share of the run after which the loss sets in; banks fill from the first step', 0.5),
  type: field(z.enum(contrastTypes), 'what an anchor is drawn to and pushed from', 'hybrid').optional(),
  features: field(
    z.enum(contrastedFeatures),
    "whose features are projected: the classifier's input, or the encoder's four stages",
    'decoder',
  ).optional(),
  anchorDomains: field(
    z.enum(domainChoices),
    "whose pixels are anchors: the target's by the teacher (eq 8), the source's by their labels, or both",
    'target',
  ).optional(),
  anchorSelection: field(
    z.enum(anchorSelections),
    'which target pixels may be anchors (eq 8)',
    'global-entropy',
  ).optional(),
  anchorShare: field(eta, 'eta: share of target pixels that may be anchors (eq 8)', 0.2),
  anchorShareEnd: field(
    eta,
    "eta at the run's end, reached linearly; left out, eta stays `anchorShare`",
  ).optional(),
  anchorThreshold: field(share, 'least top probability, of the selection `threshold`', 0.968).optional(),
  anchorView: field(
    z.enum(anchorViews),
    "whose features anchors have: the ClassMix image's, the clean target's by one more pass, or the masked image's of maskedConsistency",
    'mixed',
  ).optional(),
  anchors: field(count, 'M: anchors a class', 256),
  negatives: field(count, 'N: negatives a class', 512),
  perAnchorNegatives: field(
    z.boolean(),
    'N drawn for every anchor instead of once for all anchors of a class',
    false,
  ).optional(),
  negativeDomains: field(z.enum(domainChoices), 'whose pixels are negatives (eq 10, 11)', 'both').optional(),
  negativeSampling: field(
    z.enum(negativeSamplings),
    "how negatives are drawn: uniformly, or by how like a class's prototype is to the anchors' (ReCo)",
    'uniform',
  ).optional(),
  rank: field(count, 'r: a target pixel is no negative of its r most likely classes (eq 11)', 4),
  hardSource: field(
    z.boolean(),
    'a source pixel is a negative of a class only if that is among its r most likely ones (U2PL)',
    false,
  ).optional(),
  minShare: field(
    share,
    'share of the pixels under a feature that one class must have for the feature to be one of the class in the source',
    0.75,
  ).optional(),
  bankCapacity: field(count, 'K: rows a class of a bank of pixels', 5000),
  enqueue: field(count, "rows that a step may add to a class's bank, from each domain", 64),
  prototypeDomains: field(z.enum(domainChoices), 'whose pixels are positives (eq 9)', 'source').optional(),
  prototypeKind: field(
    z.enum(prototypeKinds),
    "how centres become a prototype: mean of a queue, running mean, or this step's",
    'queue',
  ).optional(),
  prototypeQueue: field(count, 'centres in a queue (eq 9)', 100),
  prototypeMomentum: field(
    z.number().min(0).lt(1),
    'what a running centre keeps of itself at a new one',
    0.99,
  ).optional(),
  temperature: field(z.number().gt(0), 'tau (eq 5)', 0.5),
  correction: field(
    z.number().gt(0),
    "temperature of the prototypes' own opinion on each target pixel, which corrects the pseudo-labels; left out, nothing does",
  ).optional(),
  width: field(count, 'D: width of the projection head', 256),
  depth: field(count, 'linear layers of the projection head, with ReLU between', 2),
  norm: field(z.enum(projectionNorms), 'norm before each ReLU of the projection head', 'none').optional(),
});

export const contrastSchema = contrastFields
  .refine(({ bankCapacity, enqueue }) => bankCapacity >= enqueue, {
    path: ['bankCapacity'],
    error: 'bankCapacity must be at least enqueue: a bank takes what a step adds to it whole',
  })
  .superRefine(({ anchorDomains, anchorView = 'mixed' }, context) => {
    if (anchorDomains !== 'source' || anchorView === 'mixed') return;
    const message = `anchorView ${anchorView} is of no use without anchors in the target: see anchorDomains`;
    context.addIssue({ code: 'custom', path: ['anchorView'], message, input: anchorView });
  })
  .refine(
    ({ type, negativeSampling }) =>
      type !== 'pixel-to-prototype' || (negativeSampling ?? 'uniform') === 'uniform',
    {
      path: ['negativeSampling'],
      error: 'negativeSampling draws from a bank of pixels, which the type pixel-to-prototype does not have',
    },
  );

export type ContrastOptions = z.infer<typeof contrastSchema>;

/** Options with nothing left to default. */
export type ContrastSettings = Required<Omit<ContrastOptions, 'correction'>> &
  Pick<ContrastOptions, 'correction'>;

/** The paper's numbers, and ours where it is silent. */
export const pgpcContrast: ContrastOptions = defaultsOf(contrastFields);

/** Where the contrast of `pgpc-plus` differs from the paper's; docs/results.md has the reasons. */
export const plusContrast = {
  weight: 1,
  warmup: 0,
  type: 'pixel-to-prototype',
  features: 'encoder',
  anchorDomains: 'both',
  anchorSelection: 'class-confidence',
  anchorShare: 0.8,
  temperature: 0.1,
  correction: 0.1,
} satisfies Partial<ContrastOptions>;

/** What is taken for a choice that may be left out. */
const defaults = Object.fromEntries(
  fieldsOf(contrastFields).flatMap(({ key, fallback }) =>
    contrastFields.shape[key as keyof ContrastOptions] instanceof z.ZodOptional ? [[key, fallback]] : [],
  ),
);

/** Puts the defaults where a choice was left out. */
export function contrastSettings(options: ContrastOptions): ContrastSettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return {
    ...defaults,
    anchorShareEnd: options.anchorShare,
    ...Object.fromEntries(given),
  } as ContrastSettings;
}
