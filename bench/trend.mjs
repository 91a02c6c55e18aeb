// Whether a long training stays as it was: the rules of bench/long.mjs, apart from it so that they are tested.

/** The first fifth of the run: pixels are kept, banks fill, V8 compiles, and allocators reach their size. */
const WARM_UP = 0.2;
/**
 * What memory may grow by from the end of the warm-up to the end of the run, as a share of its median. V8 still compiles what
 * is called at checkpoints alone.
 */
const GROWTH = { rss: 0.05, heap: 0.05, external: 0.05, tensorBytes: 0.01 };
/**
 * Counts that may not be higher in the last fifth than in the first: the most of each, of threads the least. libvips starts threads
 * for a picture and ends them soon after, so that a sample may see some of them; one that never ends raises the least.
 */
const COUNTS = { tensors: Math.max, descriptors: Math.max, threads: Math.min };
/** What a step, or a checkpoint, of the last fifth may take of one of the first. */
const SLOWER = { steps: 1.1, checkpoints: 1.25 };

/**
 * The median of the slopes through every two points (Theil and Sen's): a third of the samples may be anything.
 * @param {readonly number[]} x
 * @param {readonly number[]} y as many
 */
export function slope(x, y) {
  const slopes = x.flatMap((from, i) => x.slice(i + 1).map((to, j) => (y[i + 1 + j] - y[i]) / (to - from)));
  return quantile(slopes, 0.5);
}

/** @param {readonly number[]} values @param {number} share of them that is lower, 0 to 1 */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

/**
 * @typedef {{ done: number, rss: number, heap: number, external: number, tensorBytes: number, tensors: number,
 *   descriptors: number, threads: number }} Sample memory in bytes after `done` steps
 * @typedef {{ done: number, cpuMs: number }} Timed a step or a checkpoint, in milliseconds of all threads
 */

/**
 * Each rule with what it compares, and whether it is kept.
 * @param {{ samples: Sample[], steps: Timed[], checkpoints: Timed[] }} run
 * @param {number} total steps of the run
 * @throws RangeError for a run so short that a fifth has no sample or no checkpoint.
 * @returns {{ what: string, first: number, last: number, rule: string, kept: boolean }[]} `first` and `last` are of the first
 *   and the last fifth after the warm-up.
 */
export function verdicts({ samples, steps, checkpoints }, total) {
  const begin = WARM_UP * total;
  const fifth = (total - begin) / 5;
  const since = samples.filter(({ done }) => done > begin);
  const ends = (list) => {
    const parts = [
      list.filter(({ done }) => done > begin && done <= begin + fifth),
      list.filter(({ done }) => done > total - fifth),
    ];
    if (parts.some(({ length }) => length === 0)) {
      throw new RangeError(`${total} steps are too few: a fifth of them has no sample, or no checkpoint`);
    }
    return parts;
  };
  const grown = Object.entries(GROWTH).map(([what, limit]) => {
    const values = since.map((sample) => sample[what]);
    const perStep = slope(
      since.map(({ done }) => done),
      values,
    );
    const growth = (perStep * (total - begin)) / quantile(values, 0.5);
    const [first, last] = ends(samples).map((part) =>
      quantile(
        part.map((sample) => sample[what]),
        0.5,
      ),
    );
    const rule = `grows by ${percent(growth)} by its slope, at most ${percent(limit)}`;
    return { what, first, last, rule, kept: growth <= limit };
  });
  const counted = Object.entries(COUNTS).map(([what, of]) => {
    const [first, last] = ends(samples).map((part) => of(...part.map((sample) => sample[what])));
    const rule = `the ${of === Math.max ? 'most' : 'least'}, no more at the end`;
    return { what, first, last, rule, kept: last <= first };
  });
  // Other work on the machine only adds to a time: the lower quartile is what the program takes.
  const slower = Object.entries({ steps, checkpoints }).map(([what, times]) => {
    const [first, last] = ends(times).map((part) =>
      quantile(
        part.map(({ cpuMs }) => cpuMs),
        0.25,
      ),
    );
    const rule = `takes ${percent(last / first)} of it, at most ${percent(SLOWER[what])}`;
    return { what, first, last, rule, kept: last <= SLOWER[what] * first };
  });
  return [...grown, ...counted, ...slower];
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
