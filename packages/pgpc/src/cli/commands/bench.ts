// `pgpc bench`
import { methodNames } from '../../config/method.js';
import { networkNames } from '../../config/segmentor.js';
import { examples, option, type Register, UsageError } from '../command.js';
import { deviceOption, precisionOption } from '../device-options.js';
import { integer, oneOf, outputFile, type Size, seed, size } from '../values.js';

const DEFAULT_CROP: Size = { width: 512, height: 512 };
const DEFAULT_TOP = 20;

export const registerBench: Register = (parent, handlers, io) => {
  parent
    .command('bench')
    .summary('measure the training step on this machine')
    .description(
      'Time training steps on random images and weights: steps a second, the parts of a step, and the peak of memory. ' +
        'With --profile: the time of every module and operator.',
    )
    .addOption(
      option('--network <name>', `network: ${networkNames.join(', ')}`, oneOf(networkNames), 'mit-b0'),
    )
    .addOption(
      option('--method <method>', `what is trained: ${methodNames.join(', ')}`, oneOf(methodNames), 'pgpc'),
    )
    .addOption(
      option('--batch <count>', 'source images a step, and as many of the target', integer(1, 1024), 2),
    )
    .addOption(option('--crop <WxH>', 'size of the training crops in pixels', size, DEFAULT_CROP, '512x512'))
    .addOption(option('--steps <count>', 'steps to measure', integer(1), 10))
    .addOption(option('--warm-up <count>', 'steps before them (default: 2, on a GPU 10)', integer(0)))
    .addOption(
      option(
        '--threads <count>',
        'threads of an operator (default: the cores, or OMP_NUM_THREADS)',
        integer(1, 1024),
      ),
    )
    .addOption(option('--seed <number>', 'seed of everything random', seed, 1))
    .addOption(deviceOption())
    .addOption(precisionOption())
    .option(
      '--activation-checkpointing',
      'run most of the network twice, instead of keeping what it computes for the backward pass',
      false,
    )
    .option('--profile', 'show the time of modules and operators, self and total', false)
    .addOption(
      option('--top <count>', `rows of each table of --profile (default: ${DEFAULT_TOP})`, integer(1)),
    )
    .addOption(
      option('--trace <file>', 'Chrome trace of --profile to write, for chrome://tracing', outputFile),
    )
    .addOption(option('--json <file>', 'file to write all results to', outputFile))
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
      await handlers.bench(
        { ...options, profile: profile ? { top: top ?? DEFAULT_TOP, trace } : undefined },
        io,
      );
    });
};
