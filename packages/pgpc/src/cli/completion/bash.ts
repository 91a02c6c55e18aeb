// The completion script for bash.

import type { Completes } from '../values.js';
import { type CommandShape, withAllBelow } from './shape.js';

export function bashCompletion(program: CommandShape): string {
  const all = withAllBelow(program);
  const deeper = all.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  const values = all.flatMap(({ path, options }) =>
    options
      .filter(({ hasValue }) => hasValue)
      .map(({ flag, value }) => `    ${quoted(`${path} ${flag}`)}) ${valueLine(value)}; return ;;\n`),
  );
  const flags = all.map(({ path, options }) => {
    const words = options.map(({ flag }) => flag).join(' ');
    return `      ${quoted(path)}) _pgpc_words ${quoted(words)} ;;\n`;
  });
  const rest = all.map(({ path, commands, argument }) => {
    const names = commands.map((child) => child.path.split(' ').at(-1)!);
    const line = names.length > 0 ? `_pgpc_words ${quoted(names.join(' '))}` : valueLine(argument);
    return `    ${quoted(path)}) ${line} ;;\n`;
  });
  return `# Completion of pgpc for bash: source <(pgpc completion bash)

_pgpc_words() { COMPREPLY=($(compgen -W "$1" -- "$current")); }

_pgpc_list() {
  local before=
  [[ $current == *,* ]] && before="\${current%,*},"
  COMPREPLY=($(compgen -P "$before" -W "$1" -- "\${current##*,}"))
  compopt -o nospace
}

_pgpc_files() { compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")); }
_pgpc_folders() { compopt -o filenames; COMPREPLY=($(compgen -d -- "$current")); }

_pgpc() {
  # File names may have spaces.
  local IFS=$' \\t\\n' path= i current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}"
  # To bash the sign of --flag=value is a word of its own.
  if [[ $current == = ]]; then
    current=
  elif [[ $before == = && COMP_CWORD -gt 1 ]]; then
    before="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${deeper.join('|')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "$path $before" in
${values.join('')}  esac
  if [[ $current == -* ]]; then
    case "$path" in
${flags.join('')}    esac
    return
  fi
  case "$path" in
${rest.join('')}  esac
}

complete -F _pgpc pgpc
`;
}

function valueLine(value: Completes | undefined): string {
  if (value === undefined) return ':';
  if (value === 'files') return '_pgpc_files';
  if (value === 'folders') return '_pgpc_folders';
  return `${value.list ? '_pgpc_list' : '_pgpc_words'} ${quoted(value.words.join(' '))}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
