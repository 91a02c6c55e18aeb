// `pgpc eval`
import { examples, option, type Register } from '../command.js';
import { SPLITS } from '../train-types.js';
import { existingFolder, existingPath, oneOf, outputFolder } from '../values.js';

export const registerEval: Register = (parent, handlers, io) => {
  parent
    .command('eval')
    .summary('evaluate a checkpoint on labelled images')
    .description('Evaluate a checkpoint on labelled target images: IoU of every class and mIoU.')
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
        'target images and labels in the layout of Cityscapes (required)',
        existingFolder,
      ).makeOptionMandatory(),
    )
    .addOption(option('--split <split>', `split to evaluate: ${SPLITS.join(', ')}`, oneOf(SPLITS), 'val'))
    .addOption(
      option(
        '--save-predictions <folder>',
        'folder for the predicted label maps (default: not saved)',
        outputFolder,
      ),
    )
    .addHelpText(
      'after',
      examples(
        'pgpc eval --checkpoint runs/demo/checkpoints/pgpc --target-root data/street-synth/cityscapes',
      ),
    )
    .action(async ({ checkpoint, targetRoot, split, savePredictions }) => {
      await handlers.evaluate({ checkpoint, targetRoot, split, savePredictions }, io);
    });
};
