// `pgpc predict`
import { PREDICTION_FORMATS } from '../../evaluation/prediction-format.js';
import { examples, option, type Register } from '../command.js';
import { deviceOption } from '../device-options.js';
import { addInferenceOptions, inferenceOptions } from '../inference-options.js';
import { existingFolder, existingPath, oneOf, outputFolder } from '../values.js';

export const registerPredict: Register = (parent, handlers, io) => {
  const command = parent
    .command('predict')
    .summary('label images with a checkpoint')
    .description('Write the predicted label map of every image in a folder and its subfolders, of any sizes.')
    .addOption(
      option(
        '--checkpoint <path>',
        'checkpoint file or folder (required)',
        existingPath,
      ).makeOptionMandatory(),
    )
    .addOption(
      option('--images <folder>', 'folder with images (required)', existingFolder).makeOptionMandatory(),
    )
    .addOption(
      option(
        '--out <folder>',
        'folder for the label maps, under the names of the images (required)',
        outputFolder,
      ).makeOptionMandatory(),
    )
    .addOption(
      option(
        '--predictions <format>',
        `what they hold: ${PREDICTION_FORMATS.join(', ')}`,
        oneOf(PREDICTION_FORMATS),
        'trainIds',
      ),
    );
  addInferenceOptions(command)
    .addOption(deviceOption())
    .addHelpText(
      'after',
      examples(
        'pgpc predict --checkpoint runs/demo/checkpoints/pgpc --images photos --out labels',
        'pgpc predict --checkpoint runs/x --images cityscapes/leftImg8bit/test --out submission --predictions labelIds',
      ),
    )
    .action(async ({ checkpoint, images, out, predictions, ...flags }) => {
      await handlers.predict(
        { checkpoint, images, out, predictions, inference: inferenceOptions(flags), device: flags.device },
        io,
      );
    });
};
