// What the page and its worker tell each other.

import type { TriedDescription } from '../../src/try/protocol.js';

export type ToWorker =
  | { readonly kind: 'load'; readonly description: TriedDescription }
  /** The picture becomes the worker's. */
  | { readonly kind: 'segment'; readonly picture: ImageBitmap };

/** The classes of every pixel by each network. */
export interface Segmented {
  readonly width: number;
  readonly height: number;
  /** Of each network (height x width), by rows: places in the list of classes. */
  readonly labels: readonly Uint8Array<ArrayBuffer>[];
  /** What entered the networks, in pixels. */
  readonly input: { readonly width: number; readonly height: number };
  /** Milliseconds of each network's pass. */
  readonly passes: readonly number[];
  /** Milliseconds from the picture to the labels of all networks. */
  readonly milliseconds: number;
}

export type FromWorker =
  /** @param device 'WebGPU' or 'wasm, 2 threads'. @param fallback why it is not WebGPU, where there seemed to be one. */
  | { readonly kind: 'ready'; readonly device: string; readonly fallback: string | undefined }
  | ({ readonly kind: 'segmented' } & Segmented)
  | { readonly kind: 'failed'; readonly message: string };
