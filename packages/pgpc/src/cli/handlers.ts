// The library functions behind the commands, loaded when a command runs: `--help` must not wait for libtorch.
import type { RunDemo } from './demo-types.js';
import type { CommandIo } from './io.js';
import type { RenderOptions } from './render.js';
import type { EvaluateCheckpoint, Train } from './train-types.js';

/** What the commands call. */
export interface Handlers {
  readonly demo: RunDemo;
  readonly render: (options: RenderOptions, io: CommandIo) => Promise<void>;
  readonly train: Train;
  readonly evaluate: EvaluateCheckpoint;
  readonly report: (options: { readonly run: string }, io: CommandIo) => Promise<void>;
}

export const HANDLERS: Handlers = {
  demo: async (options, io) => {
    const { runDemo } = await import('./demo.js');
    await runDemo(options, io);
  },
  render: async (options, io) => {
    const { render } = await import('./render.js');
    await render(options, io);
  },
  train: async (options, io) => {
    const { train } = await import('./train.js');
    await train(options, io);
  },
  evaluate: async (options, io) => {
    const { evaluateCheckpoint } = await import('./evaluate.js');
    await evaluateCheckpoint(options, io);
  },
  report: async ({ run }, io) => {
    const { writeReport } = await import('../report/report.js');
    io.stdout.write(`${await writeReport(run)}\n`);
  },
};
