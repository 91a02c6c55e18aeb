// Which of SYNTHIA's subsets a folder is, and what their label ids mean: the same numbers stand for other classes.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { CITYSCAPES_CLASSES } from '../classes/cityscapes.js';
import { fault } from '../errors.js';
import { isFolder, listFiles } from '../files/list.js';
import { readPng } from '../images/index.js';
import { type ClassInfo, IGNORE_INDEX, type LabelCoding, UNKNOWN_LABEL } from '../types.js';
import { isDerivedLabel } from './gta5.js';
import { foldersIn } from './own-layout.js';

/** Label ids by the name of the Cityscapes class that they stand for. */
type LabelIds = Readonly<Record<string, number>>;

/** Ids that SYNTHIA-RAND-CITYSCAPES and the video sequences share. */
const COMMON_IDS: LabelIds = {
  sky: 1,
  building: 2,
  road: 3,
  sidewalk: 4,
  fence: 5,
  vegetation: 6,
  pole: 7,
  car: 8,
  'traffic sign': 9,
  person: 10,
  bicycle: 11,
  'traffic light': 15,
};

/**
 * Ids of SYNTHIA-RAND-CITYSCAPES, as in its README and the work on adaptation from it (Tsai et al., CVPR 2018; Hoyer et
 * al., CVPR 2022); 16, 18 and 20 never occur.
 */
const RAND_CITYSCAPES_IDS: LabelIds = {
  ...COMMON_IDS,
  motorcycle: 12,
  terrain: 16,
  rider: 17,
  truck: 18,
  bus: 19,
  train: 20,
  wall: 21,
};

/** Void, parking slot, road work and lane marking: no class of Cityscapes. */
const RAND_CITYSCAPES_IGNORED: readonly number[] = [0, 13, 14, 22];

/** Ids that only SYNTHIA-RAND-CITYSCAPES has. */
const ONLY_RAND = (id: number) => id === 14 || (id >= 16 && id <= 22);

/** Ids of the video sequences, as in the README of SYNTHIA-SEQS-04-DAWN (2016): as above up to 11, and then others. */
const SEQS_IDS: LabelIds = COMMON_IDS;

/** Void, lane marking, and two that are reserved. */
const SEQS_IGNORED: readonly number[] = [0, 12, 13, 14];

/**
 * Ids of SYNTHIA-SF (Hernandez-Juarez et al., BMVC 2017), in the order in which Datumaro lists its classes: Cityscapes'
 * trainIds plus 1.
 */
const SF_IDS: LabelIds = Object.fromEntries(
  CITYSCAPES_CLASSES.map(({ name, trainId }) => [name, trainId + 1]),
);

/** Void, road lines, other and road works. */
const SF_IGNORED: readonly number[] = [0, 20, 21, 22];

function tableOf(ids: LabelIds, ignored: readonly number[]): Uint8Array {
  const table = new Uint8Array(256).fill(UNKNOWN_LABEL);
  for (const { name, trainId } of CITYSCAPES_CLASSES) if (name in ids) table[ids[name]!] = trainId;
  for (const id of ignored) table[id] = IGNORE_INDEX;
  return table;
}

/** Table from the label ids (0..22) of SYNTHIA-RAND-CITYSCAPES to Cityscapes' trainIds. */
export const SYNTHIA_LABEL_TO_TRAIN_ID: Uint8Array = tableOf(RAND_CITYSCAPES_IDS, RAND_CITYSCAPES_IGNORED);

/** Where a subset's images are, as paths in the root; labels lie beside them under the same names. */
interface Place {
  readonly images: string;
  readonly labels: string;
  /** Before the ids of samples; '' where there is one place. */
  readonly prefix: string;
}

export interface SynthiaSubset {
  /** In words: its name and what tells it. */
  readonly why: string;
  readonly places: readonly Place[];
  readonly ids: LabelIds;
  readonly coding: LabelCoding;
}

const sixteenBit = (table: Uint8Array): LabelCoding => ({ kind: 'first-of-16-bit', table });
const RAND = { ids: RAND_CITYSCAPES_IDS, coding: sixteenBit(SYNTHIA_LABEL_TO_TRAIN_ID) };
const SEQS = { ids: SEQS_IDS, coding: sixteenBit(tableOf(SEQS_IDS, SEQS_IGNORED)) };
const SF: Pick<SynthiaSubset, 'ids' | 'coding'> = {
  ids: SF_IDS,
  coding: { kind: 'first-channel', table: tableOf(SF_IDS, SF_IGNORED) },
};

/** Cityscapes' classes with a subset's ids; 0, void, for what it has no id for. */
export function synthiaClasses(ids: LabelIds): ClassInfo[] {
  return CITYSCAPES_CLASSES.map((info) => ({ ...info, labelId: ids[info.name] ?? 0 }));
}

