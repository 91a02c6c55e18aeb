// What the page knows and shows: runs, the chosen ones with their metrics, and how they are looked at.

import { useEffect, useState } from 'preact/hooks';
import type { MetricsPart, RunEntry, RunList } from '../../src/dashboard/protocol.js';
import type { MethodResult } from '../../src/training/run-directory/schema.js';
import { RunMetrics } from './run-metrics.js';

export type View = 'runs' | 'curves' | 'results' | 'pictures' | 'contrast' | 'configuration';

/** How the page is looked at; all of it is changed by {@link Model.look}. */
export interface Look {
  readonly view: View;
  /** Ids, in the order in which they were chosen. */
  readonly chosen: readonly string[];
  readonly filter: string;
  /** The row of the list that keys act on. */
  readonly row: number;
  readonly axis: 'step' | 'hours';
  /** The part of a curve's values that a smoothed value is the mean of; 0: none is smoothed. */
  readonly smoothing: number;
  readonly scale: 'auto' | 'linear' | 'log';
  /** Phases that are not drawn. */
  readonly hidden: readonly string[];
  /** The stretch of the horizontal axis that is shown; undefined: all. */
  readonly zoom: { readonly low: number; readonly high: number } | undefined;
  readonly palette: 'own' | 'safe';
}

/** So many runs are chosen when nothing is: the ones under way, then the newest. */
const CHOSEN_AT_FIRST = 4;

/** Runs are asked for at once. */
const ASKED_AT_ONCE = 4;

const EVERY_MS = 2000;

export class Model {
  runs = new Map<string, RunEntry>();
  readonly metrics = new Map<string, RunMetrics>();
  /** Why the metrics of a run cannot be read. */
  readonly faults = new Map<string, string>();
  /** Why nothing new comes; undefined: it does. */
  lost: string | undefined;
  /** Whether the list has come. */
  ready = false;
  /** The server's clock less this one's, milliseconds. */
  ahead = 0;
  state: Look;
  /** All that the horizontal axis has, as the charts found it. */
  extent = { low: 0, high: 1 };
  readonly #slots = new Map<string, number>();
  readonly #stale = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #cursor = '';
  #asking = false;
  #again = false;

