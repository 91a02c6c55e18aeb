// Checkpoints for PyTorch's DAFormer code (github.com/lhoyer/DAFormer): its names, its meta, and what its configuration
// must say.

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { ops, type Picklable, savePth, type Tensor, tidy } from '@pgpc/torch';
import type { BackboneName, HeadName, MitName, SegmentorConfig } from '../../config/segmentor.js';
import { aboutTexts, OWN_KEY } from '../about.js';
import { mitConfigs } from '../mit.js';
import type { Segmentor } from '../segmentor.js';

/** A decoder in DAFormer's code. */
interface Form {
  /** The configuration that has it, in `configs/_base_/models`. */
  readonly base: string;
  /** What that must say otherwise, below `model`. */
  readonly settings?: (config: SegmentorConfig) => string[];
}

const FORMS: Readonly<Record<HeadName, Form | undefined>> = {
  daformer: {
    base: 'daformer_sepaspp_mitb5',
    settings: ({ channels }) => [
      `decode_head.channels=${channels}`,
      `decode_head.decoder_params.embed_dims=${channels}`,
    ],
  },
  segformer: {
    base: 'segformer_b5',
    settings: ({ channels }) => [`decode_head.decoder_params.embed_dim=${channels}`],
  },
  deeplabv2: { base: 'deeplabv2red_r50-d8' },
  'deeplabv2-full': { base: 'deeplabv2_r50-d8' },
  deeplabv3plus: { base: 'deeplabv3plus_r50-d8' },
  'deeplabv3plus-nobn': { base: 'deeplabv3plus_r50-d8', settings: () => ['decode_head.norm_cfg=None'] },
  hrnet: undefined,
  linear: undefined,
};

/** Before the names of the network that is trained, as in DAFormer's own checkpoints. */
const STUDENT = 'model.';

const ENCODERS: readonly string[] = [...Object.keys(mitConfigs), 'resnet101'];

/**
 * Writes a network as a checkpoint that DAFormer's code loads: `state_dict` under `model.`, the classes' names and colours
 * in `meta`, and under `meta.pgpc` what only this project reads. Folders above it are made.
 * @returns what to tell the user: the configuration that the network needs there, and what the file lacks
 * @throws Error for an encoder or a decoder that DAFormer's code has not, and for a network of two resolutions
 */
export function saveDaformer(path: string, segmentor: Segmentor): string[] {
  const { config, classInfo } = segmentor;
  if (config.multiResolution) {
    throw new Error(
      "DAFormer's code has no network of two resolutions; HRDA's has, and what its configuration has to say is not known here",
    );
  }
  const form = FORMS[config.head];
  if (form === undefined) {
    const known = Object.entries(FORMS).flatMap(([head, each]) => (each === undefined ? [] : [head]));
    throw new Error(
      `DAFormer's code has no ${config.backbone} with ${config.head}; its decoders are ${known.join(', ')}`,
    );
  }
  refuseOtherEncoder(config.backbone);
  tidy(() => {
    const state = [...toDaformer(segmentor.stateDict())].map(
      ([name, tensor]) => [STUDENT + name, tensor] as const,
    );
    write(path, {
      meta: {
        ...(classInfo && {
          CLASSES: classInfo.map(({ name }) => name),
          PALETTE: classInfo.map(({ color }) => color),
        }),
        [OWN_KEY]: aboutTexts(segmentor),
      },
      state_dict: new Map(state),
    });
  });
  const settings = [
    ...encoderSettings(config.backbone),
    ...(form.settings?.(config) ?? []),
    `decode_head.num_classes=${config.classes}`,
  ].map((setting) => `model.${setting}`);
  return [
    `configuration there: configs/_base_/models/${form.base}.py with ${settings.join(' ')}`,
    ...(config.head === 'segformer'
      ? ['not in the file: decode_head.conv_seg, which the code there makes and never uses']
      : []),
  ];
}

/**
 * Writes an encoder as the file that `model.pretrained` names there, without prefix. Folders above it are made.
 * @param encoder under this project's names, `backbone.*`
 * @param texts that this project reads again
 * @throws Error for an encoder that DAFormer's code has not
 */
export function saveDaformerEncoder(
  path: string,
  backbone: string,
  encoder: ReadonlyMap<string, Tensor>,
  texts: Readonly<Record<string, string>>,
): void {
  refuseOtherEncoder(backbone);
  const bare = [...encoder].map(([name, tensor]) => [name.replace(/^backbone\./, ''), tensor] as const);
  write(path, { meta: { [OWN_KEY]: texts }, state_dict: new Map(bare) });
}

function refuseOtherEncoder(backbone: string): void {
  if (ENCODERS.includes(backbone)) return;
  throw new Error(`DAFormer's code has no ${backbone}; its encoders are ${ENCODERS.join(', ')}`);
}

function write(path: string, checkpoint: Picklable): void {
  mkdirSync(dirname(path), { recursive: true });
  savePth(path, checkpoint);
}

/**
 * The inverse of what reads DAFormer's form of SegFormer's head: its levels are numbered from 0 and joined in the opposite
 * order. All other names are the same.
 */
function toDaformer(official: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map(
    [...official].map(([name, tensor]) => {
      const level = /^decode_head\.linear_c(\d)\.(.+)$/.exec(name);
      if (level) return [`decode_head.linear_c.${Number(level[1]) - 1}.${level[2]}`, tensor];
      if (name !== 'decode_head.linear_fuse.conv.weight') return [name, tensor];
      return [name, ops.cat([...tensor.chunk(4, 1)].reverse(), 1)];
    }),
  );
}

function encoderSettings(backbone: BackboneName): string[] {
  if (!(backbone in mitConfigs)) return [`backbone.depth=${backbone.replace('resnet', '')}`];
  const { embedDims } = mitConfigs[backbone as MitName];
  return [`backbone.type=${backbone}`, `decode_head.in_channels=[${embedDims}]`];
}
