// Recognizes whose names a weights file uses, and gives its entries the names of this project's networks,
// which are DAFormer's: `backbone.*` and `decode_head.*`.

import type { Tensor } from '@pgpc/torch';
import { vitConfigs } from '../../config/vit.js';
import { withoutLowRank } from '../adapters.js';
import { convnextConfigs } from '../convnext.js';
import { mitConfigs } from '../mit.js';
import { type FoundNetwork, findNetwork, type RecognizeOptions, type SkippedEntry } from './find-network.js';
import { NOTHING, type WeightFormat } from './namings.js';

/** A file's entries under this project's names. */
export interface RecognizedWeights extends Pick<FoundNetwork, 'prefix' | 'others'> {
  readonly format: WeightFormat;
  /** The form inside: for a DAFormer or training checkpoint its network's form, else `format` again. */
  readonly naming: WeightFormat;
  /** `backbone.*` and `decode_head.*`; entries that no network here knows keep a name of theirs. */
  readonly tensors: Map<string, Tensor>;
  readonly skipped: readonly SkippedEntry[];
  /** What the user should know if the entries do not fit, in one line. */
  readonly hint: string | undefined;
}

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
  options: RecognizeOptions = {},
): RecognizedWeights {
  const found = findNetwork([...tensors.keys()], metadata.format, options);
  return renamedNetwork(
    found,
    new Map([...found.entries].map(([name, inFile]) => [name, tensors.get(inFile)!])),
  );
}

/** The entries of a network that was found, by their names within it, under this project's names. */
export function renamedNetwork(
  { naming, format, prefix, others, skipped: skippedBefore }: FoundNetwork,
  entries: ReadonlyMap<string, Tensor>,
): RecognizedWeights {
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
  const tensors = withoutLowRank(result);
  // SegFormer's official head inherits a classifier that nothing uses, and its files have it.
  if (tensors.has('decode_head.linear_pred.weight')) {
    for (const name of ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']) {
      if (tensors.delete(name)) skipped.push({ name, reason: 'never used: linear_pred is the classifier' });
    }
  }
  return { format, naming: naming.format, prefix, others, tensors, skipped, hint: naming.hint };
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
  /** Whether it sees the image at two resolutions, as HRDA does: then a second head says which to trust. */
  readonly twoResolutions: boolean;
}

/** @param tensors under this project's names */
export function describeNetwork(tensors: ReadonlyMap<string, Tensor>): NetworkDescription {
  const twoResolutions = [...tensors.keys()].some((name) => name.startsWith('decode_head.scale_attention.'));
  const prefix = twoResolutions ? 'decode_head.head.' : 'decode_head.';
  const size = (name: string) => tensors.get(prefix + name)?.shape[0];
  const has = (name: string) => tensors.has(prefix + name);
  const classes =
    size('linear_pred.weight') ??
    size('conv_seg.weight') ??
    size('last_layer.3.weight') ??
    size('aspp_modules.0.conv.weight');
  const common = { backbone: describeBackbone(tensors), classes, twoResolutions };
  if (has('fuse_layer.bottleneck.conv.weight')) {
    return { ...common, head: 'daformer', channels: size('embed_layers.0.proj.weight') };
  }
  if (has('linear_pred.weight')) {
    return { ...common, head: 'segformer', channels: size('linear_c1.proj.weight') };
  }
  return { ...common, head: describeConvolutionalHead(has), channels: undefined };
}

function describeConvolutionalHead(has: (name: string) => boolean): string | undefined {
  if (has('sep_bottleneck.0.depthwise_conv.conv.weight')) {
    return has('bottleneck.bn.weight') ? 'deeplabv3plus' : 'deeplabv3plus-nobn';
  }
  if (has('last_layer.3.weight')) return 'hrnet';
  if (has('bn.weight') && has('conv_seg.weight') && !has('aspp_modules.0.conv.weight')) return 'linear';
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
  if (has('cls_token')) return describeVit(tensors);
  if (has('downsample_layers.0.0.weight')) return describeConvnext(tensors);
  if (!has('layer4.0.conv1.weight')) return undefined;
  const depth = { 6: 50, 23: 101, 36: 152 }[blocks(tensors, 'backbone.layer3.')];
  return depth === undefined ? undefined : `resnet${depth}`;
}

/** The transformer of the same width, depth, tokens and layers. */
function describeVit(tensors: ReadonlyMap<string, Tensor>): string | undefined {
  const shape = (name: string) => tensors.get(`backbone.${name}`)?.shape;
  const rotary = shape('pos_embed') === undefined;
  const registers = (shape('register_tokens') ?? shape('storage_tokens'))?.[1] ?? 0;
  const ffn = shape('blocks.0.mlp.w12.weight')
    ? 'swiglu joined'
    : shape('blocks.0.mlp.w1.weight')
      ? 'swiglu'
      : 'mlp';
  return Object.entries(vitConfigs).find(
    ([, config]) =>
      config.dim === shape('cls_token')![2] &&
      config.depth === blocks(tensors, 'backbone.blocks.') &&
      config.registers === registers &&
      config.ffn === ffn &&
      (config.positions === 'rotary') === rotary,
  )?.[0];
}

function describeConvnext(tensors: ReadonlyMap<string, Tensor>): string | undefined {
  const width = tensors.get('backbone.downsample_layers.0.0.weight')!.shape[0];
  const depths = [0, 1, 2, 3].map((stage) => blocks(tensors, `backbone.stages.${stage}.`)).join();
  return Object.entries(convnextConfigs).find(
    ([, config]) => config.depths.join() === depths && config.dims[0] === width,
  )?.[0];
}

/** One more than the largest number after the prefix. */
function blocks(tensors: ReadonlyMap<string, Tensor>, prefix: string): number {
  const numbers = [...tensors.keys()]
    .filter((name) => name.startsWith(prefix))
    .map((name) => Number.parseInt(name.slice(prefix.length), 10));
  return Math.max(-1, ...numbers) + 1;
}
