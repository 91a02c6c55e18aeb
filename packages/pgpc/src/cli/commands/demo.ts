// `pgpc demo`
import type { DemoOptions } from '../../comparison/demo.js';
import { examples, type JsonChoice, jsonOption, option, type Register } from '../command.js';
import { telling } from '../output/json.js';
import { trainingOption } from '../training-options.js';
import { existingFolder, integer, outputFolder, runName, seed } from '../values.js';
import { weightsSource } from '../weights-source.js';

export const registerDemo: Register = (parent, act) => {
  parent
    .command('demo')
    .summary('train and compare every method on rendered streets')
    .description(
      'Render street scenes of two looks, train every method on them, compare the results on the target and write a report.',
    )
    .option('--quick', 'fewer images and iterations: minutes, and lower numbers', false)
    .addOption(
      option(
        '--source-steps <count>',
        'training steps on the source (default: 1200; 30 if quick)',
        integer(10),
      ),
    )
    .addOption(
      option(
        '--steps <count>',
        'training steps of each method, from the source network (default: 300; 12 if quick)',
        integer(10),
      ),
    )
    .addOption(
      option('--seed <number>', 'seed of the training; the rendered data is the same for all', seed, 1),
    )
    .addOption(
      option('--seeds <count>', 'number of seeds to run, counted up from --seed', integer(1, 100), 1),
    )
    .addOption(option('--name <name>', 'name of the run (default: demo, or demo-2, ... if taken)', runName))
    .addOption(option('--out <folder>', 'folder for run directories', outputFolder, 'runs'))
    .option('--overwrite', 'replace the run that has the name', false)
    .addOption(
      option(
        '--resume <run>',
        'resume this run, which was stopped or killed; with the options that it was started with',
        existingFolder,
      ),
    )
    .addOption(trainingOption('device'))
    .addOption(
      option(
        '--weights <file>',
        'weights that source network and oracle start their encoder from, or none for random values (default: street-synth, which comes with pgpc)',
        weightsSource,
      ),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc demo',
        'pgpc demo --quick --seed 7 --name first-try',
        'pgpc demo --source-steps 5000 --steps 600 --name long',
      ),
    )
    .action(async (options) => {
      await act('demo', demo, options as DemoOptions & JsonChoice);
    });
};

const demo = telling(async (options: DemoOptions, io, tell) => {
  const { runDemo } = await import('../../comparison/demo.js');
  const { useCores } = await import('../../machine.js');
  const { showComparison } = await import('../output/trainings.js');
  useCores(1);
  const { command, signal } = io;
  await showComparison(io, tell, async (onEvent) => {
    await runDemo({ ...options, command }, { signal, onEvent });
  });
});
