// The folder of one run, open for writing: self-contained, and the only thing that reports and dashboards read.

import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CITYSCAPES_CLASSES, type ClassInfo, naming, writeJson } from '@pgpc/datasets';
import { THEN } from '../surroundings.js';
import { type CreateRunOptions, claimRun, type RunClaim } from './claim.js';
import { METRICS_FILE } from './metrics.js';
import { openRun, readRunInfo } from './open-run.js';
import { describeMachine } from './origin.js';
import { RunPictures } from './pictures.js';
import { repair } from './repair.js';
import { isRunName } from './run-name.js';
import {
  checked,
  type MethodResult,
  methodResultSchema,
  type PictureIndex,
  pictureIndexSchema,
  picturesIn,
  type RunInfo,
  type RunStatus,
  runInfoSchema,
} from './schema.js';

const PICTURE_INDEX = 'index.json';

const FIXED_FIELDS = new Set(['phase', 'seed', 'iteration', 'wall']);

/** Where in a run a set of metrics was taken; `seed` tells the repetitions of a phase apart. */
export interface MetricPosition {
  readonly phase: string;
  readonly seed?: number;
  readonly iteration: number;
}

/** What a run says of itself when it starts. */
export interface RunDescription {
  /** The resolved configuration: plain JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly seed: number;
  /** The classes, in the order of their trainIds; the 19 of Cityscapes by default. */
  readonly classes?: readonly Pick<ClassInfo, 'name' | 'color'>[];
  /** Versions by name, for example `{ pgpc, libtorch }`; Node's is added. */
  readonly versions: Readonly<Record<string, string>>;
  /** What was trained on, such as 'cpu' or 'cuda:0 (NVIDIA H100 80GB HBM3)'. */
  readonly device?: string;
  /** The git revision of the code, see `gitRevision`. */
  readonly gitRevision?: string | undefined;
  /** The heading and the one-sentence account of the report. */
  readonly title?: string;
  readonly description?: string;
  /** The command line that repeats the run. */
  readonly command?: string;
}

/** What is not as before when a run is resumed. */
export interface RunUpdate {
  /** Lines of the metrics up to the checkpoint that is resumed from; left out: what follows it is superseded. */
  readonly metricsLines?: number | undefined;
  readonly config?: Readonly<Record<string, unknown>>;
  /** As in {@link RunDescription}; they take the place of what the run has. */
  readonly versions?: Readonly<Record<string, string>>;
  readonly changes?: readonly string[];
}

/**
 * The folder of one run, open for writing: `run.json`, `metrics.jsonl`, `results.json`, `checkpoints/<phase>/` and
 * `pictures/`. Whole JSON files are replaced atomically and metrics are appended line by line, so a crash at any
 * moment leaves a directory that `openRun` reads.
 */
export class RunDirectory extends RunPictures {
  #info: RunInfo;
  #results: readonly MethodResult[];
  readonly #wallBefore: number;
  readonly #clockStart = performance.now();
  #metricsLines: number;

  private constructor(
    directory: string,
    info: RunInfo,
    results: readonly MethodResult[],
    wallBefore: number,
    metricsLines: number,
    /** What was found of a run that is resumed, a line each. */
    readonly said: readonly string[],
  ) {
    super(directory, info.classes);
    this.#info = info;
    this.#results = results;
    this.#wallBefore = wallBefore;
    this.#metricsLines = metricsLines;
  }

  /** Makes `root/name` and writes its `run.json` with status `running`. @throws as {@link claimRun} does. */
  static create(
    root: string,
    name: string,
    description: RunDescription,
    options: CreateRunOptions = {},
  ): RunDirectory {
    return RunDirectory.begin(claimRun(root, name, options), description);
  }

  /** Writes `run.json` with status `running` into a folder that was claimed. */
  static begin(claim: RunClaim, description: RunDescription): RunDirectory {
    const directory = claim.path;
    const info = runInfoSchema.parse({
      name: path.basename(directory),
      title: description.title,
      description: description.description,
      command: description.command,
      config: description.config,
      seed: description.seed,
      versions: { ...description.versions, node: process.versions.node },
      machine: describeMachine(),
      device: description.device,
      gitRevision: description.gitRevision,
      classes: description.classes ?? CITYSCAPES_CLASSES,
      status: 'running',
      started: new Date().toISOString(),
      resumed: [],
    });
    claim.clear();
    const run = new RunDirectory(directory, info, [], 0, 0, []);
    run.#writeInfo(info);
    return run;
  }

