// A class file for masks of colours, from the colours in them.

import { MAX_CLASSES } from '../classes/class-file.js';
import { DatasetError } from '../errors.js';
import { forEachConcurrently } from '../files/concurrent.js';
import { colorName, MOST_DRAWN } from './colors.js';
import { readLabelValues } from './values.js';

/** Enough to see every class of a data set that is drawn by hand. */
const FILES = 200;

/**
 * A class file for masks of colours, with the colours that occur in them, the most frequent first.
 * @param files masks; of many only some are read
 * @returns undefined where they have too few or too many colours for classes
 */
export async function proposeClassFile(files: readonly string[]): Promise<string | undefined> {
  const step = Math.max(1, Math.floor(files.length / FILES));
  const counts = new Map<number, number>();
  await forEachConcurrently(
    files.filter((_, i) => i % step === 0),
    async (file) => {
      try {
        const { values } = await readLabelValues(file, ANY_COLOR);
        for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
      } catch (error) {
        if (!(error instanceof DatasetError)) throw error;
      }
    },
  );
  if (counts.size < 2 || counts.size > Math.min(MOST_DRAWN, MAX_CLASSES)) return undefined;
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const pixels = sorted.reduce((sum, [, count]) => sum + count, 0);
  const lines = sorted.map(([color, count], i) => {
    const share = ((100 * count) / pixels).toFixed(2);
    return `  - { name: class ${i}, color: '${colorName(color)}' }  # ${share} % of the pixels`;
  });
  return ['masks: colors', 'classes:', ...lines, ''].join('\n');
}

const ANY_COLOR = { kind: 'colors', colors: new Uint32Array(), trainIds: new Uint8Array() } as const;
