// Which encoder and head make a network, and what the papers choose for them.

import { z } from 'zod';
import { adapterSchema } from './encoder-training.js';
import { count, field } from './fields.js';
import { CONTEXT_SCALE, multiResolutionSchema } from './multi-resolution.js';
import { isVit, vitConfigs, vitNames } from './vit.js';

const mitNames = ['mit_b0', 'mit_b1', 'mit_b2', 'mit_b3', 'mit_b4', 'mit_b5'] as const;
export type MitName = (typeof mitNames)[number];

const convnextNames = [
  'dinov3_convnext_tiny',
  'dinov3_convnext_small',
  'dinov3_convnext_base',
  'dinov3_convnext_large',
] as const;
export type ConvnextName = (typeof convnextNames)[number];

export const backboneNames = [...mitNames, 'resnet101', 'hrnet_w48', ...vitNames, ...convnextNames] as const;
export type BackboneName = (typeof backboneNames)[number];

/** `deeplabv2` has the dilations 6 and 12 of the UDA experiments, `deeplabv2-full` the paper's 6, 12, 18 and 24. */
export const headNames = [
  'daformer',
  'segformer',
  'deeplabv2',
  'deeplabv2-full',
  'deeplabv3plus',
  'deeplabv3plus-nobn',
  'hrnet',
  'linear',
] as const;
export type HeadName = (typeof headNames)[number];

/** What a head fits. */
interface HeadFacts {
  backbones: readonly BackboneName[];
  /** Width of `features`: the papers' where it is free, else the only one. */
  channels: (backbone: BackboneName) => number;
  freeChannels: boolean;
  drops: boolean;
  /** Of its logits; where it is given, the head also works at two resolutions. */
  stride?: 4 | 8;
}

const onResNet = (channels: number, drops: boolean, stride?: 8): HeadFacts => ({
  backbones: ['resnet101'],
  ...(stride && { stride }),
  channels: () => channels,
  freeChannels: false,
  drops,
});

/** Heads of four maps, at strides 4, 8, 16 and 32. */
const onFour = (channels: HeadFacts['channels']): HeadFacts => ({
  backbones: [...mitNames, ...vitNames, ...convnextNames],
  channels,
  freeChannels: true,
  drops: true,
});

const heads: Readonly<Record<HeadName, HeadFacts>> = {
  daformer: { ...onFour(() => 256), stride: 4 },
  segformer: onFour((backbone) => (segformerIsWide(backbone) ? 768 : 256)),
  deeplabv2: onResNet(2048, false, 8),
  'deeplabv2-full': onResNet(2048, false, 8),
  deeplabv3plus: onResNet(512, true),
  'deeplabv3plus-nobn': onResNet(512, true),
  hrnet: { backbones: ['hrnet_w48'], channels: () => 720, freeChannels: false, drops: false },
  linear: {
    backbones: vitNames,
    channels: (backbone) => (isVit(backbone) ? vitConfigs[backbone].dim : 0),
    freeChannels: false,
    drops: true,
  },
};

/** SegFormer's authors have 768 channels from MiT-B2 on; the maps of a plain ViT's pyramid have 256 themselves. */
function segformerIsWide(backbone: BackboneName): boolean {
  return backbone !== 'mit_b0' && backbone !== 'mit_b1' && !isVit(backbone);
}

/** Pixels a side that MiT needs: its first stage brings them to a quarter, over which its kernels of 8 must fit. */
export const MIT_SMALLEST_SIDE = 29;

/**
 * Pixels that both sides of an image must have for the network to take it whole; crops of training are padded. A pyramid
 * on a plain transformer needs two patches.
 */
export function smallestSide({
  backbone,
  multiResolution,
}: Pick<SegmentorConfig, 'backbone' | 'multiResolution'>): number {
  const side = isMit(backbone) ? MIT_SMALLEST_SIDE : isVit(backbone) ? vitConfigs[backbone].patch + 1 : 1;
  return multiResolution ? Math.ceil(side / CONTEXT_SCALE) : side;
}

/**
 * Pixels by which detail crops move, so that both resolutions' maps lie on one grid: of DAFormer's head 8, of DeepLabV2's 16.
 * @returns undefined for a head that works at one resolution alone.
 */
export function detailStep(head: HeadName): number | undefined {
  const { stride } = heads[head];
  return stride && stride / CONTEXT_SCALE;
}

