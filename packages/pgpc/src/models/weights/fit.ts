// Puts recognized weights into a network: strict by default, partial when asked, with an account of both.

import { basename } from 'node:path';
import {
  Generator,
  indexWeights,
  type nn,
  type Tensor,
  tidy,
  type WeightsEntry,
  type WeightsIndex,
} from '@pgpc/torch';
import type { AdapterConfig } from '../../config/encoder-training.js';
import { hrda } from '../../config/multi-resolution.js';
import {
  type BackboneName,
  backboneNames,
  type HeadName,
  headNames,
  type SegmentorConfig,
  segmentorConfig,
} from '../../config/segmentor.js';
import { isVit } from '../../config/vit.js';
import { refuseClaimedWidth } from '../claimed-width.js';
import { withoutInitialValues } from '../initial-values.js';
import { createBackbone, Segmentor } from '../segmentor.js';
import {
  DINOV2_LICENCE,
  DINOV3_LICENCE,
  type Licence,
  licenceOfFile,
  RESNET_LICENCE,
  SEGFORMER_LICENCE,
} from './catalog.js';
import { type DescribedFile, described, ownTexts } from './described.js';
import { weightsFileOf } from './files.js';
import {
  askFor,
  type FoundNetwork,
  findNetwork,
  type RecognizeOptions,
  type SkippedEntry,
  unwrapped,
} from './find-network.js';
import {
  describeNetwork,
  type NetworkDescription,
  type RecognizedWeights,
  renamedNetwork,
} from './formats.js';
import { readHuggingFaceFiles } from './huggingface-files.js';
import { weightFormats } from './namings.js';

/** An entry whose shape is not the network's. */
export interface MisshapedEntry {
  readonly name: string;
  readonly network: readonly number[];
  readonly file: readonly number[];
}

/** How a file's entries and a network's agree. Names are this project's. */
export interface WeightsFit {
  /** Entries that the network took, or would take. */
  readonly loaded: readonly string[];
  /** Entries of the network that the file lacks. */
  readonly missing: readonly string[];
  /** Entries of the file that the network lacks. */
  readonly unexpected: readonly string[];
  readonly misshaped: readonly MisshapedEntry[];
}

/** What loading did. */
export interface WeightsReport
  extends WeightsFit,
    Pick<RecognizedWeights, 'format' | 'naming' | 'skipped' | 'prefix' | 'others'> {
  readonly path: string;
  /** What was loaded into, such as `mit_b5`. */
  readonly network: string;
  readonly licence: WeightsLicence | undefined;
}

/** The licence of weights; certain if the file's name is a published one, not if only its entries' form is known. */
export interface WeightsLicence extends Licence {
  readonly certain: boolean;
}

/** Options of the loaders of weights from elsewhere. */
export interface LoadWeightsOptions extends RecognizeOptions {
  /** Load what fits and leave the rest as it is, instead of refusing the file. Default false. */
  readonly allowPartial?: boolean;
}

/** A weights file with its names recognized. */
export interface WeightsFile extends RecognizedWeights, DescribedFile {
  /** All of the file, under its own names. */
  readonly entries: ReadonlyMap<string, WeightsEntry>;
  readonly network: NetworkDescription;
  readonly licence: WeightsLicence | undefined;
}

/**
 * Looks into a weights file of any kind (safetensors, .pth, an index of shards, a folder with one of these), finds the
 * network in it and reads that. Its tensors are the caller's: call it in a `tidy` scope.
 * @throws Error naming the file, if it is no weights file or its names have no known form
 */
