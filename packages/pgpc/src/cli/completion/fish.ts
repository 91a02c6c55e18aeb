// The completion script for fish.

import type { Completes } from '../values.js';
import { type CommandShape, withAllBelow } from './shape.js';

export function fishCompletion(program: CommandShape): string {
  const all = withAllBelow(program);
  const deeper = all.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  const lines = all.flatMap(({ path, options, commands, argument }) => {
    const at = `complete -c pgpc -n ${quoted(`__pgpc_at ${quoted(path)}`)}`;
    return [
      ...commands.map((child) => `${at} -f -a ${child.path.split(' ').at(-1)} -d ${quoted(child.summary)}`),
      ...options.map(({ flag, description, hasValue, value }) => {
        const takes = hasValue ? ` -r${valuePart(value)}` : '';
        return `${at} -l ${flag.slice(2)}${takes} -d ${quoted(description)}`;
      }),
      ...(commands.length === 0 ? [`${at}${argument === undefined ? ' -f' : valuePart(argument)}`] : []),
    ];
  });
  return `# Completion of pgpc for fish: pgpc completion fish | source

function __pgpc_at
  set -l path ''
  for word in (commandline -opc)[2..]
    if contains -- "$path $word" ${deeper.join(' ')}
      set path "$path $word"
    end
  end
  test "$path" = "$argv[1]"
end

${lines.join('\n')}
`;
}

function valuePart(value: Completes | undefined): string {
  if (value === undefined) return ' -f';
  if (value === 'files') return ' -F';
  if (value === 'folders') return " -f -a '(__fish_complete_directories)'";
  return ` -f -a ${quoted(value.words.join(' '))}`;
}

/** In single quotes fish reads a backslash before a quote and before itself alone. */
function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
