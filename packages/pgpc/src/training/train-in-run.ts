// The steps of a training, its checkpoints, and its evaluation, in a run directory.

import type { ProcessGroup } from '@pgpc/torch';
import { methodLabel } from '../config/method.js';
import type { TrainingConfig } from '../config/training.js';
import type { UnlabelledScores } from '../evaluation/unlabelled.js';
import { loadModel } from '../models/checkpoint.js';
import { CheckpointClock } from './checkpoint-clock.js';
import type { OpenedData } from './data.js';
import { checkRoom, metricsBytes, withDiskAdvice } from './disk.js';
import type { TrainingEvent, TrainingResult } from './events.js';
import type { LogFormat } from './logs/formats.js';
import { RunLog } from './logs/run-log.js';
import type { BesideState } from './resume.js';
import type { RunDirectory } from './run-directory/run-directory.js';
import type { MethodResult } from './run-directory/schema.js';
import { CheckpointSelection, SCORED_IMAGES } from './selection.js';
import { picturesBytes, TargetWatch } from './target-watch.js';
import { type TrainingStart, train } from './train.js';
import type { Trainer } from './trainer.js';
import { usedMemory } from './used-memory.js';
import { iouByName } from './validation-scores.js';
import { evaluateOnTarget, resultOf } from './worst-images.js';

/** Where and for whom a training computes. */
interface Surroundings {
  device: string;
  group: ProcessGroup | undefined;
  signal: AbortSignal;
  emit: (event: TrainingEvent) => void;
  /** Decoding threads where the configuration does not say. */
  workers: number | undefined;
  /** Other forms of the log. */
  log: readonly LogFormat[];
}

