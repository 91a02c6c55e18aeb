// Weights of products in the file: as they are, in 16 bits, or in 8 with a scale for each output channel.

import { fromTypedArray, type TypedArray, tidy } from '@pgpc/torch';
import type { Attribute, ElementType } from './onnx-schema.js';
import type { WeightFormat } from './weight-formats.js';

/** What stands in the file for one weight. */
export interface StoredWeight {
  readonly tensors: readonly {
    /** Behind the weight's name. */
    readonly suffix: string;
    readonly type: ElementType;
    readonly dims: readonly number[];
    readonly data: TypedArray;
  }[];
  /** The operator that makes float32 of them; undefined where they are it. */
  readonly reader?: { readonly opType: string; readonly attributes: Readonly<Record<string, Attribute>> };
}

/** Largest finite number of 16 bits. */
const MOST_HALF = 65504;
/** Of a channel of zeros, which any scale holds. */
const SMALLEST_SCALE = 1e-30;
/** Symmetric: -127 ... 127, so that zero stays zero. */
const STEPS = 127;

/**
 * @param axis of the output channels
 * @throws Error for a weight that 16 bits cannot hold
 */
export function storeWeight(
  format: WeightFormat,
  values: Float32Array,
  shape: readonly number[],
  axis: number,
  name: string,
): StoredWeight {
  if (format === 'float32') {
    return { tensors: [{ suffix: '', type: 'float32', dims: shape, data: values }] };
  }
  return tidy((): StoredWeight => {
    const weight = fromTypedArray(values, shape);
    if (format === 'float16') {
      const most = weight.abs().max().item();
      if (!(most <= MOST_HALF)) {
        throw new Error(`${name} has values up to ${most}, and float16 ends at ${MOST_HALF}; take float32`);
      }
      const data = weight.to('float16').view('int16').toArray();
      return {
        tensors: [{ suffix: '', type: 'float16', dims: shape, data }],
        reader: { opType: 'Cast', attributes: { to: 1 } },
      };
    }
    const others = shape.map((_, i) => i).filter((i) => i !== axis);
    const largest = weight.abs().amax(others, true);
    const scale = largest.div(STEPS).clampMin(SMALLEST_SCALE);
    const whole = weight.div(scale).round().to('int8');
    const channels = shape[axis]!;
    return {
      tensors: [
        { suffix: '', type: 'int8', dims: shape, data: whole.toArray() },
        { suffix: '_scale', type: 'float32', dims: [channels], data: scale.toArray() },
      ],
      reader: { opType: 'DequantizeLinear', attributes: { axis } },
    };
  });
}
