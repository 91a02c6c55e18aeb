// `pgpc train` at work: what the library tells of a training, as lines and bars.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { withSpread } from '../../ablation/table.js';
import { methodLabel } from '../../config/method.js';
import type { TrainingConfig } from '../../config/training.js';
import { protocolMiou } from '../../evaluation/protocols.js';
import { describeDevice, useCores } from '../../machine.js';
import { describeReport } from '../../models/weights/fit.js';
import { shippedEncoder } from '../../models/weights/shipped.js';
import { percent } from '../../report/format.js';
import { LiveReport } from '../../report/live-report.js';
import { meanAndSpread } from '../../report/series.js';
import type { TrainingEvent, TrainingResult } from '../../training/events.js';
import { gib } from '../../training/memory.js';
import { openRunFiles } from '../../training/run-directory/open-run.js';
import type { MethodResult } from '../../training/run-directory/schema.js';
import { count } from '../command.js';
import type { CommandIo } from '../io.js';
import { classesTable } from './classes.js';
import { forecast, isLong } from './forecast.js';
import type { Tell } from './json.js';
import { stageBars } from './open-data.js';
import { Pace } from './pace.js';
import { type Progress, progress } from './progress.js';
import { iouTable, textTable } from './table.js';

export { resumeTraining, runChoice, runTraining } from '../../training/run.js';

/**
 * Shows a training while it is under way, and what has come of it.
 * @param tellRun is told the same of the run, for JSON, once it has ended, however that comes.
 */
export async function showTraining(
  io: CommandIo,
  tellRun: (run: object) => void,
  train: (onEvent: (event: TrainingEvent) => void) => Promise<TrainingResult>,
): Promise<TrainingResult> {
  useCores();
  const tell = teller(io);
  const report = new RunReport();
  let result: TrainingResult;
  try {
    result = await train((event) => {
      report.tell(event);
      tell(event);
    });
  } catch (error) {
    await report.end();
    const facts = report.run && failedFacts(report.run, report.file, error);
    if (facts) tellRun(facts);
    throw error;
  }
  await report.end();
  if (result.run !== undefined) tellRun(factsOf(result, result.run, report.file));
  printResult(result, io);
  if (report.file !== undefined) io.stdout.write(`report: ${report.file}\n`);
  return result;
}

/** The report of a run, written anew at every checkpoint and at the end, however that comes. */
class RunReport {
  /** The file, once it is written. */
  file: string | undefined;
  /** The run directory, once it is taken. */
  run: string | undefined;
  #live: LiveReport | undefined;

  tell(event: TrainingEvent): void {
    if (event.kind === 'run') {
      this.run = event.directory;
      this.#live = new LiveReport(event.directory);
    }
    if (event.kind === 'checkpoint') this.#live!.again();
  }

