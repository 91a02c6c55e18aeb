// The command line: parses, calls the library, turns every outcome into one line and an exit code.
import { existsSync, readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { didYouMean } from '../config/did-you-mean.js';
import { UsageError } from '../config/usage-error.js';
import { type Act, type Action, examples } from './command.js';
import { registerAblate } from './commands/ablate.js';
import { registerBench } from './commands/bench.js';
import { registerData } from './commands/data.js';
import { registerDemo } from './commands/demo.js';
import { registerEval } from './commands/eval.js';
import { registerPredict } from './commands/predict.js';
import { registerReport } from './commands/report.js';
import { registerSetup } from './commands/setup.js';
import { registerTrain } from './commands/train.js';
import { registerWeights } from './commands/weights.js';
import type { CommandIo } from './io.js';

const COMMANDS = [
  registerDemo,
  registerData,
  registerTrain,
  registerEval,
  registerPredict,
  registerReport,
  registerWeights,
  registerAblate,
  registerBench,
  registerSetup,
];

export type Handlers = Readonly<Record<string, Action<never>>>;

/** What `main` uses in place of the process's own. */
export interface MainOptions {
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr?: NodeJS.WritableStream;
  /** Stops the command; by default the first Ctrl-C does, and the second ends the process. */
  readonly signal?: AbortSignal;
  /** What is called in place of a command's own action, by the action's name. */
  readonly handlers?: Handlers;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs one command line and returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C. A failure
 * is one line on stderr that starts with `pgpc: `; with PGPC_DEBUG=1 in the environment its stack follows.
 *
 * @param args - the arguments after the program's name
 */
export async function main(args: readonly string[], options: MainOptions = {}): Promise<number> {
  const { stdout = process.stdout, stderr = process.stderr, handlers = {}, env = process.env } = options;
  const interruption = options.signal === undefined ? interruptible(stderr) : undefined;
  const signal = options.signal ?? interruption!.signal;
  const say = (text: string) => stderr.write(`pgpc: ${text.trim().replace(/\s*\n\s*/g, ' ')}\n`);
  const command = ['pgpc', ...args].map(shellQuoted).join(' ');
  try {
    await loadNamedPlugins(args);
    await program(handlers, { signal, stdout, stderr, command }).parseAsync([...args], { from: 'user' });
    if (!signal.aborted) return 0;
    say('stopped');
    return 130;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      say(error.message);
      return 2;
    }
    if (signal.aborted && isAbort(error, signal)) {
      say('stopped');
      return 130;
    }
    say(error instanceof Error ? error.message : String(error));
    if (env.PGPC_DEBUG === '1' && error instanceof Error) stderr.write(`${error.stack}\n`);
    return 1;
  } finally {
    interruption?.release();
  }
}

/** Before the options are read, as what a plugin registers is among them. */
async function loadNamedPlugins(args: readonly string[]): Promise<void> {
  const files = args.flatMap((arg, i) =>
    arg === '--plugin' ? args.slice(i + 1, i + 2) : arg.startsWith('--plugin=') ? [arg.slice(9)] : [],
  );
  // A file that is missing is refused with its option.
  const found = files.filter((file) => existsSync(file));
  if (found.length > 0) await (await import('../training/plugins.js')).loadPlugins(found);
}

function program(handlers: Handlers, io: CommandIo): Command {
  const root = new Command('pgpc')
    .description('Adapts semantic-segmentation networks to cameras without labels.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => {},
    })
    .addHelpText('after', examples('pgpc demo --quick', 'pgpc help train'));
  const act: Act = (name, own, options) => ((handlers[name] as typeof own | undefined) ?? own)(options, io);
  for (const register of COMMANDS) register(root, act);
  refuseClearly(root);
  return root;
}

// Commander's errors become one line that names what is allowed.
function refuseClearly(command: Command): void {
  command.exitOverride((error) => {
    if (error.exitCode === 0 || error.code === 'commander.help') throw error;
    throw new UsageError(explained(error, command));
  });
  for (const child of command.commands) refuseClearly(child);
}

function explained(error: CommanderError, command: Command): string {
  const text = error.message.split('\n')[0]!.replace(/^error: /, '');
  const wrong = /'([^']*)'/.exec(text)?.[1] ?? '';
  if (error.code === 'commander.unknownOption') {
    const flags = [...command.options.map(({ long }) => long!), '--help'];
    const asked = wrong.split('=')[0]!;
    return `${text}${didYouMean(asked, flags)}; options of '${fullName(command)}': ${flags.join(', ')}`;
  }
  if (error.code === 'commander.unknownCommand') {
    const names = command.commands.map((child) => child.name());
    return `${text}${didYouMean(wrong, names)}; commands of '${fullName(command)}': ${names.join(', ')}`;
  }
  const value =
    /^option '(?<what>\S+).*' argument '(?<value>.*)' is invalid\. (?<rule>.*)$/.exec(text) ??
    /^command-argument value '(?<value>.*)' is invalid for argument '(?<what>.*)'\. (?<rule>.*)$/.exec(text);
  if (value?.groups !== undefined)
    return `${value.groups.what} '${value.groups.value}': ${value.groups.rule}`;
  return `${text} (see '${fullName(command)} --help')`;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

function interruptible(stderr: NodeJS.WritableStream): { signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) process.exit(130);
    stderr.write('\npgpc: stopping; Ctrl-C again ends at once\n');
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  return { signal: controller.signal, release: () => process.off('SIGINT', onSignal) };
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === 'AbortError');
}

function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
