// Configurations side by side.

import { entryRows } from '../report/flatten.js';
import type { ConfigDiff } from './protocol.js';

/** A row for every entry of any configuration, in the order in which they first occur; null where one has no such entry. */
export function configDiff(configs: readonly Readonly<Record<string, unknown>>[]): ConfigDiff {
  const rows = entryRows(configs);
  return { rows: rows.map(({ key, values }) => ({ key, values: values.map((value) => value ?? null) })) };
}
