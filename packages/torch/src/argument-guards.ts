// Operators that libtorch computes well, but for arguments at an edge that it does not look at: there it ends the process, or
// does not end for hours. What guards one is called before it. Found by test/fuzz/search.mjs, as what unsafe-ops.ts closes.

import { Tensor } from './tensor.js';

/** The call's arguments by the schema's names; undefined is one that was left out. */
type Arguments = (name: string) => unknown;

/** @returns why the call may not be made, or undefined where it may */
export type Guard = (argument: Arguments) => string | undefined;

/** The orders of polynomials are loops: at most so many steps for all elements together, some seconds. */
const MOST_STEPS = 2 ** 30;

const LARGEST_ROOT = 2 ** 26;
const LONGEST_KERNEL = 2 ** 20;

/** The tensor `name` must have one element. */
const oneElement =
  (name: string): Guard =>
  (argument) => {
    const value = argument(name);
    if (!(value instanceof Tensor) || value.numel === 1) return undefined;
    return `it reads the one element of ${name}, which has shape [${value.shape}]`;
  };

/** The tensors `names` must not be of whole numbers: what they are divided by becomes 0 as one. */
const floats =
  (...names: string[]): Guard =>
  (argument) => {
    const name = names.find((key) => {
      const value = argument(key);
      return value instanceof Tensor && /^(u?int|bool)/.test(value.dtype);
    });
    if (name === undefined) return undefined;
    return `it divides whole numbers by 0: ${name} must be of floats, not ${(argument(name) as Tensor).dtype}`;
  };

/** The tensors `first` and `second` must have one shape. */
const sameShape =
  (first: string, second: string): Guard =>
  (argument) => {
    const [a, b] = [argument(first), argument(second)];
    if (!(a instanceof Tensor) || !(b instanceof Tensor) || String(a.shape) === String(b.shape))
      return undefined;
    return `it takes ${first} and ${second} to be of one shape, which are [${a.shape}] and [${b.shape}]`;
  };

/** The square of `name` must not be more than libtorch's whole numbers hold. */
const boundedSquare =
  (name: string): Guard =>
  (argument) => {
    const value = Math.abs(Number(argument(name)));
    return value < LARGEST_ROOT ? undefined : `it takes the square of ${name}, which is more than 2^53`;
  };

/** The numbers of the list `name` must not multiply to more than libtorch's whole numbers hold. */
const boundedProduct =
  (name: string): Guard =>
  (argument) => {
    const product = [argument(name)].flat().reduce((all: number, n) => all * Number(n), 1);
    if (Math.abs(product) <= Number.MAX_SAFE_INTEGER) return undefined;
    return `it multiplies the numbers of ${name}, [${argument(name)}], to more than 2^53`;
  };

/** The kernel is a loop, also where nothing comes out: none so long that it would take seconds. */
const boundedKernel: Guard = (argument) => {
  const longest = Math.max(...[argument('kernelSize')].flat().map(Number));
  if (longest <= LONGEST_KERNEL) return undefined;
  return `a kernel of ${longest} elements would take too long: at most 2^20`;
};

/** A table of rows, and which of them: libtorch counts neither the dimensions nor, in all forms, the rows. */
const rowsOfTable: Guard = (argument) => {
  const [weight, indices, offsets] = ['weight', 'indices', 'offsets'].map((name) => argument(name) as Tensor);
  if (weight!.ndim !== 2 || indices!.ndim !== 1 || offsets!.ndim !== 1) {
    const shapes = [weight, indices, offsets].map((tensor) => `[${tensor!.shape}]`).join(', ');
    return `weight, indices and offsets have 2, 1 and 1 dimensions, not the shapes ${shapes}`;
  }
  if (indices!.device !== 'cpu' || /^float|^bfloat/.test(indices!.dtype)) return undefined;
  const rows = weight!.shape[0]!;
  const wrong = [...indices!.toArray()].find((row) => Number(row) < 0 || Number(row) >= rows);
  return wrong === undefined ? undefined : `there is no row ${wrong} in a table of ${rows}`;
};

/** The largest number in a scalar or tensor; NaN where it cannot be read. */
function largest(value: unknown): number {
  if (typeof value === 'number') return value;
  if (!(value instanceof Tensor) || value.numel === 0) return 0;
  let most = 0;
  for (const item of value.toArray()) most = Math.max(most, Number(item) || 0);
  return most;
}

const boundedOrder: Guard = (argument) => {
  const [x, n] = [argument('x'), argument('n')];
  const elements = Math.max(...[x, n].map((value) => (value instanceof Tensor ? value.numel : 1)));
  const order = largest(n);
  if (order * elements <= MOST_STEPS) return undefined;
  return `a polynomial of order ${order} for ${elements} elements would take too long: at most 2^30 steps`;
};

const polynomials = [
  ...['t', 'u', 'v', 'w'].flatMap((kind) => [
    `chebyshev_polynomial_${kind}`,
    `shifted_chebyshev_polynomial_${kind}`,
  ]),
  'hermite_polynomial_h',
  'hermite_polynomial_he',
  'laguerre_polynomial_l',
  'legendre_polynomial_p',
].map((name) => `aten::special_${name}`);

/** Operators by name, and what looks at their arguments. */
export const guards: ReadonlyMap<string, Guard> = new Map<string, Guard>([
  ['aten::_local_scalar_dense', oneElement('self')],
  ['aten::smooth_l1_loss_backward', floats('gradOutput', 'self', 'target')],
  ['aten::_log_softmax_backward_data', sameShape('gradOutput', 'output')],
  ['aten::_softmax_backward_data', sameShape('gradOutput', 'output')],
  ['aten::pixel_shuffle', boundedSquare('upscaleFactor')],
  ['aten::pixel_unshuffle', boundedSquare('downscaleFactor')],
  ['aten::col2im', boundedProduct('kernelSize')],
  ['aten::im2col', boundedProduct('kernelSize')],
  ...['embedding_bag', '_embedding_bag', '_embedding_bag_forward_only'].map(
    (name) => [`aten::${name}`, rowsOfTable] as const,
  ),
  ['aten::max_pool1d', boundedKernel],
  ...polynomials.map((name) => [name, boundedOrder] as const),
]);
