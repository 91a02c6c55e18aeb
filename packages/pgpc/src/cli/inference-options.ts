// The options of `pgpc eval` and `pgpc predict` that say how an image goes through the network.
import type { Command } from 'commander';
import { z } from 'zod';
import { UsageError } from '../config/usage-error.js';
import { DEFAULT_WINDOW, type ModelInferenceOptions } from '../evaluation/as-trained.js';
import { option } from './command.js';
import { integer, oneOf, positiveNumber, type Size, size } from './values.js';

const MODES = ['whole', 'slide'] as const;

/** Positive numbers between commas. */
const numbers: z.ZodType<number[], string> = z
  .string()
  .transform((text) => text.split(','))
  .pipe(z.array(positiveNumber, { error: 'must be positive numbers between commas, such as 0.5,1,1.5' }));

/** `full`, or bounds as of {@link size}. */
const inputSize: z.ZodType<Size | 'full', string> = z.string().transform((text, context) => {
  if (text === 'full') return text;
  const parsed = size.safeParse(text);
  if (parsed.success) return parsed.data;
  context.addIssue(`${parsed.error.issues[0]!.message}, or 'full'`);
  return z.NEVER;
});

interface InferenceFlags {
  readonly mode?: (typeof MODES)[number];
  readonly window?: Size;
  readonly stride?: Size;
  readonly windowBatch?: number;
  readonly inputSize?: Size | 'full';
  readonly scales: readonly number[];
  readonly flip?: true;
}

/** Adds the options to a command. */
export function addInferenceOptions(command: Command): Command {
  return command
    .addOption(
      option(
        '--mode <mode>',
        `the image at once or by windows: ${MODES.join(', ')} (default: whole; of a network of two resolutions, slide)`,
        oneOf(MODES),
      ),
    )
    .addOption(
      option(
        '--window <size>',
        'size of a sliding window (default: 1024x1024; of a network of two resolutions, its training crop)',
        size,
      ),
    )
    .addOption(option('--stride <size>', 'from window to window (default: half a window)', size))
    .addOption(option('--window-batch <count>', 'windows a forward pass (default: 1)', integer(1, 1024)))
    .addOption(
      option(
        '--input-size <size>',
        "bounds for the network's input, the ratio kept, or 'full': as it is (default: as the model was trained)",
        inputSize,
      ),
    )
    .addOption(option('--scales <factors>', 'average over these factors of that size', numbers, [1], '1'))
    .option('--flip', 'average over the image and its mirror image');
}

/** The options as the library takes them. @throws UsageError for options that contradict each other. */
export function inferenceOptions(flags: InferenceFlags): ModelInferenceOptions {
  const { mode, window = DEFAULT_WINDOW, stride, windowBatch: batch = 1, scales, flip = false } = flags;
  if (mode !== 'slide') {
    const stray = (['window', 'stride', 'windowBatch'] as const).find((name) => flags[name] !== undefined);
    if (stray) {
      throw new UsageError(`--${stray === 'windowBatch' ? 'window-batch' : stray} needs --mode slide`);
    }
    return { size: flags.inputSize, scales, flip, slide: mode === 'whole' ? false : undefined };
  }
  if (stride && (stride.width > window.width || stride.height > window.height)) {
    throw new UsageError(
      `--stride ${stride.width}x${stride.height} must not exceed the window, ${window.width}x${window.height}: pixels between windows would have no class`,
    );
  }
  return { size: flags.inputSize, scales, flip, slide: { window: flags.window, stride, batch } };
}
