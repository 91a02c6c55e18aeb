// What the tests of datasets share: files in a temporary folder, and tiny images.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { encode } from 'fast-png';
import { afterEach, beforeEach, expect } from 'vitest';
import { LABEL_PALETTE } from '../../src/classes/cityscapes.js';
import { DatasetError } from '../../src/errors.js';

/** A folder that every test finds empty. */
export class Workspace {
  root = '';

  constructor() {
    beforeEach(async () => {
      this.root = await mkdtemp(path.join(os.tmpdir(), 'pgpc-datasets-'));
    });
    afterEach(() => rm(this.root, { recursive: true, force: true }));
  }

  path(...parts: string[]): string {
    return path.join(this.root, ...parts);
  }

  async put(name: string, bytes: Uint8Array | string): Promise<string> {
    const file = this.path(name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, bytes);
    return file;
  }
}

/** One colour, or given bytes. */
export function rgb(width: number, height: number, data?: readonly number[] | Uint8Array): Uint8Array {
  const bytes = data ? Uint8Array.from(data) : new Uint8Array(width * height * 3).fill(90);
  return encode({ width, height, data: bytes, channels: 3 });
}

export function grey(width: number, height: number, data: readonly number[] | Uint8Array): Uint8Array {
  return encode({ width, height, data: Uint8Array.from(data), channels: 1 });
}

/** A palette image of GTA5: the index is the label id. */
export function indexed(width: number, height: number, data: readonly number[]): Uint8Array {
  const palette = LABEL_PALETTE.map((color) => [...color]);
  return encode({ width, height, data: Uint8Array.from(data), channels: 1, palette });
}

/** 16-bit RGB with the values in the first channel and others in the rest, as SYNTHIA has it. */
export function wide(width: number, height: number, values: readonly number[]): Uint8Array {
  const data = Uint16Array.from({ length: 3 * values.length }, (_, i) =>
    i % 3 === 0 ? values[i / 3]! : 1000 + i,
  );
  return encode({ width, height, data, channels: 3, depth: 16 });
}

/** A mask of colours 0xRRGGBB. */
export function colored(width: number, height: number, colors: readonly number[]): Uint8Array {
  return rgb(
    width,
    height,
    colors.flatMap((color) => [color >> 16, (color >> 8) & 255, color & 255]),
  );
}

/** The one-line message of the DatasetError that `action` fails with. */
export async function failure(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DatasetError);
  const { message } = error as DatasetError;
  expect(message).not.toContain('\n');
  return message;
}
