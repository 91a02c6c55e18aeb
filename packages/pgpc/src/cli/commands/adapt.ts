// `pgpc adapt`
import type { Command } from 'commander';
import { z } from 'zod';
import type { AdaptOptions } from '../../comparison/adapt.js';
import { didYouMean } from '../../config/did-you-mean.js';
import { methodNames } from '../../config/method.js';
import { UsageError } from '../../config/usage-error.js';
import { streetSynthPreset } from '../../recipes/street-synth.js';
import { examples, type JsonChoice, jsonOption, option, pluginHelp, type Register } from '../command.js';
import { applyConfigFile, CONFIG_FILE } from '../config-file.js';
import { type DomainFlags, domainsOf } from '../domain-flags.js';
import { telling } from '../output/json.js';
import { domainOptions, setOption, trainingOption } from '../training-options.js';
import { completing, existingFile, existingFolder, integer, outputFolder, runName, seed } from '../values.js';
import { weightsSource } from '../weights-source.js';

type AdaptFlags = AdaptOptions & {
  /** The file that options came from, in words. */
  readonly configured: string | undefined;
};

/** The one that is measured to be the best from day to dusk (docs/results.md). */
export const DEFAULT_METHOD = 'pgpc-plus';

export const methodList = completing(
  { words: methodNames, list: true },
  z.string().transform((text, context) => {
    const methods = text.split(',');
    for (const name of methods) {
      if (methodNames.includes(name)) continue;
      context.addIssue(
        `there is no method '${name}'${didYouMean(name, methodNames)}; there are ${methodNames.join(', ')}`,
      );
      return z.NEVER;
    }
    return methods;
  }),
);

export const registerAdapt: Register = (parent, act) => {
  const { pretraining, continuation } = streetSynthPreset({ seed: 0 });
  const command = parent
    .command('adapt')
    .summary('adapt a network from your labelled images to your camera')
    .description(
      'Train a network on labelled source images, adapt it to target images by each of the methods named, score all of them where ' +
        "the target has labelled images (val), and write one table and one report. The recipe is the demo's: a small network for a " +
        'CPU. The labels of the target are never trained on.',
    );
  for (const one of [...domainOptions('source'), ...domainOptions('target')]) command.addOption(one);
  command
    .addOption(trainingOption('classes'))
    .addOption(trainingOption('skipBad'))
    .addOption(
      option(
        '--methods <names>',
        `methods to adapt by, with commas between them; the first is the run's model: ${methodNames.join(', ')}`,
        methodList,
        [DEFAULT_METHOD],
        DEFAULT_METHOD,
      ),
    )
    .addOption(trainingOption('multiResolution'))
    .addOption(trainingOption('maskedConsistency'))
    .addOption(
      option(
        '--source-steps <count>',
        `training steps on the source (default: ${pretraining.iterations})`,
        integer(10),
      ),
    )
    .addOption(
      option(
        '--steps <count>',
        `training steps of each method, from the source network (default: ${continuation('pgpc').iterations})`,
        integer(10),
      ),
    )
    .addOption(
      option(
        '--crop <pixels>',
        `side of the square crops; images are brought within two of them, unless a scale is given (default: ${pretraining.crop.width}, and twice as much with --multi-resolution)`,
        integer(32, 4096),
      ),
    )
    .addOption(option('--seed <number>', 'seed of the training', seed, 1))
    .addOption(
      option('--seeds <count>', 'number of seeds to run, counted up from --seed', integer(1, 100), 1),
    )
    .addOption(option('--name <name>', 'name of the run (default: adapt, or adapt-2, ... if taken)', runName))
    .addOption(option('--out <folder>', 'folder for run directories', outputFolder, 'runs'))
    .option('--overwrite', 'replace the run that has the name', false)
    .addOption(
      option(
        '--resume <run>',
        'resume this run, which was stopped or killed; with the options that it was started with',
        existingFolder,
      ),
    )
    .addOption(trainingOption('device'))
    .addOption(trainingOption('precision'))
    .addOption(
      option(
        '--weights <file>',
        "weights that the source's network starts its encoder from, or none for random values (default: street-synth, which comes with pgpc)",
        weightsSource,
      ),
    )
    .addOption(setOption('a change of an option in every training that has it, such as batch=4'))
    .addOption(
      option(
        '--config <file>',
        `file with options by their long names; the command line replaces them (default: ${CONFIG_FILE} where there is one)`,
        existingFile,
      ),
    )
    .addOption(jsonOption())
    .addHelpText('after', pluginHelp())
    .addHelpText(
      'after',
      examples(
        'pgpc adapt --source-root data/simulator --target-root data/camera',
        'pgpc adapt --source-root data/simulator --target-root data/camera --crop 256 --steps 2000 --methods pgpc-plus,self-training',
        'pgpc adapt --source-root data/simulator --target-root data/camera --multi-resolution hrda',
      ),
    )
    .action(async ({ config }, adaptCommand: Command) => {
      const configured = applyConfigFile(adaptCommand, config);
      const options = adaptCommand.opts();
      const { sourceRoot, targetRoot } = options as DomainFlags;
      if (sourceRoot === undefined || targetRoot === undefined) {
        throw new UsageError(
          `${sourceRoot === undefined ? '--source-root' : '--target-root'} is missing: adapt needs --source-root with labelled ` +
            'images and --target-root with images of the camera; `pgpc init` asks for them and writes a file of options',
        );
      }
      const domains = domainsOf({ ...options, sourceRoot, targetRoot });
      await act('adapt', adaptTo, { ...options, ...domains, configured } as AdaptFlags & JsonChoice);
    });
};

const adaptTo = telling(async ({ configured, ...options }: AdaptFlags, io, tell) => {
  const { adapt } = await import('../../comparison/adapt.js');
  const { useCores } = await import('../../machine.js');
  const { showComparison } = await import('../output/trainings.js');
  useCores(1);
  const { command, signal, stderr } = io;
  if (configured !== undefined) stderr.write(`options from ${configured}\n`);
  await showComparison(io, tell, async (onEvent) => {
    await adapt({ ...options, command }, { signal, onEvent });
  });
});
