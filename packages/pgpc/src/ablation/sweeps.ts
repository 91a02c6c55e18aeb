// What each sweep runs: the paper's tables and our own, as plain data.

import { denoisers } from '../config/denoise.js';
import { weightings } from '../config/loss-weights.js';
import { micMaskedConsistency } from '../config/masked-consistency.js';
import type { MethodName } from '../config/method.js';
import type { Settings } from '../config/settings.js';
import { styles } from '../config/style.js';
import type { SweepName } from './names.js';

/** One row of a sweep's table. */
export interface Cell {
  /** Unique in its sweep: lower case, digits, dots and hyphens. */
  readonly name: string;
  readonly label: string;
  /** What is trained from the source's network; the oracle is trained from the start, on the target's labels. */
  readonly method: MethodName | 'oracle';
  /** Changes to the method's experiment. */
  readonly settings: Settings;
  /** How many times the others' steps it trains for; left out: 1. */
  readonly longer?: number;
}

export interface Sweep {
  /** Of its folder, and of its runs' folders where no other sweep has them. */
  readonly name: string;
  readonly title: string;
  /** What the table shows, in a sentence. */
  readonly description: string;
  /** The cell from which differences are taken. */
  readonly reference: string;
  /** A second cell from which differences are taken. */
  readonly reference2?: string;
  readonly cells: readonly Cell[];
}

function pgpc(name: string, label: string, settings: Settings = {}): Cell {
  return { name, label, method: 'pgpc', settings };
}

/** PGPC with one option of the contrast at each of its values. */
function choices(key: string, labels: Readonly<Record<string, string>>): Cell[] {
  return Object.entries(labels).map(([value, label]) =>
    pgpc(value, label, { [`method.contrast.${key}`]: value }),
  );
}

const DENOISED: Readonly<Record<string, string>> = {
  labels: 'pseudo-labels',
  contrast: 'contrast',
  both: 'both',
};

/** The more useful of the two for pseudo-labels. */
const DENOISED_LABELS = { ...denoisers.prototypes, where: 'labels' };

/** What goes best with self-training on rendered streets from random weights (docs/results.md). */
const alignedAndDenoised: Settings = {
  'method.style': styles.dcan,
  'method.denoise': DENOISED_LABELS,
};

const SOURCE_ONLY: Cell = { name: 'source-only', label: 'source only', method: 'source-only', settings: {} };
const SELF_TRAINING: Cell = {
  name: 'self-training',
  label: 'self-training',
  method: 'self-training',
  settings: {},
};
const PAPER = pgpc('pgpc', 'PGPC of the paper');
const OURS: Cell = { name: 'pgpc-plus', label: 'PGPC+ (ours)', method: 'pgpc-plus', settings: {} };
const ORACLE: Cell = { name: 'oracle', label: 'oracle (target labels)', method: 'oracle', settings: {} };

/** A cell that also learns from masked images. */
function withMasks({ name, label, method, settings }: Cell): Cell {
  return {
    name: `${name}-mic`,
    label: `${label} + MIC`,
    method,
    settings: { ...settings, 'method.maskedConsistency': micMaskedConsistency },
  };
}

/** Our contrast, and what one choice of it alone does. */
function contrasts(): Cell[] {
  const but = (name: string, label: string, change: Settings): Cell => ({
    ...OURS,
    name,
    label: `PGPC+, but ${label}`,
    settings: Object.fromEntries(
      Object.entries(change).map(([key, value]) => [`method.contrast.${key}`, value]),
    ),
  });
  return [
    OURS,
    but('uncorrected', 'no correction of pseudo-labels', { correction: null }),
    but('correction-alone', 'λ_c = 0: the correction by a head that does not learn', { weight: 0 }),
    but('decoder', "of the decoder's features", { features: 'decoder' }),
    but('target', "anchors of the target's alone", { anchorDomains: 'target' }),
    but('source', "anchors of the source's alone", { anchorDomains: 'source' }),
    but('global-entropy', "the paper's rule for anchors", {
      anchorSelection: 'global-entropy',
      anchorShare: 0.2,
    }),
    but('temperature', 'τ = 0.5', { temperature: 0.5 }),
    but('weight', 'λ_c = 0.1', { weight: 0.1 }),
    but('pixels', 'pixels as negatives', { type: 'hybrid' }),
    but('similar', 'similar pixels as negatives', { type: 'hybrid', negativeSampling: 'class-similarity' }),
    but('norm', 'a layer norm in the head', { norm: 'layer' }),
  ];
}

