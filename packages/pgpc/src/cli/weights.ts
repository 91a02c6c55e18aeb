// `pgpc weights inspect` and `pgpc weights convert` at work.
import { mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CITYSCAPES_CLASSES, type ClassInfo, readClassFile } from '@pgpc/datasets';
import { saveSafetensors, type Tensor, tidy } from '@pgpc/torch';
import type { MitName } from '../config/segmentor.js';
import { UsageError } from '../config/usage-error.js';
import { saveSegmentor } from '../models/checkpoint.js';
import { locateModel } from '../models/locate.js';
import { mitConfigs } from '../models/mit.js';
import type { Segmentor } from '../models/segmentor.js';
import { saveDaformer, saveDaformerEncoder } from '../models/weights/daformer.js';
import { described } from '../models/weights/described.js';
import {
  compareWithDescribed,
  describeLicence,
  describeOthers,
  describeReport,
  describeSkipped,
  encoderOrigin,
  fitFaults,
  hasDecoder,
  importSegmentor,
  licenceSentence,
  openWeights,
  type WeightsFile,
  type WeightsReport,
} from '../models/weights/fit.js';
import { toHuggingFace } from '../models/weights/huggingface.js';
import { type DescribedNetwork, writeHuggingFaceFiles } from '../models/weights/huggingface-files.js';
import { weightFormats } from '../models/weights/namings.js';
import type { CommandIo } from './io.js';
import type { Tell } from './output/json.js';
import { textTable } from './output/table.js';

interface NetworkChoice {
  /** Of a file with several: student, teacher or a prefix; undefined: the student. */
  readonly network: string | undefined;
}

export interface InspectWeightsOptions extends NetworkChoice {
  /** Existing file, folder with one, or run directory. */
  readonly file: string;
  readonly best: boolean;
}

export interface ConvertWeightsOptions extends NetworkChoice {
  /** Existing file, folder with one, or run directory. */
  readonly file: string;
  readonly best: boolean;
  readonly to: 'pgpc' | 'hf' | 'daformer';
  /** File to write; of `hf` the folder. */
  readonly out: string;
  /** Leave a decoder out. */
  readonly encoder: boolean;
  readonly allowPartial: boolean;
  /** Class file with the network's classes, or 'cityscapes'; undefined: as the file says. */
  readonly classes: string | undefined;
}

/** Longest text of the metadata that is shown; configurations of whole experiments are longer. */
const MOST_SHOWN = 100;

