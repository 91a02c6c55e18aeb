// The command line: parses, calls the library, turns every outcome into one line and an exit code.
import { existsSync, readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { didYouMean } from '../config/did-you-mean.js';
import { UsageError } from '../config/usage-error.js';
import { shellQuoted } from '../shell-quoted.js';
import { type Act, type Action, examples } from './command.js';
import { registerAblate } from './commands/ablate.js';
import { registerAdapt } from './commands/adapt.js';
import { registerBench } from './commands/bench.js';
import { registerCompare } from './commands/compare.js';
import { registerCompletion } from './commands/completion.js';
import { registerDashboard } from './commands/dashboard.js';
import { registerData } from './commands/data.js';
import { registerDemo } from './commands/demo.js';
import { registerEval } from './commands/eval.js';
import { registerExport } from './commands/export.js';
import { registerInit } from './commands/init.js';
import { registerLog } from './commands/log.js';
import { registerPredict } from './commands/predict.js';
import { registerReport } from './commands/report.js';
import { registerSetup } from './commands/setup.js';
import { registerSweep } from './commands/sweep.js';
import { registerTrain } from './commands/train.js';
import { registerTry } from './commands/try.js';
import { registerWeights } from './commands/weights.js';
import { type CommandIo, isStop } from './io.js';
import { harmless, harmlessly } from './terminal.js';

const COMMANDS = [
  registerDemo,
  registerInit,
  registerAdapt,
  registerData,
  registerTrain,
  registerEval,
  registerPredict,
  registerTry,
  registerExport,
  registerReport,
  registerCompare,
  registerLog,
  registerDashboard,
  registerWeights,
  registerAblate,
  registerSweep,
  registerBench,
  registerSetup,
  registerCompletion,
];

export type Handlers = Readonly<Record<string, Action<never>>>;

/** What `main` uses in place of the process's own. */
export interface MainOptions {
  readonly stdout?: NodeJS.WritableStream;
  readonly stderr?: NodeJS.WritableStream;
  /** Stops the command; by default the first Ctrl-C, SIGTERM or SIGHUP does, and the second ends the process. */
  readonly signal?: AbortSignal;
  /** What is called in place of a command's own action, by the action's name. */
  readonly handlers?: Handlers;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs one command line and returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (143 by SIGTERM,
 * 129 by SIGHUP). A failure is one line on stderr that starts with `pgpc: `; with PGPC_DEBUG=1 in the environment its stack follows.
 *
 * @param args - the arguments after the program's name
 */
export async function main(args: readonly string[], options: MainOptions = {}): Promise<number> {
  const { stdout = process.stdout, stderr = process.stderr, handlers = {}, env = process.env } = options;
  const interruption = options.signal === undefined ? interruptible(stderr) : undefined;
  const signal = options.signal ?? interruption!.signal;
  const say = (text: string) => stderr.write(`pgpc: ${harmless(text.trim().replace(/\s*\n\s*/g, ' '))}\n`);
  const command = ['pgpc', ...args].map(shellQuoted).join(' ');
  try {
    await loadNamedPlugins(args);
    const io = { signal, stdout, stderr, command, stage: () => {} };
    await program(handlers, io).parseAsync([...args], { from: 'user' });
    if (!signal.aborted) return 0;
    say('stopped');
    return interruption?.code() ?? STOPPED.SIGINT;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      say(error.message);
      return 2;
    }
    if (isStop(error, signal)) {
      say('stopped');
      return interruption?.code() ?? STOPPED.SIGINT;
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
  const act: Act = (name, own, options) =>
    withPulse(name, io, (watched) => ((handlers[name] as typeof own | undefined) ?? own)(options, watched));
  for (const register of COMMANDS) register(root, act);
  refuseClearly(root);
  return root;
}

/** A command that is silent for seconds shows that it is under way; on the process's own streams alone. */
async function withPulse(name: string, io: CommandIo, run: (io: CommandIo) => Promise<void>): Promise<void> {
  // A rank above 0 tells nothing but errors.
  if (io.stderr !== process.stderr || Number(process.env.RANK) > 0) {
    await run({ ...io, stdout: harmlessly(io.stdout), stderr: harmlessly(io.stderr) });
    return;
  }
  const { startPulse } = await import('./output/pulse.js');
  const pulse = startPulse(name);
  try {
    const { stage, watch } = pulse;
    const stdout = io.stdout === process.stdout ? watch(process.stdout) : io.stdout;
    await run({
      ...io,
      stage: (text) => stage(text && harmless(text)),
      stderr: harmlessly(watch(process.stderr)),
      stdout: harmlessly(stdout),
    });
  } finally {
    pulse.end();
  }
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
  const json: unknown = command.getOptionValue('json');
  if (error.code === 'commander.missingArgument' && typeof json === 'string' && json !== '-') {
    return `${text}: --json has taken '${json}' as the file to write; give --json last, or as --json=-`;
  }
  return `${text} (see '${fullName(command)} --help')`;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** Exit codes by what stopped the command: 128 and the signal's number, as shells have it. */
const STOPPED = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

interface Interruption {
  readonly signal: AbortSignal;
  /** Of the signal that came. */
  code(): number | undefined;
  release(): void;
}

function interruptible(stderr: NodeJS.WritableStream): Interruption {
  const controller = new AbortController();
  let code: number | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(STOPPED[name as keyof typeof STOPPED]);
    code = STOPPED[name as keyof typeof STOPPED];
    const how =
      name === 'SIGINT' ? 'stopping; Ctrl-C again' : `stopping, as ${name} asks for it; a second signal`;
    stderr.write(`\npgpc: ${how} ends at once\n`);
    controller.abort();
  };
  for (const name of Object.keys(STOPPED)) process.on(name, onSignal);
  for (const stream of [process.stdout, process.stderr]) {
    if (!stream.listeners('error').includes(ignoreGone)) stream.on('error', ignoreGone);
  }
  return {
    signal: controller.signal,
    code: () => code,
    release: () => {
      for (const name of Object.keys(STOPPED)) process.off(name, onSignal);
    },
  };
}

/** The reader of a pipe has ended, or the terminal is closed: no reason to lose what is computed. */
function ignoreGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
