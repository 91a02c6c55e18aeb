// The forms that entries' names have in others' files, each with the way to this project's names: `backbone.*` and
// `decode_head.*`, which are DAFormer's.

import { ops, type Tensor, zeros } from '@pgpc/torch';
import { dinoNamings } from './dino.js';
import { fromHuggingFaceName, joinKeyAndValue } from './huggingface.js';

/** The kinds of files that are understood, by what named their entries. */
export const weightFormats = {
  'pgpc-model': "this project's model",
  'pgpc-training': "this project's training checkpoint",
  'pgpc-backbone': "this project's converted encoder",
  daformer: 'checkpoint of DAFormer, HRDA or MIC: student, teacher and ImageNet network',
  'mit-official': 'official MiT and SegFormer (NVlabs), also as encoder of a DAFormer network',
  'mit-huggingface': "HuggingFace's SegFormer",
  'mit-open-mmlab': "open-mmlab's MiT",
  'resnet-v1c': "open-mmlab's ResNet-V1c (stem of three 3x3 convolutions)",
  'resnet-torchvision': "torchvision's ResNet (stem of one 7x7 convolution)",
  'hrnet-official': 'official HRNet',
  'hrnet-open-mmlab': "open-mmlab's HRNet",
  'dinov2-official': 'official DINOv2',
  'dinov2-huggingface': "HuggingFace's DINOv2",
  'dinov3-official': 'official DINOv3 ViT',
  'dinov3-huggingface': "HuggingFace's DINOv3 ViT",
  'dinov3-convnext-official': 'official DINOv3 ConvNeXt',
  'dinov3-convnext-huggingface': "HuggingFace's DINOv3 ConvNeXt",
} as const;

export type WeightFormat = keyof typeof weightFormats;

/** Where an entry goes: a name, a reason to skip it, or undefined for a name that the form does not have. */
export type Place = { readonly to: string } | { readonly skip: string } | undefined;

export interface Naming {
  readonly format: WeightFormat;
  readonly place: (name: string) => Place;
  /** Makes entries from several others, or with other values. Gets the entries that kept their file's names. */
  readonly remake?: (entries: ReadonlyMap<string, Tensor>) => Remade;
  readonly hint?: string;
}

export interface Remade {
  readonly made: ReadonlyMap<string, Tensor>;
  /** Names of the file's that went into them. */
  readonly used: ReadonlySet<string>;
}

const CLASSIFIER: Place = { skip: 'ImageNet classifier' };
const AUXILIARY: Place = { skip: 'auxiliary head, used in training only' };

const withoutPrefix = (name: string) => name.replace(/^backbone\./, '');
const isAuxiliary = (name: string) => /^aux(iliary)?_head\./.test(name);

/** All of mmsegmentation's descendants, DAFormer among them, name their heads alike. */
function headPlace(name: string): Place {
  if (isAuxiliary(name)) return AUXILIARY;
  return name.startsWith('decode_head.') ? { to: name } : undefined;
}

const mitOfficial: Naming = {
  format: 'mit-official',
  place: (name) => {
    const bare = withoutPrefix(name);
    if (/^(patch_embed|block|norm)[1-4]\./.test(bare)) return { to: `backbone.${bare}` };
    if (/^head\./.test(bare)) return CLASSIFIER;
    // DAFormer's own version of SegFormer's head numbers its levels from 0.
    const level = /^decode_head\.linear_c\.(\d)\.(.+)$/.exec(name);
    if (level) return { to: `decode_head.linear_c${Number(level[1]) + 1}.${level[2]}` };
    return headPlace(name);
  },
  remake: (entries) => {
    // It also joins levels 1 to 4, where the official head joins 4 to 1.
    const fuse = 'decode_head.linear_fuse.conv.weight';
    const weight = entries.get(fuse);
    if (!weight || !entries.has('decode_head.linear_c.0.proj.weight')) return NOTHING;
    const reversed = ops.cat([...weight.chunk(4, 1)].reverse(), 1);
    return { made: new Map([[fuse, reversed]]), used: new Set([fuse]) };
  },
};

export const NOTHING: Remade = { made: new Map(), used: new Set() };

const mitHuggingFace: Naming = {
  format: 'mit-huggingface',
  place: (name) => {
    if (/^classifier\./.test(name)) return CLASSIFIER;
    if (/\.attention\.self\.(key|value)\.(weight|bias)$/.test(name)) return { to: name };
    const to = fromHuggingFaceName(name);
    return to === undefined ? undefined : { to };
  },
  remake: (entries) => {
    const { joined, used } = joinKeyAndValue(entries);
    return { made: joined, used };
  },
};

/** [open-mmlab's part of a block, the official one]. */
const OPEN_MMLAB_PARTS = new Map([
  ['norm1', 'norm1'],
  ['norm2', 'norm2'],
  ['attn.sr', 'attn.sr'],
  ['attn.norm', 'attn.norm'],
  ['attn.attn.out_proj', 'attn.proj'],
  ['ffn.layers.0', 'mlp.fc1'],
  ['ffn.layers.1', 'mlp.dwconv.dwconv'],
  ['ffn.layers.4', 'mlp.fc2'],
]);
const OPEN_MMLAB_BLOCK = /^layers\.(\d)\.1\.(\d+)\.(.+)[._](weight|bias)$/;

