// Configurations as lists of names and values, and side by side.

/** Nested JSON as `a.b.c` and a value; lists of plain values stay on one line. */
export function flatten(value: unknown, key = ''): [string, string][] {
  const nested = typeof value === 'object' && value !== null;
  if (nested && !(Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null))) {
    return Object.entries(value).flatMap(([name, item]) =>
      flatten(item, key === '' ? name : `${key}.${name}`),
    );
  }
  if (Array.isArray(value)) return [[key, value.join(', ')]];
  return [[key, String(value)]];
}

/** A row for every entry of any configuration, in the order in which they first occur; undefined where one has no such entry. */
export function entryRows(
  configs: readonly unknown[],
): { readonly key: string; readonly values: readonly (string | undefined)[] }[] {
  const entries = configs.map((config) => new Map(flatten(config)));
  const keys = [...new Set(entries.flatMap((one) => [...one.keys()]))];
  return keys.map((key) => ({ key, values: entries.map((one) => one.get(key)) }));
}
