// `pgpc completion`
import { Argument } from 'commander';
import { type Action, examples, type Register } from '../command.js';
import { checkedBy, oneOf } from '../values.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const registerCompletion: Register = (parent, act) => {
  parent
    .command('completion')
    .summary('print a completion script for a shell')
    .description(
      'Print a script that lets a shell complete commands, options, their words and files. It is made from the definitions of the ' +
        'commands: print it anew after an update. Files that shells read at their start: ' +
        '~/.local/share/bash-completion/completions/pgpc; _pgpc in a folder of fpath of zsh; ~/.config/fish/completions/pgpc.fish.',
    )
    .addArgument(new Argument('<shell>', SHELLS.join(', ')).argParser(checkedBy(oneOf(SHELLS))))
    .addHelpText('after', examples('pgpc completion bash', 'pgpc completion zsh'))
    .action(async (shell: (typeof SHELLS)[number]) => {
      const print: Action<object> = async (_, { stdout }) => {
        const { shapeOf } = await import('../completion/shape.js');
        const writers = {
          bash: async () => (await import('../completion/bash.js')).bashCompletion,
          zsh: async () => (await import('../completion/zsh.js')).zshCompletion,
          fish: async () => (await import('../completion/fish.js')).fishCompletion,
        };
        stdout.write((await writers[shell]())(shapeOf(parent)));
      };
      await act('completion', print, { shell });
    });
};
