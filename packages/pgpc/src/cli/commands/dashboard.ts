// `pgpc dashboard`: run directories in the browser.

import { once } from 'node:events';
import { Argument } from 'commander';
import { type Action, examples, option, type Register } from '../command.js';
import { leftOutLine } from '../training-dashboard.js';
import { checkedBy, existingFolder, hostName, integer } from '../values.js';

interface DashboardCommandOptions {
  readonly roots: readonly string[];
  readonly host: string;
  /** Undefined: the usual one, or any that is free. */
  readonly port: number | undefined;
}

const parseFolder = checkedBy(existingFolder);

export const registerDashboard: Register = (parent, act) => {
  parent
    .command('dashboard')
    .summary('runs in the browser: curves, results, pictures, live')
    .description(
      'Serve a page over run directories: curves, results, configurations and pictures of the runs that are chosen there, beside ' +
        'one another. Runs under way grow, new ones appear. It reads alone, and only this machine reaches it; with ' +
        '--host others do, by an address with a token. Ends with Ctrl-C.',
    )
    .addArgument(
      new Argument('[folder...]', 'run directories, or folders that hold some (default: runs)').argParser<
        string[]
      >((text, before) => [...(before ?? []), parseFolder(text)]),
    )
    .addOption(option('--host <name>', 'name or number of this machine to listen on', hostName, '127.0.0.1'))
    .addOption(option('--port <port>', 'port (default: 6464, or any where it is taken)', integer(1, 65_535)))
    .addHelpText(
      'after',
      examples(
        'pgpc dashboard',
        'pgpc dashboard runs/pgpc old-runs',
        'pgpc dashboard runs --host 0.0.0.0 --port 8080',
      ),
    )
    .action(async (folders: string[], options: Omit<DashboardCommandOptions, 'roots'>) => {
      const roots = folders.length > 0 ? folders : [parseFolder('runs')];
      await act('dashboard', dashboard, { ...options, roots });
    });
};

const dashboard: Action<DashboardCommandOptions> = async ({ roots, host, port }, io) => {
  const { startDashboard } = await import('../../dashboard/server.js');
  const served = await startDashboard({
    ...{ roots, host, port },
    onLeftOut: (link) => io.stderr.write(`${leftOutLine(link)}\n`),
  });
  io.stdout.write(`dashboard: ${served.address}\n`);
  io.stderr.write('Ctrl-C ends it\n');
  // Nothing is silent here: the page shows what happens.
  io.stage(undefined);
  if (!io.signal.aborted) await once(io.signal, 'abort');
  await served.close();
};
