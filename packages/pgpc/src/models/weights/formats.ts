// Recognizes whose names a weights file uses, and gives its entries the names of this project's networks,
// which are DAFormer's: `backbone.*` and `decode_head.*`.

import { ops, type Tensor, zeros } from '@pgpc/torch';
import { mitConfigs } from '../mit.js';
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
} as const;

export type WeightFormat = keyof typeof weightFormats;

/** An entry that is left out on purpose. */
export interface SkippedEntry {
  readonly name: string;
  readonly reason: string;
}

/** A file's entries under this project's names. */
export interface RecognizedWeights {
  readonly format: WeightFormat;
  /** The form inside: for a DAFormer or training checkpoint its network's form, else `format` again. */
  readonly naming: WeightFormat;
  /** `backbone.*` and `decode_head.*`; entries that no network here knows keep a name of theirs. */
  readonly tensors: Map<string, Tensor>;
  readonly skipped: readonly SkippedEntry[];
  /** What the user should know if the entries do not fit, in one line. */
  readonly hint: string | undefined;
}

/** Options of {@link recognizeWeights}. */
export interface RecognizeOptions {
  /** Which network of a self-training checkpoint; default the student, which is what the papers evaluate. */
  readonly network?: 'student' | 'teacher';
}

/** Where an entry goes: a name, a reason to skip it, or undefined for a name that the form does not have. */
type Place = { readonly to: string } | { readonly skip: string } | undefined;

interface Naming {
  readonly format: WeightFormat;
  readonly place: (name: string) => Place;
  /** Makes entries from several others, or with other values. Gets the entries that kept their file's names. */
  readonly remake?: (entries: ReadonlyMap<string, Tensor>) => Remade;
  readonly hint?: string;
}

