// `--dashboard`: the runs in the browser while one of them trains.

import { isFollower } from '../training/rank.js';
import type { Action, JsonChoice } from './command.js';
import { beside } from './output/text-file.js';

export const DASHBOARD = '--dashboard';

/** Beside the options of a training. */
export interface DashboardChoice {
  readonly dashboard: boolean | undefined;
}

/**
 * The training, with a dashboard beside it where one is wanted: its address is printed before anything is read, and it ends
 * with the training, which says how to see the runs again.
 * @param shown the run directory, or the folder of the run directories.
 */
export function besideDashboard<Options extends JsonChoice>(
  train: Action<Options>,
  shown: (options: Options) => string,
): Action<Options & DashboardChoice> {
  return async ({ dashboard, ...rest }, io) => {
    const options = rest as unknown as Options;
    if (!dashboard || isFollower()) return train(options, io);
    const { startBeside } = await import('../dashboard/beside.js');
    const folder = shown(options);
    const served = await startBeside([folder], (link) => io.stderr.write(`${leftOutLine(link)}\n`));
    beside(io, options.json).stdout.write(`dashboard: ${served.address}\n`);
    try {
      await train(options, io);
    } finally {
      await served.end();
      io.stderr.write(
        `the dashboard has ended with the training; \`pgpc dashboard ${folder}\` shows it again\n`,
      );
    }
  };
}

/** Why a run is not shown, and what to do. */
export function leftOutLine(link: string): string {
  return `not shown: ${link}, a link out of its folder; name it to show it`;
}
