// The rendered driving scenes: reproducible, exactly labelled, and made as two domains should be.
import { createHash } from 'node:crypto';
import { CITYSCAPES_CLASSES, CITYSCAPES_LABEL_TO_TRAIN_ID, CITYSCAPES_LABELS } from '@pgpc/datasets';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Domain } from '../src/domains.js';
import { plain } from '../src/paint.js';
import { ID } from '../src/primitives.js';
import { Random } from '../src/random.js';
import { type RenderedScene, renderScene } from '../src/render.js';
import { type Camera, Stage } from '../src/stage.js';

const SMALL = { seed: 1, split: 'train', index: 0, width: 64, height: 32 };

function digest({ image, labelIds }: RenderedScene): string {
  return createHash('sha256').update(image.data).update(labelIds).digest('hex');
}

describe('random numbers', () => {
  it('stay in their ranges and reach both ends', () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: -50, max: 50 }),
        fc.integer({ min: 0, max: 6 }),
        (seed, low, span) => {
          const random = new Random(seed);
          const drawn = new Set(Array.from({ length: 300 }, () => random.int(low, low + span)));
          expect([...drawn].sort((a, b) => a - b)).toEqual(
            Array.from({ length: span + 1 }, (_, i) => low + i),
          );
          const real = random.range(low, low + 0.5);
          expect(real >= low && real < low + 0.5).toBe(true);
        },
      ),
    );
  });

  it('follow the weights', () => {
    const random = new Random('weights');
    const count = { a: 0, b: 0, never: 0 };
    for (let i = 0; i < 4000; i++) count[random.weighted({ a: 3, b: 1, never: 0 })]++;
    expect(count.never).toBe(0);
    // Three standard deviations of a binomial with p = 3/4 are 82.
    expect(Math.abs(count.a - 3000)).toBeLessThan(83);
  });
});

describe('reproducibility', () => {
  it('gives the same bytes for the same request, whatever was rendered before', () => {
    for (const domain of ['source', 'target'] as const) {
      const first = digest(renderScene({ ...SMALL, domain }));
      renderScene({ ...SMALL, domain, index: 5 });
      expect(digest(renderScene({ ...SMALL, domain }))).toBe(first);
    }
  });

  it('gives other scenes for another seed, domain, split or index', () => {
    const requests = [
      { ...SMALL, domain: 'source' as const },
      { ...SMALL, domain: 'target' as const },
      { ...SMALL, domain: 'source' as const, seed: 2 },
      { ...SMALL, domain: 'source' as const, split: 'val' },
      { ...SMALL, domain: 'source' as const, index: 1 },
    ];
    expect(new Set(requests.map((request) => digest(renderScene(request)))).size).toBe(requests.length);
  });

  // These are the bytes of street-synth/1: a change that alters them is another version.
  it.each([
    ['source', 'fc86b619550859fc69ed210994f77c3a6cf6357dc6b9fd1dc09860e1fa560576'],
    ['target', 'c631fd1dc503c0d4cf3678b5d73559225bb5531bdc0c2403e83c5709efb43093'],
  ] as const)('renders what version 1 renders (%s)', (domain, expected) => {
    expect(digest(renderScene({ seed: 1, domain, split: 'train', index: 0, width: 256, height: 128 }))).toBe(
      expected,
    );
  });

  it.each([{ width: 31 }, { height: 48.5 }, { seed: -1 }, { index: Number.NaN }])('refuses %j', (change) => {
    const key = Object.keys(change)[0]!;
    expect(() => renderScene({ ...SMALL, domain: 'source', ...change })).toThrow(
      new RegExp(`^street-synth: ${key} must`),
    );
  });
});

