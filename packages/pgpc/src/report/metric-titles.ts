// What metrics are called above their charts.

/** By the name in the log, which may be any; others are shown by that. */
export const METRIC_TITLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    q: 'Pseudo-label weight q',
    lr: 'Learning rate',
    'val/miou': 'mIoU on up to 16 validation images',
    'memory/process': 'Memory of the process, GiB',
    'memory/gpu': 'Most memory reserved on the GPU, GiB',
  }),
);
