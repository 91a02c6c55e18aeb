// `pgpc train`

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatasetFormat } from '@pgpc/datasets/formats';
import type { Command, Option } from 'commander';
import { UsageError } from '../../config/usage-error.js';
import { statesIn } from '../../training/checkpoint-names.js';
import { type ResolvedChoice, refuseContradictions } from '../../training/choice.js';
import type { TrainingEvent } from '../../training/events.js';
import { LOG_FORMATS, type LogFormat } from '../../training/logs/formats.js';
import { isFollower } from '../../training/rank.js';
import type { RepeatChanges } from '../../training/repeat.js';
import type { ResumeChanges } from '../../training/resume.js';
import {
  type Action,
  examples,
  type JsonChoice,
  jsonOption,
  option,
  pluginHelp,
  type Register,
} from '../command.js';
import type { CommandIo } from '../io.js';
import { type Tell, withJson } from '../output/json.js';
import { besideDashboard, DASHBOARD, type DashboardChoice } from '../training-dashboard.js';
import { domainOptions, pluginOption, setOption, trainingOption } from '../training-options.js';
import { claimRuns, tellingRuns, trainSeeds } from '../training-seeds.js';
import {
  existingFolder,
  existingPath,
  integer,
  listOf,
  outputFolder,
  runName,
  type Size,
} from '../values.js';

/** Options of a new run: fields of the choice as they are, and what says where the run goes. */
interface NewRunOptions
  extends Omit<ResolvedChoice, 'source' | 'target' | 'plugins'>,
    DashboardChoice,
    JsonChoice {
  readonly resume: undefined;
  readonly sourceRoot: string;
  readonly sourceFormat: DatasetFormat | undefined;
  readonly sourceScale: Size | undefined;
  readonly sourceRange: [low: number, high: number] | undefined;
  readonly targetRoot: string;
  readonly targetFormat: DatasetFormat | undefined;
  readonly targetScale: Size | undefined;
  readonly targetRange: [low: number, high: number] | undefined;
  readonly plugin: string[] | undefined;
  readonly memoryCheck: boolean;
  readonly name: string | undefined;
  readonly overwrite: boolean;
  readonly out: string;
  /** Processes to start on this machine; undefined: train in this one. */
  readonly nproc: number | undefined;
  /** Trainings one after another, counted up from `seed`. */
  readonly seeds: number;
  readonly log: LogFormat[] | undefined;
}

/** `--config`: what is not said is as in that run. */
interface RepeatOptions
  extends RepeatChanges,
    Pick<
      NewRunOptions,
      | 'name'
      | 'overwrite'
      | 'out'
      | 'nproc'
      | 'memoryCheck'
      | 'device'
      | 'seeds'
      | 'log'
      | 'dashboard'
      | 'json'
    > {
  readonly config: string;
}

/** `--resume`: everything else comes from the run directory. */
interface ResumeOptions extends ResumeChanges, DashboardChoice, JsonChoice {
  readonly resume: string;
  readonly device: string;
  readonly nproc: number | undefined;
  readonly log: LogFormat[] | undefined;
}

/** What may be said beside `--config`: changes, and where the run goes. */
const CHANGES = [
  ...([
    'seed',
    'iterations',
    'batch',
    'lr',
    'precision',
    'activationCheckpointing',
    'skipNotFinite',
    'set',
  ] as const),
  ...([
    'sourceRoot',
    'targetRoot',
    'weights',
    'allowPartial',
    'init',
    'skipBad',
    'workers',
    'select',
  ] as const),
] satisfies (keyof RepeatChanges)[];
const PLACE = [
  'config',
  'name',
  'overwrite',
  'out',
  'nproc',
  'memoryCheck',
  'device',
  'seeds',
  'log',
  'dashboard',
  'json',
];

/** What may be said beside `--resume`. */
const WITH_RESUME = [
  '--resume',
  '--iterations',
  '--source-root',
  '--target-root',
  '--allow-changed',
  '--lr',
  '--precision',
  '--skip-not-finite',
  '--from',
  '--nproc',
  '--device',
  '--log',
  '--json',
  DASHBOARD,
];

