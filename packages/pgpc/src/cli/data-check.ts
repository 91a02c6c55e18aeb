// `pgpc data check`: reads every file of a dataset and says what is wrong with which.
import { writeFile } from 'node:fs/promises';
import { availableSplits, type CheckedSplit, checkDataset, detectFormat } from '@pgpc/datasets';
import { fileProgress } from './data-progress.js';
import type { CheckData } from './data-types.js';
import { textTable } from './output/table.js';

export const checkData: CheckData = async (options, io) => {
  const { root, classes, jobs, json } = options;
  const format = options.format ?? (await detectFormat(root));
  const splits = options.split === undefined ? await availableSplits(format, root) : [options.split];
  const results: (CheckedSplit & { split: string })[] = [];
  // A folder without the splits of its format is a fault too: opening one names what is missing.
  for (const split of splits.length > 0 ? splits : ['train']) {
    const bar = fileProgress(`check ${split}`, io);
    const checked = await checkDataset(
      { format, root, split, classes },
      { signal: io.signal, onProgress: bar.onProgress, ...(jobs !== undefined && { concurrency: jobs }) },
    );
    bar.done();
    results.push({ ...checked, split });
    for (const { message } of checked.faults) io.stdout.write(`${message}\n`);
  }
  const rows = results.map(({ split, samples, labelled, faults }) =>
    [split, samples, labelled, faults.length].map(String),
  );
  io.stdout.write(`${format} in ${root}\n`);
  io.stdout.write(textTable(['split', 'images', 'labels', 'faults'], rows));
  if (json !== undefined) {
    const splitsOut = results.map(({ split, samples, labelled, faults }) => ({
      split,
      images: samples,
      labels: labelled,
      faults,
    }));
    await writeFile(json, `${JSON.stringify({ root, format, splits: splitsOut }, null, 2)}\n`);
  }
  const total = results.reduce((sum, { faults }) => sum + faults.length, 0);
  if (total > 0) throw new Error(`${root}: ${total} ${total === 1 ? 'fault' : 'faults'} in ${format} data`);
};