export function openWeights(path: string, options: RecognizeOptions = {}): WeightsFile {
  const file = weightsFileOf(path);
  const { entries, metadata, foreign, read } = indexWeights(file);
  let found: FoundNetwork;
  try {
    found = findNetwork([...entries.keys()], metadata.format, options);
    refuseForeign(found, foreign);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
  const tensors = read(found.entries.values());
  const named = new Map([...found.entries].map(([name, inFile]) => [name, tensors.get(inFile)!]));
  const recognized = renamedNetwork(found, named);
  const objects = skippedObjects(foreign);
  const network = describeNetwork(recognized.tensors);
  const licence = licenceOf(file, recognized, metadata);
  const skipped = [...recognized.skipped, ...objects];
  return { ...recognized, skipped, path: file, metadata, entries, network, licence };
}

/** Kinds of objects that are told of one by one. */
const MOST_KINDS = 3;

function skippedObjects(foreign: WeightsIndex['foreign']): SkippedEntry[] {
  const kinds = [...new Set(foreign.map(({ name }) => name))];
  const many = `${kinds.slice(0, MOST_KINDS).join(', ')} and ${kinds.length - MOST_KINDS} other kinds`;
  return foreign.map(({ path, name }) => ({
    name: path,
    reason: `object of ${kinds.length > MOST_KINDS ? many : name}, never run`,
  }));
}

/** @throws Error if an object of another program is in the place of one of the network's tensors */
function refuseForeign({ prefix, naming }: FoundNetwork, foreign: WeightsIndex['foreign']): void {
  for (const { path, name } of foreign) {
    const [bare = path] = unwrapped([path]).keys();
    const place = bare.startsWith(prefix) ? naming.place(bare.slice(prefix.length)) : undefined;
    if (place && 'to' in place && !bare.endsWith('_extra_state')) {
      throw new Error(`its entry ${path} is ${name}, which is not run, and no tensor that can be read`);
    }
  }
}

function licenceOf(
  path: string,
  { format, naming, skipped }: RecognizedWeights,
  metadata: Readonly<Record<string, string>>,
): WeightsLicence | undefined {
  const ownMeta = ownTexts(metadata);
  const kept = metadata.licence ?? ownMeta?.licence;
  if (kept) return { text: kept, url: '', certain: true };
  // What this project wrote says all that it knew.
  if (format.startsWith('pgpc-') || ownMeta) return undefined;
  const own = naming === 'mit-huggingface' ? readHuggingFaceFiles(path)?.own?.licence : undefined;
  if (own) return { text: own, url: '', certain: true };
  const known = licenceOfFile(basename(path));
  if (known) return { ...known, certain: true };
  if (naming.startsWith('mit-')) return { ...SEGFORMER_LICENCE, certain: false };
  if (naming.startsWith('dinov2-')) return { ...DINOV2_LICENCE, certain: false };
  if (naming.startsWith('dinov3-')) return { ...DINOV3_LICENCE, certain: false };
  const pretrained = skipped.some(({ reason }) => reason.startsWith('ImageNet'));
  return naming.startsWith('resnet-') && pretrained ? { ...RESNET_LICENCE, certain: false } : undefined;
}

/** Compares without changing anything. A batch norm's count of batches may be missing, as in files before 2018. */
export function compareWeights(
  own: ReadonlyMap<string, Tensor>,
  file: ReadonlyMap<string, Tensor>,
): WeightsFit {
  const loaded: string[] = [];
  const missing: string[] = [];
  const misshaped: MisshapedEntry[] = [];
  for (const [name, { shape }] of own) {
    const theirs = file.get(name)?.shape;
    if (theirs === undefined) {
      if (!name.endsWith('.num_batches_tracked')) missing.push(name);
    } else if (theirs.join() === shape.join()) loaded.push(name);
    else misshaped.push({ name, network: shape, file: theirs });
  }
  return { loaded, missing, unexpected: [...file.keys()].filter((name) => !own.has(name)), misshaped };
}

const ENCODER = 'backbone.';
/** What this project puts on a plain transformer: no encoder's file of others has it. */
const PYRAMID = /^backbone\.pyramid\./;
/** What is trained beside one. Low-rank changes are merged where a file is read. */
const ADAPTER = /^backbone\.(adapter\.|.*\.attn\.lora\.)/;

const hasAny = (pattern: RegExp, entries: ReadonlyMap<string, Tensor>) =>
  [...entries.keys()].some((name) => pattern.test(name));

/** A network's entries but for what a file need not have, and has not. */
function expectedIn(
  file: ReadonlyMap<string, Tensor>,
  own: ReadonlyMap<string, Tensor>,
  optional: readonly RegExp[],
): Map<string, Tensor> {
  const absent = optional.filter((pattern) => !hasAny(pattern, file));
  return new Map([...own].filter(([name]) => !absent.some((pattern) => pattern.test(name))));
}

/** A file's entries for an encoder alone; the decoder's count as skipped. */
function encoderPart(tensors: ReadonlyMap<string, Tensor>): {
  tensors: Map<string, Tensor>;
  skipped: SkippedEntry[];
} {
  const encoder = new Map<string, Tensor>();
  const skipped: SkippedEntry[] = [];
  for (const [name, tensor] of tensors) {
    if (name.startsWith('decode_head.')) skipped.push({ name, reason: 'decoder' });
    else encoder.set(name, tensor);
  }
  return { tensors: encoder, skipped };
}

/**
 * Fills the encoder from a file of any known form (`weightFormats`); a decoder in it is left out. The pyramid on a plain
 * transformer stays as it is where the file has none.
 * @throws Error with counts and names of missing, unexpected and mis-shaped entries, unless `allowPartial` is set; then
 * only if no entry fits
 */
export function loadBackboneWeights(
  segmentor: Segmentor,
  path: string,
  options: LoadWeightsOptions = {},
): WeightsReport {
  return tidy(() => {
    const file = openWeights(path, options);
    const { tensors, skipped } = encoderPart(file.tensors);
    const own = expectedIn(tensors, prefixed(segmentor.backbone), [PYRAMID, ADAPTER]);
    const inner = { ...file, tensors, skipped: [...file.skipped, ...skipped] };
    return fill(segmentor, own, inner, segmentor.config.backbone, options);
  });
}

/** As {@link loadBackboneWeights}, for encoder and decoder together. */
export function loadSegmentorWeights(
  segmentor: Segmentor,
  path: string,
  options: LoadWeightsOptions = {},
): WeightsReport {
  const { backbone, head } = segmentor.config;
  return tidy(() => {
    const file = openWeights(path, options);
    const own = expectedIn(file.tensors, segmentor.stateDict(), [ADAPTER]);
    return fill(segmentor, own, file, `${backbone} with ${head}`, options);
  });
}

function fill(
  segmentor: nn.StateModule,
  own: ReadonlyMap<string, Tensor>,
  file: WeightsFile,
  network: string,
  { allowPartial = false }: LoadWeightsOptions,
): WeightsReport {
  const fit = compareWeights(own, file.tensors);
  const faults = fitFaults(fit);
  const { path, format, naming, prefix, others, skipped, licence } = file;
  if (faults.length > 0 && !allowPartial) {
    const fits = fit.loaded.length > 0 ? `; the other ${fit.loaded.length} could be loaded partially` : '';
    const hint = file.hint ? ` (${file.hint})` : '';
    throw new Error(
      `${path} (${weightFormats[format]}) does not fit ${network}: ${faults.join('; ')}${fits}${hint}`,
    );
  }
  if (fit.loaded.length === 0) throw new Error(`${path} has no entry that fits ${network}`);
  const state = new Map(fit.loaded.map((name) => [name, file.tensors.get(name)!]));
  segmentor.loadStateDict(state, { strict: false });
  return { ...fit, path, network, format, naming, prefix, others, skipped, licence };
}

const MOST_LISTED = 6;

/** A text for each kind of disagreement, with its count and the first names. */
export function fitFaults({ missing, unexpected, misshaped }: WeightsFit): string[] {
  const shapes = misshaped.map(
    ({ name, network, file }) => `${name}: the network has [${network}], the file [${file}]`,
  );
  return [
    listed('missing', missing),
    listed('unexpected', unexpected),
    listed('of another shape', shapes),
  ].filter((text) => text !== '');
}

function listed(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const more = names.length > MOST_LISTED ? ', ...' : '';
  return `${names.length} ${what} (${names.slice(0, MOST_LISTED).join(', ')}${more})`;
}

/** What was loaded, left out and not loaded, and the licence: one line each. */
export function describeReport(report: WeightsReport): string[] {
  const { path, network, format, loaded, skipped, licence } = report;
  const faults = fitFaults(report);
  return [
    `${path}: ${weightFormats[format]}; ${loaded.length} entries loaded into ${network}`,
    ...describeOthers(report),
    ...describeSkipped(skipped).map((text) => `left out: ${text}`),
    ...faults.map((text) => `not loaded: ${text}`),
    ...(licence ? [describeLicence(licence)] : []),
  ];
}

/** Which network of several was taken, and how another is asked for; nothing of a file with one. */
export function describeOthers({ prefix, others }: Pick<RecognizedWeights, 'prefix' | 'others'>): string[] {
  if (others.length === 0) return [];
  const how = others.map((other) => `--network ${askFor(other, [...others, prefix])}`);
  return [
    `${others.length + 1} networks inside: taken is the one under ${prefix || 'no prefix'}; ${how.join(', ')} takes ${others.length === 1 ? 'the other' : 'another'}`,
  ];
}

/** A text for each reason, with its count and the first names. */
export function describeSkipped(skipped: readonly SkippedEntry[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { name, reason } of skipped) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
  }
  return [...byReason].map(([reason, names]) => {
    const more = names.length > 2 ? ', ...' : '';
    return `${names.length} of: ${reason} (${names.slice(0, 2).join(', ')}${more})`;
  });
}

