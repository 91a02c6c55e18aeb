// The rendered streets that a program in this folder trains on, decoded once and held in memory.

import { existsSync } from 'node:fs';
import { classStatistics, openCityscapes, openGta5 } from '@pgpc/datasets';
import { streetSynthFolders, writeStreetSynth } from '@pgpc/street-synth';
import { PixelStore } from '../packages/pgpc/dist/pipeline/pixels.js';

/** Renders a few small streets, unless the folder is there. */
export async function renderFew(folder) {
  if (existsSync(folder)) return;
  const scenes = { sourceTrain: 12, sourceVal: 0, targetTrain: 12, targetVal: 4 };
  await writeStreetSynth(folder, { seed: 1, ...scenes, width: 128 });
}

/**
 * @param {string} folder of rendered streets.
 * @returns what a trainer takes, without decoding threads, and the target's labelled images to validate on.
 */
export async function openStreets(folder) {
  const roots = streetSynthFolders(folder);
  const source = await openGta5(roots.source);
  return {
    data: {
      source: new PixelStore(source),
      sourceStatistics: await classStatistics(source),
      target: new PixelStore(await openCityscapes(roots.target, 'train')),
      workers: 0,
    },
    validation: await openCityscapes(roots.target, 'val'),
  };
}
