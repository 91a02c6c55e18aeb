// What people are shown of the contrast, against what its loss and its banks take, and against loops over pixels.

import { createHash } from 'node:crypto';
import {
  arange,
  Generator,
  grad,
  liveTensors,
  noGrad,
  ops,
  type Tensor,
  tidy,
  type World,
  zeros,
} from '@pgpc/torch';
import { describe, expect, test } from 'vitest';
import { PixelContrast } from '../../../src/adaptation/contrast/contrast.js';
import { MemoryBank } from '../../../src/adaptation/contrast/memory-bank.js';
import { ProjectionHead } from '../../../src/adaptation/contrast/projection-head.js';
import { contrastView } from '../../../src/adaptation/contrast-view.js';
import { anchorSelections, type ContrastOptions } from '../../../src/config/contrast.js';
import type { MethodConfig } from '../../../src/config/method.js';
import {
  differing,
  int64,
  matrix,
  normal,
  tinyBatch,
  tinyContrast,
  tinySelfTraining,
  tinyStep,
} from '../../support/method.js';

const bools = (t: Tensor) => t.tolist() as boolean[][];

describe('what a step chooses from', () => {
  const [C, CHANNELS, H, W] = [4, 3, 3, 4];
  const PIXELS = H * W;
  /** All candidates are drawn. */
  const options: ContrastOptions = {
    ...tinyContrast,
    anchors: PIXELS,
    anchorShare: 0.4,
    anchorShareEnd: 0.7,
    anchorThreshold: 0.6,
    bankCapacity: PIXELS,
    enqueue: PIXELS,
    width: 5,
  };
  const logits = () => normal([1, C, H, W], 5).mul(2);

  function filled(changes: Partial<ContrastOptions> = {}, classes = [0, 1, 2]) {
    const contrast = new PixelContrast(C, { ...options, ...changes }, 0);
    using generator = new Generator(1);
    const head = new ProjectionHead(CHANNELS, contrast.options, generator);
    const label = int64(
      Array.from({ length: PIXELS }, (_, i) => classes[i % classes.length]!),
      [1, H, W],
    );
    const view = { features: normal([1, CHANNELS, H, W], 2), logits: logits() };
    contrast.storeSource(view, label, head);
    return { contrast, head, view };
  }

  test.each(anchorSelections)('anchors by %s are the pixels that the loss moves', (anchorSelection) => {
    tidy(() => {
      // Class 3 has no prototype: it takes no part.
      const { contrast, head, view } = filled({ anchorSelection });
      contrast.storeTarget(view, head, 0.5);
      const { anchors } = contrast.choice(view, 0.5);
      const features = normal([1, CHANNELS, H, W], 7).requiresGrad_();
      const loss = contrast.loss(features, undefined, view, head, 0.5);
      const moved = grad(loss, [features])[0]!.abs().sum([0, 1]).flatten().gt(0);
      expect(moved.tolist()).toEqual(anchors!.any(0).tolist());
      const most = logits().argmax(1).flatten().tolist() as number[];
      expect(most).toContain(3);
      expect(moved.any().item()).toBe(1);
      for (const [c, row] of bools(anchors!).entries()) {
        for (const [i, chosen] of row.entries()) if (chosen) expect([c, c < 3]).toEqual([most[i], true]);
      }
    });
  });

  test('negatives of a class are the pixels that its bank takes', () => {
    tidy(() => {
      const { contrast, head, view } = filled({ negativeDomains: 'target' });
      contrast.storeTarget(view, head);
      const { negatives } = contrast.choice(view, 0);
      const { filled: counts } = contrast.negatives.store!.module;
      expect(negatives!.sum([1]).tolist()).toEqual(counts.tolist());
      const scores = matrix(logits().flatten(2).squeeze(0).t());
      const slow = Array.from({ length: C }, (_, c) =>
        scores.map((row) => row.filter((x) => x > row[c]!).length >= options.rank),
      );
      expect(bools(negatives!)).toEqual(slow);
    });
  });

  test('nothing of it lies where the camera’s image has margins, as in a step', () => {
    tidy(() => {
      const { contrast, head, view } = filled({ negativeDomains: 'target' });
      // The left half of an image of twice the size.
      const valid = zeros([1, 2 * H, 2 * W]);
      valid.narrow(2, 0, W).fill_(1);
      const leftHalf = arange(PIXELS)
        .remainder(W)
        .lt(W / 2);
      contrast.storeTarget(view, head, 0.5, valid);
      const all = contrast.choice(view, 0.5);
      const { anchors, negatives } = contrast.choice(view, 0.5, valid);
      const { filled: counts } = contrast.negatives.store!.module;
      expect(negatives!.sum([1]).tolist()).toEqual(counts.tolist());
      expect(bools(negatives!)).toEqual(bools(all.negatives!.logicalAnd(leftHalf)));
      const features = normal([1, CHANNELS, H, W], 7).requiresGrad_();
      const loss = contrast.loss(features, valid.eq(0), view, head, 0.5);
      const moved = grad(loss, [features])[0]!.abs().sum([0, 1]).flatten().gt(0);
      expect(moved.tolist()).toEqual(anchors!.any(0).tolist());
      expect(moved.any().item()).toBe(1);
      expect(all.anchors!.logicalAnd(leftHalf.logicalNot()).any().item()).toBe(1);
    });
  });

  test('of prototypes as negatives, and of the source’s pixels alone, there are none in the target', () => {
    tidy(() => {
      const none: Partial<ContrastOptions>[] = [
        { type: 'pixel-to-prototype' },
        { negativeDomains: 'source' },
      ];
      for (const changes of none) {
        const { contrast, view } = filled(changes);
        expect(contrast.choice(view, 0).negatives).toBeUndefined();
        expect(contrast.choice(view, 0).anchors).toBeDefined();
      }
      const { contrast, view } = filled({ anchorDomains: 'source' });
      expect(contrast.choice(view, 0).anchors).toBeUndefined();
    });
  });

  test('the memory is the banks’ rows, each with its class', () => {
    tidy(() => {
      const { contrast } = filled({ negativeSampling: 'class-similarity' });
      const memory = contrast.memory(2);
      expect([...memory.keys()]).toEqual(['centres', 'negatives']);
      expect(memory.get('centres')!.owner.tolist()).toEqual([0, 1, 2]);
      expect(
        memory
          .get('centres')!
          .rows.sub(contrast.prototypes().narrow(0, 0, 3))
          .abs()
          .max()
          .item(),
      ).toBeLessThan(1e-6);
      const { rows, owner } = memory.get('negatives')!;
      expect(owner.tolist()).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
      expect(rows.shape).toEqual([8, 5]);
      expect(rows.norm(2, [1]).sub(1).abs().max().item()).toBeLessThan(1e-6);
      expect([
        ...filled({ prototypeKind: 'momentum', type: 'pixel-to-prototype' }).contrast.memory(2),
      ]).toEqual([]);
    });
  });

  test('rows are spread evenly over a queue, all of them where there are few', () => {
    tidy(() => {
      const bank = new MemoryBank(3, 10, 1);
      const valid = zeros([3, 10], { dtype: 'bool' });
      valid.select(0, 0).narrow(0, 0, 9).fill_(true);
      valid.select(0, 2).narrow(0, 0, 2).fill_(true);
      bank.enqueue(arange(30).to('float32').view([3, 10, 1]), valid);
      const { rows, owner } = bank.spread(3);
      expect(rows.flatten().tolist()).toEqual([0, 3, 6, 20, 21]);
      expect(owner.tolist()).toEqual([0, 0, 0, 2, 2]);
    });
  });
});

