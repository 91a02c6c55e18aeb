// What `pgpc compare` shows and writes of several runs.

import type { Comparison, Difference } from '../../report/compare.js';
import { percent, points } from '../../report/format.js';
import { textTable } from './table.js';

export { compareRuns, comparisonPage } from '../../report/compare.js';
export { openRun } from '../../training/run-directory/open-run.js';

/** Letters of a value on the terminal; the page and `--json` have all. */
const MOST = 36;

/** IoU by class with the differences to the first result, and the options that differ. */
export function comparisonTable(comparison: Comparison): string {
  const { runs, differences } = comparison;
  const without = runs.filter(({ run }) => run.results.length === 0).map(({ label }) => label);
  const options = textTable(
    ['differs', ...runs.map(({ label }) => label)],
    differences.map(({ key, values }) => [key, ...values.map(shortened)]),
  );
  return [
    ...(comparison.results.length > 0 ? [scoresTable(comparison)] : []),
    ...(without.length > 0 ? [`without a result on labels: ${without.join(', ')}\n`] : []),
    differences.length > 0 ? options : 'the same configuration in all runs\n',
  ].join('\n');
}

function scoresTable({ classes, results: [first, ...others] }: Comparison): string {
  const row = (name: string, values: readonly number[]) => [
    name,
    percent(values[0]!),
    ...values.slice(1).flatMap((value) => [percent(value), points(value - values[0]!)]),
  ];
  const all = [first!, ...others];
  return textTable(
    ['IoU, %', first!.label, ...others.flatMap(({ label }) => [label, '±'])],
    [
      ...classes.map(({ name }, i) =>
        row(
          name,
          all.map(({ iou }) => iou[i]!),
        ),
      ),
      row(
        'mIoU',
        all.map(({ miou }) => miou),
      ),
      row(
        'pixel accuracy',
        all.map(({ accuracy }) => accuracy),
      ),
    ],
  );
}

function shortened(value: Difference['values'][number]): string {
  if (value === undefined) return '–';
  return value.length > MOST ? `…${value.slice(1 - MOST)}` : value;
}

/** All numbers as plain JSON; one that does not exist is null. */
export function comparisonJson({ runs, classes, results, differences }: Comparison) {
  const figure = (value: number) => (Number.isNaN(value) ? null : value);
  return {
    runs: runs.map(({ label, run }) => ({ label, directory: run.directory, status: run.info.status })),
    classes: classes.map(({ name }) => name),
    results: results.map(({ label, run, miou, accuracy, iou }, i) => ({
      label,
      run,
      miou: figure(miou),
      accuracy: figure(accuracy),
      iou: iou.map(figure),
      ...(i > 0 && {
        difference: {
          miou: figure(miou - results[0]!.miou),
          accuracy: figure(accuracy - results[0]!.accuracy),
          iou: iou.map((value, c) => figure(value - results[0]!.iou[c]!)),
        },
      }),
    })),
    configuration: differences.map(({ key, values }) => ({
      option: key,
      values: values.map((value) => value ?? null),
    })),
  };
}
