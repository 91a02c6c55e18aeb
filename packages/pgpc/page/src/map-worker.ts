// Makes maps of features beside the page, which answers meanwhile: first the quick one, then the good one.

import { byNeighbours, byVariance, type FeatureMap, type MapTask } from './feature-map.js';

/** What the page is told: `neighbours` is undefined until it is there, null where there are too few features for one. */
export interface MapNews {
  readonly variance: FeatureMap;
  readonly neighbours?: FeatureMap | null;
}

addEventListener('message', ({ data }: MessageEvent<MapTask>) => {
  const variance = byVariance(data);
  postMessage({ variance } satisfies MapNews);
  postMessage({ variance, neighbours: byNeighbours(data) ?? null } satisfies MapNews);
});
