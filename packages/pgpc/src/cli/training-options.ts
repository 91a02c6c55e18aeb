// The options that stand for fields of a training's choice. Flags and how their text is read are here;
// descriptions and defaults are the fields'.

import { DATASET_FORMATS } from '@pgpc/datasets/formats';
import { InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { denoiseNames } from '../config/denoise.js';
import { encoderTrainings } from '../config/encoder-training.js';
import { inner } from '../config/fields.js';
import { lossWeightNames } from '../config/loss-weights.js';
import { maskingNames } from '../config/masked-consistency.js';
import { methodNames } from '../config/method.js';
import { multiResolutionNames } from '../config/multi-resolution.js';
import { precisions } from '../config/precision.js';
import { scoreNames } from '../config/scores.js';
import { networkChoices } from '../config/segmentor.js';
import type { Settings } from '../config/settings.js';
import { styleNames } from '../config/style.js';
import { drivingPresetNames } from '../recipes/driving.js';
import { choiceSchema, type ResolvedChoice } from '../training/choice.js';
import {
  checkedBy,
  completing,
  deviceName,
  existingFile,
  existingFolder,
  existingPath,
  integer,
  networkName,
  oneOf,
  positiveNumber,
  seed,
  size,
  upTo,
  valueRange,
} from './values.js';
import { weightsSource } from './weights-source.js';

/** Fields that are read in a way of their own. */
type Special = 'source' | 'target' | 'set' | 'plugins';
type Field = Exclude<keyof ResolvedChoice, Special>;
/** Flags; the words that it can be, or how its text is read; the default in words where there is no value. */
type Row<T> = readonly [
  flags: string,
  values?: readonly T[] | z.ZodType<T, string>,
  shown?: string,
  /** How one of the words is read; left out: as it is spelled. */
  read?: z.ZodType<T, string>,
];

const rows: { readonly [F in Field]-?: Row<NonNullable<ResolvedChoice[F]>> } = {
  preset: ['--preset <name>', drivingPresetNames, 'none'],
  classes: ['--classes <file>', existingFile],
  method: ['--method <method>', methodNames],
  style: ['--style <name>', styleNames],
  fdaBeta: ['--fda-beta <share>', upTo(0.5)],
  denoise: ['--denoise <name>', denoiseNames],
  lossWeights: ['--loss-weights <name>', lossWeightNames],
  network: ['--network <name>', networkChoices, 'mit-b5 with a preset, else mit-b0', networkName],
  multiResolution: ['--multi-resolution <name>', multiResolutionNames],
  maskedConsistency: ['--masked-consistency <name>', maskingNames],
  encoderTraining: ['--encoder-training <how>', encoderTrainings],
  layerDecay: ['--layer-decay <factor>', positiveNumber, '1'],
  iterations: ['--iterations <count>', integer(1)],
  batch: ['--batch <count>', integer(1, 1024)],
  crop: ['--crop <WxH>', size],
  lr: ['--lr <rate>', positiveNumber],
  seed: ['--seed <number>', seed],
  weights: ['--weights <file>', weightsSource],
  allowPartial: ['--allow-partial'],
  init: ['--init <network>', existingPath],
  skipBad: ['--skip-bad'],
  device: ['--device <name>', deviceName],
  precision: ['--precision <type>', precisions, 'bfloat16 on a GPU, float32 on the CPU'],
  activationCheckpointing: ['--activation-checkpointing'],
  skipNotFinite: ['--skip-not-finite <count>', integer(0)],
  select: ['--select <score>', scoreNames],
  checkpointEvery: ['--checkpoint-every <count>', integer(1)],
  workers: ['--workers <count>', integer(0, 256)],
};

const describe = (schema: z.ZodType) => schema.description ?? inner(schema).description ?? '';

/** The option of a field. */
export function trainingOption(field: Field): Option {
  const [flags, values, words, read] = rows[field] as Row<unknown>;
  const schema: z.ZodType = choiceSchema.shape[field];
  const listed = Array.isArray(values) ? `: ${values.join(', ')}` : '';
  const made = new Option(flags, `${describe(schema)}${listed}${words ? ` (default: ${words})` : ''}`);
  if (Array.isArray(values)) made.argParser(checkedBy(read ?? oneOf(values as string[])));
  else if (values) made.argParser(checkedBy(values as z.ZodType<unknown, string>));
  if (!(schema instanceof z.ZodDefault)) return made;
  const fallback = schema.def.defaultValue;
  return made.default(fallback, shown(fallback));
}

/** A default where the help's own way to write it is not that of the command line. */
function shown(value: unknown): string | undefined {
  if (typeof value === 'number' && value < 1e-3) return value.toExponential();
  if (typeof value !== 'object') return undefined;
  const { width, height } = value as { width: number; height: number };
  return `${width}x${height}`;
}

/** `--source-root`, `--source-format`, `--source-scale` and `--source-range`, or the same for the target. */
export function domainOptions(role: 'source' | 'target'): Option[] {
  const description = describe(choiceSchema.shape[role]);
  const also = role === 'target' ? ', in evaluation too' : '';
  return [
    new Option(`--${role}-root <folder>`, description).argParser(checkedBy(existingFolder)),
    new Option(
      `--${role}-format <layout>`,
      `layout of the ${role}: ${DATASET_FORMATS.join(', ')} (default: told from the folder)`,
    ).argParser(checkedBy(oneOf(DATASET_FORMATS))),
    new Option(
      `--${role}-scale <WxH>`,
      `${role} images are brought within this size${also} (default: as they are)`,
    ).argParser(checkedBy(size)),
    new Option(
      `--${role}-range <LOW:HIGH>`,
      `stored numbers of ${role} images of more than 8 bits that are black and white (default: the whole scale)`,
    ).argParser(checkedBy(valueRange)),
  ];
}

/**
 * `--set`, repeatable; collects values by dotted key, each read as JSON or else as text.
 * @param description what is changed, with an example.
 */
export function setOption(description = describe(choiceSchema.shape.set)): Option {
  return new Option('--set <change>', `KEY=VALUE, ${description}; repeatable`)
    .argParser<Settings>((text, before) => {
      const [key, value] = settingOf(text);
      return { ...before, [key]: settingValue(value) };
    })
    .default({}, 'none');
}

/** `--plugin`, repeatable. */
export function pluginOption(): Option {
  const file = checkedBy(existingFile);
  const add = (text: string, before: string[] = []) => [...before, file(text)];
  return new Option('--plugin <file>', describe(choiceSchema.shape.plugins)).argParser<string[]>(
    completing('files', add),
  );
}

/** Key and value of a setting, as texts. @throws InvalidArgumentError for a text without both. */
export function settingOf(text: string): [key: string, value: string] {
  const match = /^([\w.]+)=(.*)$/s.exec(text);
  if (match === null) throw new InvalidArgumentError('must be KEY=VALUE, such as method.contrast.rank=3');
  return [match[1]!, match[2]!];
}

/** A setting's value: JSON, else text. */
export function settingValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
