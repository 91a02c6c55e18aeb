// What metrics are called above their charts.

/** What a run's metrics have the IoU of a class at a checkpoint under: this, then the class's name. */
export const CLASS_METRIC = 'val/iou/';

/** Of a name in the log, which may be any; it is shown itself where it is not known. */
export function metricTitle(metric: string): string {
  if (metric.startsWith(CLASS_METRIC)) {
    return `IoU of ${metric.slice(CLASS_METRIC.length)} on up to 16 validation images`;
  }
  return METRIC_TITLES.get(metric) ?? metric;
}

const METRIC_TITLES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    q: 'Pseudo-label weight q',
    lr: 'Learning rate',
    'val/miou': 'mIoU on up to 16 validation images',
    'memory/process': 'Memory of the process, GiB',
    'memory/gpu': 'Most memory reserved on the GPU, GiB',
  }),
);