/** @param run undefined in ranks above 0. @throws what a step or an event's receiver throws; the run says so by then. */
export async function trainInRun(
  run: RunDirectory | undefined,
  config: TrainingConfig,
  data: OpenedData,
  { device, group, signal, emit, workers, log: formats }: Surroundings,
  start: TrainingStart,
): Promise<TrainingResult> {
  const { phase, experiment, select, checkpointEvery } = config;
  const { iterations } = experiment;
  const { validation, classes } = data;
  const clock = new CheckpointClock(checkpointEvery);
  let selection: CheckpointSelection | undefined;
  let log: RunLog | undefined;
  let watch: TargetWatch | undefined;
  let savedAt: number | undefined;
  const save = (trainer: Trainer, folder: string) => {
    const beside: BesideState = {
      selection: selection!.selection.state,
      metricsLines: run!.metricsLines,
    };
    trainer.save(folder, beside);
    savedAt = trainer.iteration;
    clock.saved();
  };
  try {
    const folder = run?.checkpointDirectory(phase);
    emit({ kind: 'stage', stage: 'build the network' });
    const { outcome, seconds, evaluated } = await train({
      experiment,
      origin: { run: run?.name, method: phase },
      data: { ...data, workers: data.workers ?? workers },
      start,
      device,
      group,
      signal,
      evaluation: run &&
        validation && {
          dataset: validation,
          size: config.data.target.scale,
          signal,
          onImage: (done, total) => emit({ kind: 'evaluate', done, total }),
        },
      onWeights: (report) => emit({ kind: 'weights', report }),
      onInit: (file, entries) => emit({ kind: 'init', file, entries }),
      onBegin: async (trainer) => {
        const { iteration, beside } = trainer;
        const names = classes.map(({ name }) => name);
        if (run && folder) {
          const best = run.checkpointDirectory('best');
          const files = { ...trainer.bytes(), folder, best, stay: { states: 2, models: 2 } };
          const pictures = await picturesBytes(validation ?? data.target!.dataset);
          checkRoom(run.path, { trainings: [files], atOnce: 1, shown: pictures + metricsBytes(iterations) });
          selection = await CheckpointSelection.open(
            best,
            data.target!,
            select,
            names,
            (beside as Partial<BesideState>).selection,
          );
          const { scale: size } = config.data.target;
          const { every } = clock;
          watch = await TargetWatch.open(run, { target: data.target!.dataset, validation, size, every });
          const resumedAt = iteration > 0 ? iteration : undefined;
          if (formats.length > 0) log = new RunLog(run.path, formats, run.info.classes, resumedAt);
        }
        const forecast = {
          every: clock.every,
          scored: Math.min(SCORED_IMAGES, data.target!.length),
          evaluated: validation?.samples.length ?? 0,
        };
        emit({ kind: 'begin', phase, iteration, iterations, forecast });
      },
      onLog: (entry) => {
        run?.log({ phase, iteration: entry.iteration }, entry.values);
        log?.write(entry.iteration, entry.values);
        emit({ kind: 'log', ...entry });
      },
      onSkipped: (step) => emit({ kind: 'warning', ...step }),
      onThreadsLost: (iteration, { count, last }) => {
        const message = `a decoding thread ended (${last.message}) and was replaced, number ${count} of this process; what it had not decoded was decoded again`;
        emit({ kind: 'warning', iteration, message });
      },
      onStep: async (done, trainer) => {
        emit({ kind: 'step', done });
        if (!run || !folder || !selection || !watch) return;
        const due = clock.due(done, iterations);
        if (due === undefined) return;
        emit({ kind: 'stage', stage: 'write a checkpoint' });
        if (due === 'time') {
          save(trainer, folder);
          emit({ kind: 'saved', iteration: done, folder });
          return;
        }
        const { scores, warnings, best } = selection.check(trainer.step, done, (image, total) =>
          emit({ kind: 'score', done: image, total }),
        );
        const metrics = {
          ...unlabelledMetrics(scores),
          ...(await watch.checkpoint(done, trainer.step)),
          ...usedMemory(device),
        };
        run.log({ phase, iteration: done }, metrics);
        log?.write(done, metrics);
        log?.checkpoint(done, trainer.step, selection.images);
        // Last: a checkpoint is there when all that belongs to it is, and what was written for one that is not there is
        // written again by whoever resumes.
        save(trainer, folder);
        emit({ kind: 'checkpoint', iteration: done, folder, scores, best });
        for (const message of warnings) emit({ kind: 'warning', iteration: done, message });
      },
      onTrained: (trainer, outcome) => {
        group?.barrier();
        if (outcome === 'stopped' && run && folder && trainer.iteration !== savedAt) save(trainer, folder);
        emit({ kind: 'end', outcome });
        if (outcome === 'finished' && run && validation) emit({ kind: 'stage', stage: 'evaluate' });
      },
    });
    const withoutResult = data.withoutValidation;
    const label = methodLabel(phase, experiment.method);
    const result = evaluated && resultOf({ name: phase, label, seconds }, evaluated);
    if (result) {
      run?.addResult(result);
      await watch?.keepWorst(result, evaluated.worst);
      log?.write(iterations, resultMetrics(result, classes));
    }
    await log?.close();
    await watch?.close();
    const kept = selection?.selection.state.best;
    const best = kept && selection && { score: select, ...kept, folder: selection.folder };
    const isOther = best !== undefined && best.iteration !== iterations;
    let bestResult: MethodResult | undefined;
    if (run && result && validation && isOther) {
      const size = config.data.target.scale;
      const onImage = (done: number, total: number) => emit({ kind: 'evaluate', done, total });
      using network = loadModel(best.folder).to({ device });
      const evaluated = await evaluateOnTarget(network, validation, { size, signal, onImage });
      const named = `${label}, step ${best.iteration}: best by ${select}`;
      bestResult = resultOf({ name: `${phase}-best`, label: named, seconds }, evaluated);
      run.addResult(bestResult);
      await watch?.keepWorst(bestResult, evaluated.worst);
    }
    run?.finish(outcome);
    return {
      outcome,
      run: run?.path,
      checkpoint: folder,
      best,
      result,
      bestResult,
      withoutResult,
      classes,
      config,
    };
  } catch (error) {
    await log?.close().catch(() => {});
    await watch?.close().catch(() => {});
    const told = run ? withDiskAdvice(error, run.path) : error;
    run?.fail(signal.aborted ? 'stopped' : 'failed', told);
    throw told;
  } finally {
    selection?.dispose();
  }
}

/** What the finished network reaches, by names for a log. */
function resultMetrics(
  { miou, accuracy, iou }: MethodResult,
  classes: readonly { readonly name: string }[],
): Record<string, number> {
  return { 'result/miou': miou, 'result/accuracy': accuracy, ...iouByName('iou/', iou, classes) };
}

/** The scores under the names that the log has them by. */
function unlabelledMetrics({ shares: _, ...scores }: UnlabelledScores): Record<string, number> {
  return Object.fromEntries(Object.entries(scores).map(([name, value]) => [`unlabelled/${name}`, value]));
}
