// Options from a file: the long names of a command's options as keys. What the command line says wins.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { parsedBy, shortened } from '@pgpc/datasets';
import { parseYaml } from '@pgpc/datasets/yaml';
import { type Command, InvalidArgumentError, type Option } from 'commander';
import { z } from 'zod';
import { didYouMean } from '../config/did-you-mean.js';
import { UsageError } from '../config/usage-error.js';

/** Read where it is in the working folder and no other is named. */
export const CONFIG_FILE = 'pgpc.yaml';

/** Options that are paths: in a file, from its own folder. */
const PATHS = ['source-root', 'target-root', 'classes', 'out'];

const value = z.union([z.string(), z.number(), z.boolean()]);
const schema = z.record(z.string(), z.union([value, z.array(value), z.record(z.string(), z.unknown())]));

/**
 * Sets the options of a command from a file, each checked as on the command line.
 * @param given the file; undefined: {@link CONFIG_FILE}, where it is there.
 * @returns the file and the options that it gave, in words; undefined where there is no file.
 * @throws UsageError that names the file and the key.
 */
export function applyConfigFile(command: Command, given: string | undefined): string | undefined {
  const file = given ?? (existsSync(CONFIG_FILE) ? CONFIG_FILE : undefined);
  if (file === undefined) return undefined;
  const known = command.options.filter(
    ({ long }) => long && !['--config', '--help', '--json'].includes(long),
  );
  const taken: string[] = [];
  for (const [key, entry] of Object.entries(read(file))) {
    const option = known.find(({ long }) => long === `--${key}`);
    if (option === undefined) {
      const names = known.map(({ long }) => long!.slice(2));
      throw new UsageError(
        `${file}: there is no option '${shortened(key)}'${didYouMean(key, names)}; options of ${command.name()}: ${names.join(', ')}`,
      );
    }
    const name = option.attributeName();
    if (command.getOptionValueSource(name) === 'cli') continue;
    command.setOptionValueWithSource(name, optionValue(option, key, entry, file), 'config');
    taken.push(key);
  }
  return `${file}: ${taken.length > 0 ? taken.join(', ') : 'nothing that the command line does not say'}`;
}

function read(file: string): z.output<typeof schema> {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new UsageError(`${file}: cannot be read: ${shortened((error as Error).message.split('\n')[0]!)}`);
  }
  const parsed = parsedBy(schema, content);
  if (parsed.success) return parsed.data;
  throw new UsageError(`${file}: options by their long names are needed, such as \`steps: 300\``);
}

function optionValue(
  option: Option,
  key: string,
  entry: z.output<typeof schema>[string],
  file: string,
): unknown {
  // `--set` is a map of its own.
  if (typeof entry === 'object' && !Array.isArray(entry)) {
    if (key === 'set') return entry;
    throw new UsageError(`${file}: ${key} is one value, not a map`);
  }
  if (option.isBoolean()) {
    if (typeof entry === 'boolean') return entry;
    throw new UsageError(`${file}: ${key} is true or false`);
  }
  const text = Array.isArray(entry) ? entry.join(',') : String(entry);
  const located = PATHS.includes(key) && !isAbsolute(text) ? join(dirname(file), text) : text;
  try {
    return option.parseArg ? option.parseArg(located, undefined) : located;
  } catch (error) {
    if (error instanceof InvalidArgumentError)
      throw new UsageError(`${file}: ${key} '${shortened(text)}': ${shortened(error.message)}`);
    throw error;
  }
}
