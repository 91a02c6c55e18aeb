// Reads the tensors that lib.mjs wrote.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const arrays = { float32: Float32Array, int64: BigInt64Array, uint8: Uint8Array };

/** @returns by name, each an array of its own, in JavaScript's memory, and its shape. */
export function readTensors(folder) {
  const data = readFileSync(join(folder, 'tensors.bin'));
  const entries = JSON.parse(readFileSync(join(folder, 'tensors.json'), 'utf8'));
  return new Map(
    entries.map(({ name, dtype, shape, offset, elements }) => {
      const start = data.byteOffset + offset;
      const bytes = data.buffer.slice(start, start + elements * arrays[dtype].BYTES_PER_ELEMENT);
      return [name, { array: new arrays[dtype](bytes), shape }];
    }),
  );
}

export function send(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
