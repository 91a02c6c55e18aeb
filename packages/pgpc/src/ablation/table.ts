// The numbers of a sweep's table, as Markdown and as CSV.

import { meanOfKnown } from '../evaluation/scores.js';
import { percent, points } from '../report/format.js';
import { halfInterval, meanAndSpread } from '../report/series.js';
import type { RunResult } from './results.js';
import type { Cell, Sweep } from './sweeps.js';

/** Mean and sample standard deviation over seeds; the deviation of one seed is NaN. */
export interface Stat {
  readonly mean: number;
  readonly spread: number;
}

/** One seed of a cell, in fractions 0..1. */
export interface SeedScores {
  readonly seed: number;
  readonly miou: number;
  readonly accuracy: number;
  readonly iou: readonly number[];
  /** Mean IoU of the minority classes, and of the others. */
  readonly minority: number;
  readonly majority: number;
}

/** A difference that is taken seed by seed. */
export interface Difference extends Stat {
  /** How many seeds both have. */
  readonly seeds: number;
  /** Half of the 95 % interval of the mean. */
  readonly half: number;
}

/** One cell over the seeds that have ended. */
export interface Row {
  readonly cell: Cell;
  readonly seeds: readonly SeedScores[];
  readonly miou: Stat;
  /**
   * mIoU less that of the reference with the same seed, over the seeds that both have; the mean's 95 % interval is ± half.
   * Undefined: the reference.
   */
  readonly difference: Difference | undefined;
  /** The same to the sweep's second reference, where it has one. */
  readonly difference2: Difference | undefined;
  readonly accuracy: Stat;
  readonly minority: Stat;
  readonly majority: Stat;
  readonly iou: readonly Stat[];
}

/** What a table is made of. */
export interface SweepTable {
  readonly sweep: Sweep;
  readonly classes: readonly string[];
  /** trainIds, see {@link minorityClasses}. */
  readonly minority: readonly number[];
  /** Of the cells that at least one seed has ended of, in the sweep's order. */
  readonly rows: readonly Row[];
  /** What the runs were, in a sentence. */
  readonly setting: string;
  /** The command that resumes them. */
  readonly command: string;
}

/** A class is a minority with less than this share of the labelled pixels of the source's training images. */
const MINORITY_SHARE = 0.01;

/** The classes that are rare in the source: real targets have no labels that could say. @param counts images x classes */
export function minorityClasses(counts: readonly (readonly number[])[]): number[] {
  const totals = counts[0]!.map((_, c) => counts.reduce((sum, row) => sum + row[c]!, 0));
  const labelled = totals.reduce((a, b) => a + b, 0);
  return totals.flatMap((pixels, c) => (pixels < MINORITY_SHARE * labelled ? [c] : []));
}

/** @param resultsOf the ended runs of a cell; those without scores are left out. */
export function rowsOf(
  sweep: Sweep,
  resultsOf: (cell: Cell) => readonly RunResult[],
  minority: readonly number[],
): Row[] {
  const seedsOf = (cell: Cell) =>
    resultsOf(cell).flatMap(({ seed, scores }) =>
      scores ? [{ seed, ...scores, ...split(scores.iou, minority) }] : [],
    );
  const differencesTo = (reference: string | undefined) => {
    const standard = sweep.cells.find(({ name }) => name === reference);
    const ofSeed = new Map(standard && seedsOf(standard).map(({ seed, miou }) => [seed, miou]));
    return (cell: Cell, seeds: readonly SeedScores[]) => {
      if (!standard || cell === standard) return undefined;
      return pairedDifference(
        seeds.flatMap(({ seed, miou }) => (ofSeed.has(seed) ? [miou - ofSeed.get(seed)!] : [])),
      );
    };
  };
  const [difference, difference2] = [sweep.reference, sweep.reference2].map(differencesTo);
  return sweep.cells.flatMap((cell): Row[] => {
    const seeds = seedsOf(cell);
    if (seeds.length === 0) return [];
    const over = (value: (scores: SeedScores) => number) => meanAndSpread(seeds.map(value));
    return [
      {
        cell,
        seeds,
        miou: over(({ miou }) => miou),
        difference: difference!(cell, seeds),
        difference2: difference2!(cell, seeds),
        accuracy: over(({ accuracy }) => accuracy),
        minority: over((scores) => scores.minority),
        majority: over((scores) => scores.majority),
        iou: seeds[0]!.iou.map((_, c) => over(({ iou }) => iou[c]!)),
      },
    ];
  });
}

function pairedDifference(differences: readonly number[]): Difference {
  const stat = meanAndSpread(differences);
  const seeds = differences.length;
  return { ...stat, seeds, half: halfInterval(stat.spread, seeds) };
}