  async end(): Promise<void> {
    // A run that was refused has left no folder.
    if (this.#live && existsSync(join(this.#live.run, 'run.json'))) this.file = await this.#live.last();
  }
}

/** Mean and spread over trainings that differ in their seed. */
export function showSeeds(trained: readonly TrainingResult[], { stdout }: CommandIo, tell: Tell): void {
  const results = trained.flatMap(({ result }) => result ?? []);
  const { classes } = trained[0]!;
  if (results.length < 2) return;
  const over = (value: (result: MethodResult) => number) => meanAndSpread(results.map(value));
  const [miou, accuracy] = [over((result) => result.miou), over((result) => result.accuracy)];
  const iou = classes.map((_, i) => over((result) => result.iou[i]!));
  tell({ overSeeds: { seeds: results.length, miou, accuracy, iou } });
  const rows = classes.map(({ name }, i) => [name, withSpread(iou[i]!)]);
  const means = [
    ['mIoU', withSpread(miou)],
    ['pixel accuracy', withSpread(accuracy)],
  ];
  const head = `mean ± standard deviation of ${results.length} seeds`;
  stdout.write(`\n${textTable(['IoU, %', head], [...rows, ...means])}`);
}

function teller(io: CommandIo): (event: TrainingEvent) => void {
  const say = (...lines: string[]) => io.stderr.write(lines.map((line) => `${line}\n`).join(''));
  const showFiles = stageBars(io);
  let bar: Progress | undefined;
  let pace: Pace | undefined;
  let shown = {};
  let forecasted = false;
  return (event) => {
    switch (event.kind) {
      case 'stage':
        bar?.hold(shown);
        io.stage(event.stage);
        return;
      case 'remark':
        say(event.message);
        return;
      case 'init':
        say(`init: ${event.entries} of ${event.entries} entries of ${event.file}, for student and teacher`);
        return;
      case 'data':
        showFiles(event.stage, event.done, event.total);
        return;
      case 'bad-files': {
        const { faults, leftOut } = event;
        say(...faults.map(({ message }) => (leftOut ? `left out: ${message}` : message)));
        if (leftOut) say(`left out ${count(faults.length, 'bad file')}`);
        return;
      }
      case 'description':
        for (const one of event.data.brought) io.stderr.write(classesTable(one));
        say(...event.data.layouts, ...describe(event));
        say(...event.data.notes.map((note) => `note: ${note}`));
        say(...event.data.warnings.map((warning) => `warning: ${warning}`));
        return;
      case 'memory': {
        const { measured, device, iterations } = event;
        say(describeMemory(event));
        if (measured) say(`time: ${forecast(iterations, measured.seconds, device)}`);
        forecasted = measured !== undefined;
        return;
      }
      case 'weights':
        say(...describeReport(event.report));
        return;
      case 'begin': {
        const { phase: label, iterations: total, iteration: start } = event;
        const steps = new Pace(event);
        pace = steps;
        io.stage('the first step');
        bar = progress({
          label,
          total,
          start,
          stream: io.stderr,
          ahead: (done, seconds) => steps.ahead(done, seconds),
        });
        return;
      }
      case 'log':
        shown = { loss: event.values['loss/total']! };
        return;
      case 'step': {
        bar!.update(event.done, shown);
        const seconds = pace!.step(event.done);
        if (forecasted || seconds === undefined) return;
        forecasted = true;
        const left = pace!.iterations - event.done;
        if (isLong(left, seconds)) bar!.note(`time: ${forecast(left, seconds, 'this machine')}`);
        return;
      }
      case 'score':
        bar!.hold({ ...shown, 'scored images': event.done });
        return;
      case 'checkpoint':
      case 'saved':
        pace!.checkpoint(event.kind === 'checkpoint');
        bar!.hold(undefined);
        io.stage('the next step');
        return;
      case 'warning':
        bar!.note(`warning: step ${event.iteration}: ${event.message}`);
        return;
      case 'end':
        bar!.done(event.outcome);
        bar = undefined;
        return;
      // Said when it was claimed, or written on the command line.
      case 'run':
        return;
      case 'evaluate':
        showFiles('evaluate', event.done, event.total, 'images');
        return;
    }
  };
}

/** What is not on the command line: what was chosen, and the constants that depend on image size. */
function describe({
  config,
  data,
  device,
  processes,
  weights,
}: Extract<TrainingEvent, { kind: 'description' }>): string[] {
  const { phase, experiment } = config;
  const { segmentor, rareClasses, crop, batch, method, precision = 'float32' } = experiment;
  const lines = [
    `${describeDevice(device)}, ${precision}`,
    `${segmentor.backbone} with the ${segmentor.head} head, ${data.classes.length} classes, ` +
      `${data.source.length} source and ${data.target!.length} target images`,
  ];
  if (rareClasses) {
    const { minImageShare, minCropShare, temperature } = rareClasses;
    const inCrop = Math.round(minCropShare * crop.width * crop.height);
    lines.push(
      `rare classes: temperature ${temperature}; an image counts for a class on more than ` +
        `${percent(minImageShare)} % of its pixels, a crop on more than ${inCrop} of ${crop.width * crop.height}`,
    );
  }
  const label = methodLabel(phase, method);
  const shipped = config.start?.weights === shippedEncoder.name;
  if (shipped) lines.push(`start: ${shippedEncoder.description}; --weights none starts from random values`);
  if (!weights && config.start?.init === undefined) lines.push('start: the encoder has random values');
  if (label !== phase) {
    const things = data.classes.some(({ kind }) => kind === 'thing');
    const why =
      weights && !shipped
        ? things
          ? 'it was left out'
          : 'none of the classes is a thing'
        : 'there are no weights of ImageNet to stay near to';
    lines.push(`this is ${label}: ${why}`);
  }
  if (processes > 1) lines.push(`${processes} processes: ${processes * batch} images a step`);
  return lines;
}

function describeMemory({ device, measured }: Extract<TrainingEvent, { kind: 'memory' }>): string {
  if (!measured) return "memory: not measured, as the bridge was built without CUDA's headers";
  const where = device === 'cpu' ? '' : ` of ${device}`;
  return `memory${where}: a step takes ${gib(measured.needed)} at its peak, ${gib(measured.available)} are free`;
}

function printResult(trained: TrainingResult, { stdout }: CommandIo): void {
  const { outcome, run, checkpoint, best, result, bestResult, withoutResult, classes, config } = trained;
  // A rank above 0 has nothing to tell.
  if (run === undefined) return;
  stdout.write(`checkpoint: ${checkpoint}\n`);
  if (outcome === 'stopped') {
    stdout.write(`resume with: ${resumeCommand(run)}\n`);
    return;
  }
  if (best) stdout.write(`best by ${best.score}, of step ${best.iteration}: ${best.folder}\n`);
  if (!result) {
    stdout.write(`no evaluation: ${withoutResult}\n`);
    return;
  }
  stdout.write(iouTable(bestResult ? [result, bestResult] : [result], classes));
  const missing = classes.filter((_, i) => Number.isNaN(result.iou[i])).map(({ name }) => name);
  if (missing.length > 0) {
    stdout.write(`without a pixel in the validation images, left out of mIoU: ${missing.join(', ')}\n`);
  }
  const over = miouOverClasses(result, config);
  for (const protocol of config.data.protocols) {
    stdout.write(`mIoU over ${protocol} classes: ${percent(over[protocol]!)}\n`);
  }
}

/** mIoU over the classes of each of the data's protocols, by their number. */
function miouOverClasses({ iou }: MethodResult, { data }: TrainingConfig): Record<string, number> {
  return Object.fromEntries(data.protocols.map((protocol) => [protocol, protocolMiou(iou, protocol)]));
}

function resumeCommand(run: string): string {
  const { WORLD_SIZE } = process.env;
  const ranks = process.connected && WORLD_SIZE !== undefined ? ` --nproc ${WORLD_SIZE}` : '';
  return `pgpc train --resume ${run}${ranks}`;
}

/** What `--json` has of a run that has ended; scores as results.json has them. */
function factsOf(trained: TrainingResult, run: string, report: string | undefined): object {
  const { outcome, checkpoint, best, result, bestResult, withoutResult, classes, config } = trained;
  return {
    run,
    seed: config.experiment.seed,
    outcome,
    report,
    checkpoint,
    best,
    classes: classes.map(({ name }) => name),
    results: [result, bestResult].filter((one) => one !== undefined),
    ...(result && config.data.protocols.length > 0 && { miouOverClasses: miouOverClasses(result, config) }),
    ...(outcome === 'stopped' ? { resume: resumeCommand(run) } : { withoutResult }),
  };
}

/** The same of a run that an error has ended; undefined where the run directory is gone, or another run's. */
function failedFacts(run: string, report: string | undefined, error: unknown): object | undefined {
  if (!existsSync(join(run, 'run.json'))) return undefined;
  const { info, results } = openRunFiles(run);
  // One that was to be replaced, or that could not be resumed, is as it was.
  if (info.error !== (error instanceof Error ? error.message : String(error))) return undefined;
  const classes = info.classes.map(({ name }) => name);
  return { run, seed: info.seed, outcome: info.status, report, classes, results };
}
