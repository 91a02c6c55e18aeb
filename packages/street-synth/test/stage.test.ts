// The rasteriser: projection, depth, perspective and clipping.
import { describe, expect, it } from 'vitest';
import { plain } from '../src/paint.js';
import { ID } from '../src/primitives.js';
import { Random } from '../src/random.js';
import { type Camera, Stage } from '../src/stage.js';

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