export const registerTrain: Register = (parent, act) => {
  const train = parent
    .command('train')
    .summary('train one method on your own images')
    .description(
      'Train on labelled source images and unlabelled target images. A new run needs --source-root and ' +
        '--target-root; --resume takes from the run directory what it is not told anew: --iterations extends it, --lr, ' +
        '--precision, --skip-not-finite and --from are for one that went wrong, and the roots ' +
        'say where the same data is now. A preset is an experiment of the paper: ' +
        'its formats, image sizes, margins and constants; the other options apply on top of it.',
    );
  const before = [
    'method',
    'multiResolution',
    'maskedConsistency',
    'style',
    'fdaBeta',
    'denoise',
    'lossWeights',
    'network',
    'iterations',
  ] as const;
  const shared = [
    trainingOption('preset'),
    ...domainOptions('source'),
    ...domainOptions('target'),
    trainingOption('classes'),
    ...before.map(trainingOption),
    ...(['batch', 'crop', 'lr', 'seed', 'weights', 'allowPartial', 'init'] as const).map(trainingOption),
    setOption(),
    pluginOption(),
  ];
  for (const one of shared) train.addOption(one);
  train
    .addOption(trainingOption('skipBad'))
    .addOption(trainingOption('device'))
    .addOption(trainingOption('precision'))
    .addOption(trainingOption('activationCheckpointing'))
    .addOption(trainingOption('skipNotFinite'))
    .option('--no-memory-check', 'do not measure the memory of a step before the run')
    .addOption(trainingOption('select'))
    .addOption(trainingOption('checkpointEvery'))
    .addOption(trainingOption('workers'))
    .addOption(option('--name <name>', 'name of the run (default: the method, numbered if taken)', runName))
    .addOption(option('--out <folder>', 'folder for run directories', outputFolder, 'runs'))
    .option('--overwrite', 'replace the run that has the name', false)
    .option(DASHBOARD, 'show the runs in the browser while it trains: the address is printed')
    .addOption(
      option(
        '--nproc <count>',
        'processes to start on this machine, each with a batch of its own (default: train in one)',
        integer(1, 1024),
      ),
    )
    .addOption(
      option(
        '--seeds <count>',
        'trainings to run one after another, counted up from --seed',
        integer(1, 100),
        1,
      ),
    )
    .addOption(
      option(
        '--log <formats>',
        `also log for other tools, between commas: ${LOG_FORMATS.join(', ')} (default: metrics.jsonl alone)`,
        listOf(LOG_FORMATS),
      ),
    )
    .addOption(
      option(
        '--config <run>',
        'run directory, or its run.json, to train again, with other options on top',
        existingPath,
      ),
    )
    .addOption(option('--resume <run>', 'run directory to resume, from its last checkpoint', existingFolder))
    .option(
      '--allow-changed',
      'resume although data, libraries, threads or processor are not as they were, and the numbers will differ',
      false,
    )
    .addOption(
      option(
        '--from <step>',
        'resume from the checkpoint of this step: the newest and the one before it are kept (default: the newest)',
        integer(0),
      ),
    )
    .addOption(jsonOption())
    .addHelpText('after', pluginHelp())
    .addHelpText(
      'after',
      examples(
        'pgpc train --preset gta5-cityscapes --source-root data/gta5 --target-root data/cityscapes --weights mit_b5.pth',
        'pgpc train --source-root data/simulator --target-root data/camera --method pgpc --crop 256x256',
        'pgpc train --source-root data/simulator --target-root data/camera --set method.contrast.rank=3',
        'pgpc train --source-root data/simulator --target-root data/camera --init runs/source-only --method self-training',
        'pgpc train --source-root data/simulator --target-root data/camera --dashboard',
        'pgpc train --config runs/pgpc --seed 2',
        'pgpc train --source-root data/simulator --target-root data/camera --seeds 3',
        'pgpc train --source-root data/gta5 --target-root data/camvid --classes gta5-to-camvid.yaml',
        'pgpc train --source-root data/simulator --target-root data/camera --log tensorboard',
        'pgpc train --resume runs/pgpc',
        'pgpc train --resume runs/pgpc --iterations 60000 --json',
        'pgpc train --nproc 4 --source-root data/simulator --target-root data/camera',
      ),
    );
  train.action(async ({ resume, nproc, allowChanged, from, ...options }) => {
    const { dashboard } = options as DashboardChoice;
    if (resume !== undefined) {
      const flags = given(train);
      const extra = flags.filter((flag) => !WITH_RESUME.includes(flag));
      if (extra.length > 0) {
        throw new UsageError(`--resume takes the rest from the run directory: leave out ${extra.join(', ')}`);
      }
      const { device, iterations, lr, precision, skipNotFinite, sourceRoot, targetRoot, log, json } =
        options as NewRunOptions;
      // These have a default for a new run; here what is not given stays as it is.
      const ifGiven = (flag: string, value: number) => (flags.includes(flag) ? value : undefined);
      const chosen = {
        resume: resume as string,
        nproc,
        device,
        log,
        json,
        dashboard,
        sourceRoot,
        targetRoot,
        iterations: ifGiven('--iterations', iterations),
        lr: ifGiven('--lr', lr),
        precision,
        skipNotFinite: ifGiven('--skip-not-finite', skipNotFinite),
        from,
        allowChanged,
      };
      await act(
        'train',
        besideDashboard(resumeRun, ({ resume }) => resume),
        chosen as ResumeOptions,
      );
      return;
    }
    if (nproc !== undefined && nproc > 1 && options.seeds > 1) {
      throw new UsageError(
        '--seeds trains in one process: leave out --nproc, or start each --seed by itself',
      );
    }
    if (allowChanged) throw new UsageError('--allow-changed goes with --resume <run>');
    if (from !== undefined) throw new UsageError('--from goes with --resume <run>');
    if (options.config !== undefined) {
      await act(
        'train',
        besideDashboard(repeatRun, ({ out }) => out),
        repeatOptions(train, { ...options, nproc } as RepeatOptions),
      );
      return;
    }
    for (const flag of ['--source-root', '--target-root']) {
      if (given(train).includes(flag)) continue;
      throw new UsageError(`train needs ${flag} <folder>, or --resume <run>, or --config <run>`);
    }
    const run = { ...options, nproc, resume: undefined } as NewRunOptions;
    refuseContradictions(run);
    await act(
      'train',
      besideDashboard(newRun, ({ out }) => out),
      run,
    );
  });
};

