// MiT (Mix Transformer), the encoder of SegFormer and DAFormer (Xie et al. 2021, arXiv 2105.15203, section 3.1).

import { dims, type Generator, nn, ops, sizeOf, type Tensor } from '@pgpc/torch';
import { attend } from './attention.js';
import type { Backbone } from './decoder.js';
import { initialize, resetTruncated } from './initial-values.js';

/** What tells the sizes of MiT apart; heads, reductions and MLP ratio are the same for all. */
export interface MitConfig {
  /** Channels of the four stages. */
  embedDims: readonly [number, number, number, number];
  /** Blocks of the four stages. */
  depths: readonly [number, number, number, number];
}

export const mitConfigs = {
  mit_b0: { embedDims: [32, 64, 160, 256], depths: [2, 2, 2, 2] },
  mit_b1: { embedDims: [64, 128, 320, 512], depths: [2, 2, 2, 2] },
  mit_b2: { embedDims: [64, 128, 320, 512], depths: [3, 4, 6, 3] },
  mit_b3: { embedDims: [64, 128, 320, 512], depths: [3, 4, 18, 3] },
  mit_b4: { embedDims: [64, 128, 320, 512], depths: [3, 8, 27, 3] },
  mit_b5: { embedDims: [64, 128, 320, 512], depths: [3, 6, 40, 3] },
} as const satisfies Record<string, MitConfig>;

const HEADS = [1, 2, 5, 8] as const;
const SR_RATIOS = [8, 4, 2, 1] as const;
const MLP_RATIO = 4;
/** Of the norms inside blocks and of the one that closes a stage; the other norms have PyTorch's 1e-5. */
const NORM_EPS = 1e-6;

/** (B, P, D) to (B, D, H, W): a view in channels-last memory. */
function toMap(tokens: Tensor, height: number, width: number): Tensor {
  const [batch, , channels] = dims(tokens, 3);
  return tokens.view([batch, height, width, channels]).permute([0, 3, 1, 2]);
}

/** (B, D, H, W) to (B, P, D): a view if the map is in channels-last memory, else a transposed view. */
function toTokens(map: Tensor): Tensor {
  return map.flatten(2).transpose(1, 2);
}

/** Convolution: normal, std sqrt(2 / fan out), fan out counted per group, bias 0. */
function resetConv(layer: nn.Conv2d, groups: number, generator: Generator): nn.Conv2d {
  const [out, , kh, kw] = dims(layer.weight, 4);
  const std = Math.sqrt((2 * groups) / (kh * kw * out));
  initialize(() => nn.normal_(layer.weight, 0, std, { generator }));
  if (layer.bias) nn.constant_(layer.bias, 0);
  return layer;
}

class OverlapPatchEmbed extends nn.Module {
  readonly proj: nn.Conv2d;
  readonly norm: nn.LayerNorm;

  constructor(inChannels: number, dim: number, kernel: number, stride: number, generator: Generator) {
    super();
    const conv = new nn.Conv2d(inChannels, dim, kernel, { stride, padding: kernel >> 1, generator });
    this.proj = resetConv(conv, 1, generator);
    this.norm = new nn.LayerNorm(dim);
  }

  /** (B, inChannels, H, W) to a map (B, dim, H/stride, W/stride) in channels-last memory. */
  forward(x: Tensor): Tensor {
    const map = this.proj.call(x); // (B, D, h, w)
    return toMap(this.norm.call(toTokens(map)), ...sizeOf(map));
  }
}

/** Self-attention whose keys and values come from a grid reduced `srRatio` times (their eq 2). */
class EfficientAttention extends nn.Module<[x: Tensor, height: number, width: number]> {
  readonly q: nn.Linear;
  readonly kv: nn.Linear;
  readonly proj: nn.Linear;
  readonly sr: nn.Conv2d | undefined;
  readonly norm: nn.LayerNorm | undefined;

  constructor(
    readonly dim: number,
    readonly heads: number,
    srRatio: number,
    generator: Generator,
  ) {
    super();
    const linear = (out: number) => resetTruncated(new nn.Linear(dim, out, { generator }), generator);
    this.q = linear(dim);
    this.kv = linear(2 * dim);
    this.proj = linear(dim);
    if (srRatio > 1) {
      const conv = new nn.Conv2d(dim, dim, srRatio, { stride: srRatio, generator });
      this.sr = resetConv(conv, 1, generator);
      this.norm = new nn.LayerNorm(dim, { narrow: true });
    }
  }

  /** (B, P, D) to (B, P, D), P = height x width tokens. */
  forward(x: Tensor, height: number, width: number): Tensor {
    const [batch, tokens] = dims(x, 3);
    const headDim = this.dim / this.heads;
    const reduced = this.sr ? this.norm!.call(toTokens(this.sr.call(toMap(x, height, width)))) : x; // (B, keys, D)
    const q = this.q.call(x).view([batch, tokens, this.heads, headDim]).transpose(1, 2); // (B, heads, P, d)
    const kv = this.kv.call(reduced).view([batch, -1, 2, this.heads, headDim]).permute([2, 0, 3, 1, 4]);
    const [k, v] = kv.unbind() as [Tensor, Tensor]; // (B, heads, keys, d) each
    const mixed = attend(q, k, v); // (B, heads, P, d)
    return this.proj.call(mixed.transpose(1, 2).reshape([batch, tokens, this.dim]));
  }
}

