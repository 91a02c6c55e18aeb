// Configurations as lists of names and values.

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
