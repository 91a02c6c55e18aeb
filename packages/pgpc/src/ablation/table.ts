// The numbers of a sweep's table, as Markdown and as CSV.

import { meanOfKnown } from '../evaluation/scores.js';
import { percent, points } from '../report/format.js';
import { meanAndSpread } from '../report/series.js';
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

/** One cell over the seeds that have ended. */
export interface Row {
  readonly cell: Cell;
  readonly seeds: readonly SeedScores[];
  readonly miou: Stat;
  /** mIoU less that of the reference with the same seed, over the seeds that both have; undefined: the reference. */
  readonly difference: (Stat & { readonly seeds: number }) | undefined;
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
  const reference = sweep.cells.find(({ name }) => name === sweep.reference)!;
  const standard = new Map(seedsOf(reference).map(({ seed, miou }) => [seed, miou]));
  return sweep.cells.flatMap((cell): Row[] => {
    const seeds = seedsOf(cell);
    if (seeds.length === 0) return [];
    const over = (value: (scores: SeedScores) => number) => meanAndSpread(seeds.map(value));
    const paired = seeds.flatMap(({ seed, miou }) =>
      standard.has(seed) ? [miou - standard.get(seed)!] : [],
    );
    return [
      {
        cell,
        seeds,
        miou: over(({ miou }) => miou),
        difference: cell === reference ? undefined : { ...meanAndSpread(paired), seeds: paired.length },
        accuracy: over(({ accuracy }) => accuracy),
        minority: over((scores) => scores.minority),
        majority: over((scores) => scores.majority),
        iou: seeds[0]!.iou.map((_, c) => over(({ iou }) => iou[c]!)),
      },
    ];
  });
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

/** `+1.2 ± 0.3`, in percentage points; nothing for the reference itself. */
function differenceText({ difference }: Row): string {
  if (!difference) return '';
  const { mean, spread } = difference;
  return Number.isFinite(spread) ? `${points(mean)} ± ${percent(spread)}` : points(mean);
}

/** Heads of the table's columns, and its rows as text; all but the number of seeds in percent or points of it. */
export function textCells({ sweep, rows }: SweepTable): { header: string[]; rows: string[][] } {
  const { label } = sweep.cells.find(({ name }) => name === sweep.reference)!;
  return {
    header: ['', 'seeds', 'mIoU', `to ${label}`, 'minority classes', 'other classes', 'pixel accuracy'],
    rows: rows.map((row) => [
      row.cell.label,
      String(row.seeds.length),
      withSpread(row.miou),
      differenceText(row),
      withSpread(row.minority),
      withSpread(row.majority),
      withSpread(row.accuracy),
    ]),
  };
}

/** What the columns are, for under the table. */
export function legend({ sweep, classes, minority }: SweepTable): string {
  const { label } = sweep.cells.find(({ name }) => name === sweep.reference)!;
  return (
    "In percent, of the student on the target's validation images: mean over seeds ± sample standard deviation. " +
    `"to ${label}" is the difference of the mIoU in points, seed by seed. Minority classes are those with less than ` +
    `${100 * MINORITY_SHARE} % of the labelled pixels of the source's training images: ` +
    `${minority.map((c) => classes[c]).join(', ')}.`
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
    'difference_seeds',
    ...['accuracy', 'minority', 'majority'].flatMap(pair),
    ...classes.flatMap((name) => pair(`iou_${name.replaceAll(' ', '_')}`)),
  ];
  const numbers = (stat: Stat | undefined) => [stat?.mean, stat?.spread].map(figure);
  const lines = rows.map((row) => [
    row.cell.name,
    row.cell.label,
    String(row.seeds.length),
    ...numbers(row.miou),
    ...numbers(row.difference),
    figure(row.difference?.seeds),
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
