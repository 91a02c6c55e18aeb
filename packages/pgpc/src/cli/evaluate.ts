// `pgpc eval`: a saved model on a labelled split, and its predictions as files.

import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { openCityscapes } from '../datasets/cityscapes.js';
import { CITYSCAPES_CLASSES } from '../datasets/index.js';
import { evaluateSegmentor, toLabelMap } from '../evaluation/evaluate.js';
import { loadSegmentor } from '../models/weights.js';
import { PixelStore } from '../pipeline/pixels.js';
import { MODEL_FILE } from '../training/trainer.js';
import { useCores } from '../versions.js';
import { progress } from './progress.js';
import { iouTable } from './table.js';
import type { EvaluateCheckpoint } from './train-types.js';

export const evaluateCheckpoint: EvaluateCheckpoint = async (options, io) => {
  useCores();
  const { checkpoint, targetRoot, split, savePredictions } = options;
  const file = statSync(checkpoint).isDirectory() ? join(checkpoint, MODEL_FILE) : checkpoint;
  using segmentor = loadSegmentor(file);
  const pixels = new PixelStore(await openCityscapes(targetRoot, split), { cacheBytes: 0 });
  if (savePredictions) mkdirSync(savePredictions, { recursive: true });
  const bar = progress({
    label: `evaluate ${split}`,
    total: pixels.length,
    stream: io.stderr,
    unit: 'images',
  });
  const began = performance.now();
  const scores = await evaluateSegmentor(segmentor, pixels, {
    signal: io.signal,
    onImage: async (done, _total, index, prediction) => {
      bar.update(done);
      if (!savePredictions) return;
      const { data, width, height } = toLabelMap(prediction);
      const name = `${pixels.dataset.samples[index]!.id.replaceAll('/', '_')}.png`;
      await sharp(data, { raw: { width, height, channels: 1 } })
        .toColourspace('b-w')
        .png()
        .toFile(join(savePredictions, name));
    },
  });
  bar.done();
  const seconds = (performance.now() - began) / 1000;
  io.stdout.write(iouTable([{ name: 'model', label: 'model', seconds, ...scores }], CITYSCAPES_CLASSES));
  if (savePredictions) io.stdout.write(`predicted trainIds: ${savePredictions}\n`);
};
