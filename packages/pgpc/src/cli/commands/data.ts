// `pgpc data`: making, checking, counting and copying data sets.

import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { CheckedSplit, Finding } from '@pgpc/datasets';
import {
  DATASET_FORMATS,
  type DatasetFormat,
  SOURCE_LAYOUTS,
  type SourceLayout,
} from '@pgpc/datasets/formats';
import type { Command } from 'commander';
import { count, examples, filesWere, jsonOption, option, type Register, rangeOption } from '../command.js';
import { telling } from '../output/json.js';
import { fileProgress, progress } from '../output/progress.js';
import type { StatsOptions } from '../output/statistics.js';
import { textTable } from '../output/table.js';
import {
  checkedBy,
  existingFile,
  existingFolder,
  integer,
  oneOf,
  outputFolder,
  type Size,
  seed,
  size,
} from '../values.js';
import { registerDataMap } from './data-map.js';

const COUNT = integer(0, 100_000);
const DEFAULT_CROP: Size = { width: 512, height: 512 };

/** Which data a command is about. */
export interface DataSelection {
  readonly root: string;
  /** Undefined: told from the folders in `root`. */
  readonly format: DatasetFormat | undefined;
  /** Undefined: what the command is made for. */
  readonly split: string | undefined;
  /** Class file of a format without classes of its own. */
  readonly classes: string | undefined;
  /** Stored numbers that are black and white; undefined: the whole scale. */
  readonly range: [low: number, high: number] | undefined;
  /** Files read at once; undefined: two for every core. */
  readonly jobs: number | undefined;
}

interface RenderOptions {
  readonly out: string;
  readonly seed: number;
  /** Of the images of both domains, in pixels; undefined: each domain's own. */
  readonly size: Size | undefined;
  /** Layout of the source's files. */
  readonly sourceLayout: SourceLayout;
  readonly sourceTrain: number;
  readonly sourceVal: number;
  readonly targetTrain: number;
  readonly targetVal: number;
  /** Scenes of neither domain. */
  readonly varied: number;
}

export const registerData: Register = (parent, act) => {
  const data = parent
    .command('data')
    .summary('make, check, count, map and copy data sets')
    .description('Make, check, count, map and copy data sets.');
  data
    .command('render')
    .summary('render labelled street scenes of two looks')
    .description(
      'Render labelled street scenes of two looks: a source in the layout of GTA5 or SYNTHIA and a target in ' +
        'that of Cityscapes; with --varied also scenes of neither, each with a look of its own, in the layout of the ' +
        'source. The same seed gives the same files; a folder that is complete is left as it is.',
    )
    .addOption(option('--out <folder>', 'folder to write to', outputFolder, 'data/street-synth'))
    .addOption(option('--seed <number>', 'seed of the scenes', seed, 1))
    .addOption(
      option(
        '--size <WxH>',
        'pixels of all images (default: source and varied 256x144, target 256x128)',
        size,
      ),
    )
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
    .addOption(option('--varied <count>', 'labelled images of varied looks, of neither domain', COUNT, 0))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc data render --out data/streets --size 512x256 --target-val 200',
        'pgpc data render --out data/varied --source-train 0 --source-val 0 --target-train 0 --target-val 0 --varied 1000',
      ),
    )
    .action(async ({ out, seed, size, sourceLayout, json, ...counts }) => {
      await act('render', render, { out, seed, size, sourceLayout, json, ...counts });
    });
  addSelection(data.command('check'), 'splits to read (default: all that are there)', OR_MAPPING)
    .summary('read every file and say what is wrong with which')
    .description(
      'Read every image and label of a data set, in parallel, and report each fault in one line: missing partners, ' +
        'labels of another size, files that do not decode, label values that are not defined (with their counts), ' +
        'links in a circle. The exit code is 1 when there is a fault.',
    )
    .addOption(jsonOption())
    .addHelpText('after', examples('pgpc data check data/cityscapes', 'pgpc data check mine --split train'))
    .action(async (root, { format, split, classes, range, jobs, json }) => {
      await act('checkData', check, { root, format, split, classes, range, jobs, json });
    });
  addSelection(data.command('stats'), 'split to count (default: what one trains on)', OR_MAPPING)
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
    .addOption(jsonOption())
    .addHelpText('after', examples('pgpc data stats data/gta5 --json gta5-classes.json'))
    .action(async (root, { format, split, classes, range, jobs, crop, byContent, json }) => {
      await act('dataStats', stats, { root, format, split, classes, range, jobs, crop, byContent, json });
    });
  registerDataMap(data, act);
  addSelection(data.command('cache'), 'split to copy (default: all that are there)')
    .summary('copy a data set, resized and fast to decode')
    .description(
      'Write copies of a data set in its own layout that decode fast: uncompressed PNG images, resized once exactly ' +
        'as training resizes them, and labels by nearest neighbour. A stopped copy is resumed.',
    )
    .addOption(option('--out <folder>', 'folder to write to (required)', outputFolder).makeOptionMandatory())
    .addOption(option('--scale <WxH>', 'largest size, the ratio is kept (default: as it is)', size))
    .addOption(jsonOption())
    .addHelpText('after', examples('pgpc data cache data/gta5 --out data/gta5-1280 --scale 1280x720'))
    .action(async (root, { format, split, classes, range, jobs, out, scale, json }) => {
      await act('cacheData', cache, { root, format, split, classes, range, jobs, out, scale, json });
    });
};

