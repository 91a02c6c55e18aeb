// The library functions behind the commands, loaded when a command runs: `--help` must not wait for libtorch.
import type { Ablate } from './ablate-types.js';
import type { Bench } from './bench-types.js';
import type { CacheData, CheckData, DataStats } from './data-types.js';
import type { RunDemo } from './demo-types.js';
import type { CommandIo } from './io.js';
import type { RenderOptions } from './render.js';
import type { EvaluateCheckpoint, Predict, Train } from './train-types.js';
import type { ConvertWeightsOptions, InspectWeightsOptions, PullWeightsOptions } from './weights-types.js';

/** What the commands call. */
export interface Handlers {
  readonly demo: RunDemo;
  readonly ablate: Ablate;
  readonly render: (options: RenderOptions, io: CommandIo) => Promise<void>;
  readonly checkData: CheckData;
  readonly dataStats: DataStats;
  readonly cacheData: CacheData;
  readonly train: Train;
  readonly evaluate: EvaluateCheckpoint;
  readonly predict: Predict;
  readonly report: (options: { readonly run: string }, io: CommandIo) => Promise<void>;
  readonly inspectWeights: (options: InspectWeightsOptions, io: CommandIo) => Promise<void>;
  readonly convertWeights: (options: ConvertWeightsOptions, io: CommandIo) => Promise<void>;
  readonly pullWeights: (options: PullWeightsOptions, io: CommandIo) => Promise<void>;
  readonly bench: Bench;
  readonly setUp: (options: object, io: CommandIo) => Promise<void>;
}

export const HANDLERS: Handlers = {
  demo: async (options, io) => {
    const { runDemo } = await import('./demo.js');
    await runDemo(options, io);
  },
  ablate: async (options, io) => {
    const { ablate } = await import('./ablate.js');
    await ablate(options, io);
  },
  render: async (options, io) => {
    const { render } = await import('./render.js');
    await render(options, io);
  },
  checkData: async (options, io) => {
    const { checkData } = await import('./data-check.js');
    await checkData(options, io);
  },
  dataStats: async (options, io) => {
    const { dataStats } = await import('./data-stats.js');
    await dataStats(options, io);
  },
  cacheData: async (options, io) => {
    const { cacheData } = await import('./data-cache.js');
    await cacheData(options, io);
  },
  train: async (options, io) => {
    if (options.nproc !== undefined && options.nproc > 1) {
      const { launchTraining } = await import('./launch.js');
      await launchTraining(options.nproc, io);
      return;
    }
    const { train } = await import('./train.js');
    await train(options, io);
  },
  evaluate: async (options, io) => {
    const { evaluateCheckpoint } = await import('./evaluate.js');
    await evaluateCheckpoint(options, io);
  },
  predict: async (options, io) => {
    const { predict } = await import('./predict.js');
    await predict(options, io);
  },
  report: async ({ run }, io) => {
    const { writeReport } = await import('../report/report.js');
    io.stdout.write(`${await writeReport(run)}\n`);
  },
  inspectWeights: async (options, io) => {
    const { inspectWeights } = await import('./weights.js');
    await inspectWeights(options, io);
  },
  convertWeights: async (options, io) => {
    const { convertWeights } = await import('./weights.js');
    await convertWeights(options, io);
  },
  pullWeights: async (options, io) => {
    const { pullWeights } = await import('./weights-pull.js');
    await pullWeights(options, io);
  },
  bench: async (options, io) => {
    const { bench } = await import('./bench.js');
    await bench(options, io);
  },
  setUp: async (options, io) => {
    const { setUp } = await import('./set-up.js');
    await setUp(options, io);
  },
};