export function describeLicence(licence: WeightsLicence): string {
  return `licence: ${licenceSentence(licence)}`;
}

/** The licence as converted files keep it in their header, under `licence`. */
export function licenceSentence({ text, url, certain }: WeightsLicence): string {
  const condition = certain ? '' : 'if these are, or come from, the published weights: ';
  return `${condition}${text}${url ? ` (${url})` : ''}`;
}

/**
 * The configuration of the network that a file holds, as its names and shapes tell. They do not tell the windows of a network
 * of two resolutions, which then are HRDA's.
 * @throws Error naming the file, for an encoder alone, for a width that the file cannot fill, and for encoders and decoders that this project does not have
 */
export function describedConfig({ path, network, tensors }: WeightsFile): SegmentorConfig {
  const { backbone, head, channels, classes, twoResolutions } = network;
  if (!isBackbone(backbone)) {
    throw new Error(
      `${path}: its encoder is ${backbone ?? 'unknown'}; known are ${backboneNames.join(', ')}`,
    );
  }
  if (!isHead(head) || classes === undefined) {
    throw new Error(
      `${path}: it has no decoder of a known form (known are ${headNames.join(', ')}); its encoder can be taken alone`,
    );
  }
  const adapter = adapterIn({ tensors });
  const config = segmentorConfig(backbone, head, {
    ...(channels !== undefined && { channels }),
    classes,
    ...(adapter && { adapter }),
    ...(twoResolutions && { multiResolution: hrda }),
  });
  refuseClaimedWidth(path, config, tensors);
  return config;
}

