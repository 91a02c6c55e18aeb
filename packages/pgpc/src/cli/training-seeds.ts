// The runs of one `pgpc train`: one, or one a seed. Their folders are taken before anything is loaded.

import type { TrainingEvent, TrainingResult } from '../training/events.js';
import { isFollower } from '../training/rank.js';
import { claimRun, type RunClaim } from '../training/run-directory/claim.js';
import type { CommandIo } from './io.js';
import type { Tell } from './output/json.js';

/** Where the runs go, and how many there are. */
interface Runs {
  out: string;
  /** Undefined: the phase's, numbered where it is taken. */
  name: string | undefined;
  overwrite: boolean;
  phase: string;
  seed: number;
  seeds: number;
}

export interface ClaimedRun {
  seed: number;
  /** Undefined in ranks above 0. */
  claim: RunClaim | undefined;
}

/** @throws Error if one of the names is taken, with none of the others claimed. */
export function claimRuns({ out, name, overwrite, phase, seed, seeds }: Runs): ClaimedRun[] {
  const runs: ClaimedRun[] = [];
  try {
    for (let one = seed; one < seed + seeds; one++) {
      const called = `${name ?? phase}${seeds > 1 ? `-seed${one}` : ''}`;
      const options = { overwrite, unique: name === undefined };
      runs.push({ seed: one, claim: isFollower() ? undefined : claimRun(out, called, options) });
    }
    return runs;
  } catch (error) {
    for (const { claim } of runs) claim?.release();
    throw error;
  }
}

/**
 * Trains one after another, shows each, and of several their mean and spread.
 * @param tell is told the same, for JSON.
 */
export async function trainSeeds(
  runs: readonly ClaimedRun[],
  io: CommandIo,
  tell: Tell,
  train: (run: ClaimedRun, onEvent: (event: TrainingEvent) => void) => Promise<TrainingResult>,
): Promise<void> {
  try {
    for (const { claim } of runs) if (claim) io.stdout.write(`run: ${claim.path}\n`);
    const { showTraining, showSeeds } = await import('./output/training.js');
    const results: TrainingResult[] = [];
    const tellRun = tellingRuns(tell);
    for (const run of runs) {
      if (runs.length > 1) io.stderr.write(`seed ${run.seed}: ${run.claim?.path}\n`);
      const result = await showTraining(io, tellRun, (onEvent) => train(run, onEvent));
      if (result.outcome === 'stopped') return;
      results.push(result);
    }
    if (runs.length > 1) showSeeds(results, io, tell);
  } finally {
    for (const { claim } of runs) claim?.release();
  }
}

/** Tells of runs in the order in which they end. */
export function tellingRuns(tell: Tell): (run: object) => void {
  const runs: object[] = [];
  return (run) => {
    runs.push(run);
    tell({ runs });
  };
}
