// A run directory of two networks, the source's and an adapted one, with target pictures, as `pgpc try` takes it.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { numberedClasses, type RgbImage } from '@pgpc/datasets';
import { fromTypedArray, noGrad, tidy } from '@pgpc/torch';
import type { SegmentorConfig } from '../../src/config/segmentor.js';
import { saveSegmentor } from '../../src/models/checkpoint.js';
import type { DaformerHead } from '../../src/models/daformer-head.js';
import { MultiResolutionHead } from '../../src/models/multi-resolution.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { normalize } from '../../src/pipeline/normalize.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import { tinySegmentor } from './method.js';

/** Writes a network of random weights, whose classes are well apart and all there. */
export function writeModel(file: string, seed: number, changes: Partial<SegmentorConfig> = {}): void {
  mkdirSync(path.dirname(file), { recursive: true });
  const config = { ...tinySegmentor, ...changes };
  const { classes } = config;
  using segmentor = new Segmentor(config, seed).eval();
  segmentor.classInfo = numberedClasses(classes).classes.map((info, i) => ({
    ...info,
    name: `kind ${i}`,
  }));
  segmentor.about = { inputSize: { width: 96, height: 64 } };
  noGrad(() => {
    const { decodeHead } = segmentor;
    const head = decodeHead instanceof MultiResolutionHead ? decodeHead.head : decodeHead;
    const { convSeg } = head as DaformerHead;
    convSeg.weight.mul_(100);
    // Without this one class would win everywhere.
    tidy(() => {
      const { data, width, height } = picture(96, 64);
      const image = fromTypedArray(data, [1, height, width, 3]).permute([0, 3, 1, 2]).to('float32').div(255);
      convSeg.bias!.sub_(segmentor.call(normalize(image)).logits.mean([0, 2, 3]));
    });
  });
  saveSegmentor(file, segmentor);
}

/** A picture of bands and slopes. */
export function picture(width: number, height: number): RgbImage {
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const band = (Math.floor(x / 17) + Math.floor(y / 13)) % 3;
      data[at] = band === 0 ? 230 : (x * 255) / width;
      data[at + 1] = band === 1 ? 200 : (y * 255) / height;
      data[at + 2] = (x * y) % 256;
    }
  }
  return { width, height, data };
}

/** @returns the run directory, with checkpoints `source` and `pgpc-plus`. */
export async function writeTriedRun(
  root: string,
  { source, both }: { source?: Partial<SegmentorConfig>; both?: Partial<SegmentorConfig> } = {},
): Promise<string> {
  const run = RunDirectory.create(root, 'adapt', {
    config: { phase: 'pgpc-plus' },
    seed: 1,
    versions: {},
    title: 'streets to <camera>',
  });
  writeModel(path.join(run.path, 'checkpoints/source/model.safetensors'), 1, { ...both, ...source });
  writeModel(path.join(run.path, 'checkpoints/pgpc-plus/model.safetensors'), 2, both);
  await run.writePicture('target-0.png', picture(150, 100));
  run.writePictureIndex({ source: [], target: [{ id: 'one', image: 'target-0.png', predictions: {} }] });
  run.finish('finished');
  return run.path;
}
