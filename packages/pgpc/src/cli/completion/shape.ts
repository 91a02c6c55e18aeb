// What a shell needs to know of the command line, from its definition.

import type { Argument, Command, Option } from 'commander';
import { type Completes, completesOf } from '../values.js';

export interface CommandShape {
  /** ` data check`: the command's words after the program's name, each with a space before it; empty for the program itself. */
  readonly path: string;
  readonly summary: string;
  readonly options: readonly OptionShape[];
  /** What stands on the command line without a flag; undefined: nothing, or anything. */
  readonly argument: Completes | undefined;
  readonly commands: readonly CommandShape[];
}

interface OptionShape {
  /** `--name`. */
  readonly flag: string;
  readonly description: string;
  /** Whether a value follows. */
  readonly hasValue: boolean;
  /** What the value can be; undefined: anything. */
  readonly value: Completes | undefined;
}

/** The shape of a command and of those below it. */
export function shapeOf(command: Command, path = ''): CommandShape {
  const help = { flag: '--help', description: 'print help', hasValue: false, value: undefined };
  return {
    path,
    summary: command.summary() || command.description(),
    options: [...command.options.map(optionShape), help],
    argument: command.registeredArguments.map(read).find((one) => one !== undefined),
    commands: command.commands.map((child) => shapeOf(child, `${path} ${child.name()}`)),
  };
}

/** A command and all below it. */
export function withAllBelow(shape: CommandShape): CommandShape[] {
  return [shape, ...shape.commands.flatMap(withAllBelow)];
}

function optionShape(option: Option): OptionShape {
  return {
    flag: option.long!,
    description: option.description,
    hasValue: !option.isBoolean(),
    value: read(option),
  };
}

/** What the parser of a value says that it takes. */
function read({ parseArg }: Pick<Option, 'parseArg'> | Pick<Argument, 'parseArg'>): Completes | undefined {
  return parseArg && completesOf(parseArg);
}
