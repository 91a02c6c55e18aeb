// Run directory: the self-contained folder one run writes, and the only thing that reports and dashboards read.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
} from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import path from 'node:path';
import type { ClassInfo, LabelMap, RgbImage } from '@pgpc/datasets';
import { CITYSCAPES_CLASSES, writeJson } from '@pgpc/datasets';
import sharp from 'sharp';
import { z } from 'zod';
import { isRunName, RUN_NAME_RULE } from './run-name.js';

/** Between the devices of a run that went on on another one. */
const THEN = ', then ';

const FIXED_FIELDS = new Set(['phase', 'seed', 'iteration', 'wall']);

// JSON has no NaN: it is stored as null and comes back as NaN.
const figure = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const fraction = z
  .number()
  .min(0)
  .max(1)
  .nullable()
  .transform((value) => value ?? Number.NaN);
const channel = z.number().int().min(0).max(255);
const pictureFile = z
  .string()
  .regex(/^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u, 'must be a file name without folders');

const runClassSchema = z.object({ name: z.string(), color: z.tuple([channel, channel, channel]) });

const runInfoSchema = z.object({
  name: z.string(),
  title: z.string().optional(),
  description: z.string().optional(),
  command: z.string().optional(),
  config: z.record(z.string(), z.unknown()),
  seed: z.number().int(),
  versions: z.record(z.string(), z.string()),
  machine: z.string(),
  device: z.string().optional(),
  gitRevision: z.string().optional(),
  classes: z.array(runClassSchema).min(1),
  status: z.enum(['running', 'finished', 'stopped', 'failed']),
  started: z.iso.datetime(),
  resumed: z.array(z.iso.datetime()),
  finished: z.iso.datetime().optional(),
  error: z.string().optional(),
});

const metricRecordSchema = z
  .object({
    phase: z.string(),
    seed: z.number().int().optional(),
    iteration: z.number().int().min(0),
    wall: z.number().min(0),
  })
  .catchall(figure);

const methodResultSchema = z.object({
  name: z.string(),
  label: z.string(),
  seed: z.number().int().optional(),
  miou: fraction,
  iou: z.array(fraction),
  accuracy: fraction,
  classAccuracy: z.array(fraction).optional(),
  meanAccuracy: fraction.optional(),
  frequencyWeightedIou: fraction.optional(),
  seconds: z.number().min(0),
});

const pictureIndexSchema = z.object({
  source: z.array(z.object({ image: pictureFile, label: pictureFile })),
  target: z.array(
    z.object({
      id: z.string(),
      image: pictureFile,
      truth: pictureFile.optional(),
      predictions: z.record(z.string(), pictureFile),
    }),
  ),
});

/** A class as pictures and tables show it: `color` is RGB, 0..255 each. */
export type RunClass = z.infer<typeof runClassSchema>;

/** How a run ended, or that it has not. A process that was killed leaves `running` behind. */
export type RunStatus = z.infer<typeof runInfoSchema>['status'];

/** What `run.json` holds. Times are ISO 8601 in UTC. */
export type RunInfo = z.infer<typeof runInfoSchema>;

/**
 * What one method reached on the target: scores are fractions 0..1, as in `Scores` of the evaluation; `iou` and
 * `classAccuracy` have an entry for every class of the run (NaN: the class does not occur), `seconds` is the training
 * time. A method run with several seeds has one result for each.
 */
export type MethodResult = z.infer<typeof methodResultSchema>;

/** What is in `pictures/`: file names, relative to that folder; `predictions` is keyed by `MethodResult.name`. */
export type PictureIndex = z.infer<typeof pictureIndexSchema>;

/** One line of `metrics.jsonl` as it is read back: the fixed fields, and any number under `name` or `group/name`. */
export interface MetricRecord {
  readonly phase: string;
  readonly seed?: number;
  readonly iteration: number;
  /** Seconds that the run had been going, time between stop and resume left out. */
  readonly wall: number;
  readonly values: Readonly<Record<string, number>>;
}

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

/** What to do when the name is taken: refuse (default), replace that run, or append -2, -3, ... to the name. */
export interface CreateRunOptions {
  readonly overwrite?: boolean;
  readonly unique?: boolean;
}

/**
 * The folder of one run, open for writing: `run.json`, `metrics.jsonl`, `results.json`, `checkpoints/<phase>/` and
 * `pictures/`. Whole JSON files are replaced atomically and metrics are appended line by line, so a crash at any
 * moment leaves a directory that `openRun` reads.
 */
export class RunDirectory {
  readonly path: string;
  #info: RunInfo;
  #results: readonly MethodResult[];
  readonly #wallBefore: number;
  readonly #clockStart = performance.now();

