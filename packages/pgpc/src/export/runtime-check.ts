// An exported file against the network that it came from: the same images through ONNX Runtime and through libtorch.

import { availableParallelism } from 'node:os';
import { fromTypedArray, noGrad, ops, type Tensor, tidy } from '@pgpc/torch';
import { normalize } from '../pipeline/normalize.js';
import { INPUT, OUTPUT, type ScoringNetwork } from './onnx.js';
import type { WeightFormat } from './weight-formats.js';

/** How far the two are apart. */
export interface OnnxCheck {
  /** Largest absolute difference of two logits. */
  readonly maxError: number;
  /** Share of the logits' pixels whose largest class is the same, 0 .. 1. */
  readonly equal: number;
  /** Pixels that were compared. */
  readonly pixels: number;
  /** 'onnxruntime-node 1.30.0' */
  readonly runtime: string;
}

/**
 * What a file is refused beyond. float32 differs by the order of sums alone. In 16 bits a weight is rounded by up to 2^-11 of
 * itself, in 8 by up to 1/254 of its channel's largest: classes change places where two were nearly level, at few pixels.
 * Networks of random weights, whose classes are nearly level everywhere, keep more than these shares.
 */
const LIMITS: Readonly<Record<WeightFormat, { readonly maxError?: number; readonly equal?: number }>> = {
  float32: { maxError: 1e-3 },
  float16: { equal: 0.995 },
  int8: { equal: 0.95 },
};

/** @returns what is wrong with a file that differs too much; undefined for one that may be used */
export function rejection(format: WeightFormat, { maxError, equal }: OnnxCheck): string | undefined {
  const limit = LIMITS[format];
  // Also NaN is beyond a limit.
  if (limit.maxError !== undefined && !(maxError <= limit.maxError)) {
    return `its logits differ by up to ${maxError.toExponential(1)}, more than ${limit.maxError}`;
  }
  if (limit.equal !== undefined && !(equal >= limit.equal)) {
    return `only ${percent(equal)} of its pixels have the same class, less than ${percent(limit.equal)}`;
  }
  return undefined;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(3)} %`;
}

type OnnxRuntime = typeof import('onnxruntime-node');

/** @throws Error that says how to get it where it is not installed */
async function onnxRuntime(): Promise<OnnxRuntime> {
  try {
    return await import('onnxruntime-node');
  } catch (error) {
    throw new Error(
      'the file cannot be checked, as onnxruntime-node cannot be loaded: `npm install --ignore-scripts onnxruntime-node` ' +
        `gets it (290 MB; its script would fetch CUDA's part as well), --no-check writes without (${(error as Error).message.split('\n')[0]})`,
      { cause: error },
    );
  }
}

export interface CheckOptions {
  /** Whether the graph normalises its input itself. */
  readonly foldPreprocessing: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares a file with its network.
 * @param images batches of RGB in 0 .. 255, float32 (B, 3, H, W)
 * @throws Error where ONNX Runtime is not there or refuses the file; the signal's reason once it is aborted
 */
export async function checkOnnx(
  file: string,
  network: ScoringNetwork,
  images: AsyncIterable<Tensor> | Iterable<Tensor>,
  { foldPreprocessing, signal }: CheckOptions,
): Promise<OnnxCheck> {
  const runtime = await onnxRuntime();
  const session = await runtime.InferenceSession.create(file, {
    intraOpNumThreads: Number(process.env.OMP_NUM_THREADS) || availableParallelism(),
  });
  let [maxError, same, pixels] = [0, 0, 0];
  try {
    for await (const image of images) {
      signal?.throwIfAborted();
      using normalised = tidy(() => normalize(image.div(255)));
      const entering = (foldPreprocessing ? image : normalised).toArray() as Float32Array;
      const outputs = await session.run({ [INPUT]: new runtime.Tensor('float32', entering, image.shape) });
      const theirs = outputs[OUTPUT]!;
      const difference = tidy(() =>
        noGrad(() => {
          const { logits } = network.call(normalised);
          if (logits.shape.join() !== theirs.dims.join()) {
            throw new Error(
              `its logits are [${theirs.dims}] for an image of [${image.shape}], not [${logits.shape}]`,
            );
          }
          const other = fromTypedArray(theirs.data as Float32Array, theirs.dims);
          const equal = ops.eq(logits.argmax(1), other.argmax(1));
          return {
            largest: logits.sub(other).abs().max().item(),
            equal: equal.sum().item(),
            of: equal.numel,
          };
        }),
      );
      // Math.max keeps NaN.
      maxError = Math.max(maxError, difference.largest);
      same += difference.equal;
      pixels += difference.of;
    }
  } finally {
    await session.release();
  }
  return { maxError, equal: same / pixels, pixels, runtime: `onnxruntime-node ${runtime.env.versions.node}` };
}
