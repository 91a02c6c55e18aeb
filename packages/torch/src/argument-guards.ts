// Operators that libtorch computes well, but for arguments at an edge that it does not look at: there it ends the process, or
// does not end for hours. What guards one is called before it. Found by test/fuzz/search.mjs, as what unsafe-ops.ts closes.

import {
  all,
  asLong,
  boundedLoop,
  boundedOrder,
  boundedOutput,
  boundedParts,
  boundedPieces,
  boundedProduct,
  boundedSquare,
  coordinatesForEach,
  countedGroups,
  diagonalFits,
  dimensions,
  divisorFits,
  finite,
  finiteMatrix,
  floats,
  type Guard,
  gates,
  layersHaveParameters,
  noOutput,
  oneElement,
  oneOfScalar,
  packedElement,
  packedSteps,
  permutedByStrides,
  pivotsOfMatrix,
  positiveGroup,
  quotientFits,
  rowsForGradient,
  rowsOfTable,
  sameShape,
  scalesFit,
  someElement,
  strided,
  unexpanded,
  wholeStep,
} from './guard-kinds.js';

const each = (names: string, guard: Guard) =>
  names.split(' ').map((name) => [`aten::${name}`, guard] as const);
/** The names with an ending each, as `conv` is `conv1d`, `conv2d` and `conv3d`. */
const ended = (names: string, ends: readonly string[]) =>
  names
    .split(' ')
    .flatMap((name) => ends.map((end) => name + end))
    .join(' ');
const BY_DIMENSIONS = ['1d', '2d', '3d'];
const IN_PLACE = ['', '_'];
const BACKWARD = ['', '_backward'];

/** Operators by name, and what looks at their arguments. */
export const guards: ReadonlyMap<string, Guard> = new Map<string, Guard>([
  // Shapes that have to fit.
  ...each('_local_scalar_dense', oneElement('self')),
  ...each('_log_softmax_backward_data _softmax_backward_data', sameShape('gradOutput', 'output')),
  ...each(
    'rrelu_with_noise rrelu_with_noise_ rrelu_with_noise_functional rrelu_with_noise_backward',
    all(sameShape('self', 'noise'), sameShape('self', 'out')),
  ),
  ...each('_sparse_mm', dimensions(2, 'sparse', 'dense')),
  ...each(ended('_foreach_lerp', IN_PLACE), asLong('tensors1', 'weight')),
  ...each('lstm gru rnn_tanh rnn_relu', all(layersHaveParameters, packedSteps)),
  ...each('gru_cell', gates(3)),
  ...each('lstm_cell', gates(4)),
  ...each('rnn_tanh_cell rnn_relu_cell', gates(1)),
  ...each('diag', diagonalFits),
  ...each('pdist', rowsForGradient),
  ...each('gradient', coordinatesForEach),
  ...each('narrow_copy', noOutput),
  // Places that have to be there.
  ...each('embedding_bag _embedding_bag _embedding_bag_forward_only', rowsOfTable),
  ...each('index_select', oneOfScalar),
  ...each('lu_unpack', pivotsOfMatrix),
  ...each('_pad_packed_sequence', packedSteps),
  ...each(ended('upsample_linear1d upsample_bilinear2d upsample_trilinear3d', BACKWARD), scalesFit),
  ...each(ended('_upsample_bilinear2d_aa _upsample_bicubic2d_aa', BACKWARD), scalesFit),
  // Layouts.
  ...each('median nanmedian', all(strided('self'), unexpanded('self'))),
  ...each(ended('index_copy', IN_PLACE), strided('self', 'index', 'source')),
  ...each('copy view_copy', strided('self')),
  ...each('native_group_norm', all(strided('input'), positiveGroup)),
  ...each('permute', permutedByStrides),
  ...each('to_mkldnn', someElement),
  ...each('t', packedElement),
  // Numbers that are divided by, or multiplied.
  ...each('smooth_l1_loss_backward', floats('gradOutput', 'self', 'target')),
  ...each(ended('fmod remainder floor_divide div divide', IN_PLACE), quotientFits),
  ...each(ended('conv conv_transpose', BY_DIMENSIONS), countedGroups),
  ...each('convolution _convolution convolution_backward', countedGroups),
  ...each(ended('avg_pool2d avg_pool3d', BACKWARD), divisorFits),
  ...each('range arange', wholeStep),
  ...each('chunk unsafe_chunk tensor_split hsplit vsplit dsplit', boundedParts),
  ...each('split unsafe_split unbind unbind_copy split_copy', boundedPieces),
  ...each('pixel_shuffle', boundedSquare('upscaleFactor')),
  ...each('pixel_unshuffle', boundedSquare('downscaleFactor')),
  ...each('col2im im2col', boundedProduct('kernelSize')),
  // Loops that need not end.
  ...each(
    'linalg_svd _linalg_svd linalg_svdvals svd linalg_pinv pinverse linalg_matrix_rank matrix_rank linalg_cond linalg_lstsq nuclear_norm linalg_eigh _linalg_eigh linalg_eigvalsh',
    finiteMatrix,
  ),
  ...each('binomial', finite('count', 'prob')),
  ...each(
    'logspace',
    boundedLoop('steps', 28, (length) => `${length} powers`),
  ),
  ...each(
    'mvlgamma mvlgamma_ special_multigammaln',
    boundedLoop('p', 20, (length) => `a sum of ${length} terms`),
  ),
  ...each(
    'max_pool1d',
    boundedLoop('kernelSize', 20, (length) => `a kernel of ${length} elements`),
  ),
  ...each(ended('adaptive_max_pool adaptive_avg_pool _adaptive_avg_pool', BY_DIMENSIONS), boundedOutput),
  ...each(
    ended('special_chebyshev_polynomial_ special_shifted_chebyshev_polynomial_', ['t', 'u', 'v', 'w']),
    all(strided('x', 'n'), boundedOrder),
  ),
  ...each(
    'special_hermite_polynomial_h special_hermite_polynomial_he special_laguerre_polynomial_l special_legendre_polynomial_p',
    all(strided('x', 'n'), boundedOrder),
  ),
]);
