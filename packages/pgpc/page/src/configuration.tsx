// The view of configurations: what the chosen runs are, and where their configurations differ.

import { useEffect, useState } from 'preact/hooks';
import type { ConfigDiff } from '../../src/dashboard/protocol.js';
import { get, type Model } from './model.js';

export function Configuration({ model }: { model: Model }) {
  const [all, setAll] = useState(false);
  const [diff, setDiff] = useState<ConfigDiff>({ rows: [] });
  const [fault, setFault] = useState<string>();
  const runs = model.chosenRuns;
  // Stands for the runs, which are a new list each time; one that is resumed may have another configuration.
  const asked = runs.map(({ id, info }) => JSON.stringify([id, info.started, info.resumed.length])).join();
  useEffect(() => {
    if (runs.length === 0) return;
    get<ConfigDiff>(`/api/diff?${new URLSearchParams(runs.map(({ id }) => ['run', id]))}`).then(
      (answer) => {
        setDiff(answer);
        setFault(undefined);
      },
      (error: Error) => setFault(error.message),
    );
  }, [asked]);
  const isSame = (values: readonly unknown[]) => values.every((value) => value === values[0]);
  const rows = diff.rows.filter(({ values }) => values.length === runs.length);
  const differing = rows.filter(({ values }) => !isSame(values));
  const facts: [string, (run: (typeof runs)[number]) => string | undefined][] = [
    ['status', ({ info }) => info.status],
    ['started', ({ info }) => time(info.started)],
    ['resumed', ({ info }) => info.resumed.map(time).join(', ')],
    ['ended', ({ info }) => info.finished && time(info.finished)],
    ['error', ({ info }) => info.error],
    ['seed', ({ info }) => String(info.seed)],
    ['command', ({ info }) => info.command],
    ['device', ({ info }) => info.device],
    ['machine', ({ info }) => info.machine],
    ['revision', ({ info }) => info.gitRevision?.replace(/^(.{10})[^-]*/, '$1')],
    [
      'versions',
      ({ info }) =>
        Object.entries(info.versions)
          .map((pair) => pair.join(' '))
          .join(', '),
    ],
  ];
  const shown = facts
    .map(([key, value]) => ({ key, values: runs.map((run) => value(run) ?? '') }))
    .filter(({ values }) => values.some((value) => value !== ''));
  const table = (entries: readonly { key: string; values: readonly (string | null)[] }[]) =>
    entries.map(({ key, values }) => (
      <tr key={key} class={runs.length > 1 && !isSame(values) ? 'differs' : ''}>
        <th>{key}</th>
        {values.map((value, i) => (
          <td key={runs[i]!.id}>{value ?? <span class="muted">not set</span>}</td>
        ))}
      </tr>
    ));
  if (runs.length === 0) return null;
  const listed = all || runs.length === 1 ? rows : differing;
  return (
    <>
      {runs.length > 1 && (
        <div class="tools">
          <label>
            <input type="checkbox" checked={all} onChange={() => setAll(!all)} /> entries that are the same,
            too ({rows.length - differing.length})
          </label>
        </div>
      )}
      {fault && <p class="notice failed">{fault}</p>}
      <div class="scroll table">
        <table class="words">
          <thead>
            <tr>
              <th>Run</th>
              {runs.map(({ id, label }) => (
                <th key={id}>{label}</th>
              ))}
            </tr>
          </thead>
          <tbody class="means">{table(shown)}</tbody>
          <tbody>{table(listed)}</tbody>
        </table>
      </div>
      {runs.length > 1 && differing.length === 0 && <p class="muted">The configurations are the same.</p>}
    </>
  );
}

function time(iso: string): string {
  return new Date(iso).toLocaleString('sv').slice(0, 16);
}
