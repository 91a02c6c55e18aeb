// Whether labels beside images are GTA5's label ids, or the values of somebody's own classes: what the files show.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { CITYSCAPES_LABELS, LABEL_PALETTE } from '../classes/cityscapes.js';
import { findClassFile } from '../classes/find.js';
import { isFolder } from '../files/list.js';
import { readPng } from '../images/index.js';
import { countValues } from '../labels/decode.js';
import { IGNORE_INDEX } from '../types.js';

/** Labels that are looked at. */
const MOST_READ = 8;
/** The largest of Cityscapes' trainIds: only label ids, or other classes, have values above it. */
const LARGEST_TRAIN_ID = 18;
const LARGEST_LABEL_ID = 34;

export interface LabelIdEvidence {
  readonly labelIds: boolean;
  /** In words, to follow "images/ and labels/,". */
  readonly why: string;
}

/**
 * Looks at a folder with `images` and `labels`: GTA5 has no folders of splits and no list of classes, its labels have
 * Cityscapes' colours as their palette (copies of them may have none), and values that no list of 19 classes has.
 * @returns undefined where one of the folders is missing
 */
export async function labelIdEvidence(root: string): Promise<LabelIdEvidence | undefined> {
  const [images, labels] = [path.join(root, 'images'), path.join(root, 'labels')];
  if (!(await isFolder(images)) || !(await isFolder(labels))) return undefined;
  const listed = await findClassFile(root);
  if (listed !== undefined) return { labelIds: false, why: `${path.basename(listed)} lists the classes` };
  const names = (await readdir(labels)).filter((name) => /^[^.].*\.png$/i.test(name)).sort();
  if (names.length === 0) return { labelIds: false, why: 'the labels lie in folders' };
  const shown = new Set<number>();
  let palettes = 0;
  let foreign = 0;
  let read = 0;
  const step = Math.max(1, Math.floor(names.length / MOST_READ));
  for (let i = 0; i < names.length && read < MOST_READ; i += step) {
    const png = await readPng(path.join(labels, names[i]!)).catch(() => undefined);
    // What cannot be read is for the check of all files to say.
    if (png === undefined) continue;
    if (png.channels !== 1) return { labelIds: false, why: `${names[i]} has ${png.channels} channels` };
    read++;
    if (png.palette && isCityscapesPalette(png.palette)) palettes++;
    const values = countValues(png.samples).flatMap(([value]) => (value === IGNORE_INDEX ? [] : value));
    // One damaged label does not make the others something else.
    if (Math.max(-1, ...values) > LARGEST_LABEL_ID) foreign++;
    else for (const value of values) shown.add(value);
  }
  const largest = Math.max(-1, ...shown);
  const range = `labels of values up to ${largest}`;
  if (read === 0) return { labelIds: /^\d{5}\.png$/i.test(names[0]!), why: 'no label can be read' };
  if (2 * foreign > read) {
    return {
      labelIds: false,
      why: `most labels have values above ${LARGEST_LABEL_ID}, which are no label ids`,
    };
  }
  if (2 * palettes > read) return { labelIds: true, why: "labels in Cityscapes' palette" };
  const trained = [...shown].filter((value) => CITYSCAPES_LABELS[value]?.trainId !== IGNORE_INDEX).length;
  if (largest <= LARGEST_TRAIN_ID) {
    return { labelIds: false, why: `${range}: in label ids there would be 21 (vegetation) or 23 (sky)` };
  }
  const numbered = names.every((name) => /^\d{5}\.png$/i.test(name));
  if (!numbered && 2 * trained < shown.size) {
    return { labelIds: false, why: `${range}, and few are ids of classes` };
  }
  return { labelIds: true, why: `${range}, as of label ids` };
}

/** At entries that every driving scene shows. */
function isCityscapesPalette(palette: Uint8Array): boolean {
  return [7, 11, 21, 26].every((id) =>
    LABEL_PALETTE[id]!.every((channel, i) => palette[3 * id + i] === channel),
  );
}