/** What is written beside `--config`. @throws UsageError for what only a new run can be told. */
function repeatOptions(train: Command, options: RepeatOptions): RepeatOptions {
  const known: readonly string[] = [...CHANGES, ...PLACE];
  const written = givenOptions(train).filter((one) => !known.includes(one.attributeName()));
  if (written.length > 0) {
    const flags = written.map(({ long }) => long).join(', ');
    throw new UsageError(`--config takes this from the run: leave out ${flags}, or change it with --set`);
  }
  if (options.init !== undefined && options.weights !== undefined) {
    throw new UsageError('--init is a whole network, --weights an encoder alone: leave out one of them');
  }
  const kept = new Set([...PLACE, ...givenOptions(train).map((one) => one.attributeName())]);
  return Object.fromEntries(
    [...kept].map((name) => [name, options[name as keyof RepeatOptions]]),
  ) as unknown as RepeatOptions;
}

/** The options that were written on the command line. */
function givenOptions(command: Command): Option[] {
  return command.options.filter((one) => command.getOptionValueSource(one.attributeName()) === 'cli');
}

/** Their flags. */
function given(command: Command): string[] {
  return givenOptions(command).map(({ long }) => long!);
}

const newRun: Action<Omit<NewRunOptions, 'dashboard'>> = async ({ nproc, json, ...options }, own) => {
  const { name, out, log } = options;
  const before = name === undefined ? undefined : await runOfEarlierTry(join(out, name), own.command);
  if (before === 'resume') {
    const { device } = options;
    await resumeRun({ resume: join(out, name!), device, log, nproc, json }, own);
    return;
  }
  if (await launched(nproc, own)) return;
  const overwrite = options.overwrite || before === 'anew';
  await withJson(json, own, (io, tell) => trainNew({ ...options, overwrite }, io, tell));
};

