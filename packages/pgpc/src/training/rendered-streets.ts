// The data of the street-synth preset on disk.

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type StreetSynthFolders, streetSynthFolders, writeStreetSynth } from '@pgpc/street-synth';
import type { ScaleName, StreetSynthPreset } from '../recipes/street-synth.js';

/** What rendering tells: images that are there, then the folder. */
export type RenderEvent =
  | { kind: 'render'; done: number; total: number }
  | { kind: 'rendered'; folder: string };

/** Where the preset's images are, if nothing else is said. */
export function presetDataFolder(scale: ScaleName): string {
  return join('data', scale === 'demo' ? 'street-synth-1' : `street-synth-1-${scale}`);
}

/** Renders what is not there yet, on all cores. @throws as `writeStreetSynth` does */
export async function renderStreetSynth(
  folder: string,
  data: StreetSynthPreset['data'],
  { signal, onEvent }: { signal: AbortSignal; onEvent: (event: RenderEvent) => void },
): Promise<StreetSynthFolders> {
  const total = data.sourceTrain + data.sourceVal + data.targetTrain + data.targetVal;
  onEvent({ kind: 'render', done: 0, total });
  await writeStreetSynth(folder, {
    ...data,
    threads: availableParallelism(),
    onProgress: (done) => onEvent({ kind: 'render', done, total }),
    signal,
  });
  onEvent({ kind: 'rendered', folder });
  return streetSynthFolders(folder);
}
