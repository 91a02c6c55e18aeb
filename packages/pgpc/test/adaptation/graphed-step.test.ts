// A step whose parts are recorded depends on nothing but what it hands them and what lives from step to step: with a
// stand-in for CUDA graphs, which runs what was recorded on the tensors of that time, it is the plain step.

import { manualSeed, type Tensor, tidy } from '@pgpc/torch';
import { expect, test, vi } from 'vitest';
import type { Tensors } from '../../src/adaptation/execution/stages.js';
import { denoisers } from '../../src/config/denoise.js';
import type { MethodConfig } from '../../src/config/method.js';
import { styles } from '../../src/config/style.js';
import {
  digests,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
} from '../support/method.js';

vi.mock('@pgpc/torch', async (original) => {
  const torch = await original<typeof import('@pgpc/torch')>();
  class CudaGraph {
    #replayed = false;

    constructor(
      readonly work: () => Tensors,
      readonly result: Tensors,
    ) {}

    /** What was recorded has been computed once by that: the first replay has nothing to do. */
    static record(work: () => Tensors) {
      const result = work();
      return { graph: new CudaGraph(work, result), result };
    }

    replay(): void {
      if (this.#replayed) {
        torch.tidy(() => {
          for (const [name, value] of Object.entries(this.work())) {
            if (value) torch.noGrad(() => this.result[name]!.copy_(value));
          }
        });
      }
      this.#replayed = true;
    }

    dispose(): void {}
  }
  return { ...torch, CudaGraph };
});

const STEPS = 9;
const featureDistance = { weight: 0.1, classes: [1, 2], minShare: 0.51 };
const selfTraining = tinySelfTraining;

const methods: Record<string, MethodConfig> = {
  'source-only': {},
  'self-training': { selfTraining },
  pgpc: { selfTraining, featureDistance, contrast: tinyContrast },
  'pgpc after a warm-up': { selfTraining, contrast: { ...tinyContrast, warmup: 0.5 } },
  'pgpc of pixels': { selfTraining, contrast: { ...tinyContrast, type: 'pixel-to-pixel' } },
  'pgpc on the target': { selfTraining, contrast: { ...tinyContrast, anchorView: 'target' } },
  'pgpc of the encoder, anchors in both domains': {
    selfTraining: { ...selfTraining, ignoreTop: 3, ignoreBottom: 5 },
    contrast: {
      ...tinyContrast,
      features: 'encoder',
      anchorDomains: 'both',
      negativeSampling: 'class-similarity',
      norm: 'layer',
    },
  },
  'pgpc with DCAN, denoised by prototypes': {
    selfTraining,
    contrast: { ...tinyContrast, prototypeKind: 'momentum', prototypeDomains: 'both' },
    style: styles.dcan,
    denoise: denoisers.prototypes,
  },
  'pgpc with FDA, denoised by agreement': {
    selfTraining,
    contrast: tinyContrast,
    style: styles.fda,
    denoise: denoisers.agreement,
  },
};

function trained(method: MethodConfig, graphs: boolean) {
  manualSeed(4);
  const segmentor = { ...tinySegmentor, dropout: 0.1, dropPath: 0.1 };
  const { student, step, dispose } = tinyStep(method, STEPS, { segmentor, graphs });
  const losses = Array.from({ length: STEPS }, (_, iteration) =>
    tidy(() =>
      Object.entries(step.run(tinyBatch(iteration), iteration)).map(
        ([name, loss]: [string, Tensor | undefined]) => [name, loss?.item()],
      ),
    ),
  );
  const weights = digests(student);
  dispose();
  return { losses, weights };
}

test.each(Object.entries(methods))('%s: the same losses and weights, bit for bit', (_, method) => {
  expect(trained(method, true)).toEqual(trained(method, false));
});
