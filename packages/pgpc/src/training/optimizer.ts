// DAFormer's optimiser: AdamW, the decoder ten times as fast, no decay on the encoder's norms.

import { optim, type Tensor } from '@pgpc/torch';
import type { Learner } from '../adaptation/learner.js';

export interface OptimizerOptions {
  /** Peak rate of the encoder; 6e-5 in DAFormer, which starts from ImageNet weights. */
  lr: number;
  /** What the decoder's and the projection head's rate is multiplied by: 10 in DAFormer. */
  headMultiplier: number;
  weightDecay: number;
}

/** A parameter group by the rules of DAFormer's config, which go by the parameter's name. */
function groupOf(name: string): 'encoder' | 'encoder norms' | 'head' {
  if (!name.startsWith('segmentor.backbone.')) return 'head';
  return name.includes('norm') ? 'encoder norms' : 'encoder';
}

export function buildOptimizer(learner: Learner, options: OptimizerOptions): optim.AdamW {
  const groups = new Map<string, Tensor[]>();
  for (const [name, parameter] of learner.namedParameters()) {
    const group = groupOf(name);
    groups.set(group, [...(groups.get(group) ?? []), parameter]);
  }
  return new optim.AdamW(
    [...groups].map(([name, params]) => ({
      name,
      params,
      lr: name === 'head' ? options.lr * options.headMultiplier : options.lr,
      weightDecay: name === 'encoder norms' ? 0 : options.weightDecay,
    })),
  );
}
