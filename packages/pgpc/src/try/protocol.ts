// What the server of `pgpc try` tells its page.

import type { Size } from '@pgpc/datasets';

/** One network. */
export interface TriedNetwork {
  /** Such as 'pgpc-plus'. */
  readonly label: string;
  /** Address of its ONNX file. */
  readonly address: string;
}

/** A picture that the page offers. */
export interface TriedExample {
  readonly name: string;
  readonly address: string;
}

/** `/try.json`: all that the page needs to know. */
export interface TriedDescription {
  readonly title: string;
  /** The network; after it, where there is one, the source network that it was adapted from. */
  readonly networks: readonly [TriedNetwork, TriedNetwork?];
  /** In the order of the outputs; colours are RGB in 0 .. 255. */
  readonly classes: readonly { readonly name: string; readonly color: readonly [number, number, number] }[];
  /** Images enter at the largest size within these bounds, their ratio kept; 'full': as they are. */
  readonly inputSize: Size | 'full';
  /** Windows by which they enter, where the networks see no whole image; their files are for one. */
  readonly windows: { readonly window: Size; readonly stride: Size } | undefined;
  /** By channel, for RGB in 0 .. 1; undefined: the graph takes 0 .. 255 and normalises itself. */
  readonly normalisation: { readonly mean: readonly number[]; readonly std: readonly number[] } | undefined;
  /** How images enter, in a line; and what a person should know of the networks. */
  readonly said: readonly string[];
  readonly examples: readonly TriedExample[];
}
