// The plain vision transformers of DINOv2 (Oquab et al. 2023, arXiv 2304.07193; with registers Darcet et al. 2023,
// arXiv 2309.16588) and DINOv3 (Siméoni et al. 2025, arXiv 2508.10104).

import { dims, full, type Generator, nn, ops, type Tensor, zeros } from '@pgpc/torch';
import type { AdapterConfig } from '../config/encoder-training.js';
import type { VitConfig } from '../config/vit.js';
import { LowRank, Rein } from './adapters.js';
import { attend } from './attention.js';
import type { Backbone } from './decoder.js';
import { paddedTo } from './fit-image.js';
import { initialize, resetTruncated } from './initial-values.js';
import { gridPositions, keyBiasMask, RotaryPositions, type Rotations, rotate } from './vit-positions.js';

const linear = (from: number, to: number, generator: Generator) =>
  resetTruncated(new nn.Linear(from, to, { generator }), generator);

/** Scales the channels of a residual branch and adds it: x + gamma y. */
class LayerScale extends nn.Module<[x: Tensor, branch: Tensor]> {
  readonly gamma: Tensor;

  constructor(dim: number, initial: number) {
    super();
    this.gamma = this.parameter(full([dim], initial));
  }

  forward(x: Tensor, branch: Tensor): Tensor {
    return x.addcmul(branch, this.gamma);
  }
}

/** Queries, keys and values by one matrix. DINOv3's keys have no bias: `bias_mask`, in its files, is 0 there. */
class MaskedLinear extends nn.Linear {
  readonly biasMask: Tensor;

  constructor(dim: number, generator: Generator) {
    super(dim, 3 * dim, { generator });
    resetTruncated(this, generator);
    this.biasMask = this.buffer(keyBiasMask(dim));
  }

  override forward(x: Tensor): Tensor {
    return ops.linear(x, this.weight, this.bias!.mul(this.biasMask));
  }
}

/** Tokens and the grid of the patches among them, in patches. */
type Mixing = [x: Tensor, height: number, width: number];

class Attention extends nn.Module<Mixing> {
  readonly qkv: nn.Linear;
  readonly proj: nn.Linear;
  readonly lora: LowRank | undefined;
  /** The network's own, asked by each block anew: what is computed again for the backward pass takes no tensors but one. */
  readonly #rope: RotaryPositions | undefined;

  constructor(
    readonly dim: number,
    readonly heads: number,
    rope: RotaryPositions | undefined,
    loraRank: number | undefined,
    generator: Generator,
  ) {
    super();
    this.#rope = rope;
    this.qkv = rope ? new MaskedLinear(dim, generator) : linear(dim, 3 * dim, generator);
    this.proj = linear(dim, dim, generator);
    if (loraRank !== undefined) this.lora = new LowRank(dim, 3 * dim, loraRank, generator);
  }

  /** (B, tokens, D) to (B, tokens, D). */
  forward(x: Tensor, height: number, width: number): Tensor {
    const [batch, tokens] = dims(x, 3);
    const shape = [batch, tokens, 3, this.heads, this.dim / this.heads];
    const projected = this.qkv.call(x);
    const changed = this.lora ? projected.add(this.lora.call(x)) : projected;
    const parts = changed.view(shape).permute([2, 0, 3, 1, 4]).unbind();
    const [q, k, v] = parts as [Tensor, Tensor, Tensor]; // (B, heads, tokens, d) each
    const rotations = this.#rope?.call(height, width);
    const mixed = rotations ? attend(turned(q, rotations), turned(k, rotations), v) : attend(q, k, v);
    return this.proj.call(mixed.transpose(1, 2).reshape([batch, tokens, this.dim]));
  }
}

/** Angles are float32, what they turn stays what it is: 16 bits under autocast. */
function turned(x: Tensor, rotations: Rotations): Tensor {
  return rotate(x, rotations).to(x.dtype);
}

class Mlp extends nn.Module {
  readonly fc1: nn.Linear;
  readonly fc2: nn.Linear;

