// Encoder and decoder as one network, and how to build one from a typed description.

import { Generator, nn, sizeOf, type Tensor, tidy } from '@pgpc/torch';
import { DaformerHead } from './daformer-head.js';
import type { Backbone, Checkpointable, DecodeHead, DecoderOutput } from './decoder.js';
import { DeeplabV2Head } from './deeplabv2-head.js';
import { DeeplabV3PlusHead } from './deeplabv3plus-head.js';
import { HrnetHead, HrnetW48 } from './hrnet.js';
import { MixTransformer, mitConfigs } from './mit.js';
import { ResNet101 } from './resnet.js';
import { SegformerHead } from './segformer-head.js';

export type MitName = keyof typeof mitConfigs;
export type BackboneName = MitName | 'resnet101' | 'hrnet_w48';

const mitNames = Object.keys(mitConfigs) as MitName[];
export const backboneNames: readonly BackboneName[] = [...mitNames, 'resnet101', 'hrnet_w48'];

/** `deeplabv2` has the dilations 6 and 12 of the UDA experiments, `deeplabv2-full` the paper's 6, 12, 18 and 24. */
export const headNames = [
  'daformer',
  'segformer',
  'deeplabv2',
  'deeplabv2-full',
  'deeplabv3plus',
  'deeplabv3plus-nobn',
  'hrnet',
] as const;
export type HeadName = (typeof headNames)[number];

/** A network, as a preset or a checkpoint describes it; {@link segmentorConfig} fills in what the papers have. */
export interface SegmentorConfig {
  backbone: BackboneName;
  head: HeadName;
  /** Width of the decoder's features; a choice for daformer and segformer, given by the head for all others. */
  channels: number;
  classes: number;
  /** Share of channels dropped before the classifier; 0 for heads that drop none (deeplabv2, hrnet). */
  dropout: number;
  /** Stochastic depth of MiT's last block; 0 for the other encoders, which have none. */
  dropPath: number;
}

/** What a head fits and how it is made. */
interface HeadKind {
  backbones: readonly BackboneName[];
  /** Width of `features`: the papers' where it is free, else the only one. */
  channels: (backbone: BackboneName) => number;
  freeChannels: boolean;
  drops: boolean;
  create: (config: SegmentorConfig, inChannels: readonly number[], generator: Generator) => DecodeHead;
}

const deeplabV2 = (...dilations: number[]): HeadKind => ({
  backbones: ['resnet101'],
  channels: () => 2048,
  freeChannels: false,
  drops: false,
  create: ({ classes }, inChannels, generator) =>
    new DeeplabV2Head({ inChannels, classes }, dilations, generator),
});

const deeplabV3Plus = (norm: boolean): HeadKind => ({
  backbones: ['resnet101'],
  channels: () => 512,
  freeChannels: false,
  drops: true,
  create: ({ classes, dropout }, inChannels, generator) =>
    new DeeplabV3PlusHead({ inChannels, classes, dropout, norm }, generator),
});

const headKinds: Readonly<Record<HeadName, HeadKind>> = {
  daformer: {
    backbones: mitNames,
    channels: () => 256,
    freeChannels: true,
    drops: true,
    create: (config, inChannels, generator) => new DaformerHead({ ...config, inChannels }, generator),
  },
  segformer: {
    backbones: mitNames,
    channels: (backbone) => (backbone === 'mit_b0' || backbone === 'mit_b1' ? 256 : 768),
    freeChannels: true,
    drops: true,
    create: (config, inChannels, generator) => new SegformerHead({ ...config, inChannels }, generator),
  },
  deeplabv2: deeplabV2(6, 12),
  'deeplabv2-full': deeplabV2(6, 12, 18, 24),
  deeplabv3plus: deeplabV3Plus(true),
  'deeplabv3plus-nobn': deeplabV3Plus(false),
  hrnet: {
    backbones: ['hrnet_w48'],
    channels: () => 720,
    freeChannels: false,
    drops: false,
    create: ({ classes }, inChannels, generator) => new HrnetHead({ inChannels, classes }, generator),
  },
};

const isMit = (backbone: BackboneName): backbone is MitName => backbone in mitConfigs;

