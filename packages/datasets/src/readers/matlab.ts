// Reading vectors of numbers from MATLAB files of version 5, which is how GTA5 publishes its split.
import { inflateSync } from 'node:zlib';

const INT8 = 1;
const MATRIX = 14;
const COMPRESSED = 15;
const MOST_BYTES = 2 ** 24;

type Reader = (view: DataView, at: number, little: boolean) => number;

const NUMBERS: Readonly<Record<number, { bytes: number; read: Reader }>> = {
  [INT8]: { bytes: 1, read: (view, at) => view.getInt8(at) },
  2: { bytes: 1, read: (view, at) => view.getUint8(at) },
  3: { bytes: 2, read: (view, at, little) => view.getInt16(at, little) },
  4: { bytes: 2, read: (view, at, little) => view.getUint16(at, little) },
  5: { bytes: 4, read: (view, at, little) => view.getInt32(at, little) },
  6: { bytes: 4, read: (view, at, little) => view.getUint32(at, little) },
  7: { bytes: 4, read: (view, at, little) => view.getFloat32(at, little) },
  9: { bytes: 8, read: (view, at, little) => view.getFloat64(at, little) },
};

/**
 * Reads the numeric arrays of a version 5 MAT-file by name, each flattened in column order; other variables are
 * passed over (MathWorks, "MAT-File Level 5 File Format").
 * @throws Error when the bytes are no such file
 */
export function readMatlabVectors(bytes: Uint8Array): Map<string, number[]> {
  const mark = String.fromCharCode(...bytes.subarray(126, 128));
  if (bytes.length < 128 || (mark !== 'IM' && mark !== 'MI')) throw new Error('no version 5 header');
  const little = mark === 'IM';
  const vectors = new Map<string, number[]>();
  for (const element of elements(bytes.subarray(128), little)) {
    const inner = element.type === COMPRESSED ? [...elements(inflated(element.data), little)][0] : element;
    if (inner?.type !== MATRIX) continue;
    // Flags, dimensions, name, and the real part.
    const [, , name, real] = elements(inner.data, little);
    const values = real && numbers(real, little);
    if (name !== undefined && values !== undefined) {
      vectors.set(String.fromCharCode(...name.data), values);
    }
  }
  return vectors;
}

/** Ids of a data set's images, with many times their bytes to spare. */
const inflated = (data: Uint8Array) => inflateSync(data, { maxOutputLength: MOST_BYTES });

interface Element {
  type: number;
  data: Uint8Array;
}

function* elements(bytes: Uint8Array, little: boolean): Generator<Element> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const tag = view.getUint32(at, little);
    // Up to four bytes of data lie inside the tag, their count in its upper half.
    const small = tag > 0xffff;
    const type = small ? tag & 0xffff : tag;
    const length = small ? tag >>> 16 : view.getUint32(at + 4, little);
    const start = at + (small ? 4 : 8);
    if (start + length > bytes.length) throw new Error('the file ends early');
    yield { type, data: bytes.subarray(start, start + length) };
    if (small) at += 8;
    else at = start + (type === COMPRESSED ? length : Math.ceil(length / 8) * 8);
  }
}

function numbers({ type, data }: Element, little: boolean): number[] | undefined {
  const format = NUMBERS[type];
  if (format === undefined) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Array.from({ length: data.length / format.bytes }, (_, i) =>
    format.read(view, i * format.bytes, little),
  );
}