describe('the view of an image', () => {
  const method: MethodConfig = {
    selfTraining: { ...tinySelfTraining, ignoreTop: 4, ignoreBottom: 9 },
    contrast: tinyContrast,
    denoise: { kind: 'prototypes', where: 'both', temperature: 0.3, momentum: 0.9 },
  };
  const image = () => normal([1, 3, 64, 32], 9);

  test('is what the step would choose, and leaves the step as it is', () => {
    const { step, dispose } = tinyStep(method, 10);
    for (const iteration of [0, 1]) {
      const batch = tinyBatch(iteration + 1);
      step.run(batch, iteration);
      for (const one of Object.values(batch)) one.dispose();
    }
    const { parts } = step;
    parts.teacher!.network.segmentor.eval();
    const digest = (value: Tensor) => createHash('sha1').update(value.toArray()).digest('hex');
    const state = () =>
      new Map(
        [...parts.state()].flatMap(([name, part]) =>
          [...part.stateDict()].map(([key, value]) => [`${name}.${key}`, digest(value)]),
        ),
      );
    const before = state();
    const drawn = parts.contrast!.generator.getState();
    const given = image();
    const live = liveTensors();
    const view = contrastView(step, given, 2)!;
    expect(differing(before, state())).toEqual([]);
    expect(parts.contrast!.generator.getState()).toEqual(drawn);
    tidy(() =>
      noGrad(() => {
        // 64 rows are 16 at the decoder's resolution: 1 at the top and 3 at the bottom lie in the margins.
        const { logits } = parts.glance(parts.teacher!.view(given), given).contrast;
        const p = logits.softmax(1).squeeze(0);
        const h = p.mul(p.log()).sum([0]).neg().div(Math.log(5));
        expect(view.entropy.sub(h).abs().max().item()).toBeLessThan(1e-5);
        const inside = logits.narrow(2, 1, 12);
        const { anchors, negatives } = parts.contrast!.choice({ logits: inside }, 0.2);
        const expected = ops.fullLike(view.anchors!, 255);
        for (let c = 0; c < 5; c++) {
          const chosen = anchors!.select(0, c).view([12, 8]);
          expected.narrow(0, 1, 12).maskedFill_(chosen, c);
        }
        expect(view.anchors!.eq(expected).all().item()).toBe(1);
        expect(view.anchors!.ne(255).any().item()).toBe(1);
        expect(view.negatives!.narrow(1, 1, 12).flatten(1).eq(negatives!).all().item()).toBe(1);
        expect(view.negatives!.narrow(1, 0, 1).any().item()).toBe(0);
        expect(view.negatives!.narrow(1, 13, 3).any().item()).toBe(0);
      }),
    );
    view.entropy.dispose();
    view.anchors!.dispose();
    view.negatives!.dispose();
    expect(liveTensors()).toBe(live);
    given.dispose();
    dispose();
  });

  test('has neither anchors nor negatives in the margins of the camera’s image', () => {
    const { ignoreTop: _, ignoreBottom: __, ...selfTraining } = method.selfTraining!;
    const margins = { top: 0.25, bottom: 0.1875, left: 0.125, right: 0.25 };
    const { step, dispose } = tinyStep(
      { ...method, selfTraining: { ...tinySelfTraining, ...selfTraining, imageMargins: margins } },
      10,
    );
    const batch = tinyBatch(1);
    step.run(batch, 0);
    for (const one of Object.values(batch)) one.dispose();
    step.parts.teacher!.network.segmentor.eval();
    tidy(() => {
      const given = image();
      const view = contrastView(step, given, 1)!;
      const { logits } = step.parts.glance(step.parts.teacher!.view(given), given).contrast;
      const all = step.parts.contrast!.choice({ logits }, 0.1);
      // Of 16 rows 4 at the top and 3 at the bottom, of 8 columns 1 at the left and 2 at the right.
      const inside = zeros([16, 8], { dtype: 'bool' });
      inside.narrow(0, 4, 9).narrow(1, 1, 5).fill_(true);
      const left = (members: Tensor) => members.view([5, 16, 8]).logicalAnd(inside);
      expect(view.negatives!.eq(left(all.negatives!)).all().item()).toBe(1);
      expect(view.anchors!.ne(255).eq(left(all.anchors!).any(0)).all().item()).toBe(1);
      expect(view.anchors!.ne(255).any().item()).toBe(1);
      expect(all.anchors!.sum().item()).toBeGreaterThan(left(all.anchors!).sum().item() as number);
    });
    dispose();
  });

  test('waits for no other rank, as one alone looks', () => {
    const waits = () => {
      throw new Error('another rank is waited for');
    };
    const world: World = { rank: 0, size: 2, sum: waits, mean: waits, gather: waits, part: waits };
    const { step, dispose } = tinyStep(method, 10, { world });
    tidy(() => expect(contrastView(step, image(), 0)!.anchors!.shape).toEqual([16, 8]));
    dispose();
  });

  test('is its entropy alone where the margins leave nothing of it, and nothing without contrast', () => {
    const all = { ...method, selfTraining: { ...method.selfTraining!, ignoreBottom: 60 } };
    const { step, dispose } = tinyStep(all, 10);
    const { contrast: _, ...without } = method;
    const other = tinyStep(without, 10);
    tidy(() => {
      const view = contrastView(step, image(), 0)!;
      expect(view.entropy.shape).toEqual([16, 8]);
      expect([view.anchors, view.negatives]).toEqual([undefined, undefined]);
      expect(contrastView(other.step, image(), 0)).toBeUndefined();
    });
    dispose();
    other.dispose();
  });
});