/**
 * Tells the subset of a folder by the names of folders, the README, and the ids in labels.
 * @returns undefined where it is none
 * @throws {DatasetError} when it is one that is not read, or its labels hold an id that means different things and
 * nothing tells which
 */
export async function synthiaSubset(root: string): Promise<SynthiaSubset | undefined> {
  const sf = await placesIn(root, /^SEQ\d+$/i, 'RGBLeft', 'GTLeft');
  if (sf.length > 0) return { ...SF, places: sf, why: `SYNTHIA-SF, by ${sf[0]!.images}/` };
  const places = await placesIn(root, /^SYNTHIA-SEQS-/i, 'RGB', path.join('GT', 'LABELS'));
  const first = places[0];
  if (first === undefined) return undefined;
  for (const [folder, name] of [
    ['SemSeg', 'SYNTHIA-AL'],
    ['GTTXT', 'SYNTHIA-RAND-CVPR16'],
  ] as const) {
    if (!(await isFolder(path.join(root, folder)))) continue;
    throw fault(
      'definition',
      root,
      `is ${name}, by ${folder}/, which is not read; SYNTHIA-RAND-CITYSCAPES and the sequences are`,
    );
  }
  const seqs = (why: string) => ({ ...SEQS, places, why: `SYNTHIA-SEQS, by ${why}` });
  const rand = (why: string) => ({ ...RAND, places, why: `SYNTHIA-RAND-CITYSCAPES, by ${why}` });
  const cameras = (await foldersIn(path.join(root, first.images))).find((name) =>
    /^(Stereo|Omni)_/.test(name),
  );
  if (cameras !== undefined) return seqs(`${path.join(first.images, cameras)}/`);
  const named = subsetIn(path.basename(path.resolve(root)));
  if (named !== undefined) return named === 'SEQS' ? seqs("the folder's name") : rand("the folder's name");
  if (first.prefix !== '') return seqs(first.prefix);
  const told = await readmeOf(root);
  if (told) return told.subset === 'SEQS' ? seqs(told.name) : rand(told.name);
  const shown = await shownIds(path.join(root, first.labels));
  const only = shown.find(ONLY_RAND);
  if (only !== undefined) return rand(`the id ${only} in its labels`);
  if (!shown.includes(12)) return rand(`${first.images}/`);
  throw fault(
    'definition',
    root,
    `labels hold the id 12, motorcycle in SYNTHIA-RAND-CITYSCAPES and lane marking in SYNTHIA-SEQS, and nothing tells which this is; name the folder after its subset, or write the subset's name into a README.txt here`,
  );
}

/** The folder itself, or folders in it of these names, that hold images. */
async function placesIn(root: string, names: RegExp, images: string, labels: string): Promise<Place[]> {
  if (await isFolder(path.join(root, images))) return [{ images, labels, prefix: '' }];
  const places: Place[] = [];
  for (const name of await foldersIn(root)) {
    if (!names.test(name) || !(await isFolder(path.join(root, name, images)))) continue;
    places.push({ images: path.join(name, images), labels: path.join(name, labels), prefix: `${name}/` });
  }
  return places;
}

function subsetIn(text: string): 'SEQS' | 'RAND' | undefined {
  const found = /SYNTHIA[-_ ](SEQS|RAND[-_ ]CITYSCAPES)/i.exec(text)?.[1];
  if (found === undefined) return undefined;
  return /^seqs$/i.test(found) ? 'SEQS' : 'RAND';
}

async function readmeOf(root: string): Promise<{ name: string; subset: 'SEQS' | 'RAND' } | undefined> {
  for (const name of await readdir(root)) {
    if (!/^readme(\.(txt|md))?$/i.test(name)) continue;
    const subset = subsetIn(await readFile(path.join(root, name), 'latin1').catch(() => ''));
    if (subset !== undefined) return { name, subset };
  }
  return undefined;
}

/** Labels that are looked at. */
const MOST_READ = 8;

/** The ids that some of the labels hold. */
async function shownIds(folder: string): Promise<number[]> {
  const search = { what: 'labels', endings: ['.png'], except: isDerivedLabel, onFault: () => {} };
  const files = [...(await listFiles(folder, search).catch(() => new Map<string, string>())).values()];
  const shown = new Uint8Array(2 ** 16);
  const step = Math.max(1, Math.floor(files.length / MOST_READ));
  for (let i = 0; i < files.length; i += step) {
    const png = await readPng(files[i]!).catch(() => undefined);
    // What is no label of SYNTHIA's form is for the check of all files to say.
    if (png?.depth !== 16) continue;
    for (let at = 0; at < png.samples.length; at += png.channels) shown[png.samples[at]!] = 1;
  }
  return [...shown.keys()].filter((id) => shown[id] === 1);
}
