// The data of the street-synth preset on disk, with progress.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type StreetSynthFolders, streetSynthFolders, writeStreetSynth } from '@pgpc/street-synth';
import type { ScaleName, StreetSynthPreset } from '../recipes/street-synth.js';
import type { CommandIo } from './io.js';
import { progress } from './output/progress.js';

/** Where the preset's images are, if nothing else is said. */
export function presetDataFolder(scale: ScaleName): string {
  return join('data', scale === 'demo' ? 'street-synth-1' : `street-synth-1-${scale}`);
}

/** Renders what is not there yet, on all cores. @throws as `writeStreetSynth` does */
export async function renderStreetSynth(
  root: string,
  data: StreetSynthPreset['data'],
  io: CommandIo,
): Promise<StreetSynthFolders> {
  const total = data.sourceTrain + data.sourceVal + data.targetTrain + data.targetVal;
  const bar = progress({ label: 'render street-synth/1', total, stream: io.stderr, unit: 'images' });
  await writeStreetSynth(root, {
    ...data,
    threads: availableParallelism(),
    onProgress: (done) => bar.update(done),
    signal: io.signal,
  });
  bar.done(root);
  return streetSynthFolders(root);
}
