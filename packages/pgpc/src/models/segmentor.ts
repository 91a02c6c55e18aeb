// Encoder and decoder as one network, and how to build one from a typed description.

import type { ClassInfo, Size } from '@pgpc/datasets';
import { Generator, nn, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { CONTEXT_SCALE } from '../config/multi-resolution.js';
import {
  detailStep,
  type HeadName,
  isConvnext,
  type SegmentorConfig,
  segmentorFaults,
  sizeFault,
} from '../config/segmentor.js';
import { isVit, vitConfigs } from '../config/vit.js';
import type { Box } from '../windows.js';
import type { ModelAbout } from './about.js';
import { Convnext, convnextConfigs } from './convnext.js';
import { DaformerHead } from './daformer-head.js';
import type { Backbone, Checkpointable, DecodeHead, DecoderOutput } from './decoder.js';
import { DeeplabV2Head } from './deeplabv2-head.js';
import { DeeplabV3PlusHead } from './deeplabv3plus-head.js';
import { HrnetHead, HrnetW48 } from './hrnet.js';
import { LinearHead } from './linear-head.js';
import { MixTransformer, mitConfigs } from './mit.js';
import { type DetailPass, MultiResolutionHead, multiResolutionPass } from './multi-resolution.js';
import { ResNet101 } from './resnet.js';
import { SegformerHead } from './segformer-head.js';
import { VitBackbone } from './vit-pyramid.js';

type CreateHead = (
  config: SegmentorConfig,
  inChannels: readonly number[],
  generator: Generator,
) => DecodeHead;

const deeplabV2 =
  (...dilations: number[]): CreateHead =>
  ({ classes }, inChannels, generator) =>
    new DeeplabV2Head({ inChannels, classes }, dilations, generator);

const deeplabV3Plus =
  (norm: boolean): CreateHead =>
  ({ classes, dropout }, inChannels, generator) =>
    new DeeplabV3PlusHead({ inChannels, classes, dropout, norm }, generator);

const createHead: Readonly<Record<HeadName, CreateHead>> = {
  daformer: (config, inChannels, generator) => new DaformerHead({ ...config, inChannels }, generator),
  segformer: (config, inChannels, generator) => new SegformerHead({ ...config, inChannels }, generator),
  deeplabv2: deeplabV2(6, 12),
  'deeplabv2-full': deeplabV2(6, 12, 18, 24),
  deeplabv3plus: deeplabV3Plus(true),
  'deeplabv3plus-nobn': deeplabV3Plus(false),
  hrnet: ({ classes }, inChannels, generator) => new HrnetHead({ inChannels, classes }, generator),
  linear: ({ classes, dropout }, inChannels, generator) =>
    new LinearHead({ inChannels, classes, dropout }, generator),
};

/** The head, of a multi-resolution network with one of the same kind that says which resolution to trust. */
function createDecoder(
  config: SegmentorConfig,
  inChannels: readonly number[],
  generator: Generator,
): DecodeHead {
  const create = () => createHead[config.head](config, inChannels, generator);
  if (!config.multiResolution) return create();
  const head = create();
  return new MultiResolutionHead(
    head,
    config.head === 'daformer' ? new DaformerHead({ ...config, inChannels }, generator, 'conv1') : create(),
  );
}

/** What of a network's description its encoder goes by. */
export type BackboneConfig = Pick<SegmentorConfig, 'backbone' | 'head' | 'dropPath' | 'adapter'>;

/** The encoder of a network. */
export function createBackbone(config: BackboneConfig, generator: Generator): Backbone {
  const { backbone, head, dropPath, adapter } = config;
  if (backbone === 'resnet101') return new ResNet101(generator);
  if (backbone === 'hrnet_w48') return new HrnetW48(generator);
  if (isVit(backbone))
    return new VitBackbone(vitConfigs[backbone], generator, { pyramid: head !== 'linear', adapter });
  if (isConvnext(backbone)) return new Convnext(convnextConfigs[backbone], generator);
  return new MixTransformer(mitConfigs[backbone], generator, dropPath);
}

/** What a segmentor computes in one pass. */
export interface SegmentorOutput extends DecoderOutput {
  /** The encoder's four maps, from the finest on; of a multi-resolution network the context image's. */
  stages: Tensor[];
  /** Of a multi-resolution network in training. */
  detail?: DetailPass;
}

/** An encoder under `backbone.` and a decoder under `decode_head.`, as DAFormer's checkpoints name them. */
export class Segmentor
  extends nn.Module<[image: Tensor, box?: Box], SegmentorOutput>
  implements Checkpointable
{
  readonly backbone: Backbone;
  readonly decodeHead: DecodeHead;
  /** Also draws the masks of dropout and stochastic depth, so a checkpoint must save its state. */
  readonly generator: Generator;
  /** The classes that the scores are of, where they are known; files keep them. */
  classInfo: readonly ClassInfo[] | undefined;
  /** Where it comes from and how it was trained, where that is known; files keep it. */
  about: ModelAbout | undefined;

  /**
   * @param seed of initial values, dropout and stochastic depth.
   * @throws Error that names what does not go together in the description.
   */
  constructor(
    readonly config: SegmentorConfig,
    seed: number,
  ) {
    super();
    const faults = segmentorFaults(config);
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join('; '));
    this.generator = new Generator(seed);
    this.backbone = createBackbone(config, this.generator);
    this.decodeHead = createDecoder(config, this.backbone.channels, this.generator);
  }

  /** Why a pass is not the same operators at every size of the image; undefined where it is. */
  get oneSizeBecause(): string | undefined {
    return this.config.multiResolution && 'the windows of its details follow from the size of the image';
  }

  /**
   * At two resolutions, windows as large as the training crop, by half of their size: the context of a larger image would be
   * larger than any that it was trained on. HRDA's authors evaluate so, too.
   */
  get ownWindows(): { window: Size; stride: Size } | undefined {
    const { multiResolution } = this.config;
    if (!multiResolution) return undefined;
    const { width, height } = multiResolution.detailCrop;
    const window = { width: Math.round(width / CONTEXT_SCALE), height: Math.round(height / CONTEXT_SCALE) };
    return { window, stride: { width, height } };
  }

  /** Width of the `features` that a call gives. */
  get featureChannels(): number {
    return this.decodeHead.channels;
  }

  get checkpointable(): nn.AnyModule[] {
    return [...this.backbone.checkpointable, ...this.decodeHead.checkpointable];
  }

  /**
   * @param image (B, 3, H, W), normalised. @returns features and logits at stride 4, with DeepLabV2 at 8.
   * @param box the detail crop of a multi-resolution network in training; left out, it sees details everywhere.
   * @throws RangeError for an image with a side that is smaller than the network takes.
   */
  forward(image: Tensor, box?: Box): SegmentorOutput {
    const { backbone, decodeHead, config } = this;
    const [height, width] = sizeOf(image);
    const fault = sizeFault(config, { width, height });
    if (fault !== undefined) throw new RangeError(`${fault}: let images enter it at a larger size`);
    if (decodeHead instanceof MultiResolutionHead) {
      const decode = (stages: Tensor[]) => this.decode(stages);
      const [window, step] = [config.multiResolution!.detailCrop, detailStep(config.head)!];
      return multiResolutionPass({ backbone, decodeHead, decode, window, step }, image, box);
    }
    const stages = this.backbone.call(image);
    return { ...this.decode(stages), stages };
  }

  /**
   * The decoder's part of a pass. Logits are float32, whatever autocast computes in, since they go into losses and ranks.
   * They lie in planes, since they are resized so.
   */
  decode(stages: Tensor[]): DecoderOutput {
    const { features, logits } = this.decodeHead.call(stages);
    return { features, logits: logits.to('float32').contiguous() };
  }

  /** Class scores at the image's own size: (B, 3, H, W) to (B, C, H, W). */
  predict(image: Tensor): Tensor {
    return tidy(() => nn.interpolate(this.call(image).logits, sizeOf(image)));
  }
}
