// Tables for the terminal.
import { percent } from '../../report/format.js';
import type { MethodResult } from '../../training/run-directory/schema.js';

/**
 * Rows as lines with aligned columns: the first column to the left, the others to the right, a rule under the
 * header. Short rows are filled with empty cells.
 */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const columns = Math.max(...all.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  const line = (row: readonly string[]) =>
    widths
      .map((width, column) =>
        column === 0 ? (row[0] ?? '').padEnd(width) : (row[column] ?? '').padStart(width),
      )
      .join('  ')
      .trimEnd();
  const rule = '-'.repeat(widths.reduce((sum, width) => sum + width, 2 * (columns - 1)));
  return `${[line(header), rule, ...rows.map(line)].join('\n')}\n`;
}

/** IoU of every class and mIoU in percent, a column for each result; the label says the seed where there is one. */
export function iouTable(
  results: readonly MethodResult[],
  classes: readonly { readonly name: string }[],
): string {
  const labels = results.map(({ label, seed }) => (seed === undefined ? label : `${label} (${seed})`));
  const rows = classes.map(({ name }, index) => [name, ...results.map(({ iou }) => percent(iou[index]!))]);
  const means = ['mIoU', ...results.map(({ miou }) => percent(miou))];
  return textTable(['IoU, %', ...labels], [...rows, means]);
}
