// The two domains differ as a game and a city do.
import { CITYSCAPES_CLASSES, CITYSCAPES_LABEL_TO_TRAIN_ID } from '@pgpc/datasets';
import { describe, expect, it } from 'vitest';
import type { Domain } from '../src/domains.js';
import { renderScene } from '../src/render.js';

describe('the two domains', () => {
  const COUNT = 60;
  const size = { source: { width: 256, height: 144 }, target: { width: 256, height: 128 } };

  function survey(domain: Domain) {
    const pixels = new Float64Array(256);
    const scenes = new Float64Array(256);
    let saturation = 0;
    let channel = 0;
    for (let index = 0; index < COUNT; index++) {
      const { image, labelIds } = renderScene({ seed: 3, domain, split: 'train', index, ...size[domain] });
      const own = new Set<number>();
      for (const id of labelIds) {
        const trainId = CITYSCAPES_LABEL_TO_TRAIN_ID[id]!;
        pixels[trainId]!++;
        own.add(trainId);
      }
      for (const trainId of own) scenes[trainId]!++;
      for (let i = 0; i < image.data.length; i += 3) {
        const [r, g, b] = [image.data[i]!, image.data[i + 1]!, image.data[i + 2]!];
        saturation += Math.max(r, g, b) - Math.min(r, g, b);
        channel += r - g;
      }
    }
    const total = COUNT * size[domain].width * size[domain].height;
    const of = (values: Float64Array, divisor: number) =>
      Object.fromEntries(CITYSCAPES_CLASSES.map((c) => [c.name, values[c.trainId]! / divisor]));
    return {
      share: of(pixels, total),
      frequency: of(scenes, COUNT),
      ignored: pixels[255]! / total,
      saturation: saturation / total,
      warmth: channel / total,
    };
  }
  const source = survey('source');
  const target = survey('target');

  it.each([
    ['source', source],
    ['target', target],
  ] as const)('have the imbalance of real streets (%s)', (_, { share, frequency, ignored }) => {
    const within = (names: readonly string[], values: Record<string, number>, low: number, high: number) => {
      for (const name of names) {
        expect(values[name], name).toBeGreaterThan(low);
        expect(values[name], name).toBeLessThan(high);
      }
    };
    within(['road', 'building'], share, 0.12, 0.45);
    within(['vegetation', 'sky', 'car'], share, 0.03, 0.2);
    within(['sidewalk', 'terrain', 'pole'], share, 0.005, 0.08);
    within(['wall', 'fence', 'traffic sign'], share, 0.001, 0.02);
    within(['traffic light'], share, 0.0003, 0.004);
    within(['person', 'truck', 'bus', 'train'], share, 0.001, 0.025);
    within(['rider', 'motorcycle', 'bicycle'], share, 0.0001, 0.01);
    within(['truck', 'bus', 'train', 'rider', 'motorcycle', 'bicycle'], frequency, 0.03, 0.4);
    expect(ignored).toBeLessThan(0.15);
  });

  it('differ in colour and in what there is, as a game and a city do', () => {
    expect(source.saturation).toBeGreaterThan(1.5 * target.saturation);
    expect(source.warmth).toBeGreaterThan(target.warmth);
    for (const name of ['person', 'bicycle', 'car', 'rider']) {
      expect(target.share[name], name).toBeGreaterThan(source.share[name]!);
    }
    for (const name of ['road', 'sky', 'terrain']) {
      expect(source.share[name], name).toBeGreaterThan(target.share[name]!);
    }
  });
});
