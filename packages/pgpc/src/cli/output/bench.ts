// `pgpc bench`: times or profiles a configuration's steps, as tables and as JSON.

import { existsSync, realpathSync } from 'node:fs';
import { cpus } from 'node:os';
import { buildInfo, deviceMemory, type Profile, setNumThreads } from '@pgpc/torch';
import { pgpcContrast } from '../../config/contrast.js';
import { chosenDenoising } from '../../config/denoise.js';
import type { Experiment } from '../../config/experiment.js';
import { chosenMasking } from '../../config/masked-consistency.js';
import { type MethodName, methodConfig } from '../../config/method.js';
import { chosenResolutions } from '../../config/multi-resolution.js';
import { chosenPrecision, type Precision } from '../../config/precision.js';
import { isDino, type NetworkName, networks, segmentorConfig } from '../../config/segmentor.js';
import { withSettings } from '../../config/settings.js';
import { chosenStyle } from '../../config/style.js';
import { chosenDevice, describeDevice, packageVersion, useCores } from '../../machine.js';
import { daformerRecipe } from '../../recipes/daformer.js';
import { percent } from '../../report/format.js';
import { type BenchmarkOptions, profileSteps, timeSteps } from '../../training/benchmark.js';
import type { ResolvedChoice } from '../../training/choice.js';
import { gib } from '../../training/memory.js';
import type { Action, JsonChoice } from '../command.js';
import type { CommandIo } from '../io.js';
import type { Size } from '../values.js';
import { type Tell, withJson } from './json.js';
import { progress } from './progress.js';
import { textTable } from './table.js';
import { writeText } from './text-file.js';

/** Iterations of the paper's runs, for which the time is given. */
const PAPER_ITERATIONS = 40_000;

export interface BenchOptions extends JsonChoice {
  readonly network: NetworkName;
  readonly method: MethodName;
  readonly crop: Size;
  readonly style: ResolvedChoice['style'];
  readonly denoise: ResolvedChoice['denoise'];
  readonly multiResolution: ResolvedChoice['multiResolution'];
  readonly maskedConsistency: ResolvedChoice['maskedConsistency'];
  /** Source images a step, and as many target images. */
  readonly batch: number;
  readonly steps: number;
  /** Undefined: as many as the device takes to settle. */
  readonly warmUp: number | undefined;
  /** Undefined: the cores, or what OMP_NUM_THREADS says. */
  readonly threads: number | undefined;
  readonly seed: number;
  /** 'auto', 'cpu', 'cuda' or 'cuda:N'. */
  readonly device: string;
  /** Undefined: bfloat16 on a GPU, float32 on the CPU. */
  readonly precision: Precision | undefined;
  /** Run most of the student twice to save memory. */
  readonly activationCheckpointing: boolean;
  readonly set: ResolvedChoice['set'];
  /** Tell where the time goes, instead of how much it is; undefined: do not. */
  readonly profile: ProfileOptions | undefined;
}

export interface ProfileOptions {
  /** Rows of each table. */
  readonly top: number;
  /** File for a Chrome trace; undefined: none is written. */
  readonly trace: string | undefined;
}

export const bench: Action<BenchOptions> = (options, own) =>
  withJson(options.json, own, (io, tell) => measure(options, { io, own }, tell), options.profile?.trace);

async function measure(options: BenchOptions, { io, own }: Streams, tell: Tell): Promise<void> {
  if (options.threads === undefined) useCores();
  else setNumThreads(options.threads);
  const device = chosenDevice(options.device);
  // On a GPU libraries try their algorithms in the first steps, which are then recorded as graphs.
  const { warmUp = device === 'cpu' ? 2 : 10 } = options;
  const experiment = experimentOf({ ...options, warmUp }, device);
  const { precision = 'float32' } = experiment;
  const machine = { ...describeMachine(), device: describeDevice(device) };
  const { network, method, batch, crop, steps, seed, profile, activationCheckpointing } = options;
  const images = method === 'source-only' ? `${batch}` : `${batch} + ${batch}`;
  io.stdout.write(
    `${network}, ${method}${variantOf(options)}, ${images} images of ${crop.width} x ${crop.height}, ${steps} steps after ${warmUp}` +
      `${activationCheckpointing ? ', activation checkpointing' : ''}\n` +
      (device === 'cpu' && precision === 'float32' ? '' : `${machine.device}, ${precision}\n`) +
      `${machine.cpu}, ${machine.threads} threads; libtorch ${machine.libtorch}, ${machine.blas}\n\n`,
  );
  // On a GPU the steps are timed twice, see `timeSteps`.
  const rounds = device === 'cpu' || profile ? 1 : 2;
  const total = warmUp + rounds * steps;
  const bar = progress({ label: profile ? 'profile' : 'bench', total, stream: io.stderr });
  const measuring: MeasuringOptions = {
    steps,
    warmUp,
    device,
    signal: io.signal,
    onStep: (done) => bar.update(done),
  };
  const measured = await (profile ? profiled : timed)(experiment, measuring, options, { io, own }, () =>
    bar.done(),
  );
  const { style, denoise, multiResolution, maskedConsistency, set } = options;
  const settings = {
    network,
    method,
    ...{ style, denoise, multiResolution, maskedConsistency, set },
    batch,
    crop,
    steps,
    warmUp,
    seed,
    precision,
    activationCheckpointing,
  };
  tell({ settings, machine, ...measured });
}

