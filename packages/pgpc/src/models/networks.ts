// The networks by the names that the field gives them, each with the official names of its weights.

import { Generator, nn, sizeOf, type Tensor } from '@pgpc/torch';
import { hrda } from '../config/multi-resolution.js';
import {
  type ConvnextName,
  type MitName,
  type SegmentorConfig,
  segmentorConfig,
} from '../config/segmentor.js';
import { isVit, type VitName, vitConfigs, vitNames } from '../config/vit.js';
import { convnextConfigs } from './convnext.js';
import type { Backbone } from './decoder.js';
import { mitConfigs } from './mit.js';
import type { MultiResolutionOutput } from './multi-resolution.js';
import { createBackbone, Segmentor } from './segmentor.js';
import { VisionTransformer } from './vit.js';

/** What a network is made of: an encoder alone, or with a decoder. */
type Recipe = MitName | VitName | ConvnextName | SegmentorConfig;

const mitNames = Object.keys(mitConfigs) as MitName[];
const convnextNames = Object.keys(convnextConfigs) as ConvnextName[];
/** `mit_b0` as the second half of a network's name. */
const short = (mit: MitName) => mit.replace('_', '');

const recipes: ReadonlyMap<string, Recipe> = new Map<string, Recipe>([
  ...mitNames.map((mit) => [mit, mit] as const),
  ['daformer', segmentorConfig('mit_b5', 'daformer')],
  ...mitNames.map((mit) => [`daformer_${short(mit)}`, segmentorConfig(mit, 'daformer')] as const),
  ...mitNames.map((mit) => [`segformer_${short(mit)}`, segmentorConfig(mit, 'segformer')] as const),
  ...mitNames.map(
    (mit) => [`hrda_${short(mit)}`, segmentorConfig(mit, 'daformer', { multiResolution: hrda })] as const,
  ),
  ['deeplabv2_r101', segmentorConfig('resnet101', 'deeplabv2-full')],
  ['deeplabv2red_r101', segmentorConfig('resnet101', 'deeplabv2')],
  ['deeplabv3plus_r101', segmentorConfig('resnet101', 'deeplabv3plus')],
  ['deeplabv3plus_nodbn_r101', segmentorConfig('resnet101', 'deeplabv3plus-nobn')],
  ['hrnet_w48', segmentorConfig('hrnet_w48', 'hrnet')],
  ...[...vitNames, ...convnextNames].map((encoder) => [encoder, encoder] as const),
]);

/** Names that {@link createNetwork} knows. */
export const networkNames: readonly string[] = [...recipes.keys()];

/**
 * `stage1` ... `stage4`, the encoder's maps from the finest on (of HRNet `stream1` ... `stream4`; of a plain transformer
 * `blockK`, its patches after block K and the closing norm, at each quarter of its depth), and, for a network with a decoder,
 * `logits`: (B, C, h, w) at stride 4 (DeepLabV2: 8), before softmax and before any resizing to
 * the image. A multi-resolution network (`hrda_*`) has instead of stages what it fuses: `context_logits`, `detail_logits`,
 * `scale_attention` and `gated_context_logits`, and `upsampled_logits` at the image's size.
 */
export type NetworkOutputs = Record<string, Tensor>;

/** A network under its official names. */
export class Network extends nn.Module<[image: Tensor], NetworkOutputs> {
  /** The prefix of the official names in this class's own tree of modules. */
  readonly #prefix: RegExp;
  readonly #stage: string;

  constructor(
    /** As in {@link networkNames}. */
    readonly name: string,
    readonly network: Segmentor | Backbone,
  ) {
    super();
    const isHrnet = network instanceof Segmentor && network.config.backbone === 'hrnet_w48';
    this.#prefix = isHrnet ? /^network\.(backbone|decode_head)\./ : /^network\./;
    const isPlain = network instanceof VisionTransformer;
    this.#stage = isHrnet ? 'stream' : isPlain ? 'block' : 'stage';
  }

  /** @param image (B, 3, H, W), float32, normalised. */
  forward(image: Tensor): NetworkOutputs {
    const output = this.network.call(image);
    if (!Array.isArray(output) && 'scaleAttention' in output) {
      return bothResolutions(output as MultiResolutionOutput, sizeOf(image));
    }
    const stages = Array.isArray(output) ? output : output.stages;
    const named: NetworkOutputs = {};
    const { network } = this;
    const numbers = network instanceof VisionTransformer ? network.taken : stages.map((_, i) => i + 1);
    for (const [i, stage] of stages.entries()) named[`${this.#stage}${numbers[i]}`] = stage;
    if (!Array.isArray(output)) named.logits = output.logits;
    return named;
  }

  override stateDict(): Map<string, Tensor> {
    return this.#official(super.stateDict());
  }

  override namedParameters(): Map<string, Tensor> {
    return this.#official(super.namedParameters());
  }

  override namedBuffers(): Map<string, Tensor> {
    return this.#official(super.namedBuffers());
  }

  #official(named: Map<string, Tensor>): Map<string, Tensor> {
    return new Map([...named].map(([name, value]) => [name.replace(this.#prefix, ''), value]));
  }
}

function bothResolutions(output: MultiResolutionOutput, size: readonly [number, number]): NetworkOutputs {
  const { contextLogits, detailLogits, scaleAttention, gatedContextLogits, logits } = output;
  return {
    context_logits: contextLogits,
    detail_logits: detailLogits,
    scale_attention: scaleAttention,
    gated_context_logits: gatedContextLogits,
    logits,
    upsampled_logits: nn.interpolate(logits, size),
  };
}

export interface NetworkOptions {
  /** Of the decoder's classifier; 19 by default. */
  classes?: number;
  /** Of the initial values; 0 by default. */
  seed?: number;
  /** Side of the square windows in which `hrda_*` sees details, in pixels of the image; they overlap by half. 512 by default. */
  detailCrop?: number;
}

/**
 * A network by its name, with random weights, in evaluation mode. Its state dict has the names of the
 * official checkpoints: DAFormer's `backbone.` and `decode_head.`; no prefix for `mit_*` alone and for `hrnet_w48`.
 * @throws Error for a name that is not in {@link networkNames}, for classes of an encoder alone, and for a detail crop of a
 *   network of one resolution.
 */
export function createNetwork(name: string, { classes, seed = 0, detailCrop }: NetworkOptions = {}): Network {
  const recipe = recipes.get(name);
  if (recipe === undefined) {
    throw new Error(`there is no network '${name}'; there are ${networkNames.join(', ')}`);
  }
  const multiResolution = typeof recipe === 'string' ? undefined : recipe.multiResolution;
  if (detailCrop !== undefined && !multiResolution) {
    throw new Error(`${name} sees the image at one resolution and has no detail crop`);
  }
  if (typeof recipe === 'string') {
    if (classes !== undefined) throw new Error(`${name} is an encoder alone and has no classes`);
    return new Network(name, createEncoder(recipe, new Generator(seed))).eval();
  }
  const config = {
    ...recipe,
    classes: classes ?? recipe.classes,
    ...(detailCrop !== undefined && {
      multiResolution: { ...multiResolution!, detailCrop: { width: detailCrop, height: detailCrop } },
    }),
  };
  return new Network(name, new Segmentor(config, seed)).eval();
}

/** An encoder as its authors have it. */
function createEncoder(name: MitName | VitName | ConvnextName, generator: Generator): Backbone {
  if (isVit(name)) return new VisionTransformer(vitConfigs[name], generator);
  return createBackbone(segmentorConfig(name, 'daformer'), generator);
}