async function trainNew(
  options: Omit<NewRunOptions, 'dashboard' | 'nproc' | 'json'>,
  io: CommandIo,
  tell: Tell,
): Promise<void> {
  const { name, overwrite, out, memoryCheck, plugin, seeds, log, ...rest } = options;
  const {
    resume: _,
    sourceRoot,
    sourceFormat,
    sourceScale,
    sourceRange,
    targetRoot,
    targetFormat,
    targetScale,
    targetRange,
    ...choice
  } = rest;
  const chosen = {
    ...choice,
    source: { root: sourceRoot, format: sourceFormat, scale: sourceScale, range: sourceRange },
    target: { root: targetRoot, format: targetFormat, scale: targetScale, range: targetRange },
    plugins: plugin,
  };
  const runs = claimRuns({ out, name, overwrite, phase: choice.method, seed: choice.seed, seeds });
  const { device } = choice;
  const { command, signal } = io;
  await trainSeeds(runs, io, tell, async ({ seed, claim }, onEvent) => {
    const { runChoice } = await import('../output/training.js');
    return runChoice({ ...chosen, seed }, { claim, device, memoryCheck, log, command, signal, onEvent });
  });
}

const repeatRun: Action<Omit<RepeatOptions, 'dashboard'>> = async ({ nproc, json, ...options }, own) => {
  if (await launched(nproc, own)) return;
  await withJson(json, own, (io, tell) => trainAgain(options, io, tell));
};

async function trainAgain(
  options: Omit<RepeatOptions, 'dashboard' | 'nproc' | 'json'>,
  io: CommandIo,
  tell: Tell,
): Promise<void> {
  const { config: path, name, overwrite, out, memoryCheck, device, seeds, log, ...changes } = options;
  const { repeatedTraining } = await import('../../training/repeat.js');
  const config = await repeatedTraining(path, changes);
  const { seed } = config.experiment;
  const runs = claimRuns({ out, name, overwrite, phase: config.phase, seed, seeds });
  const { command, signal } = io;
  await trainSeeds(runs, io, tell, async ({ seed, claim }, onEvent) => {
    const { runTraining } = await import('../output/training.js');
    const one = { ...config, experiment: { ...config.experiment, seed } };
    return runTraining(one, { claim, device, memoryCheck, log, command, signal, onEvent });
  });
}

const resumeRun: Action<Omit<ResumeOptions, 'dashboard'>> = async (
  { resume, nproc, json, ...changes },
  own,
) => {
  const several = nproc !== undefined && nproc > 1;
  // Of several processes rank 0 writes the results.
  await withJson(several ? undefined : json, own, async (io, tell) => {
    // Before libtorch is loaded.
    if (!existsSync(join(resume, 'run.json'))) {
      throw new Error(`${resume} is no run directory: it has no run.json`);
    }
    if (await launched(nproc, own)) return;
    const { resumeTraining, showTraining } = await import('../output/training.js');
    const { signal } = io;
    if (!isFollower()) io.stdout.write(`run: ${resume}\n`);
    const train = (onEvent: (event: TrainingEvent) => void) =>
      resumeTraining(resume, { ...changes, signal, onEvent });
    await showTraining(io, tellingRuns(tell), train);
  });
};

/**
 * What torchrun, which starts a command line again when a rank has died, finds of the try before: a run of the same command that
 * has a checkpoint is resumed, one that has none begins anew. Any other folder of the name is none of its business.
 */
async function runOfEarlierTry(directory: string, command: string): Promise<'resume' | 'anew' | undefined> {
  const { TORCHELASTIC_RESTART_COUNT: restarts } = process.env;
  if (!(Number(restarts) > 0) || !existsSync(join(directory, 'run.json'))) return undefined;
  const { readRunInfo } = await import('../../training/run-directory/open-run.js');
  const info = readRunInfo(directory);
  if (info.command !== command || info.status === 'finished') return undefined;
  const { phase } = info.config as { phase?: string };
  return statesIn(join(directory, 'checkpoints', String(phase))).length > 0 ? 'resume' : 'anew';
}

/** Starts the ranks of a training in several processes. @returns false if this process is to train itself. */
async function launched(nproc: number | undefined, io: CommandIo): Promise<boolean> {
  const { endWithLauncher, launchTraining } = await import('../../training/launch.js');
  if (nproc !== undefined && nproc > 1) {
    io.stage(undefined);
    // The dashboard is this process's.
    await launchTraining(
      nproc,
      io,
      process.argv.slice(2).filter((arg) => arg !== DASHBOARD),
    );
    return true;
  }
  endWithLauncher();
  return false;
}