/** Why a network does not take an image of a size; undefined where it does. */
export function sizeFault(
  config: Pick<SegmentorConfig, 'backbone' | 'multiResolution'>,
  { width, height }: { readonly width: number; readonly height: number },
): string | undefined {
  const smallest = smallestSide(config);
  if (Math.min(width, height) >= smallest) return undefined;
  const network = `${config.backbone}${config.multiResolution ? ' at two resolutions' : ''}`;
  return `${network} takes images of ${smallest}x${smallest} or more, not ${width}x${height}`;
}

const isMit = (backbone: BackboneName): backbone is MitName => mitNames.includes(backbone as MitName);
export const isConvnext = (backbone: string): backbone is ConvnextName =>
  convnextNames.includes(backbone as ConvnextName);

/** Encoders of DINOv2 and DINOv3. Held to the features that they began with, they adapt worse (VFM-UDA++). */
export const isDino = (backbone: string): boolean => isVit(backbone) || isConvnext(backbone);

export const segmentorSchema = z
  .strictObject({
    backbone: field(z.enum(backboneNames), 'the encoder'),
    // Files of before there was a choice do not say.
    head: field(z.enum(headNames), 'the decoder').default('daformer'),
    channels: field(
      count,
      "width of the decoder's features; a choice for daformer and segformer, given by the head for all others",
    ),
    classes: field(z.number().int().min(2).max(255), 'C'),
    dropout: field(
      z.number().min(0).lt(1),
      'share of channels dropped before the classifier; 0 for heads that drop none (deeplabv2, hrnet)',
    ),
    dropPath: field(
      z.number().min(0).lt(1),
      "stochastic depth of MiT's last block; 0 for the other encoders, which have none",
    ),
    /** Left out: the network sees the image at one resolution. */
    multiResolution: multiResolutionSchema.optional(),
    adapter: field(
      adapterSchema,
      'trained numbers beside a plain transformer, which is not trained itself then; left out: none',
    ).optional(),
  })
  .superRefine((config, context) => {
    for (const { key, message } of segmentorFaults(config)) {
      context.addIssue({ code: 'custom', path: [key], message, input: config[key] });
    }
  });

/** A network, as a recipe or a checkpoint describes it; {@link segmentorConfig} fills in what the papers have. */
export type SegmentorConfig = z.infer<typeof segmentorSchema>;

/** A network of the papers: their width and dropout (0.1) where the head has any, stochastic depth 0.1 in MiT. */
export function segmentorConfig(
  backbone: BackboneName,
  head: HeadName,
  overrides: Partial<Omit<SegmentorConfig, 'backbone' | 'head'>> = {},
): SegmentorConfig {
  const { channels, drops } = heads[head];
  return {
    backbone,
    head,
    channels: channels(backbone),
    classes: 19,
    dropout: drops ? 0.1 : 0,
    dropPath: isMit(backbone) ? 0.1 : 0,
    ...overrides,
  };
}

/** DAFormer's head on the smallest encoder. */
export const defaultSegmentor: SegmentorConfig = segmentorConfig('mit_b0', 'daformer');

/** Whether weights of the one fit the other, but for the classes. */
export function sameNetwork(a: SegmentorConfig, b: SegmentorConfig): boolean {
  const scales = (config: SegmentorConfig) => (config.multiResolution ? 2 : 1);
  return (
    a.backbone === b.backbone && a.head === b.head && a.channels === b.channels && scales(a) === scales(b)
  );
}

/** What does not go together in a description whose single values are fine. @returns one line for each fault. */
export function segmentorFaults(config: SegmentorConfig): { key: keyof SegmentorConfig; message: string }[] {
  const { backbone, head, channels, dropout, dropPath, adapter } = config;
  const facts = heads[head];
  const faults: ReturnType<typeof segmentorFaults> = [];
  if (!facts.backbones.includes(backbone)) {
    const fitting = headNames.filter((name) => heads[name].backbones.includes(backbone));
    const message = `${head} does not fit ${backbone}, which takes ${fitting.join(', ')}`;
    faults.push({ key: 'head', message: `${message}; ${head} fits ${facts.backbones.join(', ')}` });
  }
  const width = facts.channels(backbone);
  if (!facts.freeChannels && channels !== width) {
    faults.push({
      key: 'channels',
      message: `the features of ${head} have ${width} channels, not ${channels}`,
    });
  }
  if (!facts.drops && dropout !== 0) {
    faults.push({ key: 'dropout', message: `${head} drops no channels: dropout is 0, not ${dropout}` });
  }
  if (config.multiResolution) faults.push(...multiResolutionFaults(head, config.multiResolution.detailCrop));
  if (!isMit(backbone) && dropPath !== 0) {
    const message = `${backbone} has no stochastic depth: dropPath is 0, not ${dropPath}`;
    faults.push({ key: 'dropPath', message });
  }
  if (adapter && !isVit(backbone)) {
    const message = `${backbone} takes no ${adapter.kind}, which is for plain transformers (DINOv2 and DINOv3 ViT)`;
    faults.push({ key: 'adapter', message });
  }
  return faults;
}