  /**
   * Opens an existing run to resume it: status `running` again, wall time counts from the last record. What is damaged and
   * only there to be shown is set aside, and said in `said`.
   *
   * @param device what it resumes on; run.json names all devices, in order.
   * @param update a configuration in place of the former, and what is not as before, in words.
   * @throws Error if the directory holds no readable run.
   */
  static resume(directory: string, device?: string, update: RunUpdate = {}): RunDirectory {
    const { said, metricsLines } = repair(directory, readRunInfo(directory).classes, update.metricsLines);
    const run = openRun(directory);
    const wall = run.metrics.reduce((most, record) => Math.max(most, record.wall), 0);
    const resumed = new RunDirectory(directory, run.info, run.results, wall, metricsLines, said);
    const { finished: _finished, error: _error, ...info } = run.info;
    const devices = info.device?.split(THEN) ?? [];
    if (device !== undefined && devices.at(-1) !== device) devices.push(device);
    const { config = info.config, changes = [] } = update;
    const time = new Date().toISOString();
    const changed = [...(info.changes ?? []), ...changes.map((what) => ({ time, what }))];
    resumed.#writeInfo({
      ...info,
      ...(devices.length > 0 && { device: devices.join(THEN) }),
      config,
      versions: { ...info.versions, ...update.versions, node: process.versions.node },
      machine: describeMachine(),
      status: 'running',
      resumed: [...info.resumed, time],
      ...(changed.length > 0 && { changes: changed }),
    });
    return resumed;
  }

  get name(): string {
    return this.#info.name;
  }

  get info(): RunInfo {
    return this.#info;
  }

  /** The results so far, in the order they were added. */
  get results(): readonly MethodResult[] {
    return this.#results;
  }

  /**
   * Appends one line to `metrics.jsonl`: numbers under names such as `loss/total`, `loss/contrast`, `lr` or `q`.
   * NaN and infinities are stored as null; `wall` is added.
   *
   * @throws TypeError if the iteration is no count or a value is no number.
   */
  log(position: MetricPosition, values: Readonly<Record<string, number>>): void {
    const { phase, seed, iteration } = position;
    if (!Number.isSafeInteger(iteration) || iteration < 0) {
      throw new TypeError(
        `metrics of phase '${phase}': iteration ${iteration} is not a non-negative integer`,
      );
    }
    for (const [metric, value] of Object.entries(values)) {
      if (FIXED_FIELDS.has(metric)) {
        throw new TypeError(`metrics of phase '${phase}': '${metric}' is the name of a fixed field`);
      }
      if (typeof value !== 'number') {
        throw new TypeError(
          `metrics of phase '${phase}': '${metric}' is a ${typeof value}, expected a number`,
        );
      }
    }
    const wall = Math.round(this.#wallBefore * 1000 + performance.now() - this.#clockStart) / 1000;
    const line = JSON.stringify({ phase, seed, iteration, wall, ...values });
    const file = path.join(this.path, METRICS_FILE);
    try {
      appendFileSync(file, `${line}\n`);
    } catch (error) {
      throw naming(file, error);
    }
    this.#metricsLines++;
  }

  /** How many lines the metrics have now. */
  get metricsLines(): number {
    return this.#metricsLines;
  }

  /**
   * Adds a method's result, or replaces that of the same method and seed, and rewrites `results.json`.
   *
   * @param order - names of methods: seed by seed, results are kept in it
   * @throws Error if the result has not one IoU a class, or a value outside 0..1.
   */
  addResult(result: MethodResult, order?: readonly string[]): void {
    if (result.iou.length !== this.#info.classes.length) {
      throw new Error(
        `result of '${result.name}' has ${result.iou.length} IoU values, the run has ${this.#info.classes.length} classes`,
      );
    }
    checked(methodResultSchema, JSON.parse(JSON.stringify(result)), `result of '${result.name}'`);
    const same = (other: MethodResult) => other.name === result.name && other.seed === result.seed;
    this.#results = this.#results.some(same)
      ? this.#results.map((other) => (same(other) ? result : other))
      : [...this.#results, result];
    if (order) {
      const place = ({ name, seed = 0 }: MethodResult) => [seed, order.indexOf(name)] as const;
      this.#results = this.#results.toSorted((a, b) => {
        const [[seedOfA, placeOfA], [seedOfB, placeOfB]] = [place(a), place(b)];
        return seedOfA - seedOfB || placeOfA - placeOfB;
      });
    }
    writeJson(path.join(this.path, 'results.json'), this.#results);
  }

  /** The folder for a phase's checkpoints, made if it is missing. */
  checkpointDirectory(phase: string): string {
    if (!isRunName(phase)) throw new Error(`phase '${phase}' cannot be the name of a checkpoint folder`);
    const directory = path.join(this.path, 'checkpoints', phase);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  /** Replaces `pictures/index.json`. @throws Error if a file name has a folder in it. */
  writePictureIndex(index: PictureIndex): void {
    // As it is going to be read, JSON having null in place of NaN; and in the order in which a resumed run has read it.
    const read = checked(pictureIndexSchema, JSON.parse(JSON.stringify(index)), 'picture index');
    writeJson(this.picturePath(PICTURE_INDEX), read);
  }

  /** Removes from `pictures/` what an index does not name: pictures shown no more, and what a killed write left. */
  async removeUnlistedPictures(index: PictureIndex): Promise<void> {
    const folder = path.join(this.path, 'pictures');
    for (const file of await readdir(folder)) {
      // At once, by what is named now: the next checkpoint may have written a file of this name since the folder was read.
      const listed = file === PICTURE_INDEX || picturesIn(index).has(file);
      if (!listed) rmSync(path.join(folder, file), { recursive: true });
    }
  }

  /**
   * Ends a run that has failed by an error that is going to be thrown: one of writing that down is not to take its place, and
   * leaves the run as one whose process has died.
   */
  fail(status: 'stopped' | 'failed', error: unknown): void {
    try {
      this.finish(status, error instanceof Error ? error.message : String(error));
    } catch {
      // The disk that is full, most likely, is what the error is about.
    }
  }

  /** Writes the end of the run into `run.json`; `error` is the one-line reason of a failure. */
  finish(status: Exclude<RunStatus, 'running'>, error?: string): void {
    const info = { ...this.#info, status, finished: new Date().toISOString() };
    this.#writeInfo(error === undefined ? info : { ...info, error });
  }

  #writeInfo(info: RunInfo): void {
    this.#info = info;
    writeJson(path.join(this.path, 'run.json'), info);
  }
}
