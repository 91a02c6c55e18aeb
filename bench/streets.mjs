// The rendered streets that a program in this folder trains on, decoded once and held in memory.

import { classStatistics, openCityscapes, openGta5 } from '@pgpc/datasets';
import { streetSynthFolders } from '@pgpc/street-synth';
import { PixelStore } from '../packages/pgpc/dist/pipeline/pixels.js';

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
