// `pgpc train`
import type { Command } from 'commander';
import { examples, option, type Register, UsageError } from '../command.js';
import { METHODS, SOURCE_FORMATS } from '../train-types.js';
import {
  existingFile,
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

const DEFAULT_CROP: Size = { width: 512, height: 512 };

export const registerTrain: Register = (parent, handlers, io) => {
  const train = parent
    .command('train')
    .summary('train one method on your own images')
    .description(
      'Train on labelled source images and unlabelled target images. A new run needs --source-root and ' +
        '--target-root; --resume takes everything from the run directory.',
    )
    .addOption(option('--source-root <folder>', 'labelled source images', existingFolder))
    .addOption(
      option(
        '--source-format <layout>',
        `layout of the source: ${SOURCE_FORMATS.join(', ')}`,
        oneOf(SOURCE_FORMATS),
        'gta5',
      ),
    )
    .addOption(option('--target-root <folder>', 'target images in the layout of Cityscapes', existingFolder))
    .addOption(option('--method <method>', `what to train: ${METHODS.join(', ')}`, oneOf(METHODS), 'pgpc'))
    .addOption(option('--iterations <count>', 'training steps', integer(1), 40_000))
    .addOption(
      option('--batch <count>', 'source images a step, and as many of the target', integer(1, 1024), 2),
    )
    .addOption(option('--crop <WxH>', 'size of the training crops in pixels', size, DEFAULT_CROP, '512x512'))
    .addOption(option('--lr <rate>', 'peak learning rate of the encoder', positiveNumber, 6e-5, '6e-5'))
    .addOption(option('--seed <number>', 'seed of everything random', seed, 1))
    .addOption(
      option('--weights <file>', 'weights to start the encoder from (default: random)', existingFile),
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
        'pgpc train --source-root data/gta5 --target-root data/cityscapes --method pgpc --name gta5-pgpc',
        'pgpc train --resume runs/gta5-pgpc',
      ),
    );
  train.action(async (options) => {
    if (options.resume !== undefined) {
      const extra = given(train).filter((flag) => flag !== '--resume');
      if (extra.length > 0) {
        throw new UsageError(
          `--resume takes everything from the run directory: leave out ${extra.join(', ')}`,
        );
      }
      await handlers.train({ resume: options.resume }, io);
      return;
    }
    for (const [flag, value] of [
      ['--source-root', options.sourceRoot],
      ['--target-root', options.targetRoot],
    ]) {
      if (value === undefined) throw new UsageError(`train needs ${flag} <folder>, or --resume <run>`);
    }
    const { sourceRoot, sourceFormat, targetRoot, method, iterations, batch, crop, lr } = options;
    const { seed, weights, name, out, overwrite } = options;
    await handlers.train(
      {
        resume: undefined,
        sourceRoot,
        sourceFormat,
        targetRoot,
        method,
        iterations,
        batch,
        crop,
        lr,
        seed,
        weights,
        name,
        out,
        overwrite,
      },
      io,
    );
  });
};

/** The flags that were written on the command line. */
function given(command: Command): string[] {
  return command.options
    .filter((candidate) => command.getOptionValueSource(candidate.attributeName()) === 'cli')
    .map((candidate) => candidate.long!);
}
