// The options that `pgpc ablate` and `pgpc sweep` share, and what they come to.

import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import type { SweepOptions } from '../ablation/run.js';
import { UsageError } from '../config/usage-error.js';
import {
  type ScaleName,
  type StreetSynthPreset,
  scaleNames,
  streetSynthPreset,
} from '../recipes/street-synth.js';
import { type JsonChoice, jsonOption, option } from './command.js';
import { type DomainFlags, domainsOf } from './domain-flags.js';
import type { CommandIo } from './io.js';
import { withJson } from './output/json.js';
import { domainOptions, trainingOption } from './training-options.js';
import { existingPath, integer, oneOf, outputFolder, positiveNumber, seed } from './values.js';
import { weightsSource } from './weights-source.js';

/** As commander gives them. */
interface SweepFlags
  extends DomainFlags,
    JsonChoice,
    Omit<SweepOptions, 'sweep' | 'set' | 'out' | 'scale' | 'domains' | 'plugins' | 'command'> {
  readonly out?: string;
  readonly scale?: ScaleName;
  readonly quick?: true;
  readonly plugin?: string[];
}

/** The same as a sweep takes them, but for what it runs. */
export type CheckedSweepFlags = Omit<SweepOptions, 'sweep' | 'set' | 'plugins' | 'command'> &
  JsonChoice & {
    readonly plugin: string[] | undefined;
  };

/** The steps of a training at each scale, for the help of the option that changes them. */
function defaultSteps(training: (preset: StreetSynthPreset) => { iterations: number }): string {
  const { demo, quick, large } = Object.fromEntries(
    scaleNames.map((scale) => [scale, training(streetSynthPreset({ scale, seed: 1 })).iterations]),
  );
  return `default: ${demo}; ${quick} if quick, ${large} if large`;
}

/** Adds the options that say what cells are trained on, from what, for how long and where the results go. */
export function addSweepOptions(command: Command): Command {
  command
    .addOption(
      option(
        '--out <folder>',
        'folder for runs and tables (default: runs/ablations, of your own data runs/ablations-TARGET)',
        outputFolder,
      ),
    )
    .addOption(
      option(
        '--data <folder>',
        'folder of the rendered data (default: data/street-synth-1, with -quick or -large)',
        outputFolder,
      ),
    );
  for (const one of [...domainOptions('source'), ...domainOptions('target')]) command.addOption(one);
  return command
    .addOption(trainingOption('classes'))
    .addOption(trainingOption('skipBad'))
    .addOption(
      option('--seeds <count>', 'number of seeds to run, counted up from --seed', integer(1, 100), 3),
    )
    .addOption(
      option('--seed <number>', 'first seed of the training; the rendered data is the same for all', seed, 1),
    )
    .addOption(
      option(
        '--source-steps <count>',
        `training steps on the source (${defaultSteps(({ pretraining }) => pretraining)})`,
        integer(10),
      ),
    )
    .addOption(
      option(
        '--steps <count>',
        `training steps of each cell, from the source network (${defaultSteps((preset) => preset.continuation('pgpc'))})`,
        integer(10),
      ),
    )
    .addOption(
      option(
        '--scale <name>',
        `size of images, network and steps: ${scaleNames.join(', ')}; large needs a GPU (default: demo)`,
        oneOf(scaleNames),
      ),
    )
    .option('--quick', 'the scale quick: fewer images and steps, minutes, and lower numbers')
    .addOption(
      option(
        '--jobs <count>',
        'trainings at once (default: as many as cores, and 4 on a GPU)',
        integer(1, 256),
      ),
    )
    .addOption(
      option(
        '--minutes <count>',
        'time after which runs are stopped; none is started that is not expected to end by then (default: no limit)',
        positiveNumber,
      ),
    )
    .addOption(trainingOption('device'))
    .addOption(trainingOption('precision'))
    .addOption(
      option(
        '--weights <file>',
        'weights that source network and oracle start their encoder from, or none for random values (default: street-synth, which comes with pgpc, for mit-b0; none if large)',
        weightsSource,
      ),
    )
    .addOption(
      option(
        '--start <path>',
        'folder with source networks as seed1/model.safetensors, ..., or one network, instead of training them',
        existingPath,
      ),
    )
    .option('--no-checkpoints', 'do not keep the networks of the cells')
    .addOption(jsonOption());
}

/** @throws UsageError for options that contradict each other. */
export function checkedSweepFlags({ quick, scale, ...flags }: SweepFlags): CheckedSweepFlags {
  const { sourceRoot, sourceFormat, sourceScale, sourceRange, ...others } = flags;
  const { targetRoot, targetFormat, targetScale, targetRange, classes, skipBad, ...options } = others;
  if (quick && scale !== undefined && scale !== 'quick') {
    throw new UsageError(`--quick is --scale quick: leave out one of --quick and --scale ${scale}`);
  }
  const source = { sourceRoot, sourceFormat, sourceScale, sourceRange };
  const target = { targetRoot, targetFormat, targetScale, targetRange };
  const domains = ownDomains({ ...source, ...target, classes, skipBad } as DomainFlags);
  if (domains && options.data !== undefined) {
    throw new UsageError('--data is of rendered streets: leave it out, or the roots of your own data');
  }
  const ablations = domains ? `ablations-${basename(resolve(targetRoot!))}` : 'ablations';
  const out = options.out ?? join('runs', ablations);
  return { ...options, out, domains, scale: scale ?? (quick ? 'quick' : 'demo') } as CheckedSweepFlags;
}

/** @throws UsageError for one root without the other, and for what goes with them alone. */
function ownDomains(flags: DomainFlags): SweepOptions['domains'] {
  const { sourceRoot, targetRoot, skipBad = false } = flags;
  if (sourceRoot !== undefined && targetRoot !== undefined) {
    return domainsOf({ ...flags, sourceRoot, targetRoot });
  }
  if (skipBad || Object.values(flags).some((value) => value !== undefined && value !== false)) {
    throw new UsageError('data of your own needs both --source-root and --target-root');
  }
  return undefined;
}

/** Runs a sweep and shows it. */
export async function runAndShow(
  { plugin: plugins, json, ...options }: CheckedSweepFlags & Pick<SweepOptions, 'sweep' | 'set'>,
  own: CommandIo,
): Promise<void> {
  const { runSweep } = await import('../ablation/run.js');
  const { useCores } = await import('../machine.js');
  const { showSweep } = await import('./output/sweep.js');
  useCores(1);
  const { command, signal } = own;
  await withJson(json, own, (io, tell) =>
    showSweep(options.minutes, io, tell, (onEvent) =>
      runSweep({ ...options, plugins, command }, { signal, onEvent }),
    ),
  );
}
