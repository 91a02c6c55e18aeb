// The two domains differ as a game and a city do; varied scenes differ from each other by more than either's.
import { CITYSCAPES_CLASSES, CITYSCAPES_LABEL_TO_TRAIN_ID } from '@pgpc/datasets';
import { describe, expect, it } from 'vitest';

import type { Domain } from '../src/domains.js';
import { renderScene } from '../src/render.js';

/** Root of the mean squared distance of colours from their mean, in 0..255. */
function spreadOf(colors: readonly number[][]): number {
  const mean = [0, 1, 2].map((c) => colors.reduce((sum, color) => sum + color[c]!, 0) / colors.length);
  const squares = colors.map((color) => color.reduce((sum, value, c) => sum + (value - mean[c]!) ** 2, 0));
  return Math.sqrt(squares.reduce((sum, value) => sum + value, 0) / colors.length);
}

describe('the two domains', () => {
  const COUNT = 60;
  const size = {
    source: { width: 256, height: 144 },
    target: { width: 256, height: 128 },
    varied: { width: 256, height: 144 },
  };

  function survey(domain: Domain) {
    const pixels = new Float64Array(256);
    const scenes = new Float64Array(256);
    const colors: number[][][] = CITYSCAPES_CLASSES.map(() => []);
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
      for (const [trainId, means] of colors.entries()) {
        const pixels = [...labelIds.keys()].filter(
          (i) => CITYSCAPES_LABEL_TO_TRAIN_ID[labelIds[i]!] === trainId,
        );
        if (pixels.length < 50) continue;
        const mean = (channel: number) =>
          pixels.reduce((sum, i) => sum + image.data[3 * i + channel]!, 0) / pixels.length;
        means.push([mean(0), mean(1), mean(2)]);
      }
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
      spread: Object.fromEntries(CITYSCAPES_CLASSES.map((c) => [c.name, spreadOf(colors[c.trainId]!)])),
    };
  }
  const source = survey('source');
  const target = survey('target');
  const varied = survey('varied');

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

  it('leave varied scenes every class, in colours that spread further than in both', () => {
    for (const { name } of CITYSCAPES_CLASSES) expect(varied.frequency[name], name).toBeGreaterThan(0);
    for (const name of ['road', 'building', 'vegetation', 'sky', 'car']) {
      expect(varied.spread[name], name).toBeGreaterThan(Math.max(source.spread[name]!, target.spread[name]!));
    }
  });
});
