// Configurations side by side.

import { flatten } from '../report/flatten.js';
import type { ConfigDiff } from './protocol.js';

/** A row for every entry of any configuration, in the order in which they first occur; null where one has no such entry. */
export function configDiff(configs: readonly Readonly<Record<string, unknown>>[]): ConfigDiff {
  const flat = configs.map((config) => new Map(flatten(config)));
  const keys = [...new Set(flat.flatMap((entries) => [...entries.keys()]))];
  return { rows: keys.map((key) => ({ key, values: flat.map((entries) => entries.get(key) ?? null) })) };
}