  constructor() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const view = asked.get('view') as View | null;
    this.state = {
      view: view ?? 'curves',
      chosen: asked.getAll('run'),
      filter: '',
      row: 0,
      axis: 'step',
      smoothing: 0.05,
      scale: 'auto',
      hidden: [],
      zoom: undefined,
      palette: 'own',
    };
    for (const id of this.state.chosen) this.#take(id);
    setInterval(() => void this.ask(), EVERY_MS);
    document.addEventListener('visibilitychange', () => void this.ask());
    void this.ask();
  }

  look(changes: Partial<Look>): void {
    const before = this.state;
    this.state = { ...before, ...changes };
    const { chosen, view } = this.state;
    if (chosen !== before.chosen) {
      for (const id of [...this.#slots.keys()]) if (!chosen.includes(id)) this.#slots.delete(id);
      for (const id of chosen) this.#take(id);
      void this.ask();
    }
    if (chosen !== before.chosen || view !== before.view) {
      const hash = new URLSearchParams([['view', view], ...chosen.map((id) => ['run', id])]);
      history.replaceState(null, '', `#${hash}`);
    }
    this.#tell();
  }

  toggle(id: string): void {
    const { chosen } = this.state;
    this.look({ chosen: chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen, id] });
  }

  /** A number of a chosen run that stays its own while it is chosen, for its colour. */
  slotOf(id: string): number {
    return this.#slots.get(id) ?? 0;
  }

  /** The chosen runs that are there and can be read. */
  get chosenRuns(): (RunEntry & { info: NonNullable<RunEntry['info']> })[] {
    return this.state.chosen.flatMap((id) => {
      const run = this.runs.get(id);
      return run?.info ? [{ ...run, info: run.info }] : [];
    });
  }

  /** The runs that the filter leaves. */
  get listed(): RunEntry[] {
    const words = this.state.filter.toLowerCase().split(/\s+/);
    return [...this.runs.values()].filter(({ label, info, results = [], error }) => {
      const text = [
        label,
        info?.title,
        info?.status,
        error && 'unreadable',
        ...results.map((one) => one.label),
      ];
      return words.every((word) => text.join(' ').toLowerCase().includes(word));
    });
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks what is new: once at a time, and not while nobody looks. */
  async ask(): Promise<void> {
    if (document.hidden) return;
    if (this.#asking) {
      this.#again = true;
      return;
    }
    this.#asking = true;
    try {
      await this.#askRuns();
      await this.#askMetrics();
      this.lost = undefined;
    } catch (error) {
      this.lost = (error as Error).message;
    }
    this.#asking = false;
    this.#tell();
    if (this.#again) {
      this.#again = false;
      void this.ask();
    }
  }

  async #askRuns(): Promise<void> {
    const { cursor, whole, runs, gone, now } = await get<RunList>(`/api/runs?since=${this.#cursor}`);
    this.#cursor = cursor;
    this.ahead = now - Date.now();
    const known = whole ? new Map<string, RunEntry>() : this.runs;
    for (const run of runs) {
      known.set(run.id, { ...run, ...(run.results && { results: run.results.map(withNaN) }) });
      this.#stale.add(run.id);
    }
    for (const id of gone) known.delete(id);
    if (runs.length > 0 || gone.length > 0 || whole) {
      this.runs = new Map([...known].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
    }
    if (!this.ready) {
      this.ready = true;
      if (this.chosenRuns.length === 0) this.look({ chosen: this.#chosenAtFirst() });
      else this.#tell();
    }
  }

  #chosenAtFirst(): string[] {
    const isRunning = ({ info }: RunEntry) => Number(info?.status === 'running');
    const first = [...this.runs.values()]
      .filter(({ info }) => info)
      .sort((a, b) => isRunning(b) - isRunning(a) || b.written - a.written)
      .slice(0, CHOSEN_AT_FIRST)
      .map(({ id }) => id);
    return [...this.runs.keys()].filter((id) => first.includes(id));
  }

  async #askMetrics(): Promise<void> {
    const due = this.state.chosen.filter(
      (id) => this.runs.has(id) && (this.#stale.has(id) || !this.metrics.has(id)),
    );
    const askNext = async (): Promise<void> => {
      const id = due.shift();
      if (id === undefined) return;
      const metrics = this.metrics.get(id) ?? new RunMetrics();
      try {
        const since = metrics.cursor === undefined ? '' : `&since=${metrics.cursor}`;
        metrics.apply(await get<MetricsPart>(`/api/metrics?run=${encodeURIComponent(id)}${since}`));
        this.#stale.delete(id);
        this.faults.delete(id);
      } catch (error) {
        if (!(error instanceof AnswerError)) throw error;
        this.faults.set(id, error.message);
        this.#stale.delete(id);
      }
      this.metrics.set(id, metrics);
      this.#tell();
      await askNext();
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, askNext));
  }

  #take(id: string): void {
    if (this.#slots.has(id)) return;
    const taken = new Set(this.#slots.values());
    let slot = 0;
    while (taken.has(slot)) slot++;
    this.#slots.set(id, slot);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What the server says against a question; any other error is that it does not answer. */
class AnswerError extends Error {}

export async function get<T>(address: string): Promise<T> {
  const response = await fetch(address);
  const value = (await response.json()) as T & { error?: string };
  if (!response.ok) throw new AnswerError(value.error ?? `status ${response.status}`);
  return value;
}

function withNaN(result: MethodResult): MethodResult {
  const { miou, iou, accuracy } = result;
  const back = (value: number | null) => value ?? Number.NaN;
  return { ...result, miou: back(miou), iou: iou.map(back), accuracy: back(accuracy) };
}

/** Draws the component again whenever the model changes, once a frame. */
export function useModel(model: Model): Model {
  const [, redraw] = useState(0);
  useEffect(() => {
    let asked = false;
    return model.subscribe(() => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        redraw((count) => count + 1);
      });
    });
  }, [model]);
  return model;
}
