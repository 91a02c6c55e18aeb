// What a training with contrast leaves in a run directory, made up: pictures of two checkpoints, prototypes and banks.

import { saveSafetensors, tensor, tidy } from '@pgpc/torch';
import { Rng } from '../../src/random.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import type { RunDirectory } from '../../src/training/run-directory/run-directory.js';

const STEPS = [500, 1000] as const;
/** Classes that have a prototype: all but the last. */
const KNOWN = 18;
const CLASSES = 19;
const WIDTH = 8;
const ROWS_OF_CLASS = 3;
/** Of the pictures of choices. */
const SIZE = { width: 16, height: 8 };

/** A class's direction: its own, and a bit of another's, which wanes. */
function prototype(c: number, step: number): number[] {
  const rng = new Rng(c, 'prototype');
  const row = Array.from({ length: WIDTH }, () => rng.next() - 0.5);
  row[0]! += 500 / step;
  const length = Math.hypot(...row);
  return row.map((x) => x / length);
}

/**
 * Adds them to a run with pictures. At step 500 all pixels are anchors of class 0, at 1000 of class 1; of class c those in the
 * columns from c on are negatives.
 */
export async function addContrast(run: RunDirectory): Promise<void> {
  const { pictures } = openRun(run.path);
  const pixels = SIZE.width * SIZE.height;
  for (const entry of pictures!.target) {
    entry.checkpoints = [];
    for (const [order, iteration] of STEPS.entries()) {
      const name = (kind: string) => entry.image.replace('.png', `-${iteration}-${kind}.png`);
      const kinds = { 'pseudo-label': name('pseudo-label'), entropy: name('entropy') };
      const chosen = { anchors: name('anchors'), negatives: name('negatives') };
      const flat = new Uint8Array(pixels).fill(order);
      await run.writeLabelPicture(kinds['pseudo-label'], { ...SIZE, data: flat });
      await run.writePicture(kinds.entropy, { ...SIZE, data: new Uint8Array(3 * pixels).fill(90 * order) });
      await run.writeLabelPicture(chosen.anchors, { ...SIZE, data: flat });
      const side = Math.ceil(Math.sqrt(CLASSES));
      const [width, height] = [side * SIZE.width, Math.ceil(CLASSES / side) * SIZE.height];
      const masks = Uint8Array.from({ length: width * height }, (_, i) => {
        const [x, y] = [i % width, Math.floor(i / width)];
        const c = Math.floor(y / SIZE.height) * side + Math.floor(x / SIZE.width);
        return c < CLASSES && x % SIZE.width >= c ? 255 : 0;
      });
      await run.writeMaskPicture(chosen.negatives, { width, height, data: masks });
      entry.checkpoints.push({ iteration, pictures: { ...kinds, ...chosen } });
    }
  }
  const checkpoints = STEPS.map((iteration) => ({
    iteration,
    prototypes: `prototypes-${iteration}.safetensors`,
  }));
  tidy(() => {
    for (const { iteration, prototypes } of checkpoints) {
      const rows = Array.from({ length: CLASSES }, (_, c) => prototype(c, iteration));
      const known = tensor(rows.map((_, c) => Number(c < KNOWN))).to('uint8');
      saveSafetensors(run.picturePath(prototypes), { prototypes: tensor(rows), known });
    }
    const owners = Array.from({ length: ROWS_OF_CLASS * KNOWN }, (_, i) => Math.floor(i / ROWS_OF_CLASS));
    saveSafetensors(run.picturePath('memory-1000.safetensors'), {
      centres: tensor(owners.map((c, i) => prototype(c, 900 + (i % ROWS_OF_CLASS)))).to('bfloat16'),
      'centres.owner': tensor(owners).to('int32'),
    });
  });
  run.writePictureIndex({ ...pictures!, contrast: { checkpoints, memory: 'memory-1000.safetensors' } });
}
