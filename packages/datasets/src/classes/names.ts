// When two names of classes mean the same: letters alone count, not case, spaces, hyphens and underscores.

import { didYouMean } from '../did-you-mean.js';

/** What names that are alike share: 'Traffic_Light', 'traffic light' and 'TrafficLight' do. */
export function nameKey(name: string): string {
  return name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\s_-]+/g, '');
}

/** Entries by name: written just so, or else alike. */
export class NamedEntries<T extends { readonly name: string }> {
  readonly #exact = new Map<string, T>();
  readonly #alike = new Map<string, T[]>();

  constructor(entries: readonly T[]) {
    for (const entry of entries) {
      this.#exact.set(entry.name, entry);
      const key = nameKey(entry.name);
      this.#alike.set(key, [...(this.#alike.get(key) ?? []), entry]);
    }
  }

  /** The entry of a name; undefined where there is none, or several are alike and none is written just so. */
  get(name: string): T | undefined {
    const alike = this.#alike.get(nameKey(name)) ?? [];
    return this.#exact.get(name) ?? (alike.length === 1 ? alike[0] : undefined);
  }

  /** ` (did you mean 'NAME'?)`, or nothing. */
  suggestion(name: string): string {
    return didYouMean(name, [...this.#exact.keys()]);
  }
}
