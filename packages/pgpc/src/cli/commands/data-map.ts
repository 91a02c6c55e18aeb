// `pgpc data map`: a mapping of the classes of two data sets, proposed by their names.

import { DATASET_FORMATS, type DatasetFormat } from '@pgpc/datasets/formats';
import { type Action, examples, option, type Register } from '../command.js';
import { checkedBy, existingFolder, oneOf, outputFile } from '../values.js';

interface MapOptions {
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
    .addHelpText('after', examples('pgpc data map data/gta5 data/camvid --out gta5-to-camvid.yaml'))
    .action(async (source, target, options) => {
      await act('mapClasses', map, { source, target, ...options });
    });
};

const map: Action<MapOptions> = async (options, io) => {
  const { showProposal } = await import('../output/data-map.js');
  await showProposal(options, io);
};