const START_WEIGHTS = [0.03, 0.1, 0.3];

const tables: Readonly<Record<SweepName, Omit<Sweep, 'name'>>> = {
  methods: {
    title: 'Methods',
    description: 'What each method reaches from the same source network in the same number of steps.',
    reference: 'source-only',
    cells: [
      SOURCE_ONLY,
      SELF_TRAINING,
      {
        name: 'self-training-fda',
        label: 'self-training + FDA',
        method: 'self-training',
        settings: { 'method.style': styles.fda },
      },
      {
        name: 'self-training-dcan',
        label: 'self-training + DCAN',
        method: 'self-training',
        settings: { 'method.style': styles.dcan },
      },
      pgpc('pgpc', 'PGPC'),
      pgpc('pgpc-fda', 'PGPC + FDA', { 'method.style': styles.fda }),
      pgpc('pgpc-dcan', 'PGPC + DCAN', { 'method.style': styles.dcan }),
      pgpc('pgpc-denoise', 'PGPC + denoised pseudo-labels', { 'method.denoise': DENOISED_LABELS }),
      pgpc('pgpc-dcan-denoise', 'PGPC + DCAN + denoised pseudo-labels', alignedAndDenoised),
      ORACLE,
    ],
  },
  evidence: {
    title: 'Evidence',
    description:
      'What the contrast adds to self-training, and what goes with it, from the same source network in the same number of steps.',
    reference: 'self-training',
    reference2: 'source-only',
    cells: [
      SOURCE_ONLY,
      SELF_TRAINING,
      // More than the 1.06 times that a step of pgpc-plus takes (docs/results.md).
      {
        ...SELF_TRAINING,
        name: 'self-training-longer',
        label: 'self-training, as long as PGPC+',
        longer: 1.1,
      },
      PAPER,
      {
        name: 'batch-contrast',
        label: "the authors' published contrast",
        method: 'batch-contrast',
        settings: {},
      },
      OURS,
      {
        name: 'pgpc-plus-dcan-denoise',
        label: 'PGPC+ + DCAN + denoised pseudo-labels',
        method: 'pgpc-plus',
        settings: alignedAndDenoised,
      },
      ORACLE,
    ],
  },
  contrast: {
    title: 'What is contrasted',
    description: 'Whose pixels are anchors, which features are contrasted, and how hard the negatives are.',
    reference: 'self-training',
    cells: [SELF_TRAINING, ...contrasts()],
  },
  'contrast-type': {
    title: 'Contrast type',
    description: 'What an anchor is drawn to and pushed from.',
    reference: 'hybrid',
    cells: choices('type', {
      hybrid: 'hybrid (prototype, pixels)',
      'pixel-to-pixel': 'pixel to pixel',
      'pixel-to-prototype': 'pixel to prototype',
    }),
  },
  'anchor-selection': {
    title: 'Anchor selection',
    description: 'Which target pixels count as certain enough to be anchors.',
    reference: 'global-entropy',
    cells: choices('anchorSelection', {
      'global-entropy': 'entropy, over all classes',
      'class-entropy': 'entropy, in each class',
      'class-confidence': 'confidence, in each class',
      threshold: 'confidence above a threshold',
      random: 'random pixels',
    }),
  },
  rank: {
    title: 'Rank r',
    description: 'A target pixel is no negative for its r most likely classes.',
    reference: 'r4',
    cells: [2, 3, 4, 5, 6, 7, 8].map((rank) =>
      pgpc(`r${rank}`, `r = ${rank}`, { 'method.contrast.rank': rank }),
    ),
  },
  'bank-size': {
    title: 'Size of the memory bank',
    description: 'How many negatives a class are remembered.',
    reference: 'k1000',
    cells: [100, 300, 1000, 3000, 10_000].map((rows) =>
      pgpc(`k${rows}`, `K = ${rows.toLocaleString('en-US')}`, { 'method.contrast.bankCapacity': rows }),
    ),
  },
  'warm-up': {
    title: 'Warm-up',
    description: 'After which share of the run the contrast sets in.',
    reference: 'half',
    cells: [
      pgpc('none', 'from the first step', { 'method.contrast.warmup': 0 }),
      pgpc('eighth', 'after 1/8 of the run', { 'method.contrast.warmup': 1 / 8 }),
      pgpc('half', 'after 1/2 of the run', { 'method.contrast.warmup': 1 / 2 }),
    ],
  },
  lambda: {
    title: 'Loss weights',
    description: 'The weights of the loss on the target and of the contrast.',
    reference: 't1-c0.1',
    cells: [0.3, 1, 3].flatMap((target) =>
      START_WEIGHTS.map((contrast) =>
        pgpc(`t${target}-c${contrast}`, `λ_t = ${target}, λ_c = ${contrast}`, {
          'method.selfTraining.weight': target,
          'method.contrast.weight': contrast,
        }),
      ),
    ),
  },
  'anchor-view': {
    title: 'Where anchors are taken from',
    description: "Anchors from the student's features of the mixed image, or of the target image itself.",
    reference: 'mixed',
    cells: choices('anchorView', { mixed: 'mixed image', target: 'target image' }),
  },
  negatives: {
    title: 'Domains of the negatives',
    description: 'Which domain the remembered negatives come from.',
    reference: 'both',
    cells: choices('negativeDomains', { both: 'both', source: 'source', target: 'target' }),
  },
  prototypes: {
    title: 'Prototypes',
    description: 'Which domain the prototypes come from, and how they are kept.',
    reference: 'source-queue',
    cells: ['source', 'target', 'both'].flatMap((domains) =>
      ['queue', 'momentum', 'batch'].map((kind) =>
        pgpc(`${domains}-${kind}`, `${domains}, ${kind}`, {
          'method.contrast.prototypeDomains': domains,
          'method.contrast.prototypeKind': kind,
        }),
      ),
    ),
  },
  masked: {
    title: 'Masked images',
    description:
      'What learning from images that are mostly hidden (MIC) adds, by itself and beside the contrast.',
    reference: 'self-training',
    reference2: 'source-only',
    cells: [
      SOURCE_ONLY,
      SELF_TRAINING,
      withMasks(SELF_TRAINING),
      PAPER,
      withMasks(PAPER),
      OURS,
      withMasks(OURS),
    ],
  },
  denoise: {
    title: 'Denoising of pseudo-labels',
    description:
      'How the teacher is corrected, and for which of its two readers: the pseudo-labels or the contrast.',
    reference: 'none',
    cells: [
      pgpc('none', 'none'),
      ...Object.entries(denoisers).flatMap(([kind, options]) =>
        ['labels', 'contrast', 'both'].map((where) =>
          pgpc(`${kind}-${where}`, `${kind}, ${DENOISED[where]}`, {
            'method.denoise': { ...options, where },
          }),
        ),
      ),
    ],
  },
  'loss-weights': {
    title: 'Loss weights that set themselves',
    description: 'Each way to weigh the losses, from three values of λ_c to start with.',
    reference: 'fixed-c0.1',
    cells: Object.entries({ fixed: undefined, ...weightings }).flatMap(([kind, options]) =>
      START_WEIGHTS.map((start) =>
        pgpc(`${kind}-c${start}`, `${kind}, λ_c = ${start}`, {
          'method.contrast.weight': start,
          ...(options && { 'method.weighting': options }),
        }),
      ),
    ),
  },
};

/** The sweeps of `pgpc ablate`. */
export const sweeps = Object.fromEntries(
  Object.entries(tables).map(([name, table]) => [name, { name, ...table }]),
) as Readonly<Record<SweepName, Sweep>>;
