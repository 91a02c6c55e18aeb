// What no single file shows: classes without a pixel, values that are ignored, images that show nothing.
import type { ImageFacts } from './check.js';
import type { ClassStatistics } from './statistics.js';
import { IGNORE_INDEX, type SegmentationDataset } from './types.js';

/** Something about a whole split; with an error no training or evaluation on it can come to anything. */
export interface Finding {
  readonly level: 'warning' | 'error';
  /** One line that names the root and says what to do. */
  readonly message: string;
}

/** An image whose values differ by less shows nothing. */
const FLAT = 3;
/** Of published data sets whole classes are ignored: some even cover half of some images. */
const MUCH_IGNORED = 0.6;
/** From this share on, pixels of 255 in masks of one's own may be meant as a class. */
const MUCH_255 = 0.1;
/** The same where a class has no pixel. */
const SOME_255 = 0.005;

const names = (list: readonly string[]) =>
  list.slice(0, 6).join(', ') + (list.length > 6 ? ` and ${list.length - 6} more` : '');
const percent = (share: number) => `${+(100 * share).toPrecision(3)} %`;
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** Looks at the class counts of a labelled split. @param layout what tells its layout, for messages */
export function inspectLabels(
  { root, name, split, classes, samples }: SegmentationDataset,
  { counts, ignored, ignored255 }: Pick<ClassStatistics, 'counts' | 'ignored' | 'ignored255'>,
  layout: string = name,
): Finding[] {
  const totals = classes.map((_, c) => sum(counts.map((row) => row[c]!)));
  const labelled = sum(totals);
  const pixels = labelled + sum(ignored);
  const where = `${root}, ${split}`;
  if (pixels === 0) return [];
  const own = name === 'folder';
  const share255 = ignored255 / pixels;
  if (labelled === 0) {
    const wrong = own
      ? `${CLASS_FILE} and the values in the masks do not fit`
      : `it was read as ${layout}; where the classes are your own, give --format folder and a ${CLASS_FILE}`;
    return [{ level: 'error', message: `${where}: no pixel of any class, all are ignored; ${wrong}` }];
  }
  const findings: Finding[] = [];
  const warn = (message: string) => findings.push({ level: 'warning', message: `${where}: ${message}` });
  const absent = classes.filter((_, c) => totals[c] === 0).map((info) => info.name);
  if (absent.length > 0) {
    const which = absent.length === 1 ? `class '${absent[0]}'` : `${absent.length} classes: ${names(absent)}`;
    warn(`no pixel of ${which}; ${absent.length === 1 ? 'it' : 'they'} cannot be learned or scored here`);
  }
  if (own && share255 >= (absent.length > 0 ? SOME_255 : MUCH_255)) {
    warn(
      `${IGNORE_INDEX}, which is ignored, covers ${percent(share255)} of the pixels; if it is a class, give it a value: ${IGNORE_INDEX} in ${CLASS_FILE}`,
    );
  } else if (sum(ignored) >= MUCH_IGNORED * pixels) {
    warn(`${percent(sum(ignored) / pixels)} of the pixels are ignored; read as ${layout}`);
  }
  const empty = samples.filter((_, i) => counts[i] && sum(counts[i]!) === 0).map(({ id }) => id);
  if (empty.length > 0) {
    warn(`${empty.length} of ${samples.length} images have no labelled pixel (${names(empty)})`);
  }
  return findings;
}

const CLASS_FILE = 'classes.yaml';

/** Looks at what the images of a split show. @param facts in the order of the samples */
export function inspectImages(
  { root, split, samples }: SegmentationDataset,
  facts: readonly ImageFacts[],
): Finding[] {
  const flat = facts.flatMap(({ low, high }, i) => (high - low < FLAT ? [{ id: samples[i]!.id, high }] : []));
  if (flat.length === 0) return [];
  const black = flat.filter(({ high }) => high < FLAT).length;
  const what =
    black === flat.length ? 'black' : black > 0 ? `of one colour, ${black} of them black` : 'of one colour';
  const count = flat.length === facts.length ? 'all' : `${flat.length} of ${facts.length}`;
  const message = `${root}, ${split}: ${count} images are ${what} (${names(flat.map(({ id }) => id))}); look at them, and at how they were exported`;
  return [{ level: black === facts.length ? 'error' : 'warning', message }];
}
