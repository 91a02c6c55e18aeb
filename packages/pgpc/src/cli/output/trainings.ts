// What `pgpc demo` and `pgpc adapt` show: the trainings while they are under way, the table, and where everything is.

import type { AdaptEvent } from '../../comparison/adapt.js';
import type { DemoEvent } from '../../comparison/demo.js';
import { nextSteps } from '../../report/next-steps.js';
import type { CommandIo } from '../io.js';
import { roughly } from './forecast.js';
import { openTeller } from './open-data.js';
import { ParallelProgress } from './parallel-progress.js';
import { iouTable } from './table.js';

/** @throws what the comparison throws. */
export async function showComparison(
  io: CommandIo,
  comparison: (onEvent: (event: AdaptEvent | DemoEvent) => void) => Promise<void>,
): Promise<void> {
  const { stdout, stderr } = io;
  const trainings = new ParallelProgress(io);
  const showOpening = openTeller(io);
  await comparison((event) => {
    switch (event.kind) {
      case 'claimed':
        stdout.write(`run: ${event.directory}\n`);
        return;
      case 'description':
        stdout.write(`${event.text}\n`);
        return;
      case 'remark':
        stderr.write(`${event.text}\n`);
        return;
      case 'bad-files':
      case 'data':
        showOpening(event);
        return;
      case 'forecast': {
        const atOnce = event.jobs === 1 ? 'one at a time' : `${event.jobs} at once`;
        stdout.write(
          `the trainings take ${roughly(event.seconds)} here, ${atOnce}, if nothing else runs beside them\n`,
        );
        return;
      }
      case 'report': {
        const { path, results, info } = event.run;
        if (results.length > 0) stdout.write(`\n${iouTable(results, info.classes)}`);
        stdout.write(`\nrun: ${path}\nreport: ${event.file}\n`);
        if (info.status === 'finished') stdout.write(nextLines(path));
        return;
      }
      default:
        trainings.tell(event);
    }
  });
}

function nextLines(run: string): string {
  const steps = nextSteps(run);
  const width = Math.max(...steps.map(({ command }) => command.length));
  return `next:\n${steps.map(({ command, gives }) => `  ${command.padEnd(width)}  ${gives}\n`).join('')}`;
}
