// `pgpc data`: making, checking, counting and copying data sets.

import { DATASET_FORMATS, SOURCE_LAYOUTS } from '@pgpc/datasets/formats';
import type { Command } from 'commander';
import { examples, option, type Register } from '../command.js';
import {
  checkedBy,
  existingFile,
  existingFolder,
  integer,
  oneOf,
  outputFile,
  outputFolder,
  type Size,
  seed,
  size,
} from '../values.js';

const COUNT = integer(0, 100_000);
const DEFAULT_CROP: Size = { width: 512, height: 512 };

export const registerData: Register = (parent, handlers, io) => {
  const data = parent
    .command('data')
    .summary('make, check, count and copy data sets')
    .description('Make, check, count and copy data sets.');
  data
    .command('render')
    .summary('render labelled street scenes of two looks')
    .description(
      'Render labelled street scenes of two looks: a source in the layout of GTA5 or SYNTHIA and a target in ' +
        'that of Cityscapes. The same seed gives the same files; a folder that is complete is left as it is.',
    )
    .addOption(option('--out <folder>', 'folder to write to', outputFolder, 'data/street-synth'))
    .addOption(option('--seed <number>', 'seed of the scenes', seed, 1))
    .addOption(option('--size <WxH>', 'pixels of all images (default: source 256x144, target 256x128)', size))
    .addOption(
      option(
        '--source-layout <layout>',
        `layout of the source: ${SOURCE_LAYOUTS.join(', ')}`,
        oneOf(SOURCE_LAYOUTS),
        'gta5',
      ),
    )
    .addOption(option('--source-train <count>', 'source images to train on', COUNT, 500))
    .addOption(option('--source-val <count>', 'source images to validate on', COUNT, 50))
    .addOption(option('--target-train <count>', 'target images to train on', COUNT, 500))
    .addOption(option('--target-val <count>', 'target images to validate on', COUNT, 100))
    .addHelpText('after', examples('pgpc data render --out data/streets --size 512x256 --target-val 200'))
    .action(async ({ out, seed, size, sourceLayout, ...counts }) => {
      await handlers.render({ out, seed, size, sourceLayout, ...counts }, io);
    });
  addSelection(data.command('check'), 'splits to read (default: all that are there)')
    .summary('read every file and say what is wrong with which')
    .description(
      'Read every image and label of a data set, in parallel, and report each fault in one line: missing partners, ' +
        'labels of another size, files that do not decode, label values that are not defined (with their counts), ' +
        'links in a circle. The exit code is 1 when there is a fault.',
    )
    .addOption(option('--json <file>', 'also write the faults to this file', outputFile))
    .addHelpText('after', examples('pgpc data check data/cityscapes', 'pgpc data check mine --split train'))
    .action(async (root, { format, split, classes, jobs, json }) => {
      await handlers.checkData({ root, format, split, classes, jobs, json }, io);
    });
  addSelection(data.command('stats'), 'split to count (default: what one trains on)')
    .summary('count the classes of a labelled split')
    .description(
      'Count the pixels of every class in every label and show what rare class sampling makes of them. Counts are ' +
        "kept in the folder .pgpc of the data set (or in the user's cache where that cannot be written): training " +
        'uses them, and only files that changed are counted again.',
    )
    .addOption(
      option('--crop <WxH>', 'training crops that the constants are for', size, DEFAULT_CROP, '512x512'),
    )
    .option('--by-content', 'tell changed files by SHA-256, not by size and time', false)
    .addOption(option('--json <file>', 'also write the counts to this file', outputFile))
    .addHelpText('after', examples('pgpc data stats data/gta5 --json gta5-classes.json'))
    .action(async (root, { format, split, classes, jobs, crop, byContent, json }) => {
      await handlers.dataStats({ root, format, split, classes, jobs, crop, byContent, json }, io);
    });
  addSelection(data.command('cache'), 'split to copy (default: all that are there)')
    .summary('copy a data set, resized and fast to decode')
    .description(
      'Write copies of a data set in its own layout that decode fast: uncompressed PNG images, resized once exactly ' +
        'as training resizes them, and labels by nearest neighbour. A stopped copy goes on.',
    )
    .addOption(option('--out <folder>', 'folder to write to (required)', outputFolder).makeOptionMandatory())
    .addOption(option('--scale <WxH>', 'largest size, the ratio is kept (default: as it is)', size))
    .addHelpText('after', examples('pgpc data cache data/gta5 --out data/gta5-1280 --scale 1280x720'))
    .action(async (root, { format, split, classes, jobs, out, scale }) => {
      await handlers.cacheData({ root, format, split, classes, jobs, out, scale }, io);
    });
};

/** What says which data a command is about. */
function addSelection(command: Command, splits: string) {
  return command
    .argument('<folder>', 'root of the data set', checkedBy(existingFolder))
    .addOption(
      option('--format <layout>', `${DATASET_FORMATS.join(', ')} (default: found)`, oneOf(DATASET_FORMATS)),
    )
    .option('--split <split>', splits)
    .addOption(option('--classes <file>', 'class file of your own data', existingFile))
    .addOption(option('--jobs <count>', 'files read at once (default: two a core)', integer(1, 256)));
}