/** Prints what a weights file holds, with a summary at the end. @param tell is told the same, for JSON. */
export async function inspectWeights(
  { file: given, best, network }: InspectWeightsOptions,
  io: CommandIo,
  tell: Tell,
): Promise<void> {
  tidy(() => {
    const file = openWeights(locateModel(given, { best }), { ...(network && { network }) });
    const entries = [...file.entries].map(([name, { shape, dtype }]) => ({ name, shape, dtype }));
    const compared = compareWithDescribed(file);
    const faults = compared ? fitFaults(compared.fit) : [];
    const parameters = countParameters(file.tensors);
    const { path, format, naming, prefix, others, skipped, licence } = file;
    tell({
      ...{ file: path, format, naming, prefix, others, network: file.network },
      fits: compared ? { network: compared.network, ...compared.fit } : null,
      ...{ parameters, metadata: file.metadata, skipped, licence: licence ?? null, tensors: entries },
    });
    const rows = entries.map(({ name, shape, dtype }) => [name, `[${shape.join(', ')}]`, dtype]);
    const metadata = Object.entries(file.metadata).map(
      ([key, value]) => `${key} = ${value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}...` : value}`,
    );
    const summary: [string, readonly string[]][] = [
      ['file', [`${file.path}, ${(statSync(file.path).size / 1e6).toFixed(1)} MB`]],
      [
        'form',
        [weightFormats[file.format], ...(file.naming === file.format ? [] : [weightFormats[file.naming]])],
      ],
      [
        'network',
        [
          describeFit(file, compared?.network, faults),
          ...(file.hint && faults.length > 0 ? [file.hint] : []),
          ...(file.prefix === '' ? [] : [`found under ${file.prefix}`]),
          ...describeOthers(file),
        ],
      ],
      ['entries', [`${entries.length}; ${parameters.toLocaleString('en-US')} parameters of the network`]],
      ['left out', describeSkipped(file.skipped)],
      ['classes', classesInWords(file)],
      ['metadata', metadata],
      ['licence', [file.licence ? licenceSentence(file.licence) : 'the file does not tell']],
    ];
    io.stdout.write(textTable(['entry', 'shape', 'dtype'], rows));
    io.stdout.write('\n');
    for (const [label, lines] of summary) {
      for (const [i, line] of lines.entries()) {
        io.stdout.write(`${(i === 0 ? label : '').padEnd(9)} ${line}\n`);
      }
    }
  });
}

function describeFit(file: WeightsFile, network: string | undefined, faults: readonly string[]): string {
  if (network === undefined) {
    const { backbone, head } = file.network;
    const decoder = hasDecoder(file) ? `decoder ${head ?? 'of no known form'}` : 'no decoder';
    return `none of this project's: encoder ${backbone ?? 'of no known form'}, ${decoder}`;
  }
  const { classes } = file.network;
  const named = hasDecoder(file) ? `${network}, ${classes} classes` : `${network}, encoder alone`;
  return faults.length === 0 ? `${named}: every entry fits` : `${named}, but ${faults.join('; ')}`;
}

/** Elements of all entries but the running values of batch norms. */
function countParameters(tensors: ReadonlyMap<string, Tensor>): number {
  let count = 0;
  for (const [name, tensor] of tensors) {
    if (!/\.(running_mean|running_var|num_batches_tracked)$/.test(name)) count += tensor.numel;
  }
  return count;
}

/**
 * Writes a weights file in another form.
 * @param tell is told what was read and written, for JSON.
 * @throws Error if it does not fit that form, unless partial is allowed.
 */
export async function convertWeights(
  options: ConvertWeightsOptions,
  io: CommandIo,
  tell: Tell,
): Promise<void> {
  const { file: given, best, to, out, network, allowPartial } = options;
  const path = locateModel(given, { best });
  const classes = await namedBy(options.classes);
  const choice = { ...(network && { network }), allowPartial };
  const tellOf = ({ path: from, licence, ...report }: WeightsReport, notes: readonly string[] = []) =>
    tell({ file: from, ...report, licence: licence ?? null, to, out, notes });
  const converted = tidy(() => {
    const file = openWeights(path, choice);
    return options.encoder || !hasDecoder(file) ? convertEncoder(file, options) : undefined;
  });
  if (converted) {
    if (classes !== undefined) throw new UsageError('--classes: an encoder alone has no classes');
    tellOf(converted.report);
    io.stdout.write(`${[...converted.lines, `written: ${out}`].join('\n')}\n`);
    return;
  }
  const { segmentor, report } = importSegmentor(path, choice);
  try {
    const { head, backbone } = segmentor.config;
    if (classes !== undefined) {
      if (classes.length !== segmentor.config.classes) {
        throw new UsageError(
          `--classes ${options.classes}: ${classes.length} classes, the network has ${segmentor.config.classes}`,
        );
      }
      segmentor.classInfo = classes;
    }
    const notes: string[] = [];
    if (to === 'pgpc') {
      mkdirSync(dirname(out), { recursive: true });
      saveSegmentor(out, segmentor);
    } else if (to === 'daformer') {
      notes.push(...saveDaformer(out, segmentor));
    } else if (head !== 'segformer' || !(backbone in mitConfigs)) {
      throw new Error(
        `${path} is ${backbone} with ${head}, which HuggingFace's SegFormer has no names for: --encoder converts its encoder`,
      );
    } else {
      writeHuggingFace(out, segmentor.stateDict(), { segmentor });
    }
    tellOf(report, notes);
    const told = [...describeReport(report), describeClasses(segmentor), ...notes, `written: ${out}`];
    io.stdout.write(`${told.join('\n')}\n`);
  } finally {
    segmentor.dispose();
  }
}

/** @returns what to tell the user, and a program */
function convertEncoder(
  file: WeightsFile,
  { to, out, allowPartial }: ConvertWeightsOptions,
): { lines: string[]; report: WeightsReport } {
  const { path, network, licence, format, naming, prefix, others, skipped } = file;
  const encoder = new Map([...file.tensors].filter(([name]) => !name.startsWith('decode_head.')));
  const compared = compareWithDescribed({ ...file, tensors: encoder });
  if (!compared) throw new Error(`${path}: its encoder is ${network.backbone ?? 'of no known form'}`);
  const faults = fitFaults(compared.fit);
  if (faults.length > 0 && !allowPartial) {
    throw new Error(`${path} does not fit ${compared.network}: ${faults.join('; ')}`);
  }
  const loaded = new Map(compared.fit.loaded.map((name) => [name, encoder.get(name)!]));
  if (to === 'hf') {
    if (!(compared.network in mitConfigs)) {
      throw new Error(`${path} is ${compared.network}, which HuggingFace's SegFormer has no names for`);
    }
    writeHuggingFace(out, loaded, { encoder: compared.network as MitName });
  } else if (to === 'daformer') {
    saveDaformerEncoder(out, compared.network, loaded, encoderOrigin(file));
  } else {
    mkdirSync(dirname(out), { recursive: true });
    saveSafetensors(out, loaded, {
      format: 'pgpc-backbone/1',
      backbone: compared.network,
      ...encoderOrigin(file),
    });
  }
  const lines = [
    `${path}: ${weightFormats[format]}; ${loaded.size} entries of ${compared.network}`,
    ...describeOthers(file),
    ...describeSkipped(skipped).map((text) => `left out: ${text}`),
    ...faults.map((text) => `not written: ${text}`),
    ...(licence ? [describeLicence(licence)] : []),
  ];
  const read = { path, network: compared.network, format, naming, prefix, others, skipped, licence };
  return { lines, report: { ...compared.fit, ...read } };
}

function writeHuggingFace(
  folder: string,
  official: ReadonlyMap<string, Tensor>,
  network: DescribedNetwork,
): void {
  mkdirSync(folder, { recursive: true });
  tidy(() => {
    const { tensors } = toHuggingFace(official);
    saveSafetensors(join(folder, 'model.safetensors'), tensors, { format: 'pt' });
  });
  writeHuggingFaceFiles(folder, network);
}

async function namedBy(classes: string | undefined): Promise<readonly ClassInfo[] | undefined> {
  if (classes === undefined) return undefined;
  return classes === 'cityscapes' ? CITYSCAPES_CLASSES : (await readClassFile(classes)).classes;
}

/** Names of a network's classes; none of an encoder alone. */
function classesInWords(file: WeightsFile): string[] {
  const count = file.network.classes;
  if (!hasDecoder(file) || count === undefined) return [];
  const { classInfo } = described(file, count);
  return [classInfo?.map(({ name }) => name).join(', ') ?? `${count}, whose names the file does not tell`];
}

/** The classes that are written, or that they have no names. */
function describeClasses({ classInfo, config }: Segmentor): string {
  if (classInfo === undefined) {
    return `warning: neither the file nor a configuration beside it names its ${config.classes} classes, so what is written does not either; --classes names them`;
  }
  return `classes: ${classInfo.map(({ name }) => name).join(', ')}`;
}
