// DAFormer's optimiser: AdamW, the decoder ten times as fast, no decay on the encoder's norms; for DINO's encoders rates by
// layer, and what of them is not trained.

import { optim, type Tensor } from '@pgpc/torch';
import type { Learner } from '../adaptation/learner.js';
import type { Experiment } from '../config/experiment.js';
import { isConvnext, type SegmentorConfig } from '../config/segmentor.js';
import { isVit, vitConfigs } from '../config/vit.js';
import { convnextConfigs } from '../models/convnext.js';

/**
 * `lr`: peak rate of the encoder; 6e-5 in DAFormer, which starts from ImageNet weights. `headMultiplier`: what the decoder's
 * and the projection head's rate is multiplied by, and that of all else that begins at random; 10 in DAFormer.
 */
export type OptimizerOptions = Readonly<Experiment['optimizer']>;

interface Group {
  readonly name: string;
  /** What the encoder's rate is multiplied by. */
  readonly rate: number;
  readonly decays: boolean;
}

const ENCODER = 'segmentor.backbone.';
/** What is put on or beside a plain transformer and begins at random. */
const ADDED = /^(pyramid\.|adapter\.|.*\.attn\.lora\.)/;

/** The groups by the rules of DAFormer's config, which go by the parameter's name. */
function groupOf(name: string, headMultiplier: number): Group {
  if (!name.startsWith(ENCODER)) return { name: 'head', rate: headMultiplier, decays: true };
  if (name.includes('norm')) return { name: 'encoder norms', rate: 1, decays: false };
  return { name: 'encoder', rate: 1, decays: true };
}

/** Layers of a DINO encoder by the first number in names, from the image on; the closing norm is above all. */
interface Layers {
  readonly count: number;
  readonly of: (name: string) => number;
}

/**
 * Layers as BEiT (arXiv 2106.08254) and ConvNeXt count them: what makes tokens of the image is 0, block k is k + 1; a stage of
 * ConvNeXt is one layer, its third stage one for every three blocks.
 */
export function encoderLayers(backbone: SegmentorConfig['backbone']): Layers | undefined {
  if (isVit(backbone)) {
    const { depth } = vitConfigs[backbone];
    const of = (name: string) => {
      const block = /^blocks\.(\d+)\./.exec(name)?.[1];
      if (block !== undefined) return Number(block) + 1;
      return name.startsWith('norm.') ? depth + 1 : 0;
    };
    return { count: depth + 1, of };
  }
  if (!isConvnext(backbone)) return undefined;
  const last = 3 + Math.ceil(convnextConfigs[backbone].depths[2] / 3);
  const of = (name: string) => {
    const [, part, stage = '', block] = /^(downsample_layers|stages)\.(\d)\.(\d+)/.exec(name) ?? [];
    if (part === undefined) return last + 1;
    if (stage === '3') return last;
    if (part === 'downsample_layers') return stage === '0' ? 0 : Number(stage) + 1;
    return stage === '2' ? 3 + Math.floor(Number(block) / 3) : Number(stage) + 1;
  };
  return { count: last + 1, of };
}

/** The group of a parameter of a DINO encoder; undefined: it is not trained. */
function dinoGroupOf(
  name: string,
  { ndim }: Tensor,
  layers: Layers,
  { headMultiplier, layerDecay = 1 }: OptimizerOptions,
  isFrozen: boolean,
): Group | undefined {
  if (ADDED.test(name)) return { name: 'head', rate: headMultiplier, decays: true };
  if (isFrozen) return undefined;
  // Norms, biases, layer scales, tokens and positions.
  const decays = ndim > 1 && !/(tokens?|pos_embed)$/.test(name);
  const layer = layers.of(name);
  const rate = layerDecay ** (layers.count - layer);
  const at = layerDecay === 1 ? '' : ` layer ${layer}`;
  return { name: `encoder${at}${decays ? '' : ' without decay'}`, rate, decays };
}

/** The optimiser of all that is trained. What is not is told that it needs no gradient. */
export function buildOptimizer(learner: Learner, options: OptimizerOptions): optim.AdamW {
  const { backbone, adapter } = learner.segmentor.config;
  const { lr, headMultiplier, weightDecay, encoder } = options;
  const layers = encoderLayers(backbone);
  const isFrozen = encoder === 'frozen' || adapter !== undefined;
  const groups = new Map<string, Group & { params: Tensor[] }>();
  for (const [name, parameter] of learner.namedParameters()) {
    const group =
      layers && name.startsWith(ENCODER)
        ? dinoGroupOf(name.slice(ENCODER.length), parameter, layers, options, isFrozen)
        : groupOf(name, headMultiplier);
    if (group === undefined) {
      parameter.requiresGrad_(false);
      continue;
    }
    const known = groups.get(group.name) ?? { ...group, params: [] };
    known.params.push(parameter);
    groups.set(group.name, known);
  }
  return new optim.AdamW(
    [...groups.values()].map(({ name, params, rate, decays }) => ({
      name,
      params,
      lr: lr * rate,
      weightDecay: decays ? weightDecay : 0,
    })),
  );
}
