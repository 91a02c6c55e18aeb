// What `pgpc demo` and `pgpc adapt` show: the trainings while they are under way, the table, and where everything is.

import type { AdaptEvent } from '../../comparison/adapt.js';
import type { DemoEvent } from '../../comparison/demo.js';
import { type NextStep, nextSteps } from '../../report/next-steps.js';
import { shellQuoted } from '../../shell-quoted.js';
import type { CommandIo } from '../io.js';
import { roughly } from './forecast.js';
import type { Tell } from './json.js';
import { openTeller } from './open-data.js';
import { ParallelProgress } from './parallel-progress.js';
import { iouTable } from './table.js';

/** @param tell is told the same of the run, for JSON. @throws what the comparison throws. */
export async function showComparison(
  io: CommandIo,
  tell: Tell,
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
        tell({ run: path, report: event.file, classes: info.classes.map(({ name }) => name), results });
        if (results.length > 0) stdout.write(`\n${iouTable(results, info.classes)}`);
        stdout.write(`\nrun: ${path}\nreport: ${event.file}\n`);
        if (info.status !== 'finished') {
          const { command } = info;
          if (command === undefined) return;
          const again = command.includes(' --resume') ? command : `${command} --resume ${shellQuoted(path)}`;
          stdout.write(`resume with: ${again}\n`);
          return;
        }
        const next = nextSteps(path);
        tell({ next });
        stdout.write(nextLines(next));
        return;
      }
      default:
        trainings.tell(event);
    }
  });
}

function nextLines(steps: readonly NextStep[]): string {
  const width = Math.max(...steps.map(({ command }) => command.length));
  return `next:\n${steps.map(({ command, gives }) => `  ${command.padEnd(width)}  ${gives}\n`).join('')}`;
}