function split(
  iou: readonly number[],
  minority: readonly number[],
): Pick<SeedScores, 'minority' | 'majority'> {
  return {
    minority: meanOfKnown(iou.filter((_, c) => minority.includes(c))),
    majority: meanOfKnown(iou.filter((_, c) => !minority.includes(c))),
  };
}

/** `20.7 ± 0.6`, in percent; one seed has no deviation. */
export function withSpread({ mean, spread }: Stat): string {
  return Number.isFinite(spread) ? `${percent(mean)} ± ${percent(spread)}` : percent(mean);
}

/** `+1.2 (+0.8 to +1.6)`, in percentage points with the 95 % interval; nothing for the reference itself. */
function differenceText(difference: Difference | undefined): string {
  if (!difference) return '';
  const { mean, half } = difference;
  if (!Number.isFinite(half)) return points(mean);
  return `${points(mean)} (${points(mean - half)} to ${points(mean + half)})`;
}

/** Heads of the table's columns, and its rows as text; all but the number of seeds in percent or points of it. */
export function textCells({ sweep, rows }: SweepTable): { header: string[]; rows: string[][] } {
  const references = referencesOf(sweep);
  return {
    header: [
      '',
      'seeds',
      'mIoU',
      ...references.map((label) => `to ${label}`),
      'minority classes',
      'other classes',
      'pixel accuracy',
    ],
    rows: rows.map((row) => [
      row.cell.label,
      String(row.seeds.length),
      withSpread(row.miou),
      ...[row.difference, row.difference2].slice(0, references.length).map(differenceText),
      withSpread(row.minority),
      withSpread(row.majority),
      withSpread(row.accuracy),
    ]),
  };
}

/** What the columns are, for under the table. */
export function legend({ sweep, classes, minority }: SweepTable): string {
  const to = referencesOf(sweep).map((label) => `"to ${label}"`);
  return (
    "In percent, of the student on the target's validation images: mean over seeds ± sample standard deviation. " +
    `${to.join(', ')}: the difference of the mIoU in points, seed by seed, with the 95 % interval of its mean by ` +
    `Student's t. Minority classes are those with less than ` +
    `${100 * MINORITY_SHARE} % of the labelled pixels of the source's training images: ` +
    `${minority.map((c) => classes[c]).join(', ')}.`
  );
}

/** Labels of the cells that differences are taken from. */
function referencesOf({ cells, reference, reference2 }: Sweep): string[] {
  return [reference, reference2].flatMap((name) =>
    cells.filter((cell) => cell.name === name).map(({ label }) => label),
  );
}

/** The cells that have not run with any seed. */
export function missing({ sweep, rows }: SweepTable): string[] {
  return sweep.cells.filter((cell) => !rows.some((row) => row.cell === cell)).map(({ label }) => label);
}

export function markdown(table: SweepTable): string {
  const { header, rows } = textCells(table);
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const absent = missing(table);
  return [
    `# ${table.sweep.title}`,
    `${table.sweep.description} ${table.setting}`,
    [line(header), line(header.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n'),
    legend(table),
    ...(absent.length > 0 ? [`Not run yet: ${absent.join('; ')}.`] : []),
    `\`${table.command}\``,
  ]
    .join('\n\n')
    .concat('\n');
}

/**
 * One line a cell; numbers are fractions 0..1, empty where there is none: `miou_mean`, `miou_sd`, the difference to the
 * reference paired by seed, and mean and deviation of every class's IoU.
 */
export function csv({ rows, classes }: SweepTable): string {
  const pair = (name: string) => [`${name}_mean`, `${name}_sd`];
  const header = [
    'cell',
    'label',
    'seeds',
    ...pair('miou'),
    ...pair('difference'),
    'difference_half95',
    'difference_seeds',
    ...pair('difference2'),
    'difference2_half95',
    'difference2_seeds',
    ...['accuracy', 'minority', 'majority'].flatMap(pair),
    ...classes.flatMap((name) => pair(`iou_${name.replaceAll(' ', '_')}`)),
  ];
  const numbers = (stat: Stat | undefined) => [stat?.mean, stat?.spread].map(figure);
  const lines = rows.map((row) => [
    row.cell.name,
    row.cell.label,
    String(row.seeds.length),
    ...numbers(row.miou),
    ...[row.difference, row.difference2].flatMap((one) => [
      ...numbers(one),
      figure(one?.half),
      figure(one?.seeds),
    ]),
    ...[row.accuracy, row.minority, row.majority, ...row.iou].flatMap(numbers),
  ]);
  return `${[header, ...lines].map((line) => line.map(quoted).join(',')).join('\n')}\n`;
}

function figure(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? '' : String(Number(value.toFixed(6)));
}

/** A field of RFC 4180. */
function quoted(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
