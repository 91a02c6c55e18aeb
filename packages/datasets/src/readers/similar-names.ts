// Names that people would take for one, in messages about a file that is missing.

const key = (id: string) =>
  id
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\s_-]+/g, '-');

/**
 * Finds files whose names are nearly those asked for.
 * @returns a function from a missing id to ` (FILE differs in case, spaces or hyphens)`, or '' where there is no such file
 */
export function similarNames(files: ReadonlyMap<string, string>): (id: string) => string {
  let byKey: Map<string, string> | undefined;
  return (id) => {
    byKey ??= new Map([...files].map(([other, file]) => [key(other), file]));
    const file = byKey.get(key(id));
    return file === undefined ? '' : ` (${file} differs in case, spaces or hyphens)`;
  };
}
