// Operators whose arguments are looked at: refused at the edge, and as before away from it.

import { expect, test } from 'vitest';
import { ones, ops, type Tensor, TorchError, tensor, zeros } from '../src/index.js';

const rows = tensor([0, 2], { dtype: 'int64' });
const starts = tensor([0], { dtype: 'int64' });
const whole = ones([2, 3], { dtype: 'int64' });
const half = tensor([2], { dtype: 'float16' });

test.each<[name: string, refused: () => unknown, works: () => Tensor | number, expected: unknown]>([
  ['_local_scalar_dense', () => ones([0, 3])._localScalarDense(), () => ones([1])._localScalarDense(), 1],
  [
    'smooth_l1_loss_backward',
    () => ops.smoothL1LossBackward(whole, whole, whole, 0, 0.5),
    () => ops.smoothL1LossBackward(ones([1]), tensor([0.25]), tensor([0]), 0, 0.5),
    [0.5],
  ],
  [
    '_softmax_backward_data',
    () => ops._softmaxBackwardData(ones([3, 2, 4, 0]), ones([1, 4, 1]), -1, 'float32'),
    () => ops._softmaxBackwardData(ones([2]), tensor([0.5, 0.5]), 0, 'float32'),
    [0, 0],
  ],
  [
    'pixel_shuffle',
    () => ops.pixelShuffle(ones([1, 4, 1, 1]), 2 ** 32),
    () => ops.pixelShuffle(tensor([[[[1]], [[2]], [[3]], [[4]]]]), 2),
    [
      [
        [
          [1, 2],
          [3, 4],
        ],
      ],
    ],
  ],
  [
    'gradient',
    () => ops.gradient(ones([3, 3]), { spacing: [2] }),
    () =>
      ops.gradient(
        tensor([
          [1, 2],
          [4, 8],
        ]),
        { spacing: [2, 1] },
      )[0]!,
    [
      [1.5, 3],
      [1.5, 3],
    ],
  ],
  [
    'narrow_copy',
    () => {
      const x = ones([4]);
      return ops.narrowCopy(x, 0, 0, 3, { out: x.narrow(0, 1, 3) });
    },
    () => ops.narrowCopy(tensor([1, 2, 3]), 0, 1, 2),
    [2, 3],
  ],
  [
    'im2col',
    () => ops.im2col(ones([1, 1, 2, 2]), [2 ** 40, 2 ** 40], [1, 1], [0, 0], [1, 1]),
    () => ops.im2col(ones([1, 1, 2, 2]), [2, 2], [1, 1], [0, 0], [1, 1]),
    [[[1], [1], [1], [1]]],
  ],
  [
    'max_pool1d',
    () => ops.maxPool1d(ones([2, 2]), 2 ** 40, 2 ** 40),
    () => ops.maxPool1d(tensor([[1, 5]]), 2),
    [[5]],
  ],
  [
    'embedding_bag',
    () => ops.embeddingBag(ones([2, 1]), rows, starts),
    () => ops.embeddingBag(tensor([[1], [2], [3]]), rows, starts)[0],
    [[4]],
  ],
  [
    'special_chebyshev_polynomial_t',
    () => ops.specialChebyshevPolynomialT(ones([2]), 2 ** 40),
    // The order is read by an operator of its own, in the middle of the call.
    () => ops.specialChebyshevPolynomialT(tensor([0.5]), half),
    [-0.5],
  ],
])('%s', (name, refused, works, expected) => {
  expect(refused).toThrow(TorchError);
  expect(refused).toThrow(new RegExp(`^aten::${name}.*not let through: `));
  const result = works();
  expect(typeof result === 'number' ? result : result.tolist()).toEqual(expected);
});

test.each<[name: string, parts: () => Tensor[]]>([
  ['unsafe_chunk', () => ops.unsafeChunk(zeros([0]), 2 ** 31 - 1)],
  ['tensor_split.sections', () => ops.tensorSplit(ones([2]), 2 ** 31 - 1)],
  ['tensor_split.tensor', () => ops.tensorSplit(ones([2]), tensor(2 ** 31, { dtype: 'int64' }))],
  ['split', () => ops.split(ones([1]).expand([2 ** 31]), 1)],
  ['unbind', () => ops.unbind(ones([1]).expand([2 ** 31]))],
])('%s makes no list of tensors that fills the memory', (name, parts) => {
  expect(parts).toThrow(new RegExp(`^aten::${name}.*not let through: a list of 21474836\\d+ tensors`));
});

test('lists of tensors of usual length are let through', () => {
  const lengths = [
    ops.chunk(ones([5, 4]), 2, -1),
    ops.tensorSplit(ones([5]), [1, 3]),
    ops.tensorSplit(ones([2]), tensor([1], { dtype: 'int64' })),
    ops.split(ones([5]), 2),
    ops.split(ones([5]), [2, 3]),
    ops.unbind(ones([3, 2]), 1),
  ].map(({ length }) => length);
  expect(lengths).toEqual([2, 3, 2, 3, 2, 2]);
});
