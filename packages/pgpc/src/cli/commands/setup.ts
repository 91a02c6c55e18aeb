// `pgpc setup`: compiles the native parts for this machine.
import { examples, type JsonChoice, jsonOption, type Register } from '../command.js';
import { telling } from '../output/json.js';

export const registerSetup: Register = (parent, act) => {
  parent
    .command('setup')
    .summary('compile the native parts for this machine')
    .description(
      'Find libtorch (LIBTORCH, the torch of the active python3, the system), compile the bridge to it and the decoder ' +
        'of PNG files, and write the types of the operators that it has. What is compiled lies in a cache that all ' +
        'projects share: PGPC_CACHE in the environment, or ~/.cache/pgpc.',
    )
    .addOption(jsonOption())
    .addHelpText('after', examples('pgpc setup', 'LIBTORCH=~/libtorch pgpc setup'))
    .action((options: JsonChoice) => act('setUp', setUp, options));
};

/** @throws Error after it has said what must be installed first, or what the compiler says: lines of their own. */
const setUp = telling(async (_, { stdout, stderr, signal }, tell) => {
  const [torch, datasets] = await Promise.all([import('@pgpc/torch/setup'), import('@pgpc/datasets/setup')]);
  const say = (text: string) => stderr.write(`pgpc: ${text}\n`);
  try {
    const parts = [await torch.setUp({ say, signal }), await datasets.setUp({ say, signal })];
    tell({ parts });
    stdout.write(`ready (${parts.join('; ')})\n`);
  } catch (cause) {
    if (signal.aborted) throw cause;
    for (const line of (cause instanceof Error ? cause.message : String(cause)).split('\n')) say(line);
    throw new Error('nothing is set up', { cause });
  }
});
