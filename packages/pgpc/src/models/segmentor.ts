// Encoder and decoder as one network, and how to build one from a typed description.

import { Generator, nn, type Tensor, tidy } from '@pgpc/torch';
import { DaformerHead, type DecoderOutput } from './daformer-head.js';
import { MixTransformer, mitConfigs } from './mit.js';

export type BackboneName = keyof typeof mitConfigs;
export const backboneNames = Object.keys(mitConfigs) as BackboneName[];

/** A network, as a preset or a checkpoint describes it. */
export interface SegmentorConfig {
  backbone: BackboneName;
  /** Width of the DAFormer head; 256 in the paper. */
  channels: number;
  classes: number;
  /** Channel dropout before the classifier. */
  dropout: number;
  /** Stochastic depth of the encoder's last block. */
  dropPath: number;
}

/** The paper's head on the smallest encoder. */
export const defaultSegmentor: SegmentorConfig = {
  backbone: 'mit_b0',
  channels: 256,
  classes: 19,
  dropout: 0.1,
  dropPath: 0.1,
};

/** An encoder under `backbone.` and a decoder under `decode_head.`, as DAFormer's checkpoints name them. */
export class Segmentor extends nn.Module<[image: Tensor], DecoderOutput> {
  readonly backbone: MixTransformer;
  readonly decodeHead: DaformerHead;

  /** @param seed of initial values, dropout and stochastic depth. */
  constructor(
    readonly config: SegmentorConfig,
    seed: number,
  ) {
    super();
    /** Also draws the masks of dropout and stochastic depth, so a checkpoint must save its state. */
    this.generator = new Generator(seed);
    const { backbone, channels, classes, dropout, dropPath } = config;
    this.backbone = this.registerModule(
      'backbone',
      new MixTransformer(mitConfigs[backbone], this.generator, dropPath),
    );
    const inChannels = this.backbone.channels;
    this.decodeHead = this.registerModule(
      'decode_head',
      new DaformerHead({ inChannels, channels, classes, dropout }, this.generator),
    );
  }

  readonly generator: Generator;

  /** @param image (N, 3, H, W), normalised. @returns features and logits at stride 4. */
  forward(image: Tensor): DecoderOutput {
    return this.decodeHead.call(this.backbone.call(image));
  }

  /** Class scores at the image's own size: (N, 3, H, W) to (N, classes, H, W). */
  predict(image: Tensor): Tensor {
    return tidy(() => nn.interpolate(this.call(image).logits, image.shape.slice(2) as [number, number]));
  }
}
