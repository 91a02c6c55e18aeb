// `pgpc sweep`
import { InvalidArgumentError, Option } from 'commander';
import type { Grid, GridOptions } from '../../ablation/grid.js';
import { type MethodName, methodNames } from '../../config/method.js';
import { type Action, examples, option, pluginHelp, type Register } from '../command.js';
import { addSweepOptions, type CheckedSweepFlags, checkedSweepFlags, runAndShow } from '../sweep-options.js';
import { pluginOption, settingOf, settingValue } from '../training-options.js';
import { oneOf, runName } from '../values.js';
import { DEFAULT_METHOD } from './adapt.js';

type SweepCommandOptions = CheckedSweepFlags & GridOptions;

export const registerSweep: Register = (parent, act) => {
  const command = parent
    .command('sweep')
    .summary('train a method with several values of its options, over several seeds')
    .description(
      'Train a method with every combination of the values of --set on rendered streets, or on data of your own (--source-root, ' +
        '--target-root), each from the same source network, and write one table: mean and spread over the seeds, and differences to ' +
        'the first combination, seed by seed. Runs that have finished are kept: the same command resumes where it was stopped, and ' +
        'with more values or seeds it trains those alone.',
    )
    .addOption(listOption())
    .addOption(
      option(
        '--method <method>',
        `what is trained: ${methodNames.join(', ')}`,
        oneOf(methodNames),
        DEFAULT_METHOD,
      ),
    )
    .addOption(
      option('--name <name>', "folder of the table (default: the method and the options' names)", runName),
    );
  addSweepOptions(command)
    .addOption(pluginOption())
    .addHelpText('after', pluginHelp())
    .addHelpText(
      'after',
      examples(
        'pgpc sweep --set method.contrast.rank=2,4,8 --seeds 3',
        'pgpc sweep --set method.contrast.weight=0.1,0.3 --set method.contrast.temperature=0.1,0.3 --quick',
        'pgpc sweep --source-root data/simulator --target-root data/camera --method self-training --set method.selfTraining.alpha=0.99,0.999',
        `pgpc sweep --set 'method.style=null,{"kind":"fda","beta":0.05}' --set batch=4 --name style`,
      ),
    )
    .action(async ({ set, method, name, ...flags }) => {
      const options = { ...checkedSweepFlags(flags), grid: set as Grid, method: method as MethodName, name };
      await act('sweep', sweep, options as SweepCommandOptions);
    });
};

/** `--set` with lists. */
function listOption(): Option {
  return new Option(
    '--set <values>',
    'KEY=VALUE,VALUE,..., values of an option to compare, such as method.contrast.rank=2,4,8; one VALUE: in all; repeatable',
  )
    .argParser<Grid>((text, before = {}) => {
      const [key, values] = settingOf(text);
      if (Object.hasOwn(before, key)) {
        throw new InvalidArgumentError(`${key} is given twice; all its values go into one --set`);
      }
      return { ...before, [key]: elements(values).map(settingValue) };
    })
    .makeOptionMandatory();
}

/** The elements of a list with commas, those inside of JSON's own lists, objects and strings left alone. */
function elements(text: string): string[] {
  const found: string[] = [];
  let open: string | undefined;
  for (const piece of text.split(',')) {
    const one: string = open === undefined ? piece.trim() : `${open},${piece}`;
    if (one === '') throw new InvalidArgumentError('a value is missing; a list is such as 2,4,8');
    open = /^[[{"]/.test(one) && !isJson(one.trim()) ? one : undefined;
    if (open === undefined) found.push(one.trim());
  }
  if (open !== undefined) throw new InvalidArgumentError(`${open} is not JSON`);
  return found;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const sweep: Action<SweepCommandOptions> = async ({ grid, method, name, ...options }, io) => {
  const { gridSweep } = await import('../../ablation/grid.js');
  await runAndShow({ ...options, ...gridSweep({ grid, method, name }) }, io);
};
