// Gradient clipping by the norm over all parameters.

import { noGrad } from '../autograd.js';
import { zeros } from '../factories.js';
import { ops } from '../ops.js';
import { type Tensor, tidy } from '../tensor.js';

/**
 * Scales all gradients in place by one factor, so that their joint Euclidean norm is at most `maxNorm`
 * (Pascanu et al. 2013). Nothing waits for the device.
 * @returns the norm before clipping, a scalar; 0 if no parameter has a gradient
 */
export function clipGradNorm_(params: readonly Tensor[], maxNorm: number): Tensor {
  return tidy(() =>
    noGrad(() => {
      const grads = params.map(({ grad }) => grad).filter((grad) => grad !== null);
      if (grads.length === 0) return zeros([]);
      const norm = ops.stack(ops._foreachNorm(grads, 2)).norm();
      const factor = norm.add(1e-6).reciprocal().mul(maxNorm).clamp({ max: 1 });
      ops._foreachMul_(
        grads,
        grads.map(() => factor),
      );
      return norm;
    }),
  );
}
