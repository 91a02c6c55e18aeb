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

/** Whose features the anchors have: the ClassMix image's, or the clean target image's. */
export const anchorViews = ['mixed', 'target'] as const;
export type AnchorView = (typeof anchorViews)[number];

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
    "whose features anchors have: the ClassMix image's, or the clean target's by one more pass",
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
  rank: field(count, 'r: a target pixel is no negative of its r most likely classes (eq 11)', 4),
  hardSource: field(
    z.boolean(),
    'a source pixel is a negative of a class only if that is among its r most likely ones (U2PL)',
    false,
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
  width: field(count, 'D: width of the projection head', 256),
  depth: field(count, 'linear layers of the projection head, with ReLU between', 2),
});

export const contrastSchema = contrastFields.refine(({ bankCapacity, enqueue }) => bankCapacity >= enqueue, {
  path: ['bankCapacity'],
  error: 'bankCapacity must be at least enqueue: a bank takes what a step adds to it whole',
});

export type ContrastOptions = z.infer<typeof contrastSchema>;

/** Options with nothing left to default. */
export type ContrastSettings = Required<ContrastOptions>;

/** The paper's numbers, and ours where it is silent. */
export const pgpcContrast: ContrastOptions = defaultsOf(contrastFields);

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
