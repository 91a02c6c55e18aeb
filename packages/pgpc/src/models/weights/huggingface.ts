// HuggingFace's names and configuration of SegFormer, to and from the names of the official files.

import { ops, type Tensor } from '@pgpc/torch';

/** Parts of a transformer block: [official name, HuggingFace's name]. Key and value are apart from these. */
const BLOCK_PARTS: readonly (readonly [official: string, huggingFace: string])[] = [
  ['norm1', 'layer_norm_1'],
  ['attn.q', 'attention.self.query'],
  ['attn.sr', 'attention.self.sr'],
  ['attn.norm', 'attention.self.layer_norm'],
  ['attn.proj', 'attention.output.dense'],
  ['norm2', 'layer_norm_2'],
  ['mlp.fc1', 'mlp.dense1'],
  ['mlp.dwconv.dwconv', 'mlp.dwconv.dwconv'],
  ['mlp.fc2', 'mlp.dense2'],
];
const toOfficialPart = new Map(BLOCK_PARTS.map(([official, theirs]) => [theirs, official]));
const toTheirPart = new Map(BLOCK_PARTS);

const KEY = 'attention.self.key';
const VALUE = 'attention.self.value';

/**
 * The official name (`backbone.*`, `decode_head.*`) of an entry of HuggingFace's SegFormer, as
 * `modeling_segformer.py` of its transformers library names them (with or without `segformer.` in front).
 * @returns undefined for other names, and for key and value, which are one matrix in the official form: see
 * {@link joinKeyAndValue}.
 */
export function fromHuggingFaceName(name: string): string | undefined {
  const encoder = /^(?:segformer\.)?encoder\.(.+)$/.exec(name)?.[1];
  if (encoder !== undefined) {
    const stage = /^(patch_embeddings|block|layer_norm)\.(\d)\.(.+)$/.exec(encoder);
    if (!stage) return undefined;
    const [, group, index, rest] = stage as unknown as [string, string, string, string];
    const number = Number(index) + 1;
    if (group === 'layer_norm') return `backbone.norm${number}.${rest}`;
    if (group === 'patch_embeddings') {
      return `backbone.patch_embed${number}.${rest.replace(/^layer_norm\./, 'norm.')}`;
    }
    const [, block, part, kind] = /^(\d+)\.(.+)\.(weight|bias)$/.exec(rest) ?? [];
    const official = toOfficialPart.get(part ?? '');
    return official && `backbone.block${number}.${block}.${official}.${kind}`;
  }
  const level = /^decode_head\.linear_c\.(\d)\.proj\.(weight|bias)$/.exec(name);
  if (level) return `decode_head.linear_c${Number(level[1]) + 1}.proj.${level[2]}`;
  const head = /^decode_head\.(linear_fuse|batch_norm|classifier)\.(.+)$/.exec(name);
  if (!head) return undefined;
  const places = { linear_fuse: 'linear_fuse.conv', batch_norm: 'linear_fuse.bn', classifier: 'linear_pred' };
  return `decode_head.${places[head[1] as keyof typeof places]}.${head[2]}`;
}

/**
 * The `attn.kv` entries: key above value, (D, D) twice to (2D, D) and (D) twice to (2D).
 * @returns entries by official name, and the names that went into them
 */
export function joinKeyAndValue(tensors: ReadonlyMap<string, Tensor>): {
  joined: Map<string, Tensor>;
  used: Set<string>;
} {
  const joined = new Map<string, Tensor>();
  const used = new Set<string>();
  for (const [name, key] of tensors) {
    const match = /^(?:segformer\.)?encoder\.block\.(\d)\.(\d+)\.attention\.self\.key\.(weight|bias)$/.exec(
      name,
    );
    const partner = name.replace(KEY, VALUE);
    const value = tensors.get(partner);
    if (!match || !value) continue;
    const [, stage, block, kind] = match;
    joined.set(`backbone.block${Number(stage) + 1}.${block}.attn.kv.${kind}`, ops.cat([key, value], 0));
    used.add(name).add(partner);
  }
  return { joined, used };
}

