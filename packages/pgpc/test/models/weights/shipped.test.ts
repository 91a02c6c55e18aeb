// The encoder that comes with the package: its file is whole, small and says what it is; and what stands for it.

import { existsSync, statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { loadSafetensors, type Tensor, tidy } from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { main } from '../../../src/cli/main.js';
import { weightsSource } from '../../../src/cli/weights-source.js';
import { segmentorConfig } from '../../../src/config/segmentor.js';
import { UsageError } from '../../../src/config/usage-error.js';
import { Segmentor } from '../../../src/models/segmentor.js';
import { loadBackboneWeights, openWeights, trainedNetwork } from '../../../src/models/weights/fit.js';
import {
  encoderStart,
  isStartName,
  shippedEncoder,
  weightsPath,
} from '../../../src/models/weights/shipped.js';

const { file, name } = shippedEncoder;

const bytesOf = (tensor: Tensor) => Buffer.from(tensor.toArray().buffer);

describe('the file', () => {
  test('fills every entry of the encoder with its values, in float32 and finite', () => {
    tidy(() => {
      const { tensors } = loadSafetensors(file);
      using segmentor = new Segmentor(segmentorConfig('mit_b0', 'daformer'), 1);
      const report = loadBackboneWeights(segmentor, file);
      const own = segmentor.backbone.stateDict();
      expect(report).toMatchObject({ missing: [], unexpected: [], misshaped: [], skipped: [] });
      expect(report.loaded).toHaveLength(own.size);
      for (const [entry, loaded] of own) {
        const stored = tensors.get(`backbone.${entry}`)!;
        expect([stored.dtype, loaded.dtype], entry).toEqual(['float16', 'float32']);
        const values = loaded.toArray() as Float32Array;
        expect(values.every(Number.isFinite), entry).toBe(true);
        expect(
          values.some((value) => value !== 0),
          entry,
        ).toBe(true);
        // By their bytes, since a matcher takes seconds for millions of numbers.
        expect(bytesOf(loaded).equals(bytesOf(stored)), entry).toBe(true);
      }
    });
  });

  test('is below 8 MB, and says what it was made from', () => {
    expect(statSync(file).size).toBeLessThan(8e6);
    tidy(() => {
      const opened = openWeights(file);
      expect(opened.metadata).toEqual({
        format: 'pgpc-backbone/1',
        backbone: 'mit_b0',
        licence: 'MIT',
        trained: 'mit_b0 with daformer, 19 classes, on street-synth',
        data: expect.stringMatching(/^street-synth\/1, \d+ varied scenes, seed \d+$/),
        task: 'segmentation',
        iterations: expect.stringMatching(/^[1-9]\d*$/),
        loss: expect.stringMatching(/^\d\.\d+$/),
        seconds: expect.stringMatching(/^[1-9]\d*$/),
        versions: expect.stringMatching(/^node \d+\.\d+\.\d+, libtorch \d+\.\d+\.\d+/),
        command: expect.stringMatching(/^node bench\/start\.mjs/),
      });
      expect(opened.licence).toEqual({ text: 'MIT', url: '', certain: true });
      // So the feature distance does not take it for ImageNet's.
      expect(trainedNetwork(opened)).toBe(opened.metadata.trained);
    });
  });

  test('is shown by its name', async () => {
    let said = '';
    const stdout = new Writable({
      write: (chunk, _encoding, done) => {
        said += chunk;
        done();
      },
    });
    expect(await main(['weights', 'inspect', 'street-synth'], { stdout })).toBe(0);
    for (const line of [
      `file      ${file}, 6.7 MB`,
      "form      this project's converted encoder",
      'network   mit_b0, encoder alone: every entry fits',
      'data = street-synth/1, ',
      'command = node bench/start.mjs',
      'licence   MIT',
    ]) {
      expect(said).toContain(line);
    }
    // The whole header is short enough to be shown.
    expect(said).not.toContain('...');
  });
});

describe('what an encoder starts from', () => {
  test.each([
    [undefined, 'mit_b0', name],
    [undefined, 'mit_b1', undefined],
    [undefined, 'resnet101', undefined],
    ['none', 'mit_b0', undefined],
    ['none', 'mit_b5', undefined],
    [name, 'mit_b0', name],
    ['mit_b5.pth', 'mit_b5', 'mit_b5.pth'],
  ] as const)('weights %s in %s: %s', (weights, backbone, start) => {
    expect(encoderStart(weights, backbone)).toBe(start);
  });

  test('by the name is for MiT-B0 alone', () => {
    expect(() => encoderStart(name, 'mit_b2')).toThrow(UsageError);
    expect(() => encoderStart(name, 'mit_b2')).toThrow(
      "--weights street-synth: an encoder of mit_b0, and the network's is mit_b2",
    );
  });

  test('by a name is found here, in whatever folder', () => {
    expect(existsSync(file)).toBe(true);
    expect([weightsPath(name), weightsPath('some.pth')]).toEqual([file, 'some.pth']);
    expect(['none', name, './none', 'mit_b0'].map(isStartName)).toEqual([true, true, false, false]);
    expect([weightsSource.parse('none'), weightsSource.parse(name)]).toEqual(['none', name]);
    expect(weightsSource.safeParse('street-sinth').error!.issues[0]!.message).toMatch(
      /did you mean.*street-synth/,
    );
  });
});