  private constructor(
    directory: string,
    info: RunInfo,
    results: readonly MethodResult[],
    wallBefore: number,
  ) {
    this.path = directory;
    this.#info = info;
    this.#results = results;
    this.#wallBefore = wallBefore;
  }

  /**
   * Makes `root/name` and writes its `run.json` with status `running`.
   *
   * @throws Error if the name is no plain file name, or the folder exists and is not empty. `overwrite` empties only
   *   a folder that a run has written.
   */
  static create(
    root: string,
    name: string,
    description: RunDescription,
    options: CreateRunOptions = {},
  ): RunDirectory {
    if (!isRunName(name)) {
      throw new Error(`run name '${name}' is not allowed: use ${RUN_NAME_RULE}`);
    }
    mkdirSync(root, { recursive: true });
    const directory = claimDirectory(root, name, options);
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
    const run = new RunDirectory(directory, info, [], 0);
    run.#writeInfo(info);
    return run;
  }

  /**
   * Opens an existing run to go on writing to it: status `running` again, wall time goes on from the last record.
   * Metrics logged beyond the iteration from which training goes on are superseded when the directory is read.
   *
   * @param device what it goes on on; run.json names all devices, in order.
   * @throws Error if the directory holds no readable run.
   */
  static resume(directory: string, device?: string): RunDirectory {
    const run = openRun(directory);
    const metrics = path.join(directory, 'metrics.jsonl');
    if (existsSync(metrics)) truncateSync(metrics, lengthOfWholeLines(readFileSync(metrics)));
    const wall = run.metrics.reduce((most, record) => Math.max(most, record.wall), 0);
    const resumed = new RunDirectory(directory, run.info, run.results, wall);
    const { finished: _finished, error: _error, ...info } = run.info;
    const devices = info.device?.split(THEN) ?? [];
    if (device !== undefined && devices.at(-1) !== device) devices.push(device);
    resumed.#writeInfo({
      ...info,
      ...(devices.length > 0 && { device: devices.join(THEN) }),
      status: 'running',
      resumed: [...info.resumed, new Date().toISOString()],
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
    appendFileSync(path.join(this.path, 'metrics.jsonl'), `${line}\n`);
  }

