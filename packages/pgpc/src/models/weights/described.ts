// Classes and input size of a network from what others' files say, and from HuggingFace's configuration beside them.

import { type Described, namedClasses, OWN_KEY, readAbout } from '../about.js';
import { readHuggingFaceFiles } from './huggingface-files.js';
import type { WeightFormat } from './namings.js';

/** A file whose header was read. */
export interface DescribedFile {
  readonly path: string;
  /** Whose names its entries have: HuggingFace's configuration counts for HuggingFace's names. */
  readonly naming: WeightFormat;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Keys under which training programs keep the names of classes, and of the colours beside them. */
const CLASS_KEYS: readonly (readonly [names: string, colors: string])[] = [
  ['meta.CLASSES', 'meta.PALETTE'],
  ['meta.dataset_meta.classes', 'meta.dataset_meta.palette'],
  ['dataset_meta.classes', 'dataset_meta.palette'],
  ['hyper_parameters.class_names', 'hyper_parameters.palette'],
  ['hyper_parameters.classes', 'hyper_parameters.palette'],
  ['class_names', 'palette'],
  ['classes', 'palette'],
];

/**
 * What is known of a network of so many classes from its file and what lies beside it.
 * @throws Error as {@link readAbout} does
 */
export function described({ path, naming, metadata }: DescribedFile, count: number): Described {
  if (metadata.format?.startsWith('pgpc-')) return readAbout(path, metadata);
  const own = ownTexts(metadata);
  if (own) return readAbout(path, own);
  const hub = naming === 'mit-huggingface' ? readHuggingFaceFiles(path) : undefined;
  if (hub?.own) return readAbout(hub.file, hub.own);
  const listed = CLASS_KEYS.map(([names, colors]) => ({
    names: parsed(metadata[names]),
    palette: parsed(metadata[colors])?.filter(isColor),
  }));
  // A list of another length is of something else.
  const found = [...listed, { names: hub?.names, palette: undefined }].find(
    ({ names }) => names?.length === count && names.every((name) => typeof name === 'string'),
  );
  const palette = found?.palette?.length === count ? found.palette : [];
  return { classInfo: found && namedClasses(found.names as string[], palette), about: undefined };
}

/** The texts that this project keeps in the `meta` of a .pth; undefined in files of others. */
export function ownTexts(metadata: DescribedFile['metadata']): Record<string, string> | undefined {
  const prefix = `meta.${OWN_KEY}.`;
  const own = Object.entries(metadata).filter(([key]) => key.startsWith(prefix));
  if (own.length === 0) return undefined;
  return Object.fromEntries(own.map(([key, text]) => [key.slice(prefix.length), text]));
}

function parsed(text: string | undefined): unknown[] | undefined {
  if (!text?.startsWith('[')) return undefined;
  try {
    return JSON.parse(text) as unknown[];
  } catch {
    // Text of another's that only begins as a list does.
    return undefined;
  }
}

function isColor(value: unknown): value is [number, number, number] {
  return (
    Array.isArray(value) &&
    value.length === 3 &&
    value.every((one) => Number.isInteger(one) && one >= 0 && one < 256)
  );
}
