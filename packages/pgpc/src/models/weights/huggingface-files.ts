// The configuration beside HuggingFace's weights: written with a network's own classes and input, and read again.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RGB_MEAN, RGB_STD } from '../../config/normalisation.js';
import type { MitName } from '../../config/segmentor.js';
import { aboutTexts } from '../about.js';
import { mitConfigs } from '../mit.js';
import type { Segmentor } from '../segmentor.js';
import { CONFIG, configOf } from './files.js';
import { huggingFaceConfig } from './huggingface.js';

const PREPROCESSOR = 'preprocessor_config.json';

/** What only this project reads stands under this key: values and colours of the classes, and the input size. */
const OWN_KEY = 'pgpc';

/** What is described beside the weights of an encoder, or of a network. */
export type DescribedNetwork =
  | { readonly encoder: MitName }
  | { readonly segmentor: Pick<Segmentor, 'config' | 'classInfo' | 'about'> };

/** Writes `config.json`, of a network with its classes, and `preprocessor_config.json`, which says how images enter it. */
export function writeHuggingFaceFiles(folder: string, network: DescribedNetwork): void {
  const write = (name: string, value: unknown) =>
    writeFileSync(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
  const segmentor = 'segmentor' in network ? network.segmentor : undefined;
  const mit =
    mitConfigs[(segmentor?.config.backbone ?? (network as { encoder: MitName }).encoder) as MitName];
  const names = Array.from(
    { length: segmentor?.config.classes ?? 0 },
    (_, id) => segmentor?.classInfo?.[id]?.name ?? `class ${id}`,
  );
  const { classes, ...texts } = segmentor ? aboutTexts(segmentor) : {};
  write(CONFIG, {
    ...huggingFaceConfig({
      embedDims: mit.embedDims,
      depths: mit.depths,
      headWidth: segmentor?.config.channels,
      classes: names,
    }),
    ...(segmentor && { [OWN_KEY]: { ...texts, ...(classes && { classes: JSON.parse(classes) }) } }),
  });
  const size = segmentor?.about?.inputSize;
  write(PREPROCESSOR, {
    image_processor_type: 'SegformerImageProcessor',
    // Its resizing does not keep the ratio: for images of the size's own ratio it is as in training.
    do_resize: typeof size === 'object',
    ...(typeof size === 'object' && { size: { height: size.height, width: size.width } }),
    resample: 2,
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: RGB_MEAN.map((value) => Number((value / 255).toFixed(6))),
    image_std: RGB_STD.map((value) => Number((value / 255).toFixed(6))),
    do_reduce_labels: false,
  });
}

/** What `config.json` beside a weights file says. */
export interface HuggingFaceDescription {
  /** Names by class; undefined where it has none. */
  readonly names: readonly string[] | undefined;
  /** What this project wrote, as {@link aboutTexts} gives it. */
  readonly own: Readonly<Record<string, string>> | undefined;
}

/**
 * Reads `config.json` in the folder of a weights file, or `NAME.config.json` beside `NAME.safetensors`, as `weights pull`
 * calls it.
 * @returns undefined where there is none. @throws Error for one that is no JSON.
 */
export function readHuggingFaceFiles(weights: string): HuggingFaceDescription | undefined {
  const file = [configOf(weights), join(dirname(weights), CONFIG)].find((path) => existsSync(path));
  if (file === undefined) return undefined;
  let config: Record<string, unknown>;
  try {
    config = JSON.parse(readFileSync(file, 'utf8')) ?? {};
  } catch (error) {
    throw new Error(`${file} is not JSON: ${(error as Error).message}`);
  }
  const labels = Object.entries((config.id2label ?? {}) as Record<string, unknown>);
  const names = labels.sort(([a], [b]) => Number(a) - Number(b)).map(([, name]) => String(name));
  const { classes, ...texts } = (config[OWN_KEY] ?? {}) as Record<string, unknown>;
  const own = {
    ...(texts as Record<string, string>),
    ...(classes !== undefined && { classes: JSON.stringify(classes) }),
  };
  return {
    names: labels.length > 0 && labels.every(([id], i) => Number(id) === i) ? names : undefined,
    own: config[OWN_KEY] === undefined ? undefined : own,
  };
}
