// This library's worker: one round of batches per line of JSON on stdin, its time as JSON on stdout.
// Run by bench/loader.mjs with its configuration, as JSON, as the only argument.

import { createInterface } from 'node:readline';
import { openDataset } from '@pgpc/datasets';
import { setNumThreads } from '@pgpc/torch';
import { disposeBatch } from '../../packages/pgpc/dist/pipeline/batch.js';
import { wholeImage } from '../../packages/pgpc/dist/pipeline/crop.js';
import { DecodePool } from '../../packages/pgpc/dist/pipeline/decode-pool.js';
import { BatchLoader } from '../../packages/pgpc/dist/pipeline/loader.js';
import { PixelStore } from '../../packages/pgpc/dist/pipeline/pixels.js';

const { sourceRoot, targetRoot, sourceScale, targetScale, crop, batch, workers } = JSON.parse(
  process.argv[2],
);
setNumThreads(1);

function send(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

// Nothing is kept in memory: what is measured is decoding.
const store = async (scale, data) => new PixelStore(await openDataset(data), { scale, cacheBytes: 0 });
const source = await store(sourceScale, { format: 'gta5', root: sourceRoot, split: 'all' });
const target = await store(targetScale, { format: 'cityscapes', root: targetRoot, split: 'train' });
const pool = new DecodePool({ workers });

/** What a sample is before it is resized, for comparison with the peer's. */
async function describe() {
  const { image, label } = await new PixelStore(source.dataset).get(0);
  const normal = wholeImage({ image });
  const counts = Array(256).fill(0);
  for (const value of label?.toArray() ?? []) counts[Number(value)]++;
  return { mean: normal.mean().item(), square: normal.square().mean().item(), counts };
}

let seed = 0;
send({ software: `Node ${process.version}`, sample: await describe() });
for await (const line of createInterface({ input: process.stdin })) {
  const { batches } = JSON.parse(line);
  const start = performance.now();
  const loader = new BatchLoader({ source, target, batch, crop, seed: seed++, pool });
  for (let i = 0; i < batches; i++) disposeBatch(await loader.next());
  const ms = performance.now() - start;
  await loader.dispose();
  send({ ms });
}
await pool.dispose();