  constructor(dim: number, hidden: number, generator: Generator) {
    super();
    this.fc1 = linear(dim, hidden, generator);
    this.fc2 = linear(hidden, dim, generator);
  }

  forward(x: Tensor): Tensor {
    return this.fc2.call(ops.gelu(this.fc1.call(x)));
  }
}

/** SwiGLU (Shazeer 2020, arXiv 2002.05202): w3 (silu(w1 x) * w2 x). DINOv2's files have w1 above w2 in one matrix, w12. */
class SwiGlu extends nn.Module {
  readonly w12: nn.Linear | undefined;
  readonly w1: nn.Linear | undefined;
  readonly w2: nn.Linear | undefined;
  readonly w3: nn.Linear;

  constructor(dim: number, hidden: number, joined: boolean, generator: Generator) {
    super();
    if (joined) this.w12 = linear(dim, 2 * hidden, generator);
    else {
      this.w1 = linear(dim, hidden, generator);
      this.w2 = linear(dim, hidden, generator);
    }
    this.w3 = linear(hidden, dim, generator);
  }

  forward(x: Tensor): Tensor {
    const [gate, value] = this.w12
      ? (this.w12.call(x).chunk(2, -1) as [Tensor, Tensor])
      : [this.w1!.call(x), this.w2!.call(x)];
    return this.w3.call(gate.silu().mul(value));
  }
}

class Block extends nn.Module<Mixing> {
  readonly norm1: nn.LayerNorm;
  readonly norm2: nn.LayerNorm;
  readonly attn: Attention;
  readonly mlp: nn.Module;
  readonly ls1: LayerScale;
  readonly ls2: LayerScale;

  constructor(
    config: VitConfig,
    rope: RotaryPositions | undefined,
    loraRank: number | undefined,
    generator: Generator,
  ) {
    super();
    const { dim, heads, hidden, ffn, eps, layerScale } = config;
    this.norm1 = new nn.LayerNorm(dim, { eps, narrow: true });
    this.norm2 = new nn.LayerNorm(dim, { eps, narrow: true });
    this.attn = new Attention(dim, heads, rope, loraRank, generator);
    this.mlp =
      ffn === 'mlp'
        ? new Mlp(dim, hidden, generator)
        : new SwiGlu(dim, hidden, ffn === 'swiglu joined', generator);
    this.ls1 = new LayerScale(dim, layerScale);
    this.ls2 = new LayerScale(dim, layerScale);
  }

  forward(x: Tensor, height: number, width: number): Tensor {
    const attended = this.ls1.call(x, this.attn.call(this.norm1.call(x), height, width));
    return this.ls2.call(attended, this.mlp.call(this.norm2.call(attended)));
  }
}

class PatchEmbed extends nn.Module {
  readonly proj: nn.Conv2d;

  constructor(dim: number, patch: number, generator: Generator) {
    super();
    this.proj = new nn.Conv2d(3, dim, patch, { stride: patch, generator });
  }

  /** (B, 3, H, W) to (B, D, H / patch, W / patch). */
  forward(image: Tensor): Tensor {
    return this.proj.call(image);
  }
}

/**
 * The transformer alone, under the authors' names. An image of any size is padded at its right and bottom, with the mean
 * colour, to whole patches.
 */
export class VisionTransformer extends nn.Module<[image: Tensor], Tensor[]> implements Backbone {
  readonly clsToken: Tensor;
  readonly posEmbed: Tensor | undefined;
  readonly registerTokens: Tensor | undefined;
  readonly storageTokens: Tensor | undefined;
  readonly patchEmbed: PatchEmbed;
  readonly ropeEmbed: RotaryPositions | undefined;
  readonly blocks: nn.ModuleList<Block>;
  readonly norm: nn.LayerNorm;
  readonly adapter: Rein | undefined;

