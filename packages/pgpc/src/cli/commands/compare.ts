// `pgpc compare`: several runs side by side.

import { Argument } from 'commander';
import { UsageError } from '../../config/usage-error.js';
import { type Action, examples, type JsonChoice, jsonOption, option, type Register } from '../command.js';
import type { CommandIo } from '../io.js';
import { type Tell, withJson } from '../output/json.js';
import { writeText } from '../output/text-file.js';
import { checkedBy, completing, existingFolder, outputFile } from '../values.js';

interface CompareOptions extends JsonChoice {
  readonly runs: readonly string[];
  readonly html: string;
}

export const registerCompare: Register = (parent, act) => {
  const one = checkedBy(existingFolder);
  parent
    .command('compare')
    .summary('compare runs: class IoU, configuration, curves')
    .description(
      'Compare two or more runs: the IoU of every class, and its difference to the first run; the options in which they ' +
        'differ; and one HTML page with both and the curves of all runs. Runs under way are compared as they are.',
    )
    .addArgument(
      new Argument('<runs...>', 'run directories, the one to compare with first').argParser(
        completing('folders', (text: string, before: readonly string[] | undefined) => [
          ...(before ?? []),
          one(text),
        ]),
      ),
    )
    .addOption(option('--html <file>', 'page to write', outputFile, 'comparison.html'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc compare runs/self-training runs/pgpc',
        'pgpc compare runs/pgpc runs/pgpc-2 runs/pgpc-3 --json -',
      ),
    )
    .action(async (runs, { html, json }) => {
      if (runs.length < 2) throw new UsageError('compare needs two runs or more; pgpc report shows one');
      if (html === '-' && json === '-')
        throw new UsageError('--html and --json cannot both be standard output');
      await act('compare', compare, { runs, html, json });
    });
};

const compare: Action<CompareOptions> = async ({ runs, html, json }, own) => {
  const { compareRuns, comparisonJson, comparisonPage, comparisonTable, openRun } = await import(
    '../output/comparison.js'
  );
  const show = async ({ stdout }: CommandIo, tell: Tell) => {
    const comparison = compareRuns(runs.map((run) => openRun(run)));
    stdout.write(comparisonTable(comparison));
    stdout.write(writeText('page', html, comparisonPage(comparison), own));
    tell({ ...comparisonJson(comparison), ...(html !== '-' && { page: html }) });
  };
  await withJson(json, own, show, html);
};
