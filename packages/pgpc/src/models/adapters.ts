// Few trained numbers beside a frozen plain transformer: LoRA (Hu et al. 2021, arXiv 2106.09685) and Rein (Wei et al. 2024,
// arXiv 2312.04265).

import { full, type Generator, nn, noGrad, ops, type Tensor, zeros } from '@pgpc/torch';

/** What a low-rank change is multiplied by: alpha is twice the rank, whatever the rank. */
const LORA_SCALE = 2;

/** A low-rank change of a linear map, added to what that gives: 2 b a x. It begins as nothing. */
export class LowRank extends nn.Module {
  /** (rank, from) */
  readonly a: Tensor;
  /** (to, rank) */
  readonly b: Tensor;

  constructor(from: number, to: number, rank: number, generator: Generator) {
    super();
    this.a = this.parameter(zeros([rank, from]));
    this.b = this.parameter(zeros([to, rank]));
    const bound = 1 / Math.sqrt(from);
    // Also where a file is to fill the network: it need not have these, and from zeros they could not be trained.
    nn.uniform_(this.a, -bound, bound, { generator });
  }

  /** (..., from) to (..., to). */
  forward(x: Tensor): Tensor {
    return ops.linear(ops.linear(x, this.a), this.b).mul(LORA_SCALE);
  }
}

const LOW_RANK = /^(.*\.attn)\.lora\.a$/;

/**
 * Entries of a network without its low-rank changes, which are in the matrices that they change: the same network, by fewer
 * products. Made tensors are the caller's: call it in a `tidy` scope.
 */
export function withoutLowRank(entries: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const merged = new Map(entries);
  for (const [name, a] of entries) {
    const attention = LOW_RANK.exec(name)?.[1];
    const b = attention && entries.get(`${attention}.lora.b`);
    const weight = attention && entries.get(`${attention}.qkv.weight`);
    if (!b || !weight) continue;
    merged.delete(name);
    merged.delete(`${attention}.lora.b`);
    const change = noGrad(() => b.matmul(a).mul(LORA_SCALE));
    merged.set(
      `${attention}.qkv.weight`,
      noGrad(() => weight.add(change)),
    );
  }
  return merged;
}

export interface ReinOptions {
  dim: number;
  /** Blocks. */
  depth: number;
  /** Of each block. */
  tokens: number;
  rank: number;
}

/** What Rein's change is multiplied by at first. */
const REIN_SCALE = 1e-3;

/**
 * Rein: after block i the patches f change by what they have in common with tokens T_i = a_i b_i of that block,
 * S = softmax(f T_i^T / sqrt(D)), f + scale (S' (T_i' W_T) + f) W_f, where ' leaves the first token out, so that a patch can
 * be like none. The two maps are the same for all blocks.
 */
export class Rein extends nn.Module<[tokens: Tensor, block: number]> {
  /** (depth, tokens, rank) */
  readonly a: Tensor;
  /** (depth, rank, D) */
  readonly b: Tensor;
  readonly scale: Tensor;
  readonly tokenToFeature: nn.Linear;
  readonly delta: nn.Linear;

  constructor({ dim, depth, tokens, rank }: ReinOptions, generator: Generator) {
    super();
    this.a = this.parameter(zeros([depth, tokens, rank]));
    this.b = this.parameter(zeros([depth, rank, dim]));
    this.scale = this.parameter(full([1], REIN_SCALE));
    this.tokenToFeature = new nn.Linear(dim, dim, { generator });
    this.delta = new nn.Linear(dim, dim, { generator });
    const bound = Math.sqrt(6 / (3 * 256 + dim));
    for (const factor of [this.a, this.b]) nn.uniform_(factor, -bound, bound, { generator });
  }

  /** @param tokens (B, N, D), the class token first, which stays as it is. @param block from 0. */
  forward(tokens: Tensor, block: number): Tensor {
    const [, count, dim] = tokens.shape as [number, number, number];
    const [ofClass, features] = tokens.splitWithSizes([1, count - 1], 1) as [Tensor, Tensor];
    const learned = this.a.select(0, block).matmul(this.b.select(0, block)); // (tokens, D)
    const alike = features
      .matmul(learned.t())
      .mul(dim ** -0.5)
      .softmax(-1); // (B, N - 1, tokens)
    const others = learned.shape[0]! - 1;
    const shared = this.tokenToFeature.call(learned.narrow(0, 1, others)); // (tokens - 1, D)
    const change = this.delta.call(alike.narrow(2, 1, others).matmul(shared).add(features));
    return ops.cat([ofClass, features.addcmul(change, this.scale)], 1);
  }
}