/** What a file's network has beside its encoder, but for low-rank changes. */
function adapterIn({ tensors }: Pick<WeightsFile, 'tensors'>): AdapterConfig | undefined {
  const [, tokens, rank] = tensors.get('backbone.adapter.a')?.shape ?? [];
  return tokens && rank ? { kind: 'rein', tokens, rank } : undefined;
}

const isBackbone = (name: string | undefined): name is BackboneName =>
  (backboneNames as readonly (string | undefined)[]).includes(name);
const isHead = (name: string | undefined): name is HeadName =>
  (headNames as readonly (string | undefined)[]).includes(name);

/**
 * Builds the network that a file holds and fills it; classes and input size are taken from the file, and from HuggingFace's
 * configuration beside it, where they say them.
 * @throws Error as {@link describedConfig} and {@link loadSegmentorWeights}
 */
export function importSegmentor(
  path: string,
  options: LoadWeightsOptions = {},
): { segmentor: Segmentor; report: WeightsReport } {
  return tidy(() => {
    const file = openWeights(path, options);
    const config = describedConfig(file);
    const segmentor = options.allowPartial
      ? new Segmentor(config, 0)
      : withoutInitialValues(() => new Segmentor(config, 0));
    try {
      const network = networkWords(file.network);
      const { classInfo, about } = described(file, config.classes);
      segmentor.classInfo = classInfo;
      const licence = about?.licence ?? (file.licence && licenceSentence(file.licence));
      segmentor.about = about || licence ? { ...about, ...(licence && { licence }) } : undefined;
      return { segmentor, report: fill(segmentor, segmentor.stateDict(), file, network, options) };
    } catch (error) {
      segmentor.dispose();
      throw error;
    }
  });
}

