// `pgpc predict`: images and videos of one's own through a model.

import { join } from 'node:path';
import { Argument } from 'commander';
import { z } from 'zod';
import { UsageError } from '../../config/usage-error.js';
import type { PredictOptions } from '../../evaluation/predict.js';
import {
  LABEL_FORMATS,
  type LabelFormat,
  PICTURE_KINDS,
  type PictureKind,
} from '../../evaluation/prediction-format.js';
import { bestOption } from '../checkpoint-options.js';
import { count, examples, jsonOption, option, type Register, rangeOption } from '../command.js';
import { addInferenceOptions, inferenceOptions } from '../inference-options.js';
import { telling } from '../output/json.js';
import { fileProgress } from '../output/progress.js';
import { trainingOption } from '../training-options.js';
import { checkedBy, existingPath, integer, isPattern, listOf, oneOf, outputFolder } from '../values.js';

type PredictFlags = PredictOptions & {
  readonly images: readonly string[];
  readonly write: readonly PictureKind[];
  readonly labels: LabelFormat;
};

const DEFAULT_KINDS: PictureKind[] = ['overlays', 'labels'];

/** Kinds between commas, or `none`. */
const kinds: z.ZodType<PictureKind[], string> = z.string().transform((text, context) => {
  if (text === 'none') return [];
  const parsed = listOf(PICTURE_KINDS).safeParse(text);
  if (parsed.success) return parsed.data;
  context.addIssue(`${parsed.error.issues[0]!.message}, or 'none'`);
  return z.NEVER;
});

/** A file or folder that is there, or a pattern. */
const source: z.ZodType<string, string> = z.string().transform((text, context) => {
  if (existingPath.safeParse(text).success || isPattern(text)) return text;
  context.addIssue('there is no such file or folder');
  return z.NEVER;
});

export const registerPredict: Register = (parent, act) => {
  const one = checkedBy(source);
  const command = parent
    .command('predict')
    .summary('run a model on images and videos')
    .description(
      'Predict images and videos of any sizes: files, folders with their subfolders, and quoted patterns. Writes pictures, each ' +
        'kind in a folder of its name, and predictions.jsonl with a line for each image. Called again, it does what is not ' +
        'complete. Files that cannot be read are named and the others done; the exit code is then 1. Neither images nor ' +
        "labels that are not pgpc's are ever overwritten.",
    )
    .addArgument(
      new Argument(
        '<model>',
        'run directory (its last checkpoint), checkpoint folder, or model file',
      ).argParser(checkedBy(existingPath)),
    )
    .addArgument(
      new Argument('<paths...>', 'images and videos: files, folders, patterns').argParser(
        (text: string, before: readonly string[] | undefined) => [...(before ?? []), one(text)],
      ),
    )
    .addOption(bestOption())
    .addOption(option('--out <folder>', 'folder for what is written', outputFolder, 'predicted'))
    .addOption(
      option(
        '--write <kinds>',
        `pictures to write, between commas, or none: ${PICTURE_KINDS.join(', ')}`,
        kinds,
        DEFAULT_KINDS,
        DEFAULT_KINDS.join(','),
      ),
    )
    .addOption(
      option(
        '--labels <format>',
        `what label maps hold: ${LABEL_FORMATS.join(', ')}`,
        oneOf(LABEL_FORMATS),
        'trainIds',
      ),
    )
    .addOption(option('--every <count>', 'of a video every so many frames', integer(1), 1))
    .addOption(
      option(
        '--batch <count>',
        'images of one size that go through the network together (default: 1, on a GPU 8)',
        integer(1, 1024),
      ),
    );
  command.addOption(rangeOption());
  addInferenceOptions(command)
    .addOption(trainingOption('device'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc predict runs/pgpc photos --best',
        "pgpc predict runs/pgpc 'photos/**/*.jpg' --write overlays,confidence --out seen",
        'pgpc predict runs/pgpc drive.mp4 --every 10',
        'pgpc predict runs/x cityscapes/leftImg8bit/test --out submission --write labels --labels labelIds',
      ),
    )
    .action(async (checkpoint, images, { best, out, write, labels, every, batch, ...flags }) => {
      const { device, range, json } = flags;
      if (batch !== undefined && flags.mode === 'slide') {
        throw new UsageError('--batch goes with --mode whole; by windows it is --window-batch');
      }
      const inference = inferenceOptions(flags);
      const what = { checkpoint, best, images, out, write, labels, every, batch };
      await act('predict', predictImages, { ...what, inference, range, device, json });
    });
};

const predictImages = telling(async (options: PredictFlags, io, tell) => {
  const { predict } = await import('../../evaluation/predict.js');
  const { LINES_FILE } = await import('../../evaluation/predict-journal.js');
  const { useCores } = await import('../../machine.js');
  useCores();
  const bar = fileProgress('predict', io, 'images');
  const failed: string[] = [];
  const { lines, before } = await predict({
    ...options,
    signal: io.signal,
    onImage: bar.onProgress,
    onNote: bar.note,
    onModel: bar.note,
    onFault: ({ message }) => {
      failed.push(message);
      bar.note(message);
    },
  });
  bar.done(true);
  const { out, write } = options;
  tell({ folder: out, record: join(out, LINES_FILE), written: write, images: lines.length, before, failed });
  const done =
    before > 0 ? `${count(lines.length, 'image')}, ${before} of them before` : count(lines.length, 'image');
  const kinds = options.write.length > 0 ? ` (${options.write.join(', ')})` : '';
  io.stdout.write(`${done}${kinds}: ${options.out}\n`);
  if (failed.length > 0) {
    throw new Error(`${options.images.join(', ')}: ${count(failed.length, 'file')} failed, named above`);
  }
});
