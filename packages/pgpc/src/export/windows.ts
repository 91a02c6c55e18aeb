// Operators that look at windows of a map: convolutions and pooling.

import { Constant } from './values.js';

/** What a window is, [height, width] each. */
export interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  /** Zeros on every side; of a maximum, what is never chosen. */
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
}

/** How many windows fit into a length. @param side 0: vertically, 1: horizontally */
export function windowsIn(length: number, window: Window, side: number): number {
  const reach = window.dilation[side]! * (window.kernel[side]! - 1) + 1;
  return Math.floor((length + 2 * window.padding[side]! - reach) / window.stride[side]!) + 1;
}

/** The window of an operator by its arguments; undefined for other operators. */
export function windowOf(name: string, args: ReadonlyMap<string, unknown>): Window | undefined {
  const pair = (key: string, fallback: readonly number[]) => {
    const given = args.get(key) as readonly number[] | undefined;
    return given === undefined || given.length === 0 ? fallback : given;
  };
  const rest = { padding: pair('padding', [0, 0]), dilation: pair('dilation', [1, 1]) };
  if (name === 'aten::conv2d' || name === 'pgpc::depthwise_conv2d') {
    const weight = args.get('weight');
    if (!(weight instanceof Constant)) return undefined;
    return { kernel: weight.shape.slice(2), stride: pair('stride', [1, 1]), ...rest };
  }
  if (name === 'pgpc::winograd_conv2d') {
    return { kernel: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] };
  }
  if (name !== 'aten::max_pool2d') return undefined;
  const kernel = pair('kernelSize', []);
  return { kernel, stride: pair('stride', kernel), ...rest };
}
