// The tensors of a safetensors file that a run directory has for the page.

/** A tensor of two dimensions, or of one: then `width` is 1. */
export interface Rows {
  readonly count: number;
  readonly width: number;
  /** Row after row. */
  readonly values: Float32Array;
}

type Read = (bytes: ArrayBuffer) => ArrayLike<number>;

const READ: Readonly<Record<string, Read>> = {
  F32: (bytes) => new Float32Array(bytes),
  // The upper half of a float32.
  BF16: (bytes) => new Float32Array(Uint32Array.from(new Uint16Array(bytes), (half) => half << 16).buffer),
  I32: (bytes) => new Int32Array(bytes),
  U8: (bytes) => new Uint8Array(bytes),
};

interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** @throws Error if the file is none or has a type of number that the page does not know. */
export function readSafetensors(file: ArrayBuffer): Map<string, Rows> {
  if (file.byteLength < 8) throw new Error('the file of features is cut off');
  const length = Number(new DataView(file).getBigUint64(0, true));
  const header = new TextDecoder().decode(file.slice(8, 8 + length));
  const { __metadata__: _, ...entries } = JSON.parse(header) as Record<string, Entry>;
  const tensors = Object.entries(entries).map(([name, { dtype, shape, data_offsets }]): [string, Rows] => {
    const read = Object.hasOwn(READ, dtype) ? READ[dtype] : undefined;
    if (!read)
      throw new Error(`the file of features has numbers of type ${dtype}, which the page does not read`);
    const [count = 0, width = 1] = shape;
    const [start, end] = data_offsets.map((offset) => 8 + length + offset);
    const values = Float32Array.from(read(file.slice(start, end)));
    if (values.length !== count * width) throw new Error('the file of features is cut off');
    return [name, { count, width, values }];
  });
  return new Map(tensors);
}

/** The rows, each as an array. */
export function eachRow({ count, width, values }: Rows): Float32Array[] {
  return Array.from({ length: count }, (_, i) => values.subarray(i * width, (i + 1) * width));
}
