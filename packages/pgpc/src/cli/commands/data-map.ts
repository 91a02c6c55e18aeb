// `pgpc data map`: a mapping of the classes of two data sets, proposed by their names.

import { DATASET_FORMATS, type DatasetFormat } from '@pgpc/datasets/formats';
import { UsageError } from '../../config/usage-error.js';
import { type Action, examples, type JsonChoice, jsonOption, option, type Register } from '../command.js';
import type { CommandIo } from '../io.js';
import { type Tell, withJson } from '../output/json.js';
import { checkedBy, existingFolder, oneOf, outputFile } from '../values.js';

interface MapOptions extends JsonChoice {
  readonly source: string;
  readonly target: string;
  readonly sourceFormat: DatasetFormat | undefined;
  readonly targetFormat: DatasetFormat | undefined;
  /** '-': standard output. */
  readonly out: string;
}

export const registerDataMap: Register = (data, act) => {
  const format = (role: string) =>
    option(
      `--${role}-format <layout>`,
      `layout of the ${role} (default: told from the folder)`,
      oneOf(DATASET_FORMATS),
    );
  data
    .command('map')
    .summary('propose which classes of two data sets are the same')
    .description(
      "Propose a file for --classes of train and eval: the classes that both data sets have, each with what it takes in. They are told by their names, by other words for the same and by their kind; every line says why, with the classes' shares of the pixels. What is not clear is listed at the end, to decide.",
    )
    .argument('<source>', 'root of the source', checkedBy(existingFolder))
    .argument('<target>', 'root of the target', checkedBy(existingFolder))
    .addOption(format('source'))
    .addOption(format('target'))
    .addOption(option('--out <file>', 'file to write to, - for the terminal', outputFile, '-'))
    .addOption(jsonOption())
    .addHelpText('after', examples('pgpc data map data/gta5 data/camvid --out gta5-to-camvid.yaml'))
    .action(async (source, target, options) => {
      if (options.out === '-' && options.json === '-') {
        throw new UsageError('--out is standard output, as --json is: give one of them a file');
      }
      await act('mapClasses', map, { source, target, ...options });
    });
};

const map: Action<MapOptions> = async ({ json, ...options }, own) => {
  const { showProposal } = await import('../output/data-map.js');
  const { out } = options;
  const show = async (io: CommandIo, tell: Tell) => {
    const { classes, ignore, undecided } = await showProposal(options, out === '-' ? own : io);
    tell({ ...(out !== '-' && { file: out }), classes, ignore, undecided });
  };
  await withJson(json, own, show, out);
};
