// The completion script for zsh.

import type { Completes } from '../values.js';
import { type CommandShape, withAllBelow } from './shape.js';

export function zshCompletion(program: CommandShape): string {
  const all = withAllBelow(program);
  const deeper = all.filter(({ path }) => path !== '').map(({ path }) => quoted(path));
  const values = all.flatMap(({ path, options }) =>
    options
      .filter(({ hasValue }) => hasValue)
      .map(({ flag, value }) => `    (${quoted(`${path} ${flag}`)}) ${valueLine(value)}; return ;;\n`),
  );
  const flags = all.map(({ path, options }) => {
    const described = options.map(({ flag, description }) => pair(flag, description));
    return `      (${quoted(path)}) found=(${described.join(' ')}) ;;\n`;
  });
  const rest = all.map(({ path, commands, argument }) => {
    const described = commands.map((child) => pair(child.path.split(' ').at(-1)!, child.summary));
    const line =
      commands.length > 0 ? `found=(${described.join(' ')}); _describe command found` : valueLine(argument);
    return `    (${quoted(path)}) ${line} ;;\n`;
  });
  return `#compdef pgpc
# Completion of pgpc for zsh: source <(pgpc completion zsh)

_pgpc() {
  local path_= i before=\${words[CURRENT-1]}
  local -a found
  # --flag=value
  if [[ $PREFIX == --*=* ]]; then
    before=\${PREFIX%%=*}
    compset -P '--*='
  fi
  for ((i = 2; i < CURRENT; i++)); do
    case "$path_ \${words[i]}" in
      (${deeper.join('|')}) path_="$path_ \${words[i]}" ;;
    esac
  done
  case "$path_ $before" in
${values.join('')}  esac
  if [[ $PREFIX == -* ]]; then
    case "$path_" in
${flags.join('')}    esac
    _describe option found
    return
  fi
  case "$path_" in
${rest.join('')}  esac
}

compdef _pgpc pgpc
`;
}

function valueLine(value: Completes | undefined): string {
  if (value === undefined) return ':';
  if (value === 'files') return '_files';
  if (value === 'folders') return '_files -/';
  const words = value.words.map(quoted).join(' ');
  return value.list ? `_values -s , value ${words}` : `compadd -- ${words}`;
}

/** A word with what it means. */
function pair(word: string, meaning: string): string {
  return quoted(`${word.replaceAll(':', '\\:')}:${meaning}`);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
