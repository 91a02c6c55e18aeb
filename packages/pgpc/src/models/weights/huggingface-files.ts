// The configuration beside HuggingFace's weights: written with a network's own classes and input, and read again.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parsedBy, parseJson, type Size } from '@pgpc/datasets';
import { z } from 'zod';
import { RGB_MEAN, RGB_STD } from '../../config/normalisation.js';
import type { MitName } from '../../config/segmentor.js';
import { aboutTexts, OWN_KEY } from '../about.js';
import { mitConfigs } from '../mit.js';
import type { Segmentor } from '../segmentor.js';
import { CONFIG, configOf } from './files.js';
import { huggingFaceConfig } from './huggingface.js';

const PREPROCESSOR = 'preprocessor_config.json';

/** What is described beside the weights of an encoder, or of a network. */
export type DescribedNetwork =
  | { readonly encoder: MitName }
  | { readonly segmentor: Pick<Segmentor, 'config' | 'classInfo' | 'about'> };

/** Writes `config.json`, of a network with its classes, and `preprocessor_config.json`, which says how images enter it. */
export function writeHuggingFaceFiles(folder: string, network: DescribedNetwork): void {
  const config =
    'segmentor' in network
      ? segformerConfig(network.segmentor)
      : huggingFaceConfig({ ...mitConfigs[network.encoder], headWidth: undefined, classes: [] });
  writeConfigs(folder, config, preprocessor('segmentor' in network ? network.segmentor.about : undefined));
}

export function writeConfigs(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  preprocessing: Readonly<Record<string, unknown>>,
): void {
  const write = (name: string, value: unknown) =>
    writeFileSync(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
  write(CONFIG, config);
  write(PREPROCESSOR, preprocessing);
}

type SegmentorFacts = Pick<Segmentor, 'config' | 'classInfo' | 'about'>;

/** The `config.json` of a network of MiT and SegFormer's head. */
export function segformerConfig(segmentor: SegmentorFacts): Record<string, unknown> {
  const { config } = segmentor;
  const mit = mitConfigs[config.backbone as MitName];
  return {
    ...huggingFaceConfig({ ...mit, headWidth: config.channels, classes: classNames(segmentor) }),
    ...ownFacts(segmentor),
  };
}

/** Names of the classes by index, numbered where they are not known. */
export function classNames({ config, classInfo }: SegmentorFacts): string[] {
  return Array.from({ length: config.classes }, (_, id) => classInfo?.[id]?.name ?? `class ${id}`);
}

/** What only this project reads, for a `config.json`: values and colours of the classes, the input size and more. */
export function ownFacts(segmentor: SegmentorFacts): Record<string, unknown> {
  const { classes, ...texts } = aboutTexts(segmentor);
  return { [OWN_KEY]: { ...texts, ...(classes && { classes: JSON.parse(classes) }) } };
}

export interface PreprocessorOptions {
  /** The one size that images must have; left out: as the network was trained. */
  readonly size?: Size | undefined;
  /** Whether the network takes RGB in 0 .. 255 and normalises it itself. */
  readonly inNetwork?: boolean;
}

/** The `preprocessor_config.json` of a network that is trained as it says of itself. */
export function preprocessor(
  about: Segmentor['about'],
  {
    size = typeof about?.inputSize === 'object' ? about.inputSize : undefined,
    inNetwork = false,
  }: PreprocessorOptions = {},
): Record<string, unknown> {
  return {
    image_processor_type: 'SegformerImageProcessor',
    // Its resizing does not keep the ratio: for images of the size's own ratio it is as in training.
    do_resize: size !== undefined,
    ...(size && { size: { height: size.height, width: size.width } }),
    resample: 2,
    do_rescale: !inNetwork,
    rescale_factor: 1 / 255,
    do_normalize: !inNetwork,
    image_mean: RGB_MEAN.map((value) => Number((value / 255).toFixed(6))),
    image_std: RGB_STD.map((value) => Number((value / 255).toFixed(6))),
    do_reduce_labels: false,
  };
}

/** What `config.json` beside a weights file says. */
export interface HuggingFaceDescription {
  readonly file: string;
  /** Names by class; undefined where it has none. */
  readonly names: readonly string[] | undefined;
  /** What this project wrote, as {@link aboutTexts} gives it. */
  readonly own: Readonly<Record<string, string>> | undefined;
}

/**
 * Reads `config.json` in the folder of a weights file, or `NAME.config.json` beside `NAME.safetensors`, as `weights pull`
 * calls it.
 * @returns undefined where there is none. @throws Error for one that is no JSON, or has other things in the places that are read.
 */
export function readHuggingFaceFiles(weights: string): HuggingFaceDescription | undefined {
  const file = [configOf(weights), join(dirname(weights), CONFIG)].find((path) => existsSync(path));
  if (file === undefined) return undefined;
  const parsed = parsedBy(configSchema, parseJsonFile(file));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new Error(`${file}: ${issue!.path.join('.')}: ${issue!.message}`);
  }
  const { id2label, [OWN_KEY]: own } = parsed.data;
  const labels = Object.entries(id2label ?? {}).sort(([a], [b]) => Number(a) - Number(b));
  const { classes, ...texts } = own ?? {};
  return {
    file,
    names:
      labels.length > 0 && labels.every(([id], i) => Number(id) === i)
        ? labels.map(([, name]) => name)
        : undefined,
    own: own && { ...texts, ...(classes !== undefined && { classes: JSON.stringify(classes) }) },
  };
}

/** What is read of `config.json`. */
const configSchema = z.object({
  id2label: z.record(z.string(), z.union([z.string(), z.number().transform(String)])).nullish(),
  // A list within lists within it at most.
  [OWN_KEY]: z
    .object({ classes: z.array(z.record(z.string(), z.unknown())).optional() })
    .catchall(z.string())
    .optional(),
});

/** @throws Error that names the file */
function parseJsonFile(file: string): unknown {
  try {
    return parseJson(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file} is not JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** What `preprocessor_config.json` in a folder says of the input. */
export interface PreprocessorDescription {
  /** Whether images are brought to 0 .. 1 and normalised before they enter; false: the network takes 0 .. 255. */
  readonly normalises: boolean;
}

/** @returns undefined where there is none. @throws Error for one that is no JSON. */
export function readPreprocessor(folder: string): PreprocessorDescription | undefined {
  const file = join(folder, PREPROCESSOR);
  if (!existsSync(file)) return undefined;
  const { do_normalize: normalises } = (parseJsonFile(file) ?? {}) as { do_normalize?: unknown };
  return { normalises: normalises !== false };
}