class DepthwiseConv extends nn.Module {
  readonly dwconv: nn.Conv2d;

  constructor(dim: number, generator: Generator) {
    super();
    const conv = new nn.Conv2d(dim, dim, 3, { padding: 1, groups: dim, generator });
    this.dwconv = resetConv(conv, dim, generator);
  }

  forward(map: Tensor): Tensor {
    return this.dwconv.call(map);
  }
}

/** MLP with a depthwise convolution between, which takes the place of a position code (their eq 3). */
class MixFfn extends nn.Module<[x: Tensor, height: number, width: number]> {
  readonly fc1: nn.Linear;
  readonly dwconv: DepthwiseConv;
  readonly fc2: nn.Linear;

  constructor(dim: number, generator: Generator) {
    super();
    const hidden = MLP_RATIO * dim;
    this.fc1 = resetTruncated(new nn.Linear(dim, hidden, { generator }), generator);
    this.dwconv = new DepthwiseConv(hidden, generator);
    this.fc2 = resetTruncated(new nn.Linear(hidden, dim, { generator }), generator);
  }

  forward(x: Tensor, height: number, width: number): Tensor {
    const mixed = this.dwconv.call(toMap(this.fc1.call(x), height, width)); // (B, 4D, height, width)
    return this.fc2.call(ops.gelu(toTokens(mixed)));
  }
}

class Block extends nn.Module<[x: Tensor, height: number, width: number]> {
  readonly norm1: nn.LayerNorm;
  readonly attn: EfficientAttention;
  readonly dropPath: nn.DropPath;
  readonly norm2: nn.LayerNorm;
  readonly mlp: MixFfn;

  constructor(dim: number, stage: number, dropPath: number, generator: Generator) {
    super();
    this.norm1 = new nn.LayerNorm(dim, { eps: NORM_EPS, narrow: true });
    this.attn = new EfficientAttention(dim, HEADS[stage]!, SR_RATIOS[stage]!, generator);
    this.dropPath = new nn.DropPath(dropPath, { generator });
    this.norm2 = new nn.LayerNorm(dim, { eps: NORM_EPS, narrow: true });
    this.mlp = new MixFfn(dim, generator);
  }

  forward(x: Tensor, height: number, width: number): Tensor {
    const attended = x.add(this.dropPath.call(this.attn.call(this.norm1.call(x), height, width)));
    return attended.add(this.dropPath.call(this.mlp.call(this.norm2.call(attended), height, width)));
  }
}

/** The four-stage encoder, with the parameter names of the official `mit_b*.pth`. */
export class MixTransformer extends nn.Module<[image: Tensor], Tensor[]> implements Backbone {
  /** Channels of the four outputs. */
  readonly channels: readonly number[];
  readonly #stages: { embed: OverlapPatchEmbed; blocks: nn.ModuleList<Block>; norm: nn.LayerNorm }[];

  /**
   * @param dropPathRate stochastic depth of the last block; it grows linearly from 0 in the first.
   * @param generator for initial values and for stochastic depth.
   */
  constructor(config: MitConfig, generator: Generator, dropPathRate = 0.1) {
    super();
    this.channels = config.embedDims;
    const embeds = config.embedDims.map((dim, stage) =>
      this.named(
        `patch_embed${stage + 1}`,
        stage === 0
          ? new OverlapPatchEmbed(3, dim, 7, 4, generator)
          : new OverlapPatchEmbed(config.embedDims[stage - 1]!, dim, 3, 2, generator),
      ),
    );
    const total = config.depths.reduce((sum, depth) => sum + depth, 0);
    let index = 0;
    this.#stages = config.embedDims.map((dim, stage) => {
      const blocks = Array.from({ length: config.depths[stage]! }, () => {
        const rate = (dropPathRate * index++) / (total - 1);
        return new Block(dim, stage, rate, generator);
      });
      return {
        embed: embeds[stage]!,
        blocks: this.named(`block${stage + 1}`, new nn.ModuleList(blocks)),
        norm: this.named(`norm${stage + 1}`, new nn.LayerNorm(dim, { eps: NORM_EPS, narrow: true })),
      };
    });
  }

  /** Everything. The next stage and the decoder both read what closes a stage. */
  get checkpointable(): nn.AnyModule[] {
    return this.#stages.flatMap(({ embed, blocks, norm }) => [embed, ...blocks, norm]);
  }

  /** (B, 3, H, W), normalised, to four maps of strides 4, 8, 16 and 32. */
  forward(image: Tensor): Tensor[] {
    const outputs: Tensor[] = [];
    let map = image;
    for (const { embed, blocks, norm } of this.#stages) {
      const embedded = embed.call(map); // (B, D, h, w)
      const [height, width] = sizeOf(embedded);
      let tokens = toTokens(embedded); // (B, P, D)
      for (const block of blocks) {
        const next = block.call(tokens, height, width);
        tokens.dispose();
        tokens = next;
      }
      map = toMap(norm.call(tokens), height, width);
      outputs.push(map);
    }
    return outputs;
  }
}
