// What every encoder and every decoder have in common.

import type { nn, Tensor } from '@pgpc/torch';

/** What a decoder gives: features and class scores at one stride, 4 or 8. */
export interface DecoderOutput {
  /** (B, D, h, w), D = `channels`: what the classifier reads, and the projection head of the contrast with it. */
  features: Tensor;
  /** (B, C, h, w), before softmax. */
  logits: Tensor;
}

/** What a network says about activation checkpointing, see `nn.ActivationCheckpoints`. */
export interface Checkpointable {
  /** The modules that are run again in the backward pass, so that only their inputs are kept until then. */
  readonly checkpointable: readonly nn.AnyModule[];
}

/** An encoder: (B, 3, H, W), normalised, to four maps (B, channels[i], h_i, w_i), from the finest on. */
export interface Backbone extends nn.Module<[image: Tensor], Tensor[]>, Checkpointable {
  /** Channels of the four maps. */
  readonly channels: readonly number[];
}

/** A decoder of an encoder's four maps. */
export interface DecodeHead extends nn.Module<[stages: Tensor[]], DecoderOutput>, Checkpointable {
  /** Width of `features`. */
  readonly channels: number;
}

export interface HeadOptions {
  /** Channels of the encoder's four maps. */
  inChannels: readonly number[];
  classes: number;
}

/** For decoders that leave their width to choose and drop channels before the classifier. */
export interface FusingHeadOptions extends HeadOptions {
  /** Width of `features`. */
  channels: number;
  /** Share of the channels of `features` that the classifier does not see in training. */
  dropout: number;
}
