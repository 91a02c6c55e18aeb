// `pgpc setup`: compiles the native parts for this machine.
import { examples, type Register } from '../command.js';

export const registerSetup: Register = (parent, handlers, io) => {
  parent
    .command('setup')
    .summary('compile the native parts for this machine')
    .description(
      'Find libtorch (LIBTORCH, the torch of the active python3, the system), compile the bridge to it and the decoder ' +
        'of PNG files, and write the types of the operators that it has. What is compiled lies in a cache that all ' +
        'projects share: PGPC_CACHE in the environment, or ~/.cache/pgpc.',
    )
    .addHelpText('after', examples('pgpc setup', 'LIBTORCH=~/libtorch pgpc setup'))
    .action(() => handlers.setUp({}, io));
};
