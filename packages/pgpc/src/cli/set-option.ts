// `--set KEY=VALUE`: changes to an experiment from the command line.
import { InvalidArgumentError, Option } from 'commander';
import type { Settings } from '../config/settings.js';

/**
 * The repeatable option; collects values by dotted key, each read as JSON or else as text.
 * @param description what is changed, with an example.
 */
export function setOption(description: string): Option {
  return new Option('--set <change>', `KEY=VALUE, ${description}; repeatable`)
    .argParser<Settings>((text, before) => {
      const match = /^([\w.]+)=(.*)$/s.exec(text);
      if (match === null) {
        throw new InvalidArgumentError('must be KEY=VALUE, such as method.contrast.rank=3');
      }
      return { ...before, [match[1]!]: parsed(match[2]!) };
    })
    .default({}, 'none');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