/** The command's own streams, and where it says what is not in a file. */
interface Streams {
  readonly io: CommandIo;
  readonly own: CommandIo;
}

type MeasuringOptions = BenchmarkOptions & { device: string };

type Measure = (
  experiment: Experiment,
  measuring: MeasuringOptions,
  options: BenchOptions,
  streams: Streams,
  measured: () => void,
) => Promise<Record<string, unknown>>;

const timed: Measure = async (experiment, measuring, _options, { io }, measured) => {
  const { times, pipelined } = await timeSteps(experiment, measuring);
  const memory = memoryOf(measuring.device);
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
  const iteration = pipelined ?? all;
  const hours = (PAPER_ITERATIONS * iteration) / 3.6e6;
  io.stdout.write(textTable(['a step', 'median, ms', 'least', 'most', '%'], rows));
  io.stdout.write(
    'data: crops of decoded images in memory, so without decoding, which threads do ahead of a step\n' +
      (pipelined === undefined
        ? ''
        : `${milliseconds(pipelined)} ms a step where the GPU is waited for after all of them, and data is there\n`) +
      `${(1000 / iteration).toPrecision(3)} it/s; ${PAPER_ITERATIONS.toLocaleString('en-US')} iterations take ` +
      `${hours.toPrecision(3)} h; peak memory ${memory.text}\n`,
  );
  return { times, pipelinedMs: pipelined, iterationsPerSecond: 1000 / iteration, ...memory.bytes };
};

/** The most that was in use: resident in this process, and on a GPU in tensors and in what is kept for them. */
function memoryOf(device: string): { text: string; bytes: Record<string, number> } {
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  if (device === 'cpu') return { text: gib(peakBytes), bytes: { peakBytes } };
  const { peak, peakReserved } = deviceMemory();
  return {
    text: `of ${device} ${gib(peak)} in tensors, ${gib(peakReserved)} reserved; of this process ${gib(peakBytes)}`,
    bytes: { peakBytes, devicePeakBytes: peak, deviceReservedBytes: peakReserved },
  };
}

const profiled: Measure = async (experiment, measuring, options, { io, own }, measured) => {
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
  if (measuring.device !== 'cpu') {
    io.stdout.write(
      "operators are timed where they are called, one by one: that is what launching the GPU's kernels takes, not what they take\n",
    );
  }
  if (trace) {
    io.stdout.write(writeText('trace', trace, JSON.stringify(taken.chromeTrace()), own));
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

/** What is added to a method's step, in words. */
function variantOf({ style, denoise, multiResolution, maskedConsistency, set }: BenchOptions): string {
  const added = [style, denoise, multiResolution, maskedConsistency].filter((name) => name !== 'none');
  const changed = Object.entries(set).map(([key, value]) => `, ${key} ${JSON.stringify(value)}`);
  return [...added.map((name) => ` + ${name}`), ...changed].join('');
}

/** DAFormer's recipe, the contrast from the first step on; the frozen encoder is as random as the others. */
function experimentOf(options: BenchOptions & { warmUp: number }, device: string): Experiment {
  const { network, method, batch, crop, steps, warmUp, seed, activationCheckpointing } = options;
  const { style, denoise, multiResolution, maskedConsistency, set } = options;
  const [backbone, head] = networks[network];
  const recipe = daformerRecipe({
    segmentor: segmentorConfig(backbone, head, chosenResolutions(multiResolution, crop)),
    method: methodConfig(method, {
      contrast: { ...pgpcContrast, warmup: 0 },
      style: chosenStyle(style),
      denoise: chosenDenoising(denoise),
      maskedConsistency: chosenMasking(maskedConsistency),
      ...(isDino(backbone) && { featureDistance: false }),
    }),
    batch,
    crop,
    iterations: warmUp + 2 * steps,
    seed,
    ...chosenPrecision(options.precision, device),
    ...(activationCheckpointing && { activationCheckpointing }),
  });
  return withSettings(recipe, set);
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
