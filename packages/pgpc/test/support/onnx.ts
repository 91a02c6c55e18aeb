// ONNX bytes in ONNX Runtime, beside the network that they are of.

import { fromTypedArray, Generator, noGrad, ops, randn, type Tensor, tidy } from '@pgpc/torch';
import { InferenceSession, Tensor as OnnxTensor } from 'onnxruntime-node';
import type { ScoringNetwork } from '../../src/export/onnx.js';

/** One thread: its sums do not depend on the machine. */
const SESSION = { intraOpNumThreads: 1 } as const;

export interface Comparison {
  maxError: number;
  /** Share of pixels of the same largest class. */
  equal: number;
  /** Largest logit. */
  most: number;
}

/** The largest difference over all images, and the smallest share. @param prepare what the graph takes of an image */
export async function compared(
  bytes: Uint8Array,
  network: ScoringNetwork,
  shapes: readonly (readonly number[])[],
  prepare: (image: Tensor) => Tensor = (image) => image.clone(),
): Promise<Comparison> {
  const session = await InferenceSession.create(bytes, SESSION);
  const result = { maxError: 0, equal: 1, most: 0 };
  for (const [i, shape] of shapes.entries()) {
    using generator = new Generator(i);
    using image = randn(shape, { generator });
    using entering = prepare(image);
    const pixels = entering.toArray() as Float32Array;
    const { logits } = await session.run({ pixel_values: new OnnxTensor('float32', pixels, shape) });
    const one = tidy(() =>
      noGrad(() => {
        const ours = network.call(image).logits;
        if (ours.shape.join() !== logits!.dims.join())
          throw new Error(`[${logits!.dims}], not [${ours.shape}]`);
        const theirs = fromTypedArray(logits!.data as Float32Array, logits!.dims);
        const equal = ops.eq(ours.argmax(1), theirs.argmax(1));
        return {
          maxError: ours.sub(theirs).abs().max().item(),
          equal: equal.sum().item() / equal.numel,
          most: ours.abs().max().item(),
        };
      }),
    );
    result.maxError = Math.max(result.maxError, one.maxError);
    result.equal = Math.min(result.equal, one.equal);
    result.most = Math.max(result.most, one.most);
  }
  await session.release();
  return result;
}
