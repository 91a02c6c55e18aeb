// `pgpc train`

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import type { Command } from 'commander';
import { denoiseNames } from '../../config/denoise.js';
import { lossWeightNames } from '../../config/loss-weights.js';
import { methodNames } from '../../config/method.js';
import { scoreNames } from '../../config/scores.js';
import { networkNames } from '../../config/segmentor.js';
import { styleNames } from '../../config/style.js';
import { drivingPresetNames } from '../../recipes/driving.js';
import { examples, option, type Register, UsageError } from '../command.js';
import { deviceOption, precisionOption } from '../device-options.js';
import { setOption } from '../set-option.js';
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
  upTo,
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
        '--target-root; --resume takes everything but the device from the run directory. A preset is an experiment of the paper: ' +
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
        '--style <name>',
        `source images in the target's style: ${styleNames.join(', ')}; goes with every method`,
        oneOf(styleNames),
        'none',
      ),
    )
    .addOption(
      option(
        '--fda-beta <share>',
        "share of the crop's shorter side up to which fda exchanges frequencies (default: 0.01)",
        upTo(0.5),
      ),
    )
    .addOption(
      option(
        '--denoise <name>',
        `how pseudo-labels are cleaned: ${denoiseNames.join(', ')}; goes with every method that has a teacher`,
        oneOf(denoiseNames),
        'none',
      ),
    )
    .addOption(
      option(
        '--loss-weights <name>',
        `where lambda_t and lambda_c come from: ${lossWeightNames.join(', ')}; for methods that have them`,
        oneOf(lossWeightNames),
        'fixed',
      ),
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
    .addOption(
      setOption('a change of any option of the experiment, applied last, such as method.contrast.rank=3'),
    )
    .option('--allow-partial', 'load what fits of --weights, instead of refusing a file that differs', false)
    .option('--skip-bad', 'leave out files that do not decode or fit, instead of refusing to start', false)
    .addOption(deviceOption())
    .addOption(precisionOption())
    .option(
      '--activation-checkpointing',
      'run most of the network twice, instead of keeping what it computes for the backward pass: less memory, more time',
      false,
    )
    .option('--no-memory-check', 'do not measure the memory of a step before the run')
    .addOption(
      option(
        '--select <score>',
        `score on unlabelled target images by which the best checkpoint is kept: ${scoreNames.join(', ')}`,
        oneOf(scoreNames),
        'information',
      ),
    )
    .addOption(
      option('--workers <count>', 'threads that decode images (default: cores - 1)', integer(0, 256)),
    )
    .addOption(option('--name <name>', 'name of the run (default: the method, numbered if taken)', runName))
    .addOption(option('--out <folder>', 'folder for run directories', outputFolder, 'runs'))
    .option('--overwrite', 'replace the run that has the name', false)
    .addOption(
      option(
        '--nproc <count>',
        'processes to start on this machine, each with a batch of its own (default: train in one)',
        integer(1, 1024),
      ),
    )
    .addOption(
      option('--resume <run>', 'run directory to go on with, from its last checkpoint', existingFolder),
    )
    .addHelpText(
      'after',
      examples(
        'pgpc train --preset gta5-cityscapes --source-root data/gta5 --target-root data/cityscapes --weights mit_b5.pth',
        'pgpc train --source-root data/simulator --target-root data/camera --method pgpc --crop 256x256',
        'pgpc train --source-root data/simulator --target-root data/camera --set method.contrast.rank=3',
        'pgpc train --resume runs/pgpc',
        'pgpc train --nproc 4 --source-root data/simulator --target-root data/camera',
      ),
    );
  train.action(async ({ resume, nproc, ...options }) => {
    if (resume !== undefined) {
      const extra = given(train).filter((flag) => !['--resume', '--nproc', '--device'].includes(flag));
      if (extra.length > 0) {
        throw new UsageError(
          `--resume takes everything from the run directory: leave out ${extra.join(', ')}`,
        );
      }
      await handlers.train({ resume, nproc, device: options.device }, io);
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
    if (options.fdaBeta !== undefined && options.style !== 'fda') {
      throw new UsageError('--fda-beta goes with --style fda');
    }
    if (options.denoise !== 'none' && options.method === 'source-only') {
      throw new UsageError(`--denoise ${options.denoise}: source-only has no pseudo-labels to clean`);
    }
    if (options.lossWeights !== 'fixed' && options.method === 'source-only') {
      throw new UsageError(`--loss-weights ${options.lossWeights}: source-only has one loss`);
    }
    if (options.select === 'agreement' && options.method === 'source-only') {
      throw new UsageError('--select agreement: source-only has no teacher to agree with');
    }
    if (options.select === 'margin' && options.method !== 'pgpc') {
      throw new UsageError(`--select margin: ${options.method} has no prototypes`);
    }
    await handlers.train({ ...options, nproc, resume: undefined }, io);
  });
};

/** The flags that were written on the command line. */
function given(command: Command): string[] {
  return command.options
    .filter((candidate) => command.getOptionValueSource(candidate.attributeName()) === 'cli')
    .map((candidate) => candidate.long!);
}
