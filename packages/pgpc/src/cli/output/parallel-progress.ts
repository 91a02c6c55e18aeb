// Trainings side by side: one bar for all of them on a terminal, lines of each elsewhere; before them, their data.

import { describeReport } from '../../models/weights/fit.js';
import type { ParallelEvent } from '../../training/parallel-runs.js';
import type { RenderEvent } from '../../training/rendered-streets.js';
import { type Progress, type ProgressOptions, progress } from './progress.js';

export class ParallelProgress {
  readonly #stream: NonNullable<ProgressOptions['stream']>;
  #rendering: Progress | undefined;
  /** Of all trainings. */
  #bar: Progress | undefined;
  /** Of each that is under way. */
  readonly #lines = new Map<string, Progress>();
  readonly #losses: Record<string, number> = {};
  readonly #done = new Map<string, number>();

  constructor({ stderr }: { readonly stderr: NonNullable<ProgressOptions['stream']> }) {
    this.#stream = stderr;
  }

  tell(event: RenderEvent | ParallelEvent): void {
    const stream = this.#stream;
    switch (event.kind) {
      case 'render':
        this.#rendering ??= progress({
          label: 'render street-synth/1',
          total: event.total,
          stream,
          unit: 'images',
        });
        this.#rendering.update(event.done);
        return;
      case 'rendered':
        this.#rendering!.done(event.folder);
        return;
      case 'runs':
        this.#done.clear();
        this.#bar =
          stream.isTTY && process.env.TERM !== 'dumb'
            ? progress({ label: 'train', total: Math.max(1, event.steps), stream })
            : undefined;
        return;
      case 'run':
        this.#tellOfRun(event);
        return;
      case 'run-end':
        this.#lines.get(event.name)?.done(event.outcome);
        delete this.#losses[event.name];
        return;
      case 'runs-end':
        this.#bar?.done();
        return;
    }
  }

  #tellOfRun({ name, iterations, event }: Extract<ParallelEvent, { kind: 'run' }>): void {
    const line = this.#lines.get(name) ?? progress({ label: name, total: iterations, stream: this.#stream });
    this.#lines.set(name, line);
    if (event.kind === 'weights') {
      for (const text of describeReport(event.report)) this.#stream.write(`${text}\n`);
    } else if (event.kind === 'remark') this.#stream.write(`${event.message}\n`);
    else if (event.kind === 'log') this.#losses[name] = event.values['loss/total']!;
    else if (event.kind === 'step') {
      this.#done.set(name, event.done);
      const total = [...this.#done.values()].reduce((sum, steps) => sum + steps, 0);
      this.#bar?.update(total, this.#losses);
      const loss = this.#losses[name];
      if (!this.#bar) line.update(event.done, loss === undefined ? {} : { loss });
    }
  }
}
