// What the tests of convolutions of our own share.

import { grad, type Tensor } from '../../src/index.js';

/** Input, weight, and, where there is one, bias. */
export type Arguments = [x: Tensor, weight: Tensor, ...bias: Tensor[]];

export type Convolution = (...given: Arguments) => Tensor;

/** The output, and the gradients of the arguments. */
export function passes(convolution: Convolution, arguments_: Arguments, gradient: Tensor): Tensor[] {
  const leaves = arguments_.map((tensor) => tensor.detach().requiresGrad_()) as Arguments;
  const y = convolution(...leaves);
  return [y.detach(), ...(grad(y.mul(gradient).sum(), leaves) as Tensor[])];
}

/** The largest error of a result, in the sums of the summands' magnitudes. @param wanted in float64, as `magnitudes`. */
export function largestError(found: Tensor, wanted: Tensor, magnitudes: Tensor): number {
  const error = found.to('float64').sub(wanted).abs();
  return error.div(magnitudes.add(1e-30)).max().item() as number;
}