describe('labels', () => {
  it('are defined label ids at every size, and the picture has the size asked for', () => {
    const ids = new Set(CITYSCAPES_LABELS.map((label) => label.labelId));
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom<Domain>('source', 'target'),
        fc.integer({ min: 32, max: 90 }),
        fc.integer({ min: 32, max: 70 }),
        (seed, domain, width, height) => {
          const { image, labelIds } = renderScene({
            seed,
            domain,
            split: 'train',
            index: seed,
            width,
            height,
          });
          expect([image.width, image.height, image.data.length, labelIds.length]).toEqual([
            width,
            height,
            3 * width * height,
            width * height,
          ]);
          expect([...new Set(labelIds)].filter((id) => !ids.has(id))).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('show the own hood at the bottom of the target, and only there', () => {
    for (let index = 0; index < 5; index++) {
      const target = renderScene({ ...SMALL, domain: 'target', index, width: 128, height: 64 });
      expect(target.labelIds[63 * 128 + 64]).toBe(ID.egoVehicle);
      expect(target.labelIds.subarray(0, 128 * 50)).not.toContain(ID.egoVehicle);
      expect(renderScene({ ...SMALL, domain: 'source', index }).labelIds).not.toContain(ID.egoVehicle);
    }
  });
});

describe('the rasteriser', () => {
  const level: Camera = { x: 0, y: 1, pitch: 0, yaw: 0, roll: 0, focal: 1, bend: 0 };
  const overcast = { sun: [0, 0, 0], direction: [0, 1, 0], ambient: [1, 1, 1] } as const;
  const facing = [0, 0, -1] as const;
  const stageWith = (camera: Camera) => new Stage(100, 60, camera, overcast, new Random(0), ID.sky);
  /** An upright square around eye height, at distance z. */
  const square = (half: number, z: number) => [
    ...[-half, 1 - half, z, -half, 1 - half],
    ...[half, 1 - half, z, half, 1 - half],
    ...[half, 1 + half, z, half, 1 + half],
    ...[-half, 1 + half, z, -half, 1 + half],
  ];
  const columns = (stage: Stage, id: number, row: number) => {
    const xs = [...stage.labelIds.subarray(row * 100, row * 100 + 100)].flatMap((label, x) =>
      label === id ? [x] : [],
    );
    return [xs.length, xs[0]];
  };

  it('projects as a pinhole camera does', () => {
    const stage = stageWith(level);
    stage.polygon(square(1, 10), stage.surface(plain([1, 1, 1]), ID.car, facing));
    // 2 m at 10 m with a focal length of 100 samples: 20 samples, around the middle.
    expect(columns(stage, ID.car, 30)).toEqual([20, 40]);
    expect(stage.labelIds.filter((id) => id === ID.car)).toHaveLength(400);
    expect(1 / stage.nearness[30 * 100 + 50]!).toBeCloseTo(10, 5);
  });

  it('shows the nearer of two surfaces, whichever is drawn first', () => {
    for (const order of [
      [5, 10],
      [10, 5],
    ]) {
      const stage = stageWith(level);
      for (const z of order)
        stage.polygon(square(1, z), stage.surface(plain([1, 1, 1]), z === 5 ? ID.car : ID.building, facing));
      expect(columns(stage, ID.car, 30)).toEqual([40, 30]);
      expect(stage.labelIds).not.toContain(ID.building);
    }
  });

  it('interpolates texture coordinates in perspective', () => {
    const stage = stageWith(level);
    const ground = stage.surface(plain([1, 1, 1]), ID.road, [0, 1, 0], true);
    stage.polygon([-50, 0, 1, -50, 1, 50, 0, 1, 50, 1, 50, 0, 100, 50, 100, -50, 0, 100, -50, 100], ground);
    // Row 40's centre is 10.5 samples below the horizon: 1 m of height over 10.5 / 100.
    const i = 40 * 100 + 75;
    const depth = 1 / stage.nearness[i]!;
    expect(depth).toBeCloseTo(100 / 10.5, 3);
    expect(stage.vOver[i]! * depth).toBeCloseTo(100 / 10.5, 3);
    expect(stage.uOver[i]! * depth).toBeCloseTo(25.5 / 10.5, 3);
  });

  it('cuts what reaches behind the camera', () => {
    const stage = stageWith(level);
    const ground = stage.surface(plain([1, 1, 1]), ID.road, [0, 1, 0], true);
    stage.polygon([-50, 0, -20, 0, 0, 50, 0, -20, 0, 0, 50, 0, 1000, 0, 0, -50, 0, 1000, 0, 0], ground);
    for (let y = 0; y < 60; y++) expect(stage.labelIds[y * 100 + 50]).toBe(y < 30 ? ID.sky : ID.road);
    const behind = stageWith(level);
    behind.polygon(square(1, -10), behind.surface(plain([1, 1, 1]), ID.car, facing));
    expect(behind.labelIds).not.toContain(ID.car);
  });

  it('turns with the camera: down, right, and along the bend', () => {
    const centre = (camera: Partial<Camera>) => {
      const stage = stageWith({ ...level, ...camera });
      stage.polygon(square(0.2, 10), stage.surface(plain([1, 1, 1]), ID.car, facing));
      let n = 0;
      let x = 0;
      let y = 0;
      stage.labelIds.forEach((id, i) => {
        if (id !== ID.car) return;
        n++;
        x += (i % 100) + 0.5;
        y += Math.floor(i / 100) + 0.5;
      });
      return [x / n, y / n];
    };
    expect(centre({})).toEqual([50, 30]);
    expect(centre({ pitch: 0.1 })[1]).toBeCloseTo(30 - 100 * Math.tan(0.1), 0);
    expect(centre({ yaw: 0.1 })[0]).toBeCloseTo(50 - 100 * Math.tan(0.1), 0);
    expect(centre({ bend: 0.01 })[0]).toBeCloseTo(50 + 10, 0);
  });

  it('labels the gaps of a fence but keeps what is behind them in the picture', () => {
    const stage = stageWith(level);
    const cutout = { shape: 'bars' as const, period: 0.5, share: 0.5, rails: [-9, -9] as [number, number] };
    const fence = stage.surface({ ...plain([1, 0, 0]), cutout }, ID.fence, facing);
    const car = stage.surface(plain([0, 1, 0]), ID.car, facing);
    stage.polygon(square(1, 5), fence);
    stage.polygon(square(1, 10), car);
    stage.finish();
    const row = Array.from({ length: 20 }, (_, x) => 30 * 100 + 40 + x);
    expect(row.map((i) => stage.labelIds[i])).toEqual(Array(20).fill(ID.fence));
    expect(row.filter((i) => stage.surfaceAt[i] === fence)).toHaveLength(10);
    expect(row.filter((i) => stage.surfaceAt[i] === car)).toHaveLength(10);
  });
});

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
