// How long trainings side by side are going to take on this machine, from a few steps of each method.

import type { Experiment } from '../config/experiment.js';
import { enterDevice } from '../training/device.js';
import type { Job } from '../training/parallel-runs.js';
import { stepSeconds } from '../training/random-steps.js';

export interface TimedJob extends Job {
  readonly experiment: Experiment;
}

/**
 * Seconds from the first step to the last: each method's step is timed on random tensors, and the jobs are laid out as
 * they are going to run. Decoding and evaluation come on top.
 * @param lanes trainings at once. @param device 'cpu', 'cuda:0', ...
 */
export function forecastSeconds(jobs: readonly TimedJob[], lanes: number, device: string): number {
  const ofMethod = new Map<string, number>();
  const seconds = new Map<string, number>();
  for (const { name, experiment } of jobs) {
    enterDevice(device, experiment.precision);
    const method = JSON.stringify(experiment.method);
    if (!ofMethod.has(method)) ofMethod.set(method, stepSeconds(experiment, device));
    seconds.set(name, experiment.iterations * ofMethod.get(method)!);
  }
  return makespan(jobs, lanes, (name) => seconds.get(name)!);
}

/** When the last of the jobs ends, each started in its order as soon as a lane and what it waits for are there. */
export function makespan(jobs: readonly Job[], lanes: number, lengthOf: (name: string) => number): number {
  const waiting = [...jobs];
  const ends = new Map<string, number>();
  const running: { name: string; end: number }[] = [];
  let now = 0;
  while (waiting.length > 0 || running.length > 0) {
    const ready = waiting.findIndex(({ after }) => after === undefined || ends.has(after));
    if (ready >= 0 && running.length < lanes) {
      const [{ name }] = waiting.splice(ready, 1) as [Job];
      running.push({ name, end: now + lengthOf(name) });
      continue;
    }
    if (running.length === 0)
      throw new Error(`${waiting[0]!.name} waits for ${waiting[0]!.after}, which is no job`);
    const next = running.reduce((a, b) => (b.end < a.end ? b : a));
    running.splice(running.indexOf(next), 1);
    now = next.end;
    ends.set(next.name, now);
  }
  return now;
}
