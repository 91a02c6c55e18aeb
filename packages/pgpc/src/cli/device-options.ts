// `--device` and `--precision`, which many commands have, apart from what they lead to: `--help` must not wait for libtorch.
import type { Option } from 'commander';
import { precisions } from '../config/precision.js';
import { option } from './command.js';
import { deviceName, oneOf } from './values.js';

export function deviceOption(): Option {
  return option(
    '--device <name>',
    'where to compute: auto, cpu, cuda or cuda:N; auto is the GPU where there is one',
    deviceName,
    'auto',
  );
}

export function precisionOption(): Option {
  return option(
    '--precision <type>',
    `what the networks compute in: ${precisions.join(', ')} (default: bfloat16 on a GPU, float32 on the CPU)`,
    oneOf(precisions),
  );
}