const OWN_CLASSES = 'class file of your own data';
const OR_MAPPING = `${OWN_CLASSES}, or a mapping of classes by name, as train takes it`;

/** What says which data a command is about. */
function addSelection(command: Command, splits: string, classes = OWN_CLASSES) {
  return command
    .argument('<folder>', 'root of the data set', checkedBy(existingFolder))
    .addOption(
      option('--format <layout>', `${DATASET_FORMATS.join(', ')} (default: found)`, oneOf(DATASET_FORMATS)),
    )
    .option('--split <split>', splits)
    .addOption(option('--classes <file>', classes, existingFile))
    .addOption(rangeOption())
    .addOption(option('--jobs <count>', 'files read at once (default: two a core)', integer(1, 256)));
}

/** Writes the data set; where it is there already, says so. */
const render = telling(async ({ out, size, ...scenes }: RenderOptions, io, tell) => {
  const { writeStreetSynth } = await import('@pgpc/street-synth');
  const { sourceTrain, sourceVal, targetTrain, targetVal, varied } = scenes;
  const total = sourceTrain + sourceVal + targetTrain + targetVal + varied;
  const bar = progress({ label: 'render', total, stream: io.stderr, unit: 'images' });
  const { written } = await writeStreetSynth(out, {
    ...scenes,
    ...size,
    threads: availableParallelism(),
    onProgress: (done) => bar.update(done),
    signal: io.signal,
  });
  bar.done();
  tell({ folder: out, scenes: total, written });
  io.stdout.write(`${out}: ${total} scenes, ${written} of them written now\n`);
});

