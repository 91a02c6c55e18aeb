// Which saved network a command takes.
import { Option } from 'commander';
import { option } from './command.js';
import { existingPath } from './values.js';

/** The network. */
export const checkpointOption = (): Option =>
  option(
    '--checkpoint <path>',
    'run directory (its last checkpoint), checkpoint folder, or model file (required)',
    existingPath,
  ).makeOptionMandatory();

/** Which of a run directory. */
export const bestOption = (): Option =>
  new Option(
    '--best',
    'of a run directory its best checkpoint by the score without labels, not its last',
  ).default(false);
