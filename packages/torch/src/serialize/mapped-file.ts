// A weights file's bytes as tensors: mapped into memory where alignment allows, copied where not.
import { type DType, itemSize } from '../dtype.js';
import { ops } from '../ops.js';
import type { Tensor } from '../tensor.js';

/**
 * A file as one uint8 tensor on a private mapping: pages are read when touched, and writes to a tensor stay in memory.
 * Dispose it when the tensors are made; they keep the mapping alive.
 */
export class MappedFile {
  #bytes: Tensor | null = null;

  /**
   * @param size the file's length in bytes
   * @param copy whether tensors get memory of their own instead of the mapping's
   */
  constructor(
    private readonly path: string,
    private readonly size: number,
    private readonly copy: boolean,
  ) {}

  /** `numel` elements from byte `offset` on, shape [numel]. */
  tensor(offset: number, numel: number, dtype: DType): Tensor {
    this.#bytes ??= ops.fromFile(this.path, { shared: false, size: this.size, dtype: 'uint8' });
    const slice = this.#bytes.narrow(0, offset, numel * itemSize(dtype));
    return asDtype(slice, dtype, this.copy || offset % itemSize(dtype) !== 0);
  }

  dispose(): void {
    this.#bytes?.dispose();
    this.#bytes = null;
  }
}

/** Takes over raw bytes [n] and gives them as elements of `dtype`, copied first if `copy`. */
export function asDtype(bytes: Tensor, dtype: DType, copy: boolean): Tensor {
  const owned = copy ? bytes.clone() : bytes;
  // A boolean must be 0 or 1 in memory, which a file does not guarantee.
  const result = dtype === 'bool' ? owned.ne(0) : dtype === 'uint8' ? owned : owned.view(dtype);
  if (owned !== bytes) bytes.dispose();
  if (result !== owned) owned.dispose();
  return result;
}
