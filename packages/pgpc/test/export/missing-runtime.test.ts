// Without ONNX Runtime, which is optional: how to get it, or to do without.

import { expect, test, vi } from 'vitest';
import { checkOnnx } from '../../src/export/runtime-check.js';
import { Segmentor } from '../../src/models/segmentor.js';
import { tinySegmentor } from '../support/method.js';

vi.mock('onnxruntime-node', () => {
  throw new Error('Cannot find package');
});

test('says how to get it', async () => {
  using segmentor = new Segmentor(tinySegmentor, 1);
  const check = checkOnnx('model.onnx', segmentor, [], { foldPreprocessing: false });
  await expect(check).rejects.toThrow(
    /npm install --ignore-scripts onnxruntime-node.*--no-check writes without/,
  );
});
