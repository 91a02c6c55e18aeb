// Where a comparison's run is: a new folder, or that of a run which was stopped or killed.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../config/usage-error.js';
import { claimRun } from '../training/run-directory/claim.js';
import { readRunInfo } from '../training/run-directory/open-run.js';
import { own } from '../training/run-directory/owner.js';
import { type RunDescription, RunDirectory } from '../training/run-directory/run-directory.js';

export interface PlaceOptions {
  /** Folder of the run directories. */
  readonly out: string;
  /** Undefined: the usual name, made unique. */
  readonly name?: string | undefined;
  /** Replace a run that has the name. */
  readonly overwrite: boolean;
  /**
   * Run directory to resume, with the options that it was started with: each training from its newest state. Then `out`, `name`
   * and `overwrite` say nothing.
   */
  readonly resume?: string | undefined;
}

/** A folder that no other process writes. */
export interface Place {
  readonly path: string;
  /** @throws UsageError for a run that is finished or was started with other options. */
  begin(description: RunDescription): RunDirectory;
  release(): void;
}

/** @throws UsageError if there is no run to resume; Error if the folder cannot be had. */
export function takePlace({ out, name, overwrite, resume }: PlaceOptions, usualName: string): Place {
  if (resume === undefined) {
    const claim = claimRun(out, name ?? usualName, { overwrite, unique: name === undefined });
    return {
      path: claim.path,
      begin: (description) => RunDirectory.begin(claim, description),
      release: () => claim.release(),
    };
  }
  if (!existsSync(join(resume, 'run.json'))) {
    throw new UsageError(`${resume} is no run directory: it has no run.json`);
  }
  const ownership = own(resume);
  return {
    path: resume,
    begin: (description) => resumed(resume, description),
    release: () => ownership.release(),
  };
}

function resumed(directory: string, description: RunDescription): RunDirectory {
  const { config, seed, status, command } = readRunInfo(directory);
  if (status === 'finished') {
    throw new UsageError(`${directory} is finished: there is nothing to resume`);
  }
  const [before, now] = [
    { ...config, seed },
    JSON.parse(JSON.stringify({ ...description.config, seed: description.seed })),
  ];
  const differ = [...new Set([...Object.keys(before), ...Object.keys(now)])].filter(
    (key) => JSON.stringify((before as Record<string, unknown>)[key]) !== JSON.stringify(now[key]),
  );
  if (differ.length > 0) {
    const was = command === undefined ? '' : `: ${command}`;
    throw new UsageError(
      `--resume ${directory}: it was started with other options (${differ.join(', ')} differ); give it those${was}`,
    );
  }
  // Trainings that are resumed tell again what they had logged.
  const { device, versions } = description;
  return RunDirectory.resume(directory, device, { metricsLines: 0, versions });
}
