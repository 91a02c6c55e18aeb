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

/**
 * Gives masks the ids of their images: where fewer masks have an image's very name than have it with a suffix, the
 * suffix is cut off, and the masks without it are no masks of these images.
 * @param labels by the path in their folder, without ending
 * @returns the masks by id, the suffix, and ids of what was passed over
 */
export function maskNames(
  images: ReadonlyMap<string, string>,
  labels: ReadonlyMap<string, string>,
): { labels: ReadonlyMap<string, string>; suffix: string; passedOver: readonly string[] } {
  const pairs = (suffix: string) => {
    let count = 0;
    for (const id of images.keys()) if (labels.has(id + suffix)) count++;
    return count;
  };
  let [suffix, most] = ['', pairs('')];
  for (const candidate of SUFFIXES) {
    const count = most < images.size ? pairs(candidate) : 0;
    if (count > most) [suffix, most] = [candidate, count];
  }
  if (suffix === '') return { labels, suffix, passedOver: [] };
  const named = new Map<string, string>();
  const passedOver: string[] = [];
  for (const [id, file] of labels) {
    if (id.endsWith(suffix)) named.set(id.slice(0, -suffix.length), file);
    else passedOver.push(id);
  }
  return { labels: named, suffix, passedOver };
}
