// What `pgpc data stats` shows: how often each class occurs, and what rare class sampling makes of it.
import type { SegmentationDataset } from '@pgpc/datasets';
import {
  type ClassStatistics,
  classStatistics,
  type DatasetError,
  describeLayout,
  detectFormat,
  openDataset,
} from '@pgpc/datasets';
import { daformerRareClasses } from '../../config/rare-classes.js';
import { rareClasses } from '../../pipeline/rare-class-sampling.js';
import { percent } from '../../report/format.js';
import { toRunClasses } from '../../training/class-mapping.js';
import { filesWere } from '../command.js';
import type { DataSelection } from '../commands/data.js';
import type { CommandIo } from '../io.js';
import type { Size } from '../values.js';
import { classesOf, classesTable } from './classes.js';
import { labelLines } from './findings.js';
import type { Tell } from './json.js';
import { fileProgress } from './progress.js';
import { textTable } from './table.js';

export interface StatsOptions extends DataSelection {
  /** Size of the training crops that the printed constants are for. */
  readonly crop: Size;
  /** Tell by the files' contents, not their times, whether the cached counts hold. */
  readonly byContent: boolean;
}

/** @param tell is told the counts, for JSON. @throws Error for files that could not be counted, when the others were. */
export async function showStatistics(options: StatsOptions, io: CommandIo, tell: Tell): Promise<void> {
  const { root, split, classes, range, jobs, crop, byContent } = options;
  const format = options.format ?? (await detectFormat(root));
  const { definition, mapping } = await classesOf(classes, format);
  const faults: DatasetError[] = [];
  const onFault = (fault: DatasetError) => faults.push(fault);
  const selection = { format, root, split, classes: definition, range };
  const own = await openDataset({ ...selection, labels: 'required', onFault });
  const { dataset, statistics: mapped, count } = toRunClasses(own, mapping);
  const bar = fileProgress(`count ${dataset.split}`, io);
  const counted = await classStatistics(own, {
    signal: io.signal,
    onProgress: bar.onProgress,
    verify: byContent ? 'content' : 'modified',
    ...(jobs !== undefined && { concurrency: jobs }),
  });
  bar.done();
  const statistics = mapped(counted);
  const brought = count(counted);
  const layout = await describeLayout(format, root);
  io.stdout.write(`${layout}\n`);
  if (brought) io.stdout.write(classesTable(brought));
  io.stdout.write(`${dataset.split}: ${dataset.samples.length} labelled images\n`);
  io.stdout.write(statisticsTable(dataset, statistics));
  io.stdout.write(constants(statistics, crop));
  io.stdout.write(labelLines(dataset, statistics, layout));
  tell(asJson(dataset, statistics));
  for (const { message } of faults) io.stderr.write(`left out: ${message}\n`);
  if (faults.length > 0) {
    throw new Error(`${root}: ${filesWere(faults.length)} not counted`);
  }
}

/** Of each class: share of the labelled pixels, probability in rare class sampling, and images it is drawn from. */
function statisticsTable(
  { classes }: SegmentationDataset,
  { counts, ignored, sizes }: ClassStatistics,
): string {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const totals = classes.map(({ trainId }) => sum(counts.map((row) => row[trainId]!)));
  const labelled = sum(totals);
  const pixels = sizes.map(([width, height]) => width * height);
  const sampled = rareClasses({ counts, sizes }, daformerRareClasses);
  const rows = classes.map(({ trainId, name }) => [
    name,
    percentOf(totals[trainId]!, labelled),
    String(counts.filter((row) => row[trainId]! > 0).length),
    String(sampled[trainId]!.images.length),
    percent(sampled[trainId]!.drawn),
  ]);
  const last = ['ignored, of all pixels', percentOf(sum(ignored), sum(pixels))];
  return textTable(['class', 'pixels, %', 'images', 'drawable', 'drawn, %'], [...rows, last]);
}

/** Rare classes need more digits than a tenth of a percent. */
function percentOf(part: number, whole: number): string {
  return whole === 0 ? '–' : ((100 * part) / whole).toFixed(3);
}

function constants({ sizes }: ClassStatistics, crop: Size): string {
  const { temperature, minImageShare, minCropShare } = daformerRareClasses;
  const common = mostCommon(sizes.map(([width, height]) => `${width}x${height}`));
  const [width = 0, height = 0] = common.split('x').map(Number);
  return (
    'Rare class sampling (constants scale with the size): ' +
    `an image of ${common} is drawn for a class of more than ${Math.round(minImageShare * width * height)} pixels, ` +
    `a crop of ${crop.width}x${crop.height} should show more than ` +
    `${Math.round(minCropShare * crop.width * crop.height)} of them; temperature ${temperature}.\n`
  );
}

function mostCommon(values: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

function asJson(dataset: SegmentationDataset, { counts, ignored, sizes }: ClassStatistics): object {
  const { name, root, split, classes, samples } = dataset;
  return {
    format: name,
    root,
    split,
    classes: classes.map((info) => info.name),
    images: samples.map(({ id }, i) => ({ id, size: sizes[i], ignored: ignored[i], counts: counts[i] })),
  };
}
