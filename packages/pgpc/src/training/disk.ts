// Room on the disk: what trainings will take, against what is free, before the first step; and what to say when there is none left.

import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { MODEL_FILE } from '../models/checkpoint.js';
import { CHECKPOINT_FILE, NEXT_FILE, PREVIOUS_FILE, statesIn } from './checkpoint-names.js';
import type { SavedBytes } from './saved-bytes.js';

/** The files that a training writes. */
export interface TrainingFiles extends SavedBytes {
  /** Of its states and its model. */
  readonly folder: string;
  /** Of a second model, that of its best checkpoint. */
  readonly best?: string | undefined;
  /** How many of its states, and of its models, stay when it has ended. */
  readonly stay: { readonly states: number; readonly models: number };
}

/** What a command writes. */
export interface Writing {
  readonly trainings: readonly TrainingFiles[];
  /** Trainings at once. */
  readonly atOnce: number;
  /** Bytes of pictures and metrics, roughly. */
  readonly shown: number;
}

/** States on the disk at once while one is written: the newest, the one before it, and the one that takes their place. */
const STATES = 3;

/** What metrics take a step, at a line of some hundreds of bytes every ten steps. */
const LOG_BYTES = 50;

/** Bytes of the metrics of so many steps, roughly. */
export function metricsBytes(steps: number): number {
  return LOG_BYTES * steps;
}

/**
 * The most that is on the disk at once: what stays of every training, and what the largest ones have besides while they are
 * under way.
 * @returns the sum, and how it comes about in words.
 */
function roomFor({ trainings, atOnce, shown }: Writing): { bytes: number; words: string } {
  const stays = ({ state, model, stay }: TrainingFiles) => stay.states * state + stay.models * model;
  const models = ({ best }: TrainingFiles) => (best === undefined ? 1 : 2);
  const besides = (one: TrainingFiles) => STATES * one.state + models(one) * one.model - stays(one);
  const left = sum(trainings.map(stays));
  const underWay = sum(
    trainings
      .map(besides)
      .sort((a, b) => b - a)
      .slice(0, atOnce),
  );
  const pictures = `${megabytes(shown)} of pictures and metrics`;
  const [only, ...others] = trainings;
  const words =
    only && others.length === 0
      ? `three checkpoints of ${megabytes(only.state)}, ${models(only) === 1 ? 'a model' : 'two models'} of ${megabytes(only.model)}, ${pictures}`
      : `${megabytes(left)} that stay of the checkpoints and models of ${trainings.length} trainings, ${megabytes(underWay)} besides while they are under way, up to ${atOnce} at once, ${pictures}`;
  return { bytes: left + underWay + shown, words };
}

/**
 * Compares what is going to be written with what is free on the disk. Checkpoints and models that are there count as free.
 * @param place folder of the run or the runs, which need not be there yet.
 * @throws Error with both numbers if that is too little. A file system that does not say how large it is has room.
 */
export function checkRoom(place: string, writing: Writing): void {
  const { bavail, bsize, blocks } = statfsSync(existing(resolve(place)));
  if (blocks === 0) return;
  const { bytes, words } = roomFor(writing);
  const files = writing.trainings.flatMap(({ folder, best }) => [
    ...[CHECKPOINT_FILE, PREVIOUS_FILE, NEXT_FILE, MODEL_FILE].map((name) => join(folder, name)),
    ...(best === undefined ? [] : [join(best, MODEL_FILE)]),
  ]);
  const written = sum(files.map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0));
  const [needed, free] = [bytes - written, bavail * bsize];
  if (needed <= free) return;
  const what = writing.trainings.length === 1 ? 'the run needs' : 'the trainings need';
  throw new Error(
    `${place}: ${what} ${megabytes(needed)} more on this disk (${words}${written > 0 ? `; ${megabytes(written)} are there` : ''}), and ${megabytes(free)} are free: free some, or choose another --out`,
  );
}

/** The folder, or the nearest one above it that is there. */
function existing(folder: string): string {
  return existsSync(folder) ? folder : existing(dirname(folder));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, one) => all + one, 0);
}

/** An error as a run says it: with what to do, where the disk is full. */
export function withDiskAdvice(error: unknown, run: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof Error) || (code !== 'ENOSPC' && code !== 'EDQUOT')) return error;
  const advice = hasState(run)
    ? `What was saved before is whole: free some room, then resume it with pgpc train --resume ${run}`
    : 'There is no checkpoint yet: free some room, then start it anew with --overwrite';
  return new Error(`${error.message}. ${advice}`, { cause: error });
}

/** Whether a run has a checkpoint, of whatever phase. */
function hasState(run: string): boolean {
  const folder = join(run, 'checkpoints');
  const phases = existsSync(folder) ? readdirSync(folder) : [];
  return phases.some((phase) => statesIn(join(folder, phase)).length > 0);
}

function megabytes(bytes: number): string {
  return `${Math.ceil(bytes / 1e6)} MB`;
}
