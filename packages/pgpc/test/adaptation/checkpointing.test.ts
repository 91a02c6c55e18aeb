// Activation checkpointing of the student: the step with it leaves what the step without it leaves.

import { liveTensors, memory, nn, noGrad, ops, type Tensor, tidy } from '@pgpc/torch';
import { describe, expect, test, vi } from 'vitest';
import type { ContrastOptions } from '../../src/config/contrast.js';
import { daformerFeatureDistance } from '../../src/config/feature-distance.js';
import { weightings } from '../../src/config/loss-weights.js';
import type { MethodConfig } from '../../src/config/method.js';
import {
  type BackboneName,
  type HeadName,
  type SegmentorConfig,
  segmentorConfig,
} from '../../src/config/segmentor.js';
import { styles } from '../../src/config/style.js';
import { Segmentor } from '../../src/models/segmentor.js';
import type { Batch } from '../../src/pipeline/batch.js';
import { daformerRecipe } from '../../src/recipes/daformer.js';
import {
  CLASSES,
  differing,
  normal,
  tinyBatch,
  tinyContrast,
  tinySegmentor,
  tinySelfTraining,
  tinyStep,
} from '../support/method.js';

/** Largest difference of two tensors, relative to the largest value of the first. */
function apart(a: Tensor, b: Tensor): number {
  return tidy(() => a.sub(b).abs().max().item() / Math.max(a.abs().max().item(), 1e-9));
}

describe('every network', () => {
  // Attention takes its queries in parts above 512 of them where no gradient is recorded.
  const networks: [BackboneName, HeadName, side: number][] = [
    ['mit_b0', 'daformer', 96],
    ['mit_b0', 'segformer', 96],
    ['resnet101', 'deeplabv3plus', 32],
    ['hrnet_w48', 'hrnet', 32],
  ];

  /** Gradients and buffers after one pass, features in the loss too, as the contrast has them. */
  function passed(segmentor: Segmentor, image: Tensor, checkpointing: boolean): number {
    const checkpoints = new nn.ActivationCheckpoints(checkpointing ? segmentor.checkpointable : []);
    return tidy(() =>
      checkpoints.record(() => {
        const { logits, features, stages } = segmentor.call(image);
        const parts = [logits, features, ...stages].map((map) => map.square().mean());
        const loss = ops.stack(parts).sum();
        checkpoints.backward(loss);
        return loss.item();
      }),
    );
  }

  test.each(networks)('%s with %s: gradients, running statistics, draws', (backbone, head, side) => {
    const narrow = backbone === 'mit_b0' && { channels: 32 };
    const config = segmentorConfig(backbone, head, { classes: CLASSES, ...narrow });
    // In float64, the order of sums cannot hide or feign a difference.
    const segmentor = new Segmentor(config, 3).to({ dtype: 'float64' });
    for (const [name, weight] of segmentor.namedParameters()) {
      // ResNet's residual branches begin at 0, where they would pass on no gradient.
      if (name.endsWith('bn3.weight')) noGrad(() => weight.fill_(0.5));
    }
    using image = normal([2, 3, side, side], 1, 'float64');
    const [buffers, parameters] = [segmentor.namedBuffers(), segmentor.namedParameters()];
    const copies = (values: ReadonlyMap<string, Tensor>) =>
      new Map([...values].map(([name, value]) => [name, value.clone()]));
    const [before, draws] = [copies(buffers), segmentor.generator.getState()];

    const wanted = passed(segmentor, image, false);
    const moved = copies(buffers);
    const gradients = new Map([...parameters].map(([name, { grad }]) => [name, grad!]));
    const drawn = segmentor.generator.getState();
    segmentor.zeroGrad();
    for (const [name, value] of before) buffers.get(name)!.copy_(value);
    segmentor.generator.setState(draws);

    const runs = segmentor.checkpointable.map((module) => vi.spyOn(module, 'forward'));
    expect(passed(segmentor, image, true)).toBeCloseTo(wanted, 10);
    expect(runs.length).toBeGreaterThan(8);
    for (const run of runs) expect(run).toHaveBeenCalledTimes(2);
    for (const [name, { grad }] of parameters) {
      expect([name, apart(gradients.get(name)!, grad!) < 1e-7]).toEqual([name, true]);
    }
    for (const [name, buffer] of buffers) {
      expect([name, apart(moved.get(name)!, buffer) < 1e-12]).toEqual([name, true]);
      expect([name, apart(before.get(name)!, buffer) > 0]).toEqual([name, true]);
    }
    expect(segmentor.generator.getState()).toEqual(drawn);
    segmentor.dispose();
  });
});