const mitOpenMmlab: Naming = {
  format: 'mit-open-mmlab',
  place: (name) => {
    const bare = withoutPrefix(name);
    const [, index, slot, rest] = /^layers\.(\d)\.([02])\.(.+)$/.exec(bare) ?? [];
    if (slot === '2') return { to: `backbone.norm${Number(index) + 1}.${rest}` };
    if (slot === '0') {
      return { to: `backbone.patch_embed${Number(index) + 1}.${rest!.replace(/^projection\./, 'proj.')}` };
    }
    const [, stage, block, part, kind] = OPEN_MMLAB_BLOCK.exec(bare) ?? [];
    if (part === 'attn.attn.in_proj') return { to: name };
    const official = OPEN_MMLAB_PARTS.get(part ?? '');
    if (official) return { to: `backbone.block${Number(stage) + 1}.${block}.${official}.${kind}` };
    return /^head\./.test(bare) ? CLASSIFIER : headPlace(name);
  },
  remake: (entries) => {
    const made = new Map<string, Tensor>();
    const used = new Set<string>();
    for (const [name, tensor] of entries) {
      const [, stage, block, part, kind] = OPEN_MMLAB_BLOCK.exec(withoutPrefix(name)) ?? [];
      const prefix = `backbone.block${Number(stage) + 1}.${block}`;
      if (part === 'attn.attn.in_proj' && tensor.shape[0]! % 3 === 0) {
        // Query above key above value; the official form has the query apart.
        const dim = tensor.shape[0]! / 3;
        made.set(`${prefix}.attn.q.${kind}`, tensor.narrow(0, 0, dim));
        made.set(`${prefix}.attn.kv.${kind}`, tensor.narrow(0, dim, 2 * dim));
        used.add(name);
      } else if (/^ffn\.layers\.[04]$/.test(part ?? '') && tensor.ndim === 4) {
        // Linear layers are kept as 1x1 convolutions there.
        made.set(`${prefix}.${OPEN_MMLAB_PARTS.get(part!)}.${kind}`, tensor.flatten(1));
        used.add(name);
      }
    }
    return { made, used };
  },
};

const RESNET_STAGE = /^layer[1-4]\./;

const resnetV1c: Naming = {
  format: 'resnet-v1c',
  place: (name) => {
    const bare = withoutPrefix(name);
    if (RESNET_STAGE.test(bare) || /^stem\./.test(bare)) return { to: `backbone.${bare}` };
    return /^fc\./.test(bare) ? CLASSIFIER : headPlace(name);
  },
};

const resnetTorchvision: Naming = {
  format: 'resnet-torchvision',
  place: (name) => {
    const bare = withoutPrefix(name);
    if (RESNET_STAGE.test(bare) || /^(conv1|bn1)\./.test(bare)) return { to: `backbone.${bare}` };
    return /^fc\./.test(bare) ? CLASSIFIER : headPlace(name);
  },
  hint:
    'this ResNet begins with one 7x7 convolution (conv1, bn1), the networks here with three 3x3 ones (stem.*, ' +
    'ResNet-V1c): take open-mmlab/resnet101_v1c, or --allow-partial for the rest and a random stem',
};

const HRNET_BODY = /^(conv[12]|bn[12]|layer1|transition[1-3]|stage[2-4])\./;
const HRNET_CLASSIFIER = /^(incre_modules|downsamp_modules|final_layer|classifier)\./;

function hrnetBodyPlace(name: string): Place {
  const bare = withoutPrefix(name);
  if (HRNET_BODY.test(bare)) return { to: `backbone.${bare}` };
  return HRNET_CLASSIFIER.test(bare) ? CLASSIFIER : undefined;
}

const hrnetOfficial: Naming = {
  format: 'hrnet-official',
  place: (name) => {
    const head = /^(?:decode_head\.)?(last_layer\..+)$/.exec(name);
    return head ? { to: `decode_head.${head[1]}` } : hrnetBodyPlace(name);
  },
};

const hrnetOpenMmlab: Naming = {
  format: 'hrnet-open-mmlab',
  place: (name) => {
    const head = /^decode_head\.(convs\.0\.conv|convs\.0\.bn|conv_seg)\.(.+)$/.exec(name);
    if (!head) return isAuxiliary(name) ? AUXILIARY : hrnetBodyPlace(name);
    const layer = { 'convs.0.conv': 0, 'convs.0.bn': 1, conv_seg: 3 }[head[1]!];
    return { to: `decode_head.last_layer.${layer}.${head[2]}` };
  },
  remake: (entries) => {
    // Their first convolution has no bias, because a norm follows; ours, as in the official code, has one.
    const weight = entries.get('decode_head.convs.0.conv.weight');
    if (!weight || entries.has('decode_head.convs.0.conv.bias')) return NOTHING;
    return {
      made: new Map([['decode_head.last_layer.0.bias', zeros([weight.shape[0]!])]]),
      used: new Set(),
    };
  },
};

/** In the order in which ties are decided. */
export const namings: readonly Naming[] = [
  mitOfficial,
  mitHuggingFace,
  mitOpenMmlab,
  resnetV1c,
  resnetTorchvision,
  hrnetOfficial,
  hrnetOpenMmlab,
  ...dinoNamings,
];
