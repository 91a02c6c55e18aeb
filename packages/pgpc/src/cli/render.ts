// `pgpc data render` at work: renders street scenes and shows the progress.
import { availableParallelism } from 'node:os';
import type { SourceLayout } from '@pgpc/datasets';
import type { CommandIo } from './io.js';
import { progress } from './output/progress.js';
import type { Size } from './values.js';

/** Options of `pgpc data render`, checked. */
export interface RenderOptions {
  readonly out: string;
  readonly seed: number;
  /** Of the images of both domains, in pixels; undefined: each domain's own. */
  readonly size: Size | undefined;
  /** Layout of the source's files. */
  readonly sourceLayout: SourceLayout;
  readonly sourceTrain: number;
  readonly sourceVal: number;
  readonly targetTrain: number;
  readonly targetVal: number;
}

/** Writes the data set; where it is there already, says so. */
export async function render(options: RenderOptions, io: CommandIo): Promise<void> {
  const { out, size, ...scenes } = options;
  const { writeStreetSynth } = await import('@pgpc/street-synth');
  const total = scenes.sourceTrain + scenes.sourceVal + scenes.targetTrain + scenes.targetVal;
  const bar = progress({ label: 'render', total, stream: io.stderr, unit: 'images' });
  const { written } = await writeStreetSynth(out, {
    ...scenes,
    ...size,
    threads: availableParallelism(),
    onProgress: (done) => bar.update(done),
    signal: io.signal,
  });
  bar.done();
  io.stdout.write(`${out}: ${total} scenes, ${written} of them written now\n`);
}
