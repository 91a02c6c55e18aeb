// Masks whose names say more than their image's: street_mask.png belongs to street.jpg.

/** What follows the image's name in masks of common tools and data sets. */
const SUFFIXES = [
  '_mask',
  '_masks',
  '-mask',
  '.mask',
  '_label',
  '_labels',
  '_label_ids',
  '_labelIds',
  '_gt',
  '_seg',
  '_segmentation',
  '_annotation',
  '_trainids',
  '_L',
];

interface Names {
  has(id: string): boolean;
  keys(): Iterable<string>;
  readonly size: number;
}

/**
 * What follows the images' names in the masks': the suffix that more masks have than have an image's very name; '' where
 * none does.
 * @param together images and masks lie in the same folders, so that a file of an image's name is the image
 */
export function maskSuffix(images: Names, labels: Names, together = false): string {
  const pairs = (suffix: string) => {
    let count = 0;
    for (const id of images.keys()) if (labels.has(id + suffix)) count++;
    return count;
  };
  let [suffix, most] = ['', together ? 0 : pairs('')];
  for (const candidate of SUFFIXES) {
    const count = most < images.size ? pairs(candidate) : 0;
    if (count > most) [suffix, most] = [candidate, count];
  }
  return suffix;
}

/**
 * The masks whose names have a suffix, by the ids of their images.
 * @returns also the files without it, which are no masks of these images
 */
export function withoutSuffix(
  files: ReadonlyMap<string, string>,
  suffix: string,
): { masks: ReadonlyMap<string, string>; rest: ReadonlyMap<string, string> } {
  if (suffix === '') return { masks: files, rest: new Map() };
  const masks = new Map<string, string>();
  const rest = new Map<string, string>();
  for (const [id, file] of files) {
    if (id.endsWith(suffix)) masks.set(id.slice(0, -suffix.length), file);
    else rest.set(id, file);
  }
  return { masks, rest };
}
