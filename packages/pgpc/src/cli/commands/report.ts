// `pgpc report`
import { Argument } from 'commander';
import { type Action, examples, type Register } from '../command.js';
import { checkedBy, existingFolder } from '../values.js';

export const registerReport: Register = (parent, act) => {
  parent
    .command('report')
    .summary("write a run's report again")
    .description(
      'Write the report of a run again from its run directory, also of a run under way: one HTML file, whose path is printed.',
    )
    .addArgument(new Argument('<run>', 'run directory').argParser(checkedBy(existingFolder)))
    .addHelpText('after', examples('pgpc report runs/demo'))
    .action(async (run) => {
      await act('report', report, { run });
    });
};

const report: Action<{ run: string }> = async ({ run }, { stdout }) => {
  const { writeReport } = await import('../../report/report.js');
  stdout.write(`${await writeReport(run)}\n`);
};
