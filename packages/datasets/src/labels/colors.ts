// Colours of masks in words.

/** From so many on, colours are hardly drawn: programs make them at edges. */
export const MOST_DRAWN = 32;

/** Why a mask has so many colours or values, and what to do. */
export const SMOOTHED =
  'so many come from smoothing (resizing, soft edges) or JPEG; export the masks as PNG, resized by nearest neighbour';

export const colorName = (color: number): string => `#${color.toString(16).padStart(6, '0')}`;

/** The most frequent colours with their shares, or that there are too many. */
export function describeColors(counts: ReadonlyMap<number, number>): string {
  if (counts.size > MOST_DRAWN) return `${counts.size} colours: ${SMOOTHED}`;
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const pixels = sorted.reduce((sum, [, count]) => sum + count, 0);
  const listed = sorted
    .slice(0, 4)
    .map(([color, n]) => `${colorName(color)} ${((100 * n) / pixels).toFixed(1)} %`);
  return `${counts.size} ${counts.size === 1 ? 'colour' : 'colours'}: ${listed.join(', ')}${counts.size > 4 ? ', ...' : ''}`;
}
