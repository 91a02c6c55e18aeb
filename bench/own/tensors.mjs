// Reads the tensors that lib.mjs wrote.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

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

/**
 * Answers lines of JSON on stdin. An error is an answer too, the last.
 * @param start gives what the process says of itself, and what answers a question.
 */
export async function serve(start) {
  try {
    const { description, answer } = start();
    send(description);
    for await (const line of createInterface({ input: process.stdin })) send(answer(JSON.parse(line)));
  } catch (error) {
    console.error(error);
    send({ error: String(error).slice(0, 500) });
    process.exitCode = 1;
  }
}
