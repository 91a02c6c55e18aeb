// The names of DINOv2's and DINOv3's encoders in their authors' files and in HuggingFace's.

import { ops, type Tensor, zeros } from '@pgpc/torch';
import { keyBiasMask, rotaryPeriods } from '../vit-positions.js';
import type { Naming, Place, Remade } from './namings.js';

const PRETRAINING: Place = { skip: 'used in pretraining only' };

const withoutPrefix = (name: string) => name.replace(/^backbone\./, '');

/** What this project adds to an encoder: under the same names in every form. */
const OWN = /^(pyramid|adapter)\./;

/** A part of a decoder, which only this project's files have beside these encoders. */
const headPlace = (name: string): Place => (name.startsWith('decode_head.') ? { to: name } : undefined);

function officialVit(format: Naming['format'], tokens: RegExp): Naming {
  return {
    format,
    place: (name) => {
      const bare = withoutPrefix(name);
      if (/^(mask_token$|local_cls_norm\.)/.test(bare)) return PRETRAINING;
      const isOwn =
        /^(patch_embed\.proj|blocks\.\d+|norm)\./.test(bare) || tokens.test(bare) || OWN.test(bare);
      return isOwn ? { to: `backbone.${bare}` } : headPlace(name);
    },
  };
}

/** [HuggingFace's part of a block, the official one]; queries, keys and values are apart from these. */
const BLOCK_PARTS = new Map([
  ['norm1', 'norm1'],
  ['norm2', 'norm2'],
  ['attention.output.dense', 'attn.proj'],
  ['attention.o_proj', 'attn.proj'],
  ['mlp.fc1', 'mlp.fc1'],
  ['mlp.fc2', 'mlp.fc2'],
  ['mlp.weights_in', 'mlp.w12'],
  ['mlp.weights_out', 'mlp.w3'],
]);
/** In DINOv3 the plain MLP has the names of two parts of the gated one. */
const GATED = new Map([
  ['gate_proj', 'w1'],
  ['up_proj', 'w2'],
  ['down_proj', 'w3'],
]);
const PLAIN = new Map([
  ['up_proj', 'fc1'],
  ['down_proj', 'fc2'],
]);

const LAYER = /^(?:encoder\.|model\.)?layer\.(\d+)\.(.+)$/;
const PROJECTION = /^attention\.(?:attention\.)?(q|k|v)(?:uery|ey|alue|_proj)\.(weight|bias)$/;
const GATE = /^mlp\.(gate_proj|up_proj|down_proj)\.(weight|bias)$/;

const EMBEDDINGS = new Map([
  ['cls_token', 'cls_token'],
  ['position_embeddings', 'pos_embed'],
  ['register_tokens', 'register_tokens'],
  ['patch_embeddings.projection.weight', 'patch_embed.proj.weight'],
  ['patch_embeddings.projection.bias', 'patch_embed.proj.bias'],
  ['patch_embeddings.weight', 'patch_embed.proj.weight'],
  ['patch_embeddings.bias', 'patch_embed.proj.bias'],
]);

interface HuggingFaceVit {
  readonly format: Naming['format'];
  /** Before `layer.N.`. */
  readonly layers: RegExp;
  /** Of the embeddings, whose names tell the two apart. */
  readonly embeddings: RegExp;
  readonly norm: RegExp;
  readonly registers: string;
  readonly remake: (entries: ReadonlyMap<string, Tensor>) => Remade;
}

function huggingFaceVit({ format, layers, embeddings, norm, registers, remake }: HuggingFaceVit): Naming {
  return {
    format,
    place: (name) => {
      if (/^embeddings\.mask_token$/.test(name)) return PRETRAINING;
      const embedded = /^embeddings\.(.+)$/.exec(name)?.[1];
      if (embedded !== undefined) {
        const to = embeddings.test(embedded) ? EMBEDDINGS.get(embedded) : undefined;
        if (to === undefined) return undefined;
        return { to: `backbone.${to === 'register_tokens' ? registers : to}` };
      }
      const closing = norm.exec(name)?.[1];
      if (closing) return { to: `backbone.norm.${closing}` };
      const [, block, rest] = layers.test(name) ? LAYER.exec(name)! : [];
      if (rest === undefined) return undefined;
      // Made from several.
      if (PROJECTION.test(rest) || GATE.test(rest)) return { to: name };
      const scale = /^layer_scale([12])\.lambda1$/.exec(rest)?.[1];
      if (scale) return { to: `backbone.blocks.${block}.ls${scale}.gamma` };
      const [, part, kind] = /^(.+)\.(weight|bias)$/.exec(rest) ?? [];
      const official = BLOCK_PARTS.get(part ?? '');
      return official === undefined ? undefined : { to: `backbone.blocks.${block}.${official}.${kind}` };
    },
    remake,
  };
}

/** Entries of blocks, by block and by what {@link LAYER} leaves of their names. */
function byBlock(entries: ReadonlyMap<string, Tensor>): Map<string, Map<string, [name: string, Tensor]>> {
  const blocks = new Map<string, Map<string, [string, Tensor]>>();
  for (const [name, tensor] of entries) {
    const [, block, rest] = LAYER.exec(name) ?? [];
    if (block === undefined) continue;
    const parts = blocks.get(block) ?? new Map();
    blocks.set(block, parts.set(rest!, [name, tensor]));
  }
  return blocks;
}

