// The view of results: IoU of every class for every method of the chosen runs, as such or as differences.

import { useState } from 'preact/hooks';
import { duration, percent, points } from '../../src/report/format.js';
import { meanAndSpread } from '../../src/report/series.js';
import type { MethodResult, RunClass } from '../../src/training/run-directory/schema.js';
import { Swatch } from './colors.js';
import type { Model } from './model.js';

/** One column of the table: a method of a run, its seeds together. */
interface Column {
  readonly key: string;
  readonly run: string;
  readonly label: string;
  readonly seeds: number;
  readonly miou: number;
  readonly spread: number;
  readonly accuracy: number;
  readonly seconds: number;
  readonly iou: ReadonlyMap<string, number>;
}

export function Results({ model }: { model: Model }) {
  const [reference, setReference] = useState('');
  const runs = model.chosenRuns;
  const columns = runs.flatMap(({ id, label, info, results = [] }) =>
    columnsOf(id, label, info.classes, results),
  );
  if (columns.length === 0) return <p class="muted">No method of the chosen runs has been evaluated yet.</p>;
  const base = columns.find(({ key }) => key === reference);
  const classes = new Map(runs.flatMap(({ info }) => info.classes.map((one) => [one.name, one] as const)));
  const several = runs.length > 1;
  const row = (name: string, value: (column: Column) => number, swatch?: RunClass) => (
    <tr key={name}>
      <th>
        {swatch && <Swatch model={model} classes={[...classes.values()]} name={name} />}
        {name}
      </th>
      {columns.map((column) => (
        <Cell
          key={column.key}
          value={value(column)}
          base={column === base ? undefined : base && value(base)}
        />
      ))}
    </tr>
  );
  return (
    <>
      <div class="tools">
        <label>
          differences to{' '}
          <select value={reference} onChange={(event) => setReference(event.currentTarget.value)}>
            <option value="">none</option>
            {columns.map(({ key, run, label }) => (
              <option key={key} value={key}>
                {several ? `${run} · ${label}` : label}
              </option>
            ))}
          </select>
        </label>
      </div>
      <div class="scroll table">
        <table>
          <thead>
            <tr>
              <th>{base ? 'IoU %, points' : 'IoU, %'}</th>
              {columns.map(({ key, run, label, seeds }) => (
                <th key={key}>
                  {several && <div class="run-name">{run}</div>}
                  {label}
                  {seeds > 1 && <div>{seeds} seeds</div>}
                  {key === reference && <div>reference</div>}
                </th>
              ))}
            </tr>
          </thead>
          <tbody class="means">
            {row('mIoU', ({ miou }) => miou)}
            {columns.some(({ seeds }) => seeds > 1) && (
              <tr>
                <th>standard deviation</th>
                {columns.map(({ key, spread }) => (
                  <td key={key}>{percent(spread)}</td>
                ))}
              </tr>
            )}
            {row('pixel accuracy', ({ accuracy }) => accuracy)}
            <tr>
              <th>training time</th>
              {columns.map(({ key, seconds }) => (
                <td key={key}>{duration(seconds)}</td>
              ))}
            </tr>
          </tbody>
          <tbody>
            {[...classes.values()].map((one) =>
              row(one.name, ({ iou }) => iou.get(one.name) ?? Number.NaN, one),
            )}
          </tbody>
        </table>
      </div>
      <p class="muted small">–: not in the run, or neither in truth nor in prediction.</p>
    </>
  );
}

function Cell({ value, base }: { value: number; base: number | undefined }) {
  if (base === undefined) return <td>{percent(value)}</td>;
  const difference = value - base;
  const text = points(difference);
  const kind = /[1-9]/.test(text) ? (difference > 0 ? 'gain' : 'loss') : 'muted';
  return <td class={kind}>{text}</td>;
}

function columnsOf(
  id: string,
  run: string,
  classes: readonly RunClass[],
  results: readonly MethodResult[],
): Column[] {
  return [...new Set(results.map(({ name }) => name))].map((name) => {
    const seeds = results.filter((result) => result.name === name);
    const mean = (value: (result: MethodResult) => number) => meanAndSpread(seeds.map(value)).mean;
    return {
      key: JSON.stringify([id, name]),
      run,
      label: seeds[0]!.label,
      seeds: seeds.length,
      miou: mean(({ miou }) => miou),
      spread: meanAndSpread(seeds.map(({ miou }) => miou)).spread,
      accuracy: mean(({ accuracy }) => accuracy),
      seconds: mean(({ seconds }) => seconds),
      iou: new Map(classes.map((one, i) => [one.name, mean(({ iou }) => iou[i]!)])),
    };
  });
}
