// The contrast's options: each of the paper's choices by name, with the paper's as default.

/** What an anchor is drawn to and pushed from: the paper's hybrid is drawn to a prototype and pushed from pixels. */
export const contrastTypes = ['hybrid', 'pixel-to-pixel', 'pixel-to-prototype'] as const;
export type ContrastType = (typeof contrastTypes)[number];

/** By what target pixels are found certain enough to be anchors. */
export const anchorSelections = [
  'global-entropy',
  'class-entropy',
  'class-confidence',
  'threshold',
  'random',
] as const;
export type AnchorSelection = (typeof anchorSelections)[number];

/** Whose features the anchors have: those of the ClassMix image, or of the clean target image. */
export const anchorViews = ['mixed', 'target'] as const;
export type AnchorView = (typeof anchorViews)[number];

export type Domain = 'source' | 'target';
export const domainChoices = ['source', 'target', 'both'] as const;
export type DomainChoice = (typeof domainChoices)[number];

/** How a class's centres become its prototype. */
export const prototypeKinds = ['queue', 'momentum', 'batch'] as const;
export type PrototypeKind = (typeof prototypeKinds)[number];

/** Where the paper is silent the definitions are those of METHOD; a choice that is left out is the paper's. */
export interface ContrastOptions {
  /** lambda_c, the weight of the loss: 0.1 in the paper. */
  weight: number;
  /** Share of the run after which the loss sets in; the banks fill from the first step. Half in the paper. */
  warmup: number;
  /** 'hybrid' by default. */
  type?: ContrastType;
  /** 'global-entropy' by default (eq 8). */
  anchorSelection?: AnchorSelection;
  /** eta: the share of target pixels, the most certain ones, that may be anchors (eq 8). */
  anchorShare: number;
  /** eta at the run's end, reached linearly; left out, eta stays `anchorShare`. */
  anchorShareEnd?: number;
  /** Top probability from which on a pixel may be an anchor by the selection 'threshold': 0.968 by default. */
  anchorThreshold?: number;
  /** 'mixed' by default; 'target' costs a forward and backward pass of the student more. */
  anchorView?: AnchorView;
  /** M: anchors a class. */
  anchors: number;
  /** N: negatives a class. */
  negatives: number;
  /** N negatives drawn for every anchor, instead of one set for all of a class: false by default. */
  perAnchorNegatives?: boolean;
  /** Whose pixels are negatives: 'both' by default (eq 10, 11). */
  negativeDomains?: DomainChoice;
  /** r: a target pixel is no negative for its r most likely classes (eq 11): 4 in the paper. */
  rank: number;
  /**
   * A source pixel is a negative of c only if c is among its r most likely classes, as in U2PL (Wang et al. 2022,
   * arXiv 2203.03884): false by default.
   */
  hardSource?: boolean;
  /** K: rows of a bank of pixels a class. */
  bankCapacity: number;
  /** Rows that a step may add to a class's bank, from the source and from the target each. */
  enqueue: number;
  /** Whose pixels are positives: 'source' by default (eq 9); the target's are those that may be anchors. */
  prototypeDomains?: DomainChoice;
  /** 'queue' by default (eq 9). */
  prototypeKind?: PrototypeKind;
  /** Centres of a class that its prototype is the mean of (eq 9), of the kind 'queue'. */
  prototypeQueue: number;
  /** What a prototype of the kind 'momentum' keeps of itself at a new centre: 0.99 by default. */
  prototypeMomentum?: number;
  /** tau. */
  temperature: number;
  /** Width and depth of the projection head. */
  width: number;
  depth: number;
}

/** What is taken for a choice that is left out. */
export const contrastDefaults = {
  type: 'hybrid',
  anchorSelection: 'global-entropy',
  anchorThreshold: 0.968,
  anchorView: 'mixed',
  perAnchorNegatives: false,
  negativeDomains: 'both',
  hardSource: false,
  prototypeDomains: 'source',
  prototypeKind: 'queue',
  prototypeMomentum: 0.99,
} as const satisfies Partial<ContrastOptions>;

/** Options with nothing left to default. */
export type ContrastSettings = Required<ContrastOptions>;

/** Puts the defaults where a choice was left out. */
export function contrastSettings(options: ContrastOptions): ContrastSettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return {
    ...contrastDefaults,
    anchorShareEnd: options.anchorShare,
    ...(Object.fromEntries(given) as unknown as ContrastOptions),
  };
}