  /**
   * Adds a method's result, or replaces that of the same method and seed, and rewrites `results.json`.
   *
   * @throws Error if the result has not one IoU a class, or a value outside 0..1.
   */
  addResult(result: MethodResult): void {
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
    writeJson(path.join(this.path, 'results.json'), this.#results);
  }

  /** The folder for a phase's checkpoints, made if it is missing. */
  checkpointDirectory(phase: string): string {
    if (!isRunName(phase)) throw new Error(`phase '${phase}' cannot be the name of a checkpoint folder`);
    const directory = path.join(this.path, 'checkpoints', phase);
    mkdirSync(directory, { recursive: true });
    return directory;
  }

  /** Writes an RGB image to `pictures/<file>` as PNG. */
  async writePicture(file: string, image: RgbImage): Promise<void> {
    const { width, height, data } = image;
    const target = this.#picturePath(file);
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(target);
  }

  /** Writes train ids to `pictures/<file>` as a PNG in the classes' colours; ids that are no class are black. */
  async writeLabelPicture(file: string, labels: LabelMap): Promise<void> {
    const lookup = new Uint8Array(256 * 3);
    for (const [id, { color }] of this.#info.classes.entries()) lookup.set(color, id * 3);
    const data = new Uint8Array(labels.data.length * 3);
    for (let i = 0; i < labels.data.length; i++) {
      const entry = labels.data[i]! * 3;
      data[i * 3] = lookup[entry]!;
      data[i * 3 + 1] = lookup[entry + 1]!;
      data[i * 3 + 2] = lookup[entry + 2]!;
    }
    await this.writePicture(file, { width: labels.width, height: labels.height, data });
  }

  /** Replaces `pictures/index.json`. @throws Error if a file name has a folder in it. */
  writePictureIndex(index: PictureIndex): void {
    mkdirSync(path.join(this.path, 'pictures'), { recursive: true });
    const checkedIndex = checked(pictureIndexSchema, index, 'picture index');
    writeJson(path.join(this.path, 'pictures', 'index.json'), checkedIndex);
  }

  /** Writes the end of the run into `run.json`; `error` is the one-line reason of a failure. */
  finish(status: Exclude<RunStatus, 'running'>, error?: string): void {
    const info = { ...this.#info, status, finished: new Date().toISOString() };
    this.#writeInfo(error === undefined ? info : { ...info, error });
  }

  #picturePath(file: string): string {
    checked(pictureFile, file, `picture '${file}'`);
    mkdirSync(path.join(this.path, 'pictures'), { recursive: true });
    return path.join(this.path, 'pictures', file);
  }

  #writeInfo(info: RunInfo): void {
    this.#info = info;
    writeJson(path.join(this.path, 'run.json'), info);
  }
}

/** All that a run directory holds besides checkpoints and the pictures themselves. */
export interface Run {
  readonly directory: string;
  readonly info: RunInfo;
  /** Grouped by phase and seed in order of appearance, iterations rising within a group. */
  readonly metrics: readonly MetricRecord[];
  readonly results: readonly MethodResult[];
  /** Undefined where the run has written no pictures. */
  readonly pictures: PictureIndex | undefined;
}

/**
 * Reads a run directory, also one that is being written or whose process was killed: a last line of metrics that is
 * cut off is left out, missing files count as empty.
 *
 * @throws Error naming file and entry if the folder is no run directory or a file does not have its form.
 */
export function openRun(directory: string): Run {
  const infoFile = path.join(directory, 'run.json');
  if (!existsSync(infoFile)) throw new Error(`${directory} is no run directory: it has no run.json`);
  const info = checked(runInfoSchema, readJson(infoFile), infoFile);
  const resultsFile = path.join(directory, 'results.json');
  const results = existsSync(resultsFile)
    ? checked(z.array(methodResultSchema), readJson(resultsFile), resultsFile)
    : [];
  for (const { name, iou } of results) {
    if (iou.length !== info.classes.length) {
      throw new Error(
        `${resultsFile}: '${name}' has ${iou.length} IoU values for ${info.classes.length} classes`,
      );
    }
  }
  const picturesFile = path.join(directory, 'pictures', 'index.json');
  const pictures = existsSync(picturesFile)
    ? checked(pictureIndexSchema, readJson(picturesFile), picturesFile)
    : undefined;
  return { directory, info, metrics: readMetrics(path.join(directory, 'metrics.jsonl')), results, pictures };
}

/** The git revision of the code in `directory`, with `-dirty` if files differ from it; undefined outside git. */
export function gitRevision(directory: string): string | undefined {
  const git = (...args: string[]) =>
    execFileSync('git', args, {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const revision = git('rev-parse', 'HEAD');
    return git('status', '--porcelain') === '' ? revision : `${revision}-dirty`;
  } catch {
    return undefined;
  }
}

function claimDirectory(root: string, name: string, options: CreateRunOptions): string {
  for (let attempt = 1; ; attempt++) {
    const directory = path.join(root, attempt === 1 ? name : `${name}-${attempt}`);
    // Without `recursive`, mkdir is the lock: of two runs that start at once, one gets the name.
    try {
      mkdirSync(directory);
      return directory;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (options.unique) continue;
    const entries = readdirSync(directory);
    if (entries.length === 0) return directory;
    if (!options.overwrite) {
      throw new Error(`${directory} exists and is not empty: choose another name, or overwrite it`);
    }
    if (!entries.includes('run.json')) {
      throw new Error(`${directory} is not empty and holds no run: not overwriting it`);
    }
    rmSync(directory, { recursive: true });
    mkdirSync(directory);
    return directory;
  }
}

function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const memory = Math.round(totalmem() / 2 ** 30);
  return `${process.platform} ${process.arch}, ${model}, ${availableParallelism()} threads, ${memory} GiB`;
}

function readMetrics(file: string): MetricRecord[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const series = new Map<string, MetricRecord[]>();
  const lines = bytes.subarray(0, lengthOfWholeLines(bytes)).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (line === '') continue;
    const where = `${file}:${index + 1}`;
    const { phase, seed, iteration, wall, ...values } = checked(
      metricRecordSchema,
      parseJson(line, where),
      where,
    );
    const key = JSON.stringify([phase, seed]);
    let records = series.get(key);
    if (records === undefined) {
      records = [];
      series.set(key, records);
    }
    // A run that was resumed from an earlier checkpoint repeats iterations: the later account counts.
    while ((records.at(-1)?.iteration ?? -1) > iteration) records.pop();
    const before = records.at(-1)?.iteration === iteration ? records.pop()?.values : undefined;
    records.push({
      phase,
      ...(seed === undefined ? {} : { seed }),
      iteration,
      wall,
      values: { ...before, ...values },
    });
  }
  return [...series.values()].flat();
}

// A line without its newline was being written when the process died.
function lengthOfWholeLines(bytes: Uint8Array): number {
  return bytes.lastIndexOf(0x0a) + 1;
}

function readJson(file: string): unknown {
  return parseJson(readFileSync(file, 'utf8'), file);
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${where} is not JSON: ${(error as Error).message}`);
  }
}

function checked<T extends z.ZodType>(schema: T, value: unknown, where: string): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new Error(`${where}: ${issue.path.length === 0 ? '' : `${issue.path.join('.')}: `}${issue.message}`);
}
