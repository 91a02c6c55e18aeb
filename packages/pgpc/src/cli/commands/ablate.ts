// `pgpc ablate`
import { Argument } from 'commander';
import { z } from 'zod';
import { type SweepName, sweepNames } from '../../ablation/names.js';
import type { SweepOptions } from '../../ablation/run.js';
import { type Action, examples, option, pluginHelp, type Register } from '../command.js';
import { addSweepOptions, type CheckedSweepFlags, checkedSweepFlags, runAndShow } from '../sweep-options.js';
import { pluginOption, setOption } from '../training-options.js';
import { checkedBy, oneOf } from '../values.js';

const cellNames = z
  .string()
  .regex(/^[^,\s]+(,[^,\s]+)*$/, { error: 'must be names with commas between them, such as r2,r4' })
  .transform((text) => text.split(','));

type AblateOptions = CheckedSweepFlags & Pick<SweepOptions, 'set'> & { readonly name: SweepName };

export const registerAblate: Register = (parent, act) => {
  const command = parent
    .command('ablate')
    .summary("run one of the paper's tables over several seeds")
    .description(
      'Train every cell of a sweep on rendered streets, or on data of your own (--source-root, --target-root), each from the same source network and for the same number ' +
        'of steps, and write one table with mean and spread over the seeds, with pictures. Runs that have finished ' +
        'are kept: the same command resumes where it was stopped, and sweeps that share runs share them in one folder.',
    )
    .addArgument(
      new Argument('<name>', `the sweep: ${sweepNames.join(', ')}`).argParser(checkedBy(oneOf(sweepNames))),
    );
  addSweepOptions(command)
    .addOption(option('--cells <names>', 'cells to run, with commas between them (default: all)', cellNames))
    .addOption(
      setOption('a change of an option in every cell that has it, such as method.selfTraining.alpha=0.999'),
    )
    .addOption(pluginOption())
    .addHelpText('after', pluginHelp())
    .addHelpText(
      'after',
      examples(
        'pgpc ablate methods',
        'pgpc ablate rank --cells r2,r4,r8 --seeds 5',
        'pgpc ablate bank-size --steps 600 --set method.contrast.warmup=0.25',
        'pgpc ablate methods --source-root data/simulator --target-root data/camera --start runs/source-only',
        'pgpc ablate methods --scale large --device cuda --jobs 6 --minutes 60',
      ),
    )
    .action(async (name, flags) => {
      await act('ablate', ablate, { name, ...checkedSweepFlags(flags) } as AblateOptions);
    });
};

const ablate: Action<AblateOptions> = async ({ name, ...options }, io) => {
  const { sweeps } = await import('../../ablation/sweeps.js');
  await runAndShow({ ...options, sweep: sweeps[name] }, io);
};
