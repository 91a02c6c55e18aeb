// `pgpc train`
import type { Command } from 'commander';
import { DATASET_FORMATS } from '../../datasets/formats.js';
import { drivingPresetNames, methodNames, networkNames } from '../../presets/names.js';
import { examples, option, type Register, UsageError } from '../command.js';
import {
  existingFolder,
  integer,
  oneOf,
  outputFolder,
  positiveNumber,
  runName,
  type Size,
  seed,
  size,
} from '../values.js';
import { weightsSource } from '../weights-source.js';

const DEFAULT_CROP: Size = { width: 512, height: 512 };
const format = oneOf(DATASET_FORMATS);

export const registerTrain: Register = (parent, handlers, io) => {
  const train = parent
    .command('train')
    .summary('train one method on your own images')
    .description(
      'Train on labelled source images and unlabelled target images. A new run needs --source-root and ' +
        '--target-root; --resume takes everything from the run directory. A preset is an experiment of the paper: ' +
        'its formats, image sizes, margins and constants; the other options apply on top of it.',
    )
    .addOption(
      option(
        '--preset <name>',
        `experiment of the paper: ${drivingPresetNames.join(', ')} (default: none)`,
        oneOf(drivingPresetNames),
      ),
    )
    .addOption(option('--source-root <folder>', 'labelled source images', existingFolder))
    .addOption(option('--target-root <folder>', 'target images; labels are never trained on', existingFolder))
    .addOption(
      option(
        '--source-format <layout>',
        `layout of the source: ${DATASET_FORMATS.join(', ')} (default: told from the folder)`,
        format,
      ),
    )
    .addOption(
      option('--target-format <layout>', 'layout of the target (default: told from the folder)', format),
    )
    .addOption(
      option(
        '--source-scale <WxH>',
        'source images are brought within this size (default: as they are)',
        size,
      ),
    )
    .addOption(
      option(
        '--target-scale <WxH>',
        'target images are brought within this size, in evaluation too (default: as they are)',
        size,
      ),
    )
    .addOption(
      option('--method <method>', `what to train: ${methodNames.join(', ')}`, oneOf(methodNames), 'pgpc'),
    )
    .addOption(
      option(
        '--network <name>',
        `network: ${networkNames.join(', ')} (default: mit-b5 with a preset, else mit-b0)`,
        oneOf(networkNames),
      ),
    )
    .addOption(option('--iterations <count>', 'training steps', integer(1), 40_000))
    .addOption(
      option('--batch <count>', 'source images a step, and as many of the target', integer(1, 1024), 2),
    )
    .addOption(option('--crop <WxH>', 'size of the training crops in pixels', size, DEFAULT_CROP, '512x512'))
    .addOption(option('--lr <rate>', 'peak learning rate of the encoder', positiveNumber, 6e-5, '6e-5'))
    .addOption(option('--seed <number>', 'seed of everything random', seed, 1))
    .addOption(
      option(
        '--weights <file>',
        'weights file, or name of pulled weights, to start the encoder from (default: random)',
        weightsSource,
      ),
    )
    .option('--allow-partial', 'load what fits of --weights, instead of refusing a file that differs', false)
    .option('--skip-bad', 'leave out files that do not decode or fit, instead of refusing to start', false)
    .option('--no-memory-check', 'do not measure the memory of a step before the run')
    .addOption(
      option('--workers <count>', 'threads that decode images (default: cores - 1)', integer(0, 256)),
    )
    .addOption(option('--name <name>', 'name of the run (default: the method, numbered if taken)', runName))
    .addOption(option('--out <folder>', 'folder for run directories', outputFolder, 'runs'))
    .option('--overwrite', 'replace the run that has the name', false)
    .addOption(
      option('--resume <run>', 'run directory to go on with, from its last checkpoint', existingFolder),
    )
    .addHelpText(
      'after',
      examples(
        'pgpc train --preset gta5-cityscapes --source-root data/gta5 --target-root data/cityscapes --weights mit_b5.pth',
        'pgpc train --source-root data/simulator --target-root data/camera --method pgpc --crop 256x256',
        'pgpc train --resume runs/pgpc',
      ),
    );
  train.action(async ({ resume, ...options }) => {
    if (resume !== undefined) {
      const extra = given(train).filter((flag) => flag !== '--resume');
      if (extra.length > 0) {
        throw new UsageError(
          `--resume takes everything from the run directory: leave out ${extra.join(', ')}`,
        );
      }
      await handlers.train({ resume }, io);
      return;
    }
    for (const [flag, value] of [
      ['--source-root', options.sourceRoot],
      ['--target-root', options.targetRoot],
    ]) {
      if (value === undefined) throw new UsageError(`train needs ${flag} <folder>, or --resume <run>`);
    }
    if (options.allowPartial && options.weights === undefined) {
      throw new UsageError('--allow-partial goes with --weights <file>');
    }
    await handlers.train({ ...options, resume: undefined }, io);
  });
};

/** The flags that were written on the command line. */
function given(command: Command): string[] {
  return command.options
    .filter((candidate) => command.getOptionValueSource(candidate.attributeName()) === 'cli')
    .map((candidate) => candidate.long!);
}
