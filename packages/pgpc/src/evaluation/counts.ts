// How often each class occurs in a map, counted where the map is.

import { ones, type Tensor, tidy, zeros } from '@pgpc/torch';

/**
 * How often each of 0 .. n - 1 occurs: (n), int64.
 * @param values (P), whole numbers in 0 .. n - 1.
 */
export function occurrences(values: Tensor, n: number): Tensor {
  const { device } = values;
  // bincount is faster, but on a GPU it makes the host wait: it asks for the largest value whatever n is.
  if (device === 'cpu') return values.bincount(null, n);
  return tidy(() => {
    const kind = { dtype: 'int64', device } as const;
    return zeros([n], kind).scatterAdd_(0, values.to('int64'), ones([1], kind).expandAs(values));
  });
}

/**
 * How often each of 0 .. n - 1 occurs where the mask is true: (n), int64.
 * @param map of any shape, uint8; where the mask is true, in 0 .. n - 1, n at most 255. @param mask of the same, bool.
 */
export function occurrencesWithin(map: Tensor, mask: Tensor, n: number): Tensor {
  return tidy(() => {
    // Few pixels may be left. But on a GPU, selecting them waits for how many there are.
    if (map.device === 'cpu') return occurrences(map.maskedSelect(mask), n);
    const marked = map.maskedFill(mask.logicalNot(), n).flatten();
    return occurrences(marked, n + 1).narrow(0, 0, n);
  });
}
