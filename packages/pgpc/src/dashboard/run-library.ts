// The runs that a dashboard shows, as their folders are now; a file is read again only where it has changed.

import { openRunFiles } from '../training/run-directory/open-run.js';
import type { MethodResult, PictureIndex } from '../training/run-directory/schema.js';
import { configDiff } from './config-diff.js';
import { fileWithin, stateOf } from './files.js';
import { type FoundRun, findRuns } from './find-runs.js';
import { lastRecord, MetricsFeed } from './metrics-feed.js';
import type { ConfigDiff, MetricsPart, RunEntry, RunList } from './protocol.js';

/** Folders are looked through at most so often, however many pages ask. */
const LOOK_MS = 200;

const FILES = ['run.json', 'results.json', 'pictures/index.json', 'metrics.jsonl'];

interface KnownRun extends FoundRun {
  stamp: string;
  entry: RunEntry;
  /** Of the library when the entry changed. */
  revision: number;
  feed: MetricsFeed | undefined;
}

/** The name of a run or a file that is not there; the page is told so. */
export class NotFoundError extends Error {}

export class RunLibrary {
  readonly #roots: readonly string[];
  readonly #onLeftOut: (link: string) => void;
  readonly #runs = new Map<string, KnownRun>();
  /** Revisions at which runs went. */
  readonly #gone = new Map<string, number>();
  readonly #told = new Set<string>();
  /** Tells this library's cursors from the cursors of a server before it. */
  readonly #epoch = Date.now().toString(36);
  #revision = 0;
  #looked = Number.NEGATIVE_INFINITY;

  /**
   * @param roots run directories, and folders that hold some now or later.
   * @param onLeftOut called once for every run that is not shown, as a link leads to it from a folder that it is not in.
   */
  constructor(roots: readonly string[], onLeftOut: (link: string) => void = () => {}) {
    this.#roots = roots;
    this.#onLeftOut = onLeftOut;
  }

  /** What has changed since an earlier answer's cursor. */
  list(cursor?: string): RunList {
    this.#look();
    const [epoch, seen] = (cursor ?? '').split('.');
    const whole = epoch !== this.#epoch;
    const since = whole ? -1 : Number(seen);
    return {
      cursor: `${this.#epoch}.${this.#revision}`,
      whole,
      runs: [...this.#runs.values()].filter(({ revision }) => revision > since).map(({ entry }) => entry),
      gone: whole ? [] : [...this.#gone].filter(([, revision]) => revision > since).map(([id]) => id),
      now: Date.now(),
    };
  }

  /** @throws NotFoundError for a run that is not shown; Error for metrics that do not have their form. */
  metrics(id: string, cursor?: string): MetricsPart {
    const run = this.#run(id);
    const file = fileWithin(run.directory, 'metrics.jsonl');
    if (file === undefined) return { cursor: '', whole: true, series: [] };
    run.feed ??= new MetricsFeed(file);
    return run.feed.since(cursor, run.entry.info?.started ?? '');
  }

  /** The path of one of a run's pictures. @throws NotFoundError where there is none; Error for a link that leads out. */
  picture(id: string, name: string): string {
    return this.#listed(id, name, 'png', 'picture');
  }

  /** The path of one of a run's files of features. @throws as {@link picture} does. */
  features(id: string, name: string): string {
    return this.#listed(id, name, 'safetensors', 'file of features');
  }

  #listed(id: string, name: string, ending: string, what: string): string {
    const { directory } = this.#run(id);
    // Names have no folders: see `pictureFile` in the form of the index.
    const isName = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u.test(name) && name.endsWith(`.${ending}`);
    const file = isName ? fileWithin(directory, `pictures/${name}`) : undefined;
    if (stateOf(file) === undefined) throw new NotFoundError(`${id} has no ${what} '${name}'`);
    return file!;
  }

  /** @throws NotFoundError for a run that is not shown. */
  diff(ids: readonly string[]): ConfigDiff {
    return configDiff(ids.map((id) => this.#run(id).entry.info?.config ?? {}));
  }

  #run(id: string): KnownRun {
    if (!this.#runs.has(id)) this.#look();
    const run = this.#runs.get(id);
    if (run === undefined) throw new NotFoundError(`there is no run '${id}'`);
    return run;
  }

  #look(): void {
    if (performance.now() - this.#looked < LOOK_MS) return;
    const { runs, leftOut } = findRuns(this.#roots);
    for (const link of leftOut) {
      if (!this.#told.has(link)) this.#onLeftOut(link);
      this.#told.add(link);
    }
    const revision = this.#revision + 1;
    let changed = false;
    for (const found of runs) {
      const known = this.#runs.get(found.id);
      const { stamp, entry } = entryOf(found, known);
      if (entry === known?.entry) continue;
      changed = true;
      this.#gone.delete(found.id);
      this.#runs.set(found.id, { ...found, feed: known?.feed, stamp, entry, revision });
    }
    const there = new Set(runs.map(({ id }) => id));
    for (const id of this.#runs.keys()) {
      if (there.has(id)) continue;
      changed = true;
      this.#runs.delete(id);
      this.#gone.set(id, revision);
    }
    if (changed) this.#revision = revision;
    this.#looked = performance.now();
  }
}

/** What the list says of a run: as before where no file has changed. */
function entryOf(
  { id, label, directory }: FoundRun,
  known: KnownRun | undefined,
): Pick<KnownRun, 'stamp' | 'entry'> {
  let stamp = '';
  let written = 0;
  try {
    const files = FILES.map((name) => fileWithin(directory, name));
    const states = files.map(stateOf);
    stamp = states.map((state) => state?.stamp ?? '-').join(' ');
    written = Math.max(0, ...states.map((state) => state?.written ?? 0));
    if (known?.stamp === stamp) return known;
    const { info, results, pictures } = openRunFiles(directory);
    const metrics = files.at(-1);
    const last = metrics === undefined ? undefined : lastRecord(metrics);
    const entry: RunEntry = {
      id,
      label,
      written,
      info,
      results: results.map(withoutConfusion),
      ...(pictures && { pictures: withoutWorst(pictures) }),
      ...(last && { last }),
    };
    return { stamp, entry };
  } catch (error) {
    const entry = { id, label, written, error: (error as Error).message };
    return known?.stamp === stamp && known.entry.error === entry.error ? known : { stamp, entry };
  }
}

// Large, and shown by reports alone.
function withoutConfusion({ confusion: _, ...result }: MethodResult): MethodResult {
  return result;
}

function withoutWorst({ worst: _, ...pictures }: PictureIndex): PictureIndex {
  return pictures;
}