function multiResolutionFaults(head: HeadName, crop: { width: number; height: number }) {
  const key = 'multiResolution' as const;
  const step = detailStep(head);
  if (step === undefined) {
    const fitting = headNames.filter((name) => detailStep(name) !== undefined);
    return [{ key, message: `${head} works at one resolution; at two work ${fitting.join(', ')}` }];
  }
  if (crop.width % step === 0 && crop.height % step === 0) return [];
  const message = `the sides of detailCrop must be multiples of ${step} with ${head}, not ${crop.width}x${crop.height}`;
  return [{ key, message }];
}

/** The networks of the tables; `deeplabv2` is that of the UDA papers, with the dilations 6 and 12. */
export const networks = {
  'mit-b0': ['mit_b0', 'daformer'],
  'mit-b1': ['mit_b1', 'daformer'],
  'mit-b2': ['mit_b2', 'daformer'],
  'mit-b3': ['mit_b3', 'daformer'],
  'mit-b4': ['mit_b4', 'daformer'],
  'mit-b5': ['mit_b5', 'daformer'],
  'segformer-b5': ['mit_b5', 'segformer'],
  deeplabv2: ['resnet101', 'deeplabv2'],
  deeplabv3plus: ['resnet101', 'deeplabv3plus-nobn'],
  'hrnet-w48': ['hrnet_w48', 'hrnet'],
  'dinov2-s': ['dinov2_vits14', 'daformer'],
  'dinov2-b': ['dinov2_vitb14', 'daformer'],
  'dinov2-l': ['dinov2_vitl14', 'daformer'],
  'dinov2-g': ['dinov2_vitg14', 'daformer'],
  'dinov2-s-reg': ['dinov2_vits14_reg', 'daformer'],
  'dinov2-b-reg': ['dinov2_vitb14_reg', 'daformer'],
  'dinov2-l-reg': ['dinov2_vitl14_reg', 'daformer'],
  'dinov2-g-reg': ['dinov2_vitg14_reg', 'daformer'],
  'dinov3-s': ['dinov3_vits16', 'daformer'],
  'dinov3-s-plus': ['dinov3_vits16plus', 'daformer'],
  'dinov3-b': ['dinov3_vitb16', 'daformer'],
  'dinov3-l': ['dinov3_vitl16', 'daformer'],
  'dinov3-h-plus': ['dinov3_vith16plus', 'daformer'],
  'dinov3-convnext-t': ['dinov3_convnext_tiny', 'daformer'],
  'dinov3-convnext-s': ['dinov3_convnext_small', 'daformer'],
  'dinov3-convnext-b': ['dinov3_convnext_base', 'daformer'],
  'dinov3-convnext-l': ['dinov3_convnext_large', 'daformer'],
} as const satisfies Record<string, readonly [BackboneName, HeadName]>;
export type NetworkName = keyof typeof networks;
export const networkChoices = Object.keys(networks) as NetworkName[];

/** A name without what people write differently: capitals, and what stands between its words. */
export function spelling(name: string): string {
  return name
    .toLowerCase()
    .replace(/\+$/, 'plus')
    .replace(/[-_+\s]/g, '');
}

/**
 * A network by any spelling of its name, of its encoder and decoder, or of an encoder that has one network here:
 * `mit-b5`, `MiT_B5`, `mit_b5+daformer`, `segformer_mit-b5`.
 * @returns undefined for a name that is none.
 */
export function networkNamed(text: string): NetworkName | undefined {
  const asked = spelling(text);
  return networkChoices.find((name) => {
    const [backbone, head] = networks[name];
    return [name, backbone + head, head + backbone, name + head].some((one) => spelling(one) === asked);
  });
}