/** Queries above keys above values in one matrix, as the authors keep them. Keys without a bias get zeros. */
function joined(entries: ReadonlyMap<string, Tensor>): { made: Map<string, Tensor>; used: Set<string> } {
  const made = new Map<string, Tensor>();
  const used = new Set<string>();
  for (const [block, parts] of byBlock(entries)) {
    for (const kind of ['weight', 'bias']) {
      const found = new Map<string, [string, Tensor]>();
      for (const [rest, entry] of parts) {
        const [, which, of] = PROJECTION.exec(rest) ?? [];
        if (of === kind) found.set(which!, entry);
      }
      const [q, k, v] = ['q', 'k', 'v'].map((which) => found.get(which));
      if (!q || !v || (!k && kind === 'weight')) continue;
      const keys = k?.[1] ?? zeros(q[1].shape);
      made.set(`backbone.blocks.${block}.attn.qkv.${kind}`, ops.cat([q[1], keys, v[1]], 0));
      for (const [name] of found.values()) used.add(name);
    }
  }
  return { made, used };
}

/** DINOv2's gate and value in one matrix; newer files of HuggingFace's have them apart. */
function remadeDinov2(entries: ReadonlyMap<string, Tensor>): Remade {
  const { made, used } = joined(entries);
  for (const [block, parts] of byBlock(entries)) {
    for (const kind of ['weight', 'bias']) {
      const [gate, up, down] = ['gate', 'up', 'down'].map((part) => parts.get(`mlp.${part}_proj.${kind}`));
      if (!gate || !up || !down) continue;
      made.set(`backbone.blocks.${block}.mlp.w12.${kind}`, ops.cat([gate[1], up[1]], 0));
      made.set(`backbone.blocks.${block}.mlp.w3.${kind}`, down[1]);
      for (const [name] of [gate, up, down]) used.add(name);
    }
  }
  return { made, used };
}

/** What DINOv3's own files keep beside trained weights: where keys have a bias, and the periods of the rotations. */
function remadeDinov3(entries: ReadonlyMap<string, Tensor>): Remade {
  const { made, used } = joined(entries);
  for (const [block, parts] of byBlock(entries)) {
    const names = parts.has('mlp.gate_proj.weight') ? GATED : PLAIN;
    for (const [rest, [name, tensor]] of parts) {
      const [, part, kind] = GATE.exec(rest) ?? [];
      const official = names.get(part ?? '');
      if (official === undefined) continue;
      made.set(`backbone.blocks.${block}.mlp.${official}.${kind}`, tensor);
      used.add(name);
    }
    const width = made.get(`backbone.blocks.${block}.attn.qkv.bias`)?.shape[0];
    if (width !== undefined) made.set(`backbone.blocks.${block}.attn.qkv.bias_mask`, keyBiasMask(width / 3));
  }
  // All of DINOv3's heads have 64 channels.
  made.set('backbone.rope_embed.periods', rotaryPeriods(64));
  return { made, used };
}

const DOWNSAMPLING = /^downsample_layers\.([0-3])\.([01])\.(weight|bias)$/;
const STAGE = /^stages\.([0-3])\.(\d+)\.(gamma|(?:dwconv|norm|pwconv[12])\.(?:weight|bias))$/;

const convnextOfficial: Naming = {
  format: 'dinov3-convnext-official',
  place: (name) => {
    const bare = withoutPrefix(name);
    if (/^norms\.3\./.test(bare)) return { skip: 'the closing norm once more' };
    const isOwn = DOWNSAMPLING.test(bare) || STAGE.test(bare) || /^norm\.(weight|bias)$/.test(bare);
    return isOwn ? { to: `backbone.${bare}` } : headPlace(name);
  },
};

const CONVNEXT_PARTS: Readonly<Record<string, string>> = {
  depthwise_conv: 'dwconv',
  layer_norm: 'norm',
  pointwise_conv1: 'pwconv1',
  pointwise_conv2: 'pwconv2',
};

const convnextHuggingFace: Naming = {
  format: 'dinov3-convnext-huggingface',
  place: (name) => {
    const closing = /^layer_norm\.(weight|bias)$/.exec(name)?.[1];
    if (closing) return { to: `backbone.norm.${closing}` };
    const [, stage, rest] = /^(?:model\.)?stages\.([0-3])\.(.+)$/.exec(name) ?? [];
    if (rest === undefined) return undefined;
    const between = /^downsample_layers\.([01]\.(?:weight|bias))$/.exec(rest)?.[1];
    if (between) return { to: `backbone.downsample_layers.${stage}.${between}` };
    const [, block, part, kind] = /^layers\.(\d+)\.(\w+)(?:\.(weight|bias))?$/.exec(rest) ?? [];
    if (part === 'gamma') return { to: `backbone.stages.${stage}.${block}.gamma` };
    const official = CONVNEXT_PARTS[part ?? ''];
    return official && kind ? { to: `backbone.stages.${stage}.${block}.${official}.${kind}` } : undefined;
  },
};

export const dinoNamings: readonly Naming[] = [
  officialVit('dinov2-official', /^(cls_token|pos_embed|register_tokens)$/),
  officialVit('dinov3-official', /^(cls_token|storage_tokens|rope_embed\.periods)$/),
  huggingFaceVit({
    format: 'dinov2-huggingface',
    layers: /^encoder\.layer\./,
    embeddings: /^(?!patch_embeddings\.(weight|bias)$)/,
    norm: /^layernorm\.(weight|bias)$/,
    registers: 'register_tokens',
    remake: remadeDinov2,
  }),
  huggingFaceVit({
    format: 'dinov3-huggingface',
    layers: /^(model\.)?layer\./,
    embeddings: /^(?!patch_embeddings\.projection\.|position_embeddings$)/,
    norm: /^norm\.(weight|bias)$/,
    registers: 'storage_tokens',
    remake: remadeDinov3,
  }),
  convnextOfficial,
  convnextHuggingFace,
];
