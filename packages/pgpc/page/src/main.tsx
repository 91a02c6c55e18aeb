// The dashboard's page.

import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { Configuration } from './configuration.js';
import { Contrast } from './contrast.js';
import { Curves } from './curves.js';
import { Model, useModel, type View } from './model.js';
import { Pictures } from './pictures.js';
import { Results } from './results.js';
import { RunList } from './run-list.js';

const VIEWS: readonly [View, string][] = [
  ['runs', 'Runs'],
  ['curves', 'Curves'],
  ['results', 'Results'],
  ['pictures', 'Pictures'],
  ['contrast', 'Contrast'],
  ['configuration', 'Configuration'],
];

function Page({ model }: { model: Model }) {
  const { state, lost, ready } = useModel(model);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => press(event, model);
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [model]);
  const missing = ready ? state.chosen.filter((id) => !model.runs.get(id)?.info) : [];
  return (
    <div class={`page ${state.view}`}>
      <aside>
        <h1>pgpc</h1>
        <RunList model={model} />
        <p class="keys">
          <kbd>j</kbd> <kbd>k</kbd> move, <kbd>x</kbd> choose, <kbd>Enter</kbd> only this, <kbd>/</kbd>{' '}
          filter, <kbd>1</kbd>-<kbd>5</kbd> views, <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom, or drag over a
          chart
        </p>
      </aside>
      <main>
        <nav>
          {VIEWS.map(([view, title]) => (
            <button
              key={view}
              type="button"
              class={`to-${view}`}
              aria-current={state.view === view ? 'page' : undefined}
              onClick={() => model.look({ view })}
            >
              {title}
            </button>
          ))}
        </nav>
        {lost && <p class="notice failed">Nothing new comes: {lost}. Is `pgpc dashboard` still running?</p>}
        {missing.length > 0 && (
          <p class="notice">
            Chosen, but not there or not readable: {missing.join(', ')}{' '}
            <button
              type="button"
              onClick={() => model.look({ chosen: state.chosen.filter((id) => !missing.includes(id)) })}
            >
              leave out
            </button>
          </p>
        )}
        {ready && state.chosen.length === 0 && <p class="muted">Choose runs in the list.</p>}
        <section>
          {state.view === 'curves' && <Curves model={model} />}
          {state.view === 'results' && state.chosen.length > 0 && <Results model={model} />}
          {state.view === 'pictures' && state.chosen.length > 0 && <Pictures model={model} />}
          {state.view === 'contrast' && <Contrast model={model} />}
          {state.view === 'configuration' && <Configuration model={model} />}
        </section>
      </main>
    </div>
  );
}

function press(event: KeyboardEvent, model: Model): void {
  const { state, listed } = model;
  const target = event.target as HTMLElement;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.id === 'filter') {
    if (event.key === 'Escape') model.look({ filter: '', row: 0 });
    if (event.key === 'Escape' || event.key === 'Enter') target.blur();
    return;
  }
  // Fields and sliders have keys of their own.
  if (target.matches('select, input:not([type=checkbox])')) return;
  const at = Math.min(state.row, listed.length - 1);
  const run = listed[at];
  const keys: Record<string, () => void> = {
    j: () => model.look({ row: Math.min(at + 1, listed.length - 1) }),
    k: () => model.look({ row: Math.max(at - 1, 0) }),
    x: () => run && model.toggle(run.id),
    '/': () => document.getElementById('filter')?.focus(),
    '+': () => zoom(model, 0.8),
    '-': () => zoom(model, 1.25),
    '0': () => model.look({ zoom: undefined }),
    ...Object.fromEntries(VIEWS.map(([view], i) => [String(i), () => model.look({ view })]).slice(1)),
  };
  // A button that has the focus is pressed by it.
  if (!target.matches('button, a')) keys.Enter = () => run && model.look({ chosen: [run.id] });
  if (target.matches('body, input[type=checkbox]')) {
    keys.ArrowDown = keys.j!;
    keys.ArrowUp = keys.k!;
  }
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  if (event.key === '/' && state.view !== 'runs' && matchMedia('(max-width: 760px)').matches) {
    model.look({ view: 'runs' });
  }
  act();
}

/** About the middle; all that is there is shown where that is less. */
function zoom(model: Model, factor: number): void {
  const extent = model.extent;
  const { low, high } = model.state.zoom ?? extent;
  const half = ((high - low) / 2) * factor;
  const middle = (low + high) / 2;
  const [from, to] = [Math.max(extent.low, middle - half), Math.min(extent.high, middle + half)];
  model.look({ zoom: from <= extent.low && to >= extent.high ? undefined : { low: from, high: to } });
}

const model = new Model();
render(<Page model={model} />, document.body);