/** Entries of the encoder and of SegFormer's head under HuggingFace's names, and the names without a counterpart. */
export interface HuggingFaceEntries {
  tensors: Map<string, Tensor>;
  leftOut: string[];
}

/** The inverse of {@link fromHuggingFaceName} and {@link joinKeyAndValue}. */
export function toHuggingFace(official: ReadonlyMap<string, Tensor>): HuggingFaceEntries {
  const tensors = new Map<string, Tensor>();
  const leftOut: string[] = [];
  for (const [name, tensor] of official) {
    const kv = /^backbone\.block(\d)\.(\d+)\.attn\.kv\.(weight|bias)$/.exec(name);
    if (kv) {
      const prefix = `segformer.encoder.block.${Number(kv[1]) - 1}.${kv[2]}`;
      const [key, value] = tensor.chunk(2, 0) as [Tensor, Tensor];
      tensors.set(`${prefix}.${KEY}.${kv[3]}`, key);
      tensors.set(`${prefix}.${VALUE}.${kv[3]}`, value);
      continue;
    }
    const theirs = toHuggingFaceName(name);
    if (theirs === undefined) leftOut.push(name);
    else tensors.set(theirs, tensor);
  }
  return { tensors, leftOut };
}

function toHuggingFaceName(name: string): string | undefined {
  const stage = /^backbone\.(patch_embed|block|norm)([1-4])\.(.+)$/.exec(name);
  if (stage) {
    const [, group, number, rest] = stage as unknown as [string, string, string, string];
    const index = Number(number) - 1;
    if (group === 'norm') return `segformer.encoder.layer_norm.${index}.${rest}`;
    if (group === 'patch_embed') {
      return `segformer.encoder.patch_embeddings.${index}.${rest.replace(/^norm\./, 'layer_norm.')}`;
    }
    const [, block, part, kind] = /^(\d+)\.(.+)\.(weight|bias)$/.exec(rest) ?? [];
    const theirs = toTheirPart.get(part ?? '');
    return theirs && `segformer.encoder.block.${index}.${block}.${theirs}.${kind}`;
  }
  const level = /^decode_head\.linear_c([1-4])\.proj\.(weight|bias)$/.exec(name);
  if (level) return `decode_head.linear_c.${Number(level[1]) - 1}.proj.${level[2]}`;
  const head = /^decode_head\.(linear_fuse\.conv|linear_fuse\.bn|linear_pred)\.(.+)$/.exec(name);
  if (!head) return undefined;
  const places = {
    'linear_fuse.conv': 'linear_fuse',
    'linear_fuse.bn': 'batch_norm',
    linear_pred: 'classifier',
  };
  return `decode_head.${places[head[1] as keyof typeof places]}.${head[2]}`;
}

/** What HuggingFace's `config.json` must say of a network. */
export interface HuggingFaceOptions {
  readonly embedDims: readonly number[];
  readonly depths: readonly number[];
  /** Width of the head; undefined for an encoder alone. */
  readonly headWidth: number | undefined;
  /** Names of the classes by index; empty for an encoder alone. */
  readonly classes: readonly string[];
}

/** The `config.json` that belongs beside the weights, with `id2label`. */
export function huggingFaceConfig(options: HuggingFaceOptions): Record<string, unknown> {
  const { embedDims, depths, headWidth, classes } = options;
  return {
    architectures: [headWidth === undefined ? 'SegformerModel' : 'SegformerForSemanticSegmentation'],
    model_type: 'segformer',
    num_channels: 3,
    num_encoder_blocks: 4,
    hidden_sizes: embedDims,
    depths,
    num_attention_heads: [1, 2, 5, 8],
    sr_ratios: [8, 4, 2, 1],
    mlp_ratios: [4, 4, 4, 4],
    patch_sizes: [7, 3, 3, 3],
    strides: [4, 2, 2, 2],
    hidden_act: 'gelu',
    ...(headWidth !== undefined && {
      decoder_hidden_size: headWidth,
      semantic_loss_ignore_index: 255,
      id2label: Object.fromEntries(classes.map((name, id) => [id, name])),
      label2id: Object.fromEntries(classes.map((name, id) => [name, id])),
    }),
  };
}