interface Remade {
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

const NOTHING: Remade = { made: new Map(), used: new Set() };

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
const namings: readonly Naming[] = [
  mitOfficial,
  mitHuggingFace,
  mitOpenMmlab,
  resnetV1c,
  resnetTorchvision,
  hrnetOfficial,
  hrnetOpenMmlab,
];

/**
 * Recognizes the form of a weights file's names and renames its entries. Tensors are views of the given ones where values
 * stay, and new ones where HuggingFace's or open-mmlab's matrices are cut or joined: call it in a `tidy` scope.
 *
 * @param metadata the file's, whose `format` says that this project wrote it
 * @throws Error if fewer than half of the names belong to one known form, or the checkpoint has no such network
 */
export function recognizeWeights(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
  { network = 'student' }: RecognizeOptions = {},
): RecognizedWeights {
  const { format, entries, skipped } = unwrap(tensors, metadata.format, network);
  const names = [...entries.keys()];
  const scored = namings.map((naming) => ({
    naming,
    known: names.filter((name) => naming.place(name) !== undefined).length,
  }));
  const best = scored.reduce((a, b) => (b.known > a.known ? b : a));
  if (best.known * 2 < names.length || names.length === 0) {
    throw new Error(
      `its names are of no known form (${names.slice(0, 3).join(', ')}, ...); known are: ${Object.values(weightFormats).join('; ')}`,
    );
  }
  return { format: format ?? best.naming.format, ...renamed(entries, best.naming, skipped) };
}

interface Unwrapped {
  /** Of the wrapping, if it has one of its own. */
  readonly format: WeightFormat | undefined;
  readonly entries: ReadonlyMap<string, Tensor>;
  readonly skipped: SkippedEntry[];
}

function unwrap(
  tensors: ReadonlyMap<string, Tensor>,
  ownFormat: string | undefined,
  network: 'student' | 'teacher',
): Unwrapped {
  if (ownFormat?.startsWith('pgpc-segmentor/')) return whole('pgpc-model', tensors);
  if (ownFormat?.startsWith('pgpc-backbone/')) return whole('pgpc-backbone', tensors);
  if (ownFormat?.startsWith('pgpc-training/')) {
    return part(
      'pgpc-training',
      tensors,
      `${network}.segmentor.`,
      network,
      'not the network that was asked for',
    );
  }
  const names = [...tensors.keys()];
  if (names.some((name) => /^(ema_model|imnet_model)\./.test(name))) {
    const prefix = network === 'student' ? 'model.' : 'ema_model.';
    return part('daformer', tensors, prefix, network, 'another network of the checkpoint');
  }
  // What torch.nn.DataParallel and training wrappers put in front of every name.
  const wrapper = ['module.', 'model.'].find((prefix) =>
    names.every((name) => name.startsWith(prefix) || name.startsWith('loss.')),
  );
  if (network === 'teacher') throw new Error('it holds one network and no teacher');
  if (wrapper === undefined) return whole(undefined, tensors);
  const inner = part(undefined, tensors, wrapper, network, 'state of the training loss');
  const nested = unwrap(inner.entries, undefined, network);
  return { ...nested, skipped: [...inner.skipped, ...nested.skipped] };
}

function whole(format: WeightFormat | undefined, entries: ReadonlyMap<string, Tensor>): Unwrapped {
  return { format, entries, skipped: [] };
}

function part(
  format: WeightFormat | undefined,
  tensors: ReadonlyMap<string, Tensor>,
  prefix: string,
  network: string,
  reason: string,
): Unwrapped {
  const entries = new Map<string, Tensor>();
  const skipped: SkippedEntry[] = [];
  for (const [name, tensor] of tensors) {
    if (name.startsWith(prefix)) entries.set(name.slice(prefix.length), tensor);
    else skipped.push({ name, reason });
  }
  if (entries.size === 0) throw new Error(`it holds no ${network}: no entry begins with ${prefix}`);
  return { format, entries, skipped };
}

function renamed(
  entries: ReadonlyMap<string, Tensor>,
  naming: Naming,
  skippedBefore: readonly SkippedEntry[],
): Omit<RecognizedWeights, 'format'> {
  const { made, used } = naming.remake?.(entries) ?? NOTHING;
  const result = new Map<string, Tensor>();
  const skipped = [...skippedBefore];
  for (const [name, tensor] of entries) {
    if (used.has(name)) continue;
    const place = naming.place(name);
    if (place && 'skip' in place) skipped.push({ name, reason: place.skip });
    else result.set(place?.to ?? name, tensor);
  }
  for (const [name, tensor] of made) result.set(name, tensor);
  // SegFormer's official head inherits a classifier that nothing uses, and its files have it.
  if (result.has('decode_head.linear_pred.weight')) {
    for (const name of ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']) {
      if (result.delete(name)) skipped.push({ name, reason: 'never used: linear_pred is the classifier' });
    }
  }
  return { naming: naming.format, tensors: result, skipped, hint: naming.hint };
}

/** The network that the entries belong to, as far as their names and shapes tell. */
export interface NetworkDescription {
  /** Name of the encoder; undefined if there is none or an unknown one. */
  readonly backbone: string | undefined;
  /** Name of the decoder; undefined for an encoder alone or an unknown decoder. */
  readonly head: string | undefined;
  /** Width of the head's features, where it is a choice. */
  readonly channels: number | undefined;
  readonly classes: number | undefined;
}

/** @param tensors under this project's names */
export function describeNetwork(tensors: ReadonlyMap<string, Tensor>): NetworkDescription {
  const size = (name: string, axis = 0) => tensors.get(name)?.shape[axis];
  const has = (name: string) => tensors.has(`decode_head.${name}`);
  const classes =
    size('decode_head.linear_pred.weight') ??
    size('decode_head.conv_seg.weight') ??
    size('decode_head.last_layer.3.weight') ??
    size('decode_head.aspp_modules.0.conv.weight');
  const backbone = describeBackbone(tensors);
  if (has('fuse_layer.bottleneck.conv.weight')) {
    return { backbone, head: 'daformer', channels: size('decode_head.embed_layers.0.proj.weight'), classes };
  }
  if (has('linear_pred.weight')) {
    return { backbone, head: 'segformer', channels: size('decode_head.linear_c1.proj.weight'), classes };
  }
  return { backbone, head: describeConvolutionalHead(has), channels: undefined, classes };
}

function describeConvolutionalHead(has: (name: string) => boolean): string | undefined {
  if (has('sep_bottleneck.0.depthwise_conv.conv.weight')) {
    return has('bottleneck.bn.weight') ? 'deeplabv3plus' : 'deeplabv3plus-nobn';
  }
  if (has('last_layer.3.weight')) return 'hrnet';
  if (!has('aspp_modules.0.conv.bias') || has('conv_seg.weight')) return undefined;
  return has('aspp_modules.2.conv.bias') ? 'deeplabv2-full' : 'deeplabv2';
}

function describeBackbone(tensors: ReadonlyMap<string, Tensor>): string | undefined {
  const has = (name: string) => tensors.has(`backbone.${name}`);
  const width = tensors.get('backbone.patch_embed1.proj.weight')?.shape[0];
  if (width !== undefined) {
    const depths = [1, 2, 3, 4].map((stage) => blocks(tensors, `backbone.block${stage}.`)).join();
    return Object.entries(mitConfigs).find(
      ([, config]) => config.depths.join() === depths && config.embedDims[0] === width,
    )?.[0];
  }
  if (has('stage4.0.branches.0.0.conv1.weight')) {
    const stream = tensors.get('backbone.stage4.0.branches.0.0.conv1.weight')!.shape[0];
    return `hrnet_w${stream}`;
  }
  if (!has('layer4.0.conv1.weight')) return undefined;
  const depth = { 6: 50, 23: 101, 36: 152 }[blocks(tensors, 'backbone.layer3.')];
  return depth === undefined ? undefined : `resnet${depth}`;
}

/** One more than the largest number after the prefix. */
function blocks(tensors: ReadonlyMap<string, Tensor>, prefix: string): number {
  const numbers = [...tensors.keys()]
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number.parseInt(name.slice(prefix.length), 10));
  return Math.max(-1, ...numbers) + 1;
}