function networkWords({ backbone, head, twoResolutions }: WeightsFile['network']): string {
  const encoder = backbone ?? 'an unknown encoder';
  return `${encoder} with ${head ?? 'an unknown decoder'}${twoResolutions ? ' at two resolutions (HRDA)' : ''}`;
}

/** Compares a file with the network that it seems to hold; undefined if that is none of this project's. */
export function compareWithDescribed(file: WeightsFile): { network: string; fit: WeightsFit } | undefined {
  const { backbone, head } = file.network;
  if (!isBackbone(backbone)) return undefined;
  return tidy(() => {
    if (hasDecoder(file)) {
      if (!isHead(head)) return undefined;
      using segmentor = withoutInitialValues(() => new Segmentor(describedConfig(file), 0));
      return {
        network: networkWords(file.network),
        fit: compareWeights(segmentor.stateDict(), file.tensors),
      };
    }
    using generator = new Generator(0);
    // Without a pyramid, as under a linear decoder, if the file has none.
    const under = isVit(backbone) && !hasAny(PYRAMID, file.tensors) ? 'linear' : 'daformer';
    using encoder = withoutInitialValues(() =>
      createBackbone({ backbone, head: under, dropPath: 0, adapter: adapterIn(file) }, generator),
    );
    return { network: backbone, fit: compareWeights(prefixed(encoder), file.tensors) };
  });
}

export function hasDecoder(file: WeightsFile): boolean {
  return [...file.tensors.keys()].some((name) => name.startsWith('decode_head.'));
}

/** Under this key an encoder that was converted from a whole network says which. */
const TRAINED = 'trained';

/** The whole network that a file holds or that its encoder comes from, in words; undefined for an encoder of ImageNet's. */
export function trainedNetwork(file: WeightsFile): string | undefined {
  if (!hasDecoder(file)) return file.metadata[TRAINED] ?? ownTexts(file.metadata)?.[TRAINED];
  const { classes } = file.network;
  return `${networkWords(file.network)}${classes === undefined ? '' : `, ${classes} classes`}`;
}

/** What the header of a converted encoder keeps of where it comes from. */
export function encoderOrigin(file: WeightsFile): Record<string, string> {
  const trained = trainedNetwork(file);
  return {
    ...(file.licence && { licence: licenceSentence(file.licence) }),
    ...(trained !== undefined && { [TRAINED]: trained }),
  };
}

function prefixed(encoder: nn.StateModule): Map<string, Tensor> {
  return new Map([...encoder.stateDict()].map(([name, tensor]) => [ENCODER + name, tensor]));
}
