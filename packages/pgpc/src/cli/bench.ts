// `pgpc bench`: times or profiles a configuration's steps, as tables and as JSON.

import { existsSync, realpathSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { buildInfo, type Profile, setNumThreads } from '@pgpc/torch';
import { methodConfig, pgpcContrast } from '../adaptation/config.js';
import { segmentorConfig } from '../models/segmentor.js';
import { networks } from '../presets/driving.js';
import { percent } from '../report/format.js';
import { type BenchmarkOptions, profileSteps, timeSteps } from '../training/benchmark.js';
import { daformerRecipe, type Experiment } from '../training/experiment.js';
import { gib } from '../training/memory.js';
import { packageVersion, useCores } from '../versions.js';
import type { Bench, BenchOptions } from './bench-types.js';
import type { CommandIo } from './io.js';
import { progress } from './progress.js';
import { textTable } from './table.js';

/** Iterations of the paper's runs, for which the time is given. */
const PAPER_ITERATIONS = 40_000;

export const bench: Bench = async (options, io) => {
  if (options.threads === undefined) useCores();
  else setNumThreads(options.threads);
  const experiment = experimentOf(options);
  const machine = describeMachine();
  const { network, method, batch, crop, steps, warmUp, seed, profile, activationCheckpointing } = options;
  const images = method === 'source-only' ? `${batch}` : `${batch} + ${batch}`;
  io.stdout.write(
    `${network}, ${method}, ${images} images of ${crop.width} x ${crop.height}, ${steps} steps after ${warmUp}` +
      `${activationCheckpointing ? ', activation checkpointing' : ''}\n` +
      `${machine.cpu}, ${machine.threads} threads; libtorch ${machine.libtorch}, ${machine.blas}\n\n`,
  );
  const bar = progress({ label: profile ? 'profile' : 'bench', total: warmUp + steps, stream: io.stderr });
  const measuring: BenchmarkOptions = {
    steps,
    warmUp,
    signal: io.signal,
    onStep: (done) => bar.update(done),
  };
  const measure = profile ? profiled : timed;
  const results = await measure(experiment, measuring, options, io, () => bar.done());
  if (options.json) {
    const settings = { network, method, batch, crop, steps, warmUp, seed, activationCheckpointing };
    writeFileSync(options.json, `${JSON.stringify({ settings, machine, ...results }, null, 2)}\n`);
  }
};

type Measure = (
  experiment: Experiment,
  measuring: BenchmarkOptions,
  options: BenchOptions,
  io: CommandIo,
  measured: () => void,
) => Promise<Record<string, unknown>>;

const timed: Measure = async (experiment, measuring, _options, io, measured) => {
  const times = await timeSteps(experiment, measuring);
  measured();
  const parts = {
    data: times.map(({ data }) => data),
    step: times.map(({ step }) => step),
    all: times.map(({ data, step }) => data + step),
  };
  const all = median(parts.all);
  const rows = Object.entries(parts).map(([part, ms]) => [
    part,
    ...[median(ms), Math.min(...ms), Math.max(...ms)].map(milliseconds),
    percent(median(ms) / all),
  ]);
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const hours = (PAPER_ITERATIONS * all) / 3.6e6;
  io.stdout.write(textTable(['a step', 'median, ms', 'least', 'most', '%'], rows));
  io.stdout.write(
    'data: crops of decoded images in memory, so without decoding, which threads do ahead of a step\n' +
      `${(1000 / all).toPrecision(3)} it/s; ${PAPER_ITERATIONS.toLocaleString('en-US')} iterations take ` +
      `${hours.toPrecision(3)} h; peak memory ${gib(peakBytes)}\n`,
  );
  return { times, iterationsPerSecond: 1000 / all, peakBytes };
};

const profiled: Measure = async (experiment, measuring, options, io, measured) => {
  const taken = await profileSteps(experiment, measuring);
  measured();
  const { steps, profile } = options;
  const { top, trace } = profile!;
  const results = summary(taken, steps);
  io.stdout.write(
    textTable(
      ['module, ms a step', 'total', 'self', 'backward, %', 'calls'],
      results.modules
        .slice(0, top)
        .map(({ name, total, self, backward, calls }) => [
          name || '(no module)',
          milliseconds(total),
          milliseconds(self),
          percent(total > 0 ? backward / total : 0),
          String(calls),
        ]),
    ),
  );
  io.stdout.write('\n');
  io.stdout.write(
    textTable(
      ['operator, ms a step', 'self', 'total', 'calls'],
      results.operators
        .slice(0, top)
        .map(({ name, self, total, calls }) => [
          name,
          milliseconds(self),
          milliseconds(total),
          String(calls),
        ]),
    ),
  );
  const left = Math.max(results.modules.length, results.operators.length) - top;
  io.stdout.write(
    `\n${milliseconds(results.stepMs)} ms a step under the profiler, ${milliseconds(results.operatorMs)} of them in ` +
      `operators${left > 0 ? `; --top ${top + left} shows all rows` : ''}\n`,
  );
  if (trace) {
    writeFileSync(trace, JSON.stringify(taken.chromeTrace()));
    io.stdout.write(`trace: ${trace}\n`);
  }
  return results;
};

/** Milliseconds and calls of one step. */
function summary(taken: Profile, steps: number) {
  const operators = taken.byOperator().map(({ name, calls, self, total }) => ({
    name,
    calls: calls / steps,
    self: self / steps,
    total: total / steps,
  }));
  const modules = taken.byModule().map(({ name, calls, self, total, backward }) => ({
    name,
    calls: calls / steps,
    self: self / steps,
    total: total / steps,
    backward: backward / steps,
  }));
  const operatorMs = operators.reduce((sum, { self }) => sum + self, 0);
  return { stepMs: taken.wall / steps, operatorMs, modules, operators };
}

/** DAFormer's recipe, the contrast from the first step on; the frozen encoder is as random as the others. */
function experimentOf(options: BenchOptions): Experiment {
  const { network, method, batch, crop, steps, warmUp, seed, activationCheckpointing } = options;
  const [backbone, head] = networks[network];
  return daformerRecipe({
    segmentor: segmentorConfig(backbone, head),
    method: methodConfig(method, { contrast: { ...pgpcContrast, warmup: 0 } }),
    batch,
    crop,
    iterations: warmUp + steps,
    seed,
    ...(activationCheckpointing && { activationCheckpointing }),
  });
}

function describeMachine() {
  const { libtorch, blas, threads } = buildInfo();
  return {
    cpu: cpus()[0]?.model ?? 'unknown CPU',
    cores: cpus().length,
    threads,
    libtorch,
    // Debian's name of it is a link to the one that was chosen.
    blas: existsSync(blas) ? realpathSync(blas) : blas,
    node: process.version,
    pgpc: packageVersion(),
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2);
}