/** A network of the papers: their width and dropout (0.1) where the head has any, stochastic depth 0.1 in MiT. */
export function segmentorConfig(
  backbone: BackboneName,
  head: HeadName,
  overrides: Partial<Omit<SegmentorConfig, 'backbone' | 'head'>> = {},
): SegmentorConfig {
  const kind = headKinds[head];
  return {
    backbone,
    head,
    channels: kind.channels(backbone),
    classes: 19,
    dropout: kind.drops ? 0.1 : 0,
    dropPath: isMit(backbone) ? 0.1 : 0,
    ...overrides,
  };
}

/** DAFormer's head on the smallest encoder. */
export const defaultSegmentor: SegmentorConfig = segmentorConfig('mit_b0', 'daformer');

/** What does not go together in a description whose single values are fine. @returns one line for each fault. */
export function segmentorFaults(config: SegmentorConfig): { key: keyof SegmentorConfig; message: string }[] {
  const { backbone, head, channels, dropout, dropPath } = config;
  const kind = headKinds[head];
  const faults: ReturnType<typeof segmentorFaults> = [];
  if (!kind.backbones.includes(backbone)) {
    const fitting = headNames.filter((name) => headKinds[name].backbones.includes(backbone));
    const message = `${head} does not fit ${backbone}, which takes ${fitting.join(', ')}`;
    faults.push({ key: 'head', message: `${message}; ${head} fits ${kind.backbones.join(', ')}` });
  }
  const width = kind.channels(backbone);
  if (!kind.freeChannels && channels !== width) {
    faults.push({
      key: 'channels',
      message: `the features of ${head} have ${width} channels, not ${channels}`,
    });
  }
  if (!kind.drops && dropout !== 0) {
    faults.push({ key: 'dropout', message: `${head} drops no channels: dropout is 0, not ${dropout}` });
  }
  if (!isMit(backbone) && dropPath !== 0) {
    const message = `${backbone} has no stochastic depth: dropPath is 0, not ${dropPath}`;
    faults.push({ key: 'dropPath', message });
  }
  return faults;
}

/** The encoder alone. @param dropPath stochastic depth of MiT's last block. */
export function createBackbone(name: BackboneName, generator: Generator, dropPath: number): Backbone {
  if (name === 'resnet101') return new ResNet101(generator);
  if (name === 'hrnet_w48') return new HrnetW48(generator);
  return new MixTransformer(mitConfigs[name], generator, dropPath);
}

/** What a segmentor computes in one pass. */
export interface SegmentorOutput extends DecoderOutput {
  /** The encoder's four maps, from the finest on. */
  stages: Tensor[];
}

/** An encoder under `backbone.` and a decoder under `decode_head.`, as DAFormer's checkpoints name them. */
export class Segmentor extends nn.Module<[image: Tensor], SegmentorOutput> implements Checkpointable {
  readonly backbone: Backbone;
  readonly decodeHead: DecodeHead;
  /** Also draws the masks of dropout and stochastic depth, so a checkpoint must save its state. */
  readonly generator: Generator;

  /**
   * @param seed of initial values, dropout and stochastic depth.
   * @throws Error that names what in the description does not go together.
   */
  constructor(
    readonly config: SegmentorConfig,
    seed: number,
  ) {
    super();
    const faults = segmentorFaults(config);
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join('; '));
    this.generator = new Generator(seed);
    this.backbone = createBackbone(config.backbone, this.generator, config.dropPath);
    const head = headKinds[config.head].create(config, this.backbone.channels, this.generator);
    this.decodeHead = head;
  }

  /** Width of the `features` that a call gives. */
  get featureChannels(): number {
    return this.decodeHead.channels;
  }

  get checkpointable(): nn.AnyModule[] {
    return [...this.backbone.checkpointable, ...this.decodeHead.checkpointable];
  }

  /** @param image (B, 3, H, W), normalised. @returns features and logits at stride 4, with DeepLabV2 at 8. */
  forward(image: Tensor): SegmentorOutput {
    const stages = this.backbone.call(image);
    return { ...this.decode(stages), stages };
  }

  /**
   * The decoder's part of a pass. Logits are float32, whatever autocast computes in, since they go into losses and ranks,
   * and lie in planes, in which they are resized.
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
