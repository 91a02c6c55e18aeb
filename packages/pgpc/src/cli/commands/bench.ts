// `pgpc bench`
import { networkChoices } from '../../config/segmentor.js';
import { UsageError } from '../../config/usage-error.js';
import { type Action, examples, jsonOption, option, type Register } from '../command.js';
import type { BenchOptions } from '../output/bench.js';
import { setOption, trainingOption } from '../training-options.js';
import { integer, networkName, outputFile, size } from '../values.js';

const DEFAULT_TOP = 20;

export const registerBench: Register = (parent, act) => {
  parent
    .command('bench')
    .summary('measure the training step on this machine')
    .description(
      'Time training steps on random images and weights: steps a second, the parts of a step, and the peak of memory. ' +
        'With --profile: the time of every module and operator.',
    )
    .addOption(option('--network <name>', `network: ${networkChoices.join(', ')}`, networkName, 'mit-b0'))
    .addOption(trainingOption('method'))
    .addOption(trainingOption('style'))
    .addOption(trainingOption('denoise'))
    .addOption(trainingOption('multiResolution'))
    .addOption(trainingOption('maskedConsistency'))
    .addOption(trainingOption('batch'))
    .addOption(
      option(
        '--crop <WxH>',
        'size of the training crops in pixels',
        size,
        { width: 512, height: 512 },
        '512x512',
      ),
    )
    .addOption(option('--steps <count>', 'steps to measure', integer(1), 10))
    .addOption(option('--warm-up <count>', 'steps before them (default: 2, on a GPU 10)', integer(0)))
    .addOption(
      option(
        '--threads <count>',
        'threads of an operator (default: the cores, or OMP_NUM_THREADS)',
        integer(1, 1024),
      ),
    )
    .addOption(trainingOption('seed'))
    .addOption(trainingOption('device'))
    .addOption(trainingOption('precision'))
    .addOption(trainingOption('activationCheckpointing'))
    .addOption(setOption())
    .option('--profile', 'show the time of modules and operators, self and total', false)
    .addOption(
      option('--top <count>', `rows of each table of --profile (default: ${DEFAULT_TOP})`, integer(1)),
    )
    .addOption(
      option('--trace <file>', 'Chrome trace of --profile to write, for chrome://tracing', outputFile),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'pgpc bench --network mit-b5 --crop 512x512',
        'pgpc bench --crop 256x256 --steps 3 --profile --trace trace.json',
      ),
    )
    .action(async ({ profile, top, trace, ...options }) => {
      const stray = top === undefined ? trace && '--trace' : '--top';
      if (!profile && stray) throw new UsageError(`${stray} goes with --profile`);
      if (trace === '-' && options.json === '-') {
        throw new UsageError('--trace - and --json -: standard output takes one of them');
      }
      const chosen = { ...options, profile: profile ? { top: top ?? DEFAULT_TOP, trace } : undefined };
      await act('bench', bench, chosen as BenchOptions);
    });
};

const bench: Action<BenchOptions> = async (options, io) => {
  const output = await import('../output/bench.js');
  await output.bench(options, io);
};
