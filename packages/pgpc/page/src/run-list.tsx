// The list of runs: which there are, how they are, and which are chosen.

import { useEffect, useRef } from 'preact/hooks';
import type { RunEntry } from '../../src/dashboard/protocol.js';
import { duration, number, percent } from '../../src/report/format.js';
import { styleOf } from './lines.js';
import type { Model } from './model.js';

/** A run that has written nothing for so long may have been killed: then nothing says its end. */
const SILENT_MS = 10 * 60_000;

export function RunList({ model }: { model: Model }) {
  const { state, listed } = model;
  const list = useRef<HTMLUListElement>(null);
  const row = Math.min(state.row, listed.length - 1);
  useEffect(() => {
    list.current?.children[row]?.scrollIntoView({ block: 'nearest' });
  }, [row]);
  const readable = listed.filter(({ info }) => info).map(({ id }) => id);
  return (
    <>
      <div class="tools">
        <input
          id="filter"
          type="search"
          placeholder="filter ( / )"
          aria-label="filter the runs"
          value={state.filter}
          onInput={(event) => model.look({ filter: event.currentTarget.value, row: 0 })}
        />
        <button type="button" onClick={() => model.look({ chosen: readable })}>
          all
        </button>
        <button type="button" onClick={() => model.look({ chosen: [] })}>
          none
        </button>
      </div>
      {model.ready && model.runs.size === 0 && (
        <p class="muted">There is no run yet. One appears here as soon as it begins.</p>
      )}
      {model.runs.size > 0 && listed.length === 0 && <p class="muted">No run has these words.</p>}
      <ul class="runs" ref={list}>
        {listed.map((run, index) => (
          <Row
            key={run.id}
            model={model}
            run={run}
            isAt={index === row}
            onPoint={() => model.look({ row: index })}
          />
        ))}
      </ul>
    </>
  );
}

function Row({
  model,
  run,
  isAt,
  onPoint,
}: {
  model: Model;
  run: RunEntry;
  isAt: boolean;
  onPoint: () => void;
}) {
  const chosen = model.state.chosen.includes(run.id);
  const { color, dash } = styleOf(model.slotOf(run.id));
  const best = Math.max(...(run.results ?? []).map(({ miou }) => miou).filter(Number.isFinite));
  const status = statusOf(run, model);
  const fault = run.error ?? model.faults.get(run.id);
  return (
    <li class={`${isAt ? 'at' : ''} ${chosen ? 'chosen' : ''}`}>
      <label title={run.id} onMouseDown={onPoint}>
        <input type="checkbox" checked={chosen} onChange={() => model.toggle(run.id)} />
        <span
          class={`swatch ${dash.length > 0 ? 'dashed' : ''}`}
          style={{ color: chosen ? `var(${color})` : 'var(--line)' }}
        />
        <span class="name">{run.label}</span>
        {Number.isFinite(best) && <span class="score">{percent(best)} %</span>}
        <span class="facts">
          <span class={`status ${status.kind}`}>{status.text}</span>
          {run.last && <span>step {number(run.last.iteration)}</span>}
          {run.info && <span>{run.info.started.slice(0, 16).replace('T', ' ')}</span>}
        </span>
        {fault && <span class="fault">cannot be read: {fault}</span>}
      </label>
    </li>
  );
}

/** The status and its kind, which is its colour. */
function statusOf({ info, written }: RunEntry, { ahead }: Model): { text: string; kind: string } {
  const { status = '' } = info ?? {};
  const silent = Date.now() + ahead - written;
  if (status !== 'running' || silent < SILENT_MS) return { text: status, kind: status };
  return { text: `running? silent for ${duration(silent / 1000)}`, kind: 'silent' };
}