describe('the step', () => {
  const featureDistance = { ...daformerFeatureDistance, classes: [1, 2], minShare: 0.51 };
  const methods: Record<string, MethodConfig> = {
    'source-only': {},
    'self-training': { selfTraining: tinySelfTraining },
    daformer: { selfTraining: tinySelfTraining, featureDistance },
    'self-training with DCAN': { selfTraining: tinySelfTraining, style: styles.dcan },
    pgpc: { selfTraining: tinySelfTraining, contrast: tinyContrast, featureDistance },
    'pgpc with weights from gradients': {
      selfTraining: tinySelfTraining,
      contrast: tinyContrast,
      weighting: weightings['gradient-norm'],
    },
  };
  const dropping: SegmentorConfig = { ...tinySegmentor, dropout: 0.1, dropPath: 0.3 };

  function start(method: MethodConfig, activationCheckpointing: boolean, lr?: number) {
    const tiny = tinyStep(method, 8, { segmentor: dropping, activationCheckpointing, ...(lr && { lr }) });
    return {
      ...tiny,
      /** Losses as numbers. */
      run: (batch: Batch, iteration: number) =>
        tidy(() =>
          Object.entries(tiny.step.run(batch, iteration)).map(([name, loss]) => [
            name,
            (loss as Tensor | undefined)?.item(),
          ]),
        ),
    };
  }

  test.each(Object.keys(methods))('%s: losses and weights are bit for bit those without it', (name) => {
    const [plain, twice] = [start(methods[name]!, false), start(methods[name]!, true)];
    const run = vi.spyOn(twice.student.segmentor.checkpointable.at(-1)!, 'forward');
    for (let i = 0; i < 3; i++) {
      const batch = tinyBatch(i);
      expect(twice.run(batch, i)).toEqual(plain.run(batch, i));
      for (const tensor of Object.values(batch)) tensor.dispose();
    }
    expect(run).toHaveBeenCalledTimes(name === 'source-only' ? 6 : 12);
    expect(differing(twice.student, plain.student)).toEqual([]);
    if (plain.step.parts.teacher) {
      expect(differing(twice.step.parts.teacher!.network, plain.step.parts.teacher.network)).toEqual([]);
    }
    plain.dispose();
    twice.dispose();
  });

  // Where a map is read twice, by two passes' losses or by decoder and contrast, the parts of its gradient are added up in
  // another order.
  const readTwice: Record<string, Partial<ContrastOptions>> = {
    'two passes for one loss': { anchorView: 'target' },
    'pgpc of the encoder, anchors in both domains': { features: 'encoder', anchorDomains: 'both' },
  };

  test.each(Object.entries(readTwice))(
    '%s: gradients are the same but for the order of their sum',
    (_, chosen) => {
      const contrast = { ...tinyContrast, ...chosen };
      // A weight whose gradient is all rounding would else be moved by the full rate, to either side.
      const both = [false, true].map((on) => start({ selfTraining: tinySelfTraining, contrast }, on, 1e-9));
      // In the second step there is something in the banks when the source is contrasted.
      for (const i of [0, 1]) {
        const batch = tinyBatch(i);
        for (const { run } of both) run(batch, i);
      }
      const [plain, twice] = both.map(({ student }) => student.namedParameters()) as [
        Map<string, Tensor>,
        Map<string, Tensor>,
      ];
      const largest = Math.max(...[...plain.values()].map(({ grad }) => grad!.abs().max().item()));
      for (const [name, { grad }] of plain) {
        const difference = grad!.sub(twice.get(name)!.grad!).abs().max().item();
        expect([name, difference / largest < 1e-6]).toEqual([name, true]);
      }
      for (const { dispose } of both) dispose();
    },
  );

  test('holds no more from step to step, also after one that failed', () => {
    const { run, student, dispose } = start(methods.pgpc!, true);
    const batch = tinyBatch(1);
    const alive = () => {
      student.zeroGrad();
      return [liveTensors(), memory().bytes];
    };
    run(batch, 0);
    run(batch, 1);
    const before = alive();
    run(batch, 2);
    expect(alive()).toEqual(before);
    using unlike = batch.sourceLabel.narrow(1, 0, 8);
    expect(() => run({ ...batch, sourceLabel: unlike }, 3)).toThrow();
    expect(alive()).toEqual([before[0]! + 1, before[1]]);
    // Fails in the backward pass of the mixed images: a module that cannot be run again.
    const last = student.segmentor.checkpointable[0]!;
    let calls = 0;
    const forward = vi.spyOn(last, 'forward');
    forward.mockImplementation((...args: unknown[]) => {
      if (++calls === 4) throw new Error('out of memory');
      return Object.getPrototypeOf(last).forward.apply(last, args);
    });
    expect(() => run(batch, 3)).toThrow('out of memory');
    forward.mockRestore();
    expect(alive()).toEqual([before[0]! + 1, before[1]]);
    run(batch, 3);
    expect(alive()).toEqual([before[0]! + 1, before[1]]);
    dispose();
  });
});

test('is no part of an experiment that does not ask for it', () => {
  const recipe = daformerRecipe({ method: {} });
  expect(Object.keys(recipe)).not.toContain('activationCheckpointing');
  expect(daformerRecipe({ method: {}, activationCheckpointing: true }).activationCheckpointing).toBe(true);
});
