// The program of one training of several side by side: takes its task by message, tells of its steps, answers with scores.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { classStatistics, openCityscapes, openGta5 } from '@pgpc/datasets';
import type { Experiment } from '../config/experiment.js';
import { evaluateSegmentor } from '../evaluation/evaluate.js';
import type { Scores } from '../evaluation/scores.js';
import { useCores } from '../machine.js';
import { loadSegmentor, saveSegmentor } from '../models/checkpoint.js';
import { describeReport, loadBackboneWeights } from '../models/weights/fit.js';
import { PixelStore } from '../pipeline/pixels.js';
import { MODEL_FILE, Trainer } from '../training/trainer.js';

/** What is to be trained. */
export interface BranchTask {
  experiment: Experiment;
  /** Roots of the data. */
  source: string;
  target: string;
  /** 'cpu', or 'cuda:N', which several trainings can share. */
  device: string;
  /** Threads that decode; 0: that of the training. */
  workers: number;
  /** Train on the target with its labels, as the oracle does. */
  onTarget: boolean;
  /** Checkpoint folder to start from; left out: random values, or the encoder's from `weights`. */
  start: string | undefined;
  weights: string | undefined;
  /** Checkpoint folder to save to. */
  checkpoint: string;
  /** What to save: all that training goes on from, however it ends; a finished training's network alone; nothing. */
  keep: 'training' | 'network' | 'nothing';
  evaluate: boolean;
}

export type BranchMessage =
  | { kind: 'said'; line: string }
  | { kind: 'step'; done: number }
  | { kind: 'log'; iteration: number; values: Record<string, number> }
  | { kind: 'end'; outcome: 'finished' | 'stopped'; seconds: number; scores: Scores | undefined };

const send = (message: BranchMessage) => process.send!(message);

async function run(task: BranchTask, signal: AbortSignal): Promise<void> {
  // Tensors of this size gain little from a second thread, and none on a GPU; the other cores have other branches.
  useCores(1);
  const target = await openCityscapes(task.target, 'train');
  const labelled = task.onTarget ? target : await openGta5(task.source);
  const { counts } = await classStatistics(labelled);
  const { device, workers } = task;
  const trainer = new Trainer(
    task.experiment,
    {
      source: new PixelStore(labelled),
      sourceCounts: counts,
      target: new PixelStore(target),
      workers,
    },
    { device },
  );
  const { segmentor } = trainer.learner;
  if (task.start) {
    using start = loadSegmentor(join(task.start, MODEL_FILE));
    segmentor.loadStateDict(start.stateDict());
  } else if (task.weights) {
    for (const line of describeReport(loadBackboneWeights(segmentor, task.weights)))
      send({ kind: 'said', line });
  }
  trainer.step.adoptStudent();
  const began = performance.now();
  const outcome = await trainer.run({
    signal,
    onStep: (done) => send({ kind: 'step', done }),
    onLog: ({ iteration, values }) => send({ kind: 'log', iteration, values }),
  });
  const seconds = (performance.now() - began) / 1000;
  const { keep, checkpoint } = task;
  if (keep === 'training') trainer.save(checkpoint);
  if (keep === 'network' && outcome === 'finished') {
    await mkdir(checkpoint, { recursive: true });
    saveSegmentor(join(checkpoint, MODEL_FILE), segmentor);
  }
  // Scores are those of the network in float32, which is what is saved.
  trainer.learner.autocast_(undefined);
  // Seconds, which a stop may wait for: the scores of a network that is finished are worth having.
  const scores =
    task.evaluate && outcome === 'finished'
      ? (await evaluateSegmentor(segmentor, await openCityscapes(task.target, 'val'))).scores
      : undefined;
  send({ kind: 'end', outcome, seconds, scores });
}

const stop = new AbortController();
// Ctrl-C reaches every process of the terminal; when to stop is the parent's to say.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(1));
process.on('message', (message: BranchTask | 'stop') => {
  if (message === 'stop') {
    stop.abort();
    return;
  }
  run(message, stop.signal).then(
    () => process.disconnect(),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
});
