// Work that is prepared ahead and done several at once.

/** The values of `source`; the next `count` are asked for before they are taken. Ends the source however it ends. */
export async function* ahead<T>(source: AsyncGenerator<T>, count: number): AsyncGenerator<T> {
  const asked: Promise<IteratorResult<T>>[] = [];
  const ask = () => {
    const next = source.next();
    // Its failure is thrown where it is awaited.
    next.catch(() => {});
    asked.push(next);
  };
  try {
    for (let i = 0; i < count; i++) ask();
    while (asked.length > 0) {
      const next = await asked.shift()!;
      if (next.done) return;
      ask();
      yield next.value;
    }
  } finally {
    await source.return(undefined);
  }
}

/** Consecutive values of one key as groups of at most `size`. */
export async function* grouped<T>(
  source: AsyncIterable<T>,
  size: number,
  key: (value: T) => string,
): AsyncGenerator<T[]> {
  let group: T[] = [];
  for await (const value of source) {
    if (group.length > 0 && key(group[0]!) !== key(value)) {
      yield group;
      group = [];
    }
    group.push(value);
    if (group.length < size) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

/** Promises under way, at most `most` at once. */
export class UnderWay {
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(readonly most: number) {}

  /** Waits until there is room. @throws what one that was added before has thrown. */
  async add(start: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.most) await Promise.race(this.#running);
    this.#throwFailure();
    const run = start().catch((error) => {
      this.#failure ??= { error };
    });
    this.#running.add(run);
    run.finally(() => this.#running.delete(run));
  }

  /** Waits for all. @throws what one of them has thrown. */
  async end(): Promise<void> {
    await Promise.all(this.#running);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
