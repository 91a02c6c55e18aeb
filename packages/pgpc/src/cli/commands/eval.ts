// `pgpc eval`: a saved model on a labelled split.

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { z } from 'zod';
import { UsageError } from '../../config/usage-error.js';
import type { ModelInferenceOptions } from '../../evaluation/as-trained.js';
import type { EvaluateOptions } from '../../evaluation/evaluate-model.js';
import { PREDICTION_FORMATS, type PredictionFormat } from '../../evaluation/prediction-format.js';
import { CITYSCAPES_PROTOCOLS, type Protocol } from '../../evaluation/protocols.js';
import { bestOption, checkpointOption } from '../checkpoint-options.js';
import { examples, filesWere, jsonOption, option, type Register, rangeOption } from '../command.js';
import { addInferenceOptions, inferenceOptions } from '../inference-options.js';
import { telling } from '../output/json.js';
import { fileProgress } from '../output/progress.js';
import { trainingOption } from '../training-options.js';
import { existingFile, existingFolder, integer, oneOf, outputFolder } from '../values.js';

/** `all` is that of the formats without splits. */
const SPLITS = ['train', 'val', 'test', 'all'] as const;
const PROTOCOLS = Object.keys(CITYSCAPES_PROTOCOLS).toReversed();

/** A number is a protocol, also where a file has its name. */
const protocolOrFile: z.ZodType<Protocol | string, string> = z.string().transform((text, context) => {
  const parsed = (/^\d+$/.test(text) ? oneOf(PROTOCOLS) : existingFile).safeParse(text);
  if (!parsed.success) context.addIssue(parsed.error.issues[0]!.message);
  return PROTOCOLS.includes(text) ? (Number(text) as Protocol) : text;
});

interface EvalOptions
  extends Pick<
    EvaluateOptions,
    'checkpoint' | 'best' | 'format' | 'range' | 'classes' | 'boundary' | 'device'
  > {
  readonly targetRoot: string;
  readonly split: string;
  readonly inference: ModelInferenceOptions;
  /** Folder for predicted label maps; undefined: none are written. */
  readonly savePredictions: string | undefined;
  readonly predictions: PredictionFormat;
  /** Folder for the scores of every image and a page of the worst; undefined: none is written. */
  readonly perImage: string | undefined;
  readonly worst: number;
  /** Folder for FiftyOne; undefined: none is written. */
  readonly fiftyone: string | undefined;
}

export const registerEval: Register = (parent, act) => {
  const command = parent
    .command('eval')
    .summary('evaluate a checkpoint on labelled images')
    .description(
      'Evaluate a checkpoint on labelled target images: IoU and accuracy of every class, and their means. Images enter ' +
        'the network at the size that it was trained at, as its file says.',
    )
    .addOption(checkpointOption())
    .addOption(bestOption())
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
  command.addOption(rangeOption());
  addInferenceOptions(command)
    .addOption(trainingOption('device'))
    .addOption(
      option(
        '--classes <file>',
        "file that says which classes of the images each of the model's takes in (default: what has its name); or " +
          `the number of Cityscapes classes to average: ${PROTOCOLS.join(', ')} (default: all)`,
        protocolOrFile,
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
    .addOption(
      option(
        '--per-image <folder>',
        'folder for the scores of every image (images.csv, images.json) and a page of the worst (worst.html)',
        outputFolder,
      ),
    )
    .addOption(option('--worst <count>', 'images on that page (default: 20)', integer(1, 1000)))
    .addOption(
      option(
        '--fiftyone <folder>',
        'folder for images, labels and predictions as FiftyOne reads them',
        outputFolder,
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc eval --checkpoint runs/demo/checkpoints/pgpc --target-root data/street-synth/cityscapes',
        'pgpc eval --checkpoint runs/x --best --target-root cityscapes --input-size full --json x.json',
        'pgpc eval --checkpoint runs/x --target-root camvid --classes streets-to-camvid.yaml',
        'pgpc eval --checkpoint runs/x --target-root cityscapes --per-image scored --fiftyone seen',
        'pgpc eval --checkpoint runs/x --target-root cityscapes --mode slide --window 1024x1024 --flip',
      ),
    )
    .action(async ({ checkpoint, best, targetRoot, format, split, savePredictions, ...flags }) => {
      if (flags.predictions && !savePredictions) {
        throw new UsageError('--predictions needs --save-predictions with a folder');
      }
      if (flags.worst !== undefined && flags.perImage === undefined) {
        throw new UsageError('--worst needs --per-image with a folder');
      }
      await act('evaluate', evaluateCheckpoint, {
        checkpoint,
        best,
        targetRoot,
        format,
        split,
        inference: inferenceOptions(flags),
        range: flags.range,
        device: flags.device,
        classes: flags.classes,
        boundary: flags.boundary ?? false,
        savePredictions,
        predictions: flags.predictions ?? 'trainIds',
        perImage: flags.perImage,
        worst: flags.worst ?? 20,
        fiftyone: flags.fiftyone,
        json: flags.json,
      });
    });
};

const evaluateCheckpoint = telling(async (options: EvalOptions, io, tell) => {
  const { targetRoot, split, savePredictions, predictions, perImage, worst, fiftyone, ...given } = options;
  const { classesTable, evaluate, evaluationTable, resultsOf, useCores } = await import(
    '../output/evaluation.js'
  );
  useCores();
  const checks = fileProgress(`check ${split}`, io);
  const bar = fileProgress(`evaluate ${split}`, io, 'images');
  const evaluation = await evaluate({
    ...given,
    target: targetRoot,
    split,
    predictions: savePredictions === undefined ? undefined : { folder: savePredictions, format: predictions },
    perImage: perImage === undefined ? undefined : { worst },
    fiftyone,
    signal: io.signal,
    onClasses: (classes) => io.stderr.write(classesTable(classes)),
    onCheck: (done, total) => {
      checks.onProgress(done, total);
      if (done === total) checks.done();
    },
    onWarning: (message) => io.stderr.write(`warning: ${message}\n`),
    onImage: bar.onProgress,
    onModel: bar.note,
  });
  bar.done();
  io.stdout.write(
    evaluationTable(evaluation, typeof options.classes === 'number' ? options.classes : undefined),
  );
  if (perImage !== undefined) {
    const { worstTable, writePerImage } = await import('../output/per-image.js');
    io.stdout.write(worstTable(evaluation));
    await writePerImage(evaluation, perImage, options.checkpoint);
    io.stdout.write(`every image: ${perImage}/images.csv, images.json; the worst: ${perImage}/worst.html\n`);
  }
  if (fiftyone !== undefined) io.stdout.write(`for FiftyOne: ${fiftyone}\n`);
  if (savePredictions) io.stdout.write(`predicted ${predictions}: ${savePredictions}\n`);
  tell(resultsOf(evaluation, options.checkpoint));
  tell({ predictions: savePredictions, perImage, fiftyone });
  const { faults } = evaluation;
  for (const { message } of faults) io.stderr.write(`left out: ${message}\n`);
  // An image without a label is no fault of a file: the split is labelled in part.
  const bad = faults.filter(({ kind }) => kind !== 'missing-pair');
  if (bad.length > 0) {
    throw new Error(`${targetRoot}: ${filesWere(bad.length)} left out of the scores`);
  }
});
