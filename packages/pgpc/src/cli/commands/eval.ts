// `pgpc eval`

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { PREDICTION_FORMATS } from '../../evaluation/prediction-format.js';
import { CITYSCAPES_PROTOCOLS, type Protocol } from '../../evaluation/protocols.js';
import { examples, option, type Register, UsageError } from '../command.js';
import { deviceOption } from '../device-options.js';
import { addInferenceOptions, inferenceOptions } from '../inference-options.js';
import { existingFolder, existingPath, oneOf, outputFile, outputFolder } from '../values.js';

/** `all` is that of the formats without splits. */
const SPLITS = ['train', 'val', 'test', 'all'] as const;
const PROTOCOLS = Object.keys(CITYSCAPES_PROTOCOLS).toReversed();

export const registerEval: Register = (parent, handlers, io) => {
  const command = parent
    .command('eval')
    .summary('evaluate a checkpoint on labelled images')
    .description(
      'Evaluate a checkpoint on labelled target images: IoU and accuracy of every class, and their means.',
    )
    .addOption(
      option(
        '--checkpoint <path>',
        'checkpoint file or folder (required)',
        existingPath,
      ).makeOptionMandatory(),
    )
    .addOption(
      option(
        '--target-root <folder>',
        'target images with labels (required)',
        existingFolder,
      ).makeOptionMandatory(),
    )
    .addOption(
      option(
        '--format <format>',
        'layout, such as cityscapes or folder (default: told from it)',
        oneOf(DATASET_FORMATS),
      ),
    )
    .addOption(option('--split <split>', `split to evaluate: ${SPLITS.join(', ')}`, oneOf(SPLITS), 'val'));
  addInferenceOptions(command)
    .addOption(deviceOption())
    .addOption(
      option(
        '--classes <count>',
        `classes of Cityscapes to average: ${PROTOCOLS.join(', ')} (default: all)`,
        oneOf(PROTOCOLS),
      ),
    )
    .option('--boundary', 'also boundary IoU')
    .addOption(
      option(
        '--save-predictions <folder>',
        'folder for the predicted label maps (default: not saved)',
        outputFolder,
      ),
    )
    .addOption(
      option(
        '--predictions <format>',
        `what they hold: ${PREDICTION_FORMATS.join(', ')} (default: trainIds)`,
        oneOf(PREDICTION_FORMATS),
      ),
    )
    .addOption(option('--json <file>', 'file for all results (default: none)', outputFile))
    .addHelpText(
      'after',
      examples(
        'pgpc eval --checkpoint runs/demo/checkpoints/pgpc --target-root data/street-synth/cityscapes',
        'pgpc eval --checkpoint runs/x --target-root cityscapes --input-size 1024x512 --json x.json',
        'pgpc eval --checkpoint runs/x --target-root cityscapes --mode slide --window 1024x1024 --flip',
      ),
    )
    .action(async ({ checkpoint, targetRoot, format, split, savePredictions, ...flags }) => {
      if (flags.predictions && !savePredictions) {
        throw new UsageError('--predictions needs --save-predictions with a folder');
      }
      await handlers.evaluate(
        {
          checkpoint,
          targetRoot,
          format,
          split,
          inference: inferenceOptions(flags),
          device: flags.device,
          classes: flags.classes && (Number(flags.classes) as Protocol),
          boundary: flags.boundary ?? false,
          savePredictions,
          predictions: flags.predictions ?? 'trainIds',
          json: flags.json,
        },
        io,
      );
    });
};
