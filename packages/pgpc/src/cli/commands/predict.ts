// `pgpc predict`: label maps of one's own images.
import type { PredictOptions } from '../../evaluation/predict.js';
import { PREDICTION_FORMATS, type PredictionFormat } from '../../evaluation/prediction-format.js';
import { bestOption, checkpointOption } from '../checkpoint-options.js';
import { type Action, count, examples, option, type Register, rangeOption } from '../command.js';
import { addInferenceOptions, inferenceOptions } from '../inference-options.js';
import { fileProgress } from '../output/progress.js';
import { trainingOption } from '../training-options.js';
import { existingFolder, oneOf, outputFolder } from '../values.js';

type PredictFlags = PredictOptions & { readonly predictions: PredictionFormat };

export const registerPredict: Register = (parent, act) => {
  const command = parent
    .command('predict')
    .summary('label images with a checkpoint')
    .description(
      'Write the predicted label map of every image in a folder and its subfolders, of any sizes. Images that ' +
        'cannot be read are named and the others done; the exit code is then 1. Images are never overwritten.',
    )
    .addOption(checkpointOption())
    .addOption(bestOption())
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
  command.addOption(rangeOption());
  addInferenceOptions(command)
    .addOption(trainingOption('device'))
    .addHelpText(
      'after',
      examples(
        'pgpc predict --checkpoint runs/demo/checkpoints/pgpc --images photos --out labels',
        'pgpc predict --checkpoint runs/x --images cityscapes/leftImg8bit/test --out submission --predictions labelIds',
      ),
    )
    .action(async ({ checkpoint, best, images, out, predictions, ...flags }) => {
      const { device, range } = flags;
      const inference = inferenceOptions(flags);
      const where = { checkpoint, best, images, out, predictions };
      await act('predict', predictImages, { ...where, inference, range, device });
    });
};

const predictImages: Action<PredictFlags> = async ({ predictions, ...options }, io) => {
  const { predict } = await import('../../evaluation/predict.js');
  const { useCores } = await import('../../machine.js');
  useCores();
  const bar = fileProgress('predict', io, 'images');
  let failed = 0;
  const { files } = await predict({
    ...options,
    format: predictions,
    signal: io.signal,
    onImage: bar.onProgress,
    onNote: bar.note,
    onModel: bar.note,
    onFault: ({ message }) => {
      failed++;
      bar.note(message);
    },
  });
  bar.done();
  io.stdout.write(`${count(files.length, 'label map')} (${predictions}): ${options.out}\n`);
  if (failed > 0) throw new Error(`${options.images}: ${count(failed, 'image')} failed, named above`);
};
