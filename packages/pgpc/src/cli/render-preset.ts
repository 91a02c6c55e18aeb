// The data of the street-synth preset on disk, with progress.

import { join } from 'node:path';
import {
  type StreetSynthFolders,
  streetSynthFolders,
  writeStreetSynth,
} from '../datasets/street-synth/index.js';
import type { StreetSynthPreset } from '../presets/street-synth.js';
import type { CommandIo } from './io.js';
import { progress } from './progress.js';

/** Where the preset's images are, if nothing else is said. */
export function presetDataFolder(quick: boolean): string {
  return join('data', quick ? 'street-synth-1-quick' : 'street-synth-1');
}

/** Renders what is not there yet. @throws as `writeStreetSynth` does */
export async function renderStreetSynth(
  root: string,
  data: StreetSynthPreset['data'],
  io: CommandIo,
): Promise<StreetSynthFolders> {
  const total = data.sourceTrain + data.sourceVal + data.targetTrain + data.targetVal;
  const bar = progress({ label: 'render street-synth/1', total, stream: io.stderr, unit: 'images' });
  await writeStreetSynth(root, { ...data, onProgress: (done) => bar.update(done), signal: io.signal });
  bar.done(root);
  return streetSynthFolders(root);
}
