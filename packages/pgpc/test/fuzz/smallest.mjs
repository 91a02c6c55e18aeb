// Makes the files of a faulty input smaller while they have the fault.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Fault } from './judge.mjs';
import { kinds } from './kinds/index.mjs';
import { Random } from './random.mjs';

/** Of readings for one input. */
const MOST_TRIES = 600;

/**
 * The files of an input, reduced one after another by parts that are left out.
 * @param fault what it is to have still; what ends a process is not tried here.
 */
export async function smallest(name, seed, index, fault, folder) {
  const kind = await kinds[name]();
  const files = kind.make(new Random(seed, index));
  if (/^(ends the process|hangs|took)/.test(fault)) return files;
  let tries = 0;
  const has = async (tried) => {
    tries++;
    rmSync(folder, { recursive: true, force: true });
    for (const [file, bytes] of tried) {
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), bytes);
    }
    const random = new Random(seed, index);
    // What was drawn to make the files, so that the same readers are called.
    kind.make(random);
    try {
      await kind.read(folder, random, tried);
      return false;
    } catch (error) {
      return error instanceof Fault && error.message === fault;
    }
  };
  if (!(await has(files))) return files;
  for (const [file, whole] of files) {
    let bytes = whole;
    for (
      let part = Math.ceil(bytes.length / 2);
      part >= 1 && tries < MOST_TRIES;
      part = Math.floor(part / 2)
    ) {
      for (let at = 0; at < bytes.length && tries < MOST_TRIES; ) {
        const cut = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + part)]);
        const repaired = kind.repair?.(file, cut) ?? cut;
        if (await has(new Map([...files, [file, repaired]]))) {
          bytes = repaired;
          files.set(file, bytes);
        } else at += part;
      }
    }
  }
  return files;
}
