// The page for people who come from mmsegmentation names options that there are.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { hasPlaceFor } from '../../src/config/settings.js';
import { drivingExperiment } from '../../src/recipes/driving.js';

const page = readFileSync(
  fileURLToPath(new URL('../../../../docs/from-mmsegmentation.md', import.meta.url)),
  'utf8',
);
/** The right column of the table. */
const ours = page.split('\n').map((line) => line.split(' | ')[1] ?? '');
const keys = [
  ...ours.join('\n').matchAll(/`((?:method|optimizer|schedule|rareClasses|segmentor)\.[\w.]+)/g),
].map(([, key]) => key!);
const experiment = drivingExperiment('gta5-cityscapes', 'daformer', 'mit-b5', true, {});

test('the page names options', () => expect(keys.length).toBeGreaterThan(12));

test.each(keys)('%s is an option of the DAFormer preset', (key) => {
  expect(hasPlaceFor(experiment, key)).toBe(true);
});
