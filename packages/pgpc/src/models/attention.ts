// Scaled dot-product attention by heads, by libtorch's own operator where there is one.

import { ops, type Tensor, tidy } from '@pgpc/torch';

/** Queries whose scores stay in the processor's cache from one product to the next. */
const QUERY_ROWS = 512;

/** Libtorch 2 has one operator for all of attention, which never stores all scores; 1.13 has none. */
const FUSED = 'scaledDotProductAttention' in ops;

/**
 * softmax(q k^T / sqrt(d)) v by heads: q (B, heads, P, d) of P tokens, k and v (B, heads, keys, d). The scores are the
 * largest map of an encoder.
 */
export function attend(q: Tensor, k: Tensor, v: Tensor): Tensor {
  return FUSED ? (ops.call('scaled_dot_product_attention', q, k, v) as Tensor) : attendPlainly(q, k, v);
}

/** {@link attend} without libtorch's own operator. Without gradients the scores are made for some queries at a time. */
export function attendPlainly(q: Tensor, k: Tensor, v: Tensor): Tensor {
  // Scaling q instead of the scores touches d numbers a token instead of one a pair of tokens.
  const scaled = q.mul(q.shape[3]! ** -0.5);
  const transposed = k.transpose(-2, -1);
  const part = (queries: Tensor) => tidy(() => queries.matmul(transposed).softmax(-1).matmul(v));
  if (q.requiresGrad || q.shape[2]! <= QUERY_ROWS) return part(scaled);
  return ops.cat(scaled.split(QUERY_ROWS, 2).map(part), 2);
}