const check = telling(async (options: DataSelection, io, tell) => {
  const { availableSplits, checkDataset, describeLayout, detectFormat, proposeClassFile } = await import(
    '@pgpc/datasets'
  );
  const { root, classes, range, jobs } = options;
  const { brought, classesOf, classesTable } = await import('../output/classes.js');
  const { findingsOf } = await import('../output/findings.js');
  const format = options.format ?? (await detectFormat(root));
  const { definition, mapping } = await classesOf(classes, format);
  const splits = options.split === undefined ? await availableSplits(format, root) : [options.split];
  const layout = await describeLayout(format, root);
  io.stdout.write(`${layout}\n`);
  const results: (CheckedSplit & { split: string; findings: readonly Finding[] })[] = [];
  // A folder without the splits of its format is a fault too: opening one names what is missing.
  for (const split of splits.length > 0 ? splits : ['train']) {
    const bar = fileProgress(`check ${split}`, io);
    const notes = new Set<string>();
    const checked = await checkDataset(
      { format, root, split, classes: definition, range, onNote: (note) => notes.add(note) },
      { signal: io.signal, onProgress: bar.onProgress, ...(jobs !== undefined && { concurrency: jobs }) },
    );
    bar.done();
    const findings = await findingsOf(checked, layout, mapping, io.signal);
    results.push({ ...checked, split, findings });
    for (const note of notes) io.stdout.write(`note: ${note}\n`);
    for (const { message } of checked.faults) io.stdout.write(`${message}\n`);
    for (const { level, message } of findings) io.stdout.write(`${level}: ${message}\n`);
  }
  const rows = results.map(({ split, samples, labelled, faults }) =>
    [split, samples, labelled, faults.length].map(String),
  );
  io.stdout.write(textTable(['split', 'images', 'labels', 'faults'], rows));
  for (const { dataset } of results) {
    const counted = dataset && (await brought(dataset, mapping, io.signal));
    if (counted) io.stdout.write(classesTable(counted));
  }
  const told = results.map(({ split, samples, labelled, faults, findings }) => ({
    split,
    images: samples,
    labels: labelled,
    faults,
    findings,
  }));
  tell({ root, format, splits: told });
  const faults = results.flatMap((result) => result.faults);
  const coloured = faults.filter(({ kind }) => kind === 'label-format').map(({ file }) => file);
  const proposed = await proposeClassFile(coloured);
  if (proposed !== undefined) {
    const file = path.join(root, 'classes.yaml');
    io.stdout.write(
      `\nIf these colours are the classes, give them names and save this as ${file}:\n\n${proposed}\n`,
    );
  }
  const total = faults.length;
  if (total > 0) throw new Error(`${root}: ${count(total, 'fault')} in ${format} data`);
  const useless = results.flatMap(({ findings }) => findings).filter(({ level }) => level === 'error');
  if (useless.length > 0) throw new Error(useless[0]!.message);
});

const stats = telling(async (options: StatsOptions, io, tell) => {
  const { showStatistics } = await import('../output/statistics.js');
  await showStatistics(options, io, tell);
});

interface CacheOptions extends DataSelection {
  readonly out: string;
  readonly scale: Size | undefined;
}

const cache = telling(async (options: CacheOptions, io, tell) => {
  const { availableSplits, cacheDataset, describeLayout, detectFormat, openDataset, trainingSplit } =
    await import('@pgpc/datasets');
  const { root, out, scale, classes, range, jobs } = options;
  const format = options.format ?? (await detectFormat(root));
  io.stdout.write(`${await describeLayout(format, root)}\n`);
  const faults: string[] = [];
  const copied: object[] = [];
  tell({ root, folder: out, format, splits: copied, leftOut: faults });
  const onFault = ({ message }: Error) => faults.push(message);
  const found = await availableSplits(format, root);
  const splits = options.split === undefined ? found : [options.split];
  for (const split of splits.length > 0 ? splits : [await trainingSplit(format, root)]) {
    // A copy of a target has its images too that have no label.
    const opening = { format, root, split, classes, range, labels: 'available', onFault } as const;
    const dataset = await openDataset(opening);
    const bar = fileProgress(`copy ${split}`, io);
    const { written, kept } = await cacheDataset(dataset, out, {
      scale,
      onFault,
      signal: io.signal,
      onProgress: bar.onProgress,
      ...(jobs !== undefined && { concurrency: jobs }),
    });
    bar.done();
    copied.push({ split, written, kept });
    io.stdout.write(`${out}: ${format} ${split}, ${written} samples written now, ${kept} kept\n`);
  }
  for (const message of faults) io.stderr.write(`left out: ${message}\n`);
  if (faults.length > 0) {
    throw new Error(`${root}: ${filesWere(faults.length)} not copied`);
  }
});
