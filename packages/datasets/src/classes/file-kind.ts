// Two kinds of files list classes under the same key: class files, for the values of masks, and mappings by names.

/** What a file is by its content: a class file, a mapping; undefined for plain names, which can be either. */
export function kindOf(content: unknown): 'definition' | 'mapping' | undefined {
  if (typeof content !== 'object' || content === null) return undefined;
  const { classes, ignore } = content as { classes?: unknown; ignore?: unknown };
  const entries: object[] = Array.isArray(classes)
    ? classes.filter((entry) => typeof entry === 'object' && entry !== null)
    : [];
  if ('masks' in content || entries.some((entry) => 'value' in entry)) return 'definition';
  if (entries.some((entry) => 'from' in entry) || ignore === 'rest') return 'mapping';
  // A class file ignores values or colours.
  const names = Array.isArray(ignore) ? ignore.filter((item) => typeof item === 'string') : [];
  return names.some((name) => !name.startsWith('#')) ? 'mapping' : undefined;
}