  /**
   * @param generator for initial values.
   * @param adapter what is trained beside it; left out: nothing.
   */
  constructor(
    readonly config: VitConfig,
    generator: Generator,
    adapter?: AdapterConfig,
  ) {
    super();
    const { dim, depth, heads, patch, registers, eps, positions } = config;
    const rotary = positions === 'rotary';
    this.clsToken = this.#tokens(1, rotary ? 0.02 : 1e-6, generator);
    if (!rotary) this.posEmbed = this.#tokens(1 + positions.side ** 2, 0.02, generator);
    // DINOv3's name for the same.
    if (registers > 0 && rotary) this.storageTokens = this.#tokens(registers, 0.02, generator);
    else if (registers > 0) this.registerTokens = this.#tokens(registers, 1e-6, generator);
    this.patchEmbed = new PatchEmbed(dim, patch, generator);
    if (rotary) this.ropeEmbed = new RotaryPositions(dim / heads);
    const loraRank = adapter?.kind === 'lora' ? adapter.rank : undefined;
    const block = () => new Block(config, this.ropeEmbed, loraRank, generator);
    this.blocks = new nn.ModuleList(Array.from({ length: depth }, block));
    this.norm = new nn.LayerNorm(dim, { eps, narrow: true });
    if (adapter?.kind === 'rein') this.adapter = new Rein({ ...adapter, dim, depth }, generator);
  }

  #tokens(count: number, std: number, generator: Generator): Tensor {
    const tokens = this.parameter(zeros([1, count, this.config.dim]));
    initialize(() => nn.truncNormal_(tokens, { std, generator }));
    return tokens;
  }

  /** The blocks after which {@link forward} takes a map, counted from 1: each quarter of the depth. */
  get taken(): readonly number[] {
    return [1, 2, 3, 4].map((quarter) => (quarter * this.config.depth) / 4);
  }

  get channels(): readonly number[] {
    return this.taken.map(() => this.config.dim);
  }

  get checkpointable(): nn.AnyModule[] {
    return [this.patchEmbed, ...this.blocks, this.norm, ...(this.adapter ? [this.adapter] : [])];
  }

  /** (B, 3, H, W), normalised, to four maps (B, D, ceil(H / patch), ceil(W / patch)). */
  forward(image: Tensor): Tensor[] {
    return this.maps(image, this.taken);
  }

  /** The patch tokens after some blocks, each after the closing norm. */
  protected maps(image: Tensor, taken: readonly number[]): Tensor[] {
    const embedded = this.patchEmbed.call(paddedTo(image, this.config.patch)); // (B, D, h, w)
    const [batch, dim, height, width] = dims(embedded, 4);
    const count = height * width;
    const outputs: Tensor[] = [];
    let tokens = this.#withTokens(embedded); // (B, 1 + registers + h w, D)
    for (const [i, block] of this.blocks.items.entries()) {
      const next = block.call(tokens, height, width);
      tokens.dispose();
      tokens = next;
      if (this.adapter) {
        const changed = this.adapter.call(tokens, i);
        tokens.dispose();
        tokens = changed;
      }
      if (!taken.includes(i + 1)) continue;
      const normed = this.norm.call(tokens.narrow(1, tokens.shape[1]! - count, count));
      outputs.push(normed.view([batch, height, width, dim]).permute([0, 3, 1, 2]));
    }
    return outputs;
  }

  /** (B, D, h, w) to (B, 1 + registers + h w, D): class token, registers, patches, the first and last with their position. */
  #withTokens(embedded: Tensor): Tensor {
    const [batch, dim, height, width] = dims(embedded, 4);
    const { positions } = this.config;
    const patches = embedded.flatten(2).transpose(1, 2); // (B, h w, D)
    const registers = this.registerTokens ?? this.storageTokens;
    const expanded = (tokens: Tensor) => tokens.expand([batch, -1, dim]);
    const others = registers ? [expanded(registers)] : [];
    if (positions === 'rotary') return ops.cat([expanded(this.clsToken), ...others, patches], 1);
    const [ofClass, ofPatches] = gridPositions(this.posEmbed!, [height, width], positions);
    return ops.cat([expanded(this.clsToken.add(ofClass)), ...others, patches.add(ofPatches)], 1);
  }
}
