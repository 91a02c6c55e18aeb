// `pgpc log`
import { Argument } from 'commander';
import { LOG_FORMATS, type LogFormat } from '../../training/logs/formats.js';
import { type Action, examples, option, type Register } from '../command.js';
import { checkedBy, existingFolder, oneOf } from '../values.js';

interface LogOptions {
  readonly run: string;
  readonly to: LogFormat;
  readonly out: string | undefined;
}

export const registerLog: Register = (parent, act) => {
  parent
    .command('log')
    .summary("write a run's log for other tools")
    .description(
      'Write the log of a run, also of one under way, as a CSV file or for TensorBoard, in place of an earlier one. The path is ' +
        'printed. It is made from metrics.jsonl, which every run has; pgpc train --log writes the same while it trains, with ' +
        'pictures for TensorBoard.',
    )
    .addArgument(new Argument('<run>', 'run directory').argParser(checkedBy(existingFolder)))
    .addOption(
      option(
        '--to <format>',
        `form: ${LOG_FORMATS.join(', ')} (required)`,
        oneOf(LOG_FORMATS),
      ).makeOptionMandatory(),
    )
    .option('--out <path>', 'file (csv) or folder (tensorboard) to write (default: in the run directory)')
    .addHelpText(
      'after',
      examples('pgpc log runs/pgpc --to csv', 'pgpc log runs/pgpc --to tensorboard --out logs/pgpc'),
    )
    .action(async (run, { to, out }) => {
      await act('log', log, { run, to, out });
    });
};

const log: Action<LogOptions> = async ({ run, to, out }, { stdout }) => {
  const { exportLog } = await import('../../training/logs/export.js');
  stdout.write(`${exportLog(run, to, out)}\n`);
};
