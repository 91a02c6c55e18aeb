// `pgpc data cache`: copies of a dataset that decode fast.
import { availableSplits, cacheDataset, detectFormat, openDataset, trainingSplit } from '@pgpc/datasets';
import { fileProgress } from './data-progress.js';
import type { CacheData } from './data-types.js';

export const cacheData: CacheData = async (options, io) => {
  const { root, out, scale, classes, jobs } = options;
  const format = options.format ?? (await detectFormat(root));
  const found = await availableSplits(format, root);
  const splits = options.split === undefined ? found : [options.split];
  for (const split of splits.length > 0 ? splits : [await trainingSplit(format, root)]) {
    const dataset = await openDataset({ format, root, split, classes });
    const bar = fileProgress(`copy ${split}`, io);
    const { written, kept } = await cacheDataset(dataset, out, {
      scale,
      signal: io.signal,
      onProgress: bar.onProgress,
      ...(jobs !== undefined && { concurrency: jobs }),
    });
    bar.done();
    io.stdout.write(`${out}: ${format} ${split}, ${written} samples written now, ${kept} kept\n`);
  }
};
