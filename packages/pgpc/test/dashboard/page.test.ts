// What the page computes: metrics that grow, curves reduced to pixels, smoothing, colours, maps of features.

import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CITYSCAPES_CLASSES } from '@pgpc/datasets';
import { saveSafetensors, tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withoutContrast, withoutPictures } from '../../page/src/contrast-options.js';
import { cosine } from '../../page/src/cosine.js';
import { byNeighbours, byVariance, type Point } from '../../page/src/feature-map.js';
import { columnPositions, reduce } from '../../page/src/pixel-columns.js';
import { RunMetrics } from '../../page/src/run-metrics.js';
import { distanceOf, safeColors } from '../../page/src/safe-colors.js';
import { eachRow, readSafetensors } from '../../page/src/safetensors.js';
import { isNoisy, smoothed } from '../../page/src/smoothing.js';
import { MetricsFeed } from '../../src/dashboard/metrics-feed.js';
import * as series from '../../src/report/series.js';
import { openRun } from '../../src/training/run-directory/open-run.js';
import { RunDirectory } from '../../src/training/run-directory/run-directory.js';
import type { MetricRecord, RunInfo } from '../../src/training/run-directory/schema.js';
import { int64, normal, unitRows } from '../support/method.js';

/** The records as `openRun` gives them. */
function recordsOf(metrics: RunMetrics): MetricRecord[] {
  return metrics.series.flatMap(({ phase, seed, iterations, wall, curves }) =>
    iterations.map((iteration, i) => {
      const values: Record<string, number> = {};
      for (const [name, { at, y }] of curves) {
        const place = at.indexOf(i);
        if (place >= 0) values[name] = y[place]!;
      }
      return { phase, ...(seed === undefined ? {} : { seed }), iteration, wall: wall[i]!, values };
    }),
  );
}

test('metrics read in pieces, with resumed and doubled iterations, are the same as of the whole file', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pgpc-feed-'));
  const run = RunDirectory.create(folder, 'run', { config: {}, seed: 1, versions: {} });
  const file = path.join(run.path, 'metrics.jsonl');
  const line = fc.record(
    {
      phase: fc.constantFrom('a', 'b'),
      seed: fc.constantFrom(1, 2),
      iteration: fc.integer({ min: 0, max: 6 }),
      wall: fc.integer({ min: 0, max: 99 }),
      x: fc.option(fc.integer()),
      'loss/y': fc.option(fc.double({ noDefaultInfinity: true, noNaN: true })),
    },
    { requiredKeys: ['phase', 'iteration', 'wall'] },
  );
  fc.assert(
    fc.property(fc.array(line, { maxLength: 25 }), fc.array(fc.nat(2000)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((one) => `${JSON.stringify(one)}\n`).join(''));
      writeFileSync(file, '');
      const feed = new MetricsFeed(file);
      // One reader asks after every piece, the other after every second.
      const readers = [new RunMetrics(), new RunMetrics()];
      const ends = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      for (const [i, end] of ends.entries()) {
        appendFileSync(file, bytes.subarray(ends[i - 1] ?? 0, end));
        for (const reader of i % 2 === 0 ? readers : readers.slice(1)) {
          reader.apply(feed.since(reader.cursor, 'same'));
        }
      }
      for (const reader of readers) reader.apply(feed.since(reader.cursor, 'same'));
      const expected = openRun(run.path).metrics;
      for (const reader of readers) expect(recordsOf(reader)).toEqual(expected);
    }),
    { numRuns: 100 },
  );
  rmSync(folder, { recursive: true });
});

test('a column of pixels has its lowest and highest value, in their order', () => {
  const point = fc.tuple(fc.integer({ min: -50, max: 150 }), fc.option(fc.integer({ min: -9, max: 9 })));
  fc.assert(
    fc.property(fc.array(point), fc.integer({ min: 1, max: 40 }), (points, columns) => {
      const unique = [...new Map(points)].sort(([a], [b]) => a - b);
      const x = unique.map(([at]) => at);
      const y = unique.map(([, value]) => value ?? Number.NaN);
      const reduced = reduce({ x, y }, 0, 100, columns);
      expect(reduced).toHaveLength(columnPositions(0, 100, columns).length);
      for (let column = 0; column < columns; column++) {
        const inside = unique.filter(
          ([at]) =>
            at >= 0 && at <= 100 && Math.min(columns - 1, Math.floor((at / 100) * columns)) === column,
        );
        const finite = inside.flatMap(([, value]) => value ?? []);
        const drawn = reduced.slice(1 + 2 * column, 3 + 2 * column);
        if (inside.length === 0) expect(drawn).toEqual([undefined, undefined]);
        else if (finite.length === 0) expect(drawn).toEqual([null, undefined]);
        else {
          const [low, high] = [Math.min(...finite), Math.max(...finite)];
          const order = finite.indexOf(low) <= finite.indexOf(high) ? [low, high] : [high, low];
          expect(drawn).toEqual(low === high ? [low, undefined] : order);
        }
      }
    }),
  );
});

test('a line that leads out of the picture is drawn to its edge', () => {
  const curve = { x: [0, 10, 20, 30], y: [0, 1, 2, 3] };
  const reduced = reduce(curve, 5, 25, 20);
  expect([reduced[0], reduced.at(-1)]).toEqual([0.5, 2.5]);
  expect(columnPositions(5, 25, 20)[0]).toBe(5);
  expect(columnPositions(5, 25, 20).at(-1)).toBe(25);
  // Between two points there is their line alone.
  expect(reduce(curve, 12, 18, 3)).toEqual([1.2, ...Array(6).fill(undefined), 1.8]);
});

test('smoothing and its need are the report’s', () => {
  const values = fc.array(fc.oneof(fc.double({ min: -100, max: 100 }), fc.constant(0)));
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 20 }), (y, span) => {
      const points = y.map((value, x) => ({ x, y: value }));
      expect([...smoothed(y, span)]).toEqual(series.smooth(points, span).map((point) => point.y));
      expect(isNoisy(y)).toBe(series.isNoisy(points));
    }),
  );
});

test('safe colours are farther apart than the classes’ own, whatever cones are missing', () => {
  const least = (colors: readonly (readonly [number, number, number])[]) =>
    Math.min(...colors.flatMap((a, i) => colors.slice(i + 1).map((b) => distanceOf(a, b))));
  const own = CITYSCAPES_CLASSES.map(({ color }) => color);
  expect(least(safeColors(19))).toBeGreaterThan(4 * least(own));
  expect(safeColors(30).slice(0, 19)).toEqual(safeColors(19));
  // Red and green are apart for all but the eyes that miss a cone for them.
  expect(distanceOf([200, 60, 0], [110, 110, 0])).toBeLessThan(0.15);
  expect(distanceOf([255, 255, 255], [0, 0, 0])).toBeCloseTo(1, 3);
});

test('features are read as they were written, whatever numbers they have', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'pgpc-features-'));
  const file = path.join(folder, 'one.safetensors');
  const bytes = (length?: number) => {
    const read = readFileSync(file);
    return read.buffer.slice(read.byteOffset, read.byteOffset + (length ?? read.length)) as ArrayBuffer;
  };
  tidy(() => {
    const rows = normal([5, 3], 1);
    const short = rows.to('bfloat16');
    const owner = int64([4, 0, 3, 255, 7]);
    saveSafetensors(
      file,
      { rows, short, owner: owner.to('int32'), known: owner.to('uint8') },
      { by: 'a test' },
    );
    const read = readSafetensors(bytes());
    expect([...read.keys()]).toEqual(['rows', 'short', 'owner', 'known']);
    expect(eachRow(read.get('rows')!).map((row) => [...row])).toEqual(rows.tolist());
    expect(eachRow(read.get('short')!).map((row) => [...row])).toEqual(short.to('float32').tolist());
    for (const name of ['owner', 'known']) expect([...read.get(name)!.values]).toEqual([4, 0, 3, 255, 7]);
    expect(() => readSafetensors(bytes(5))).toThrow('cut off');
    expect(() => readSafetensors(bytes(readFileSync(file).length - 1))).toThrow(/cut off|multiple/);
    saveSafetensors(file, { owner });
    expect(() => readSafetensors(bytes())).toThrow('I64');
  });
  rmSync(folder, { recursive: true });
});

test('a map has groups apart, the same every time, and a row that moves into it beside the rows that it is like', () => {
  const groups = tidy(() => {
    const centres = unitRows([3, 16], 1);
    const noise = normal([3, 12, 16], 2).mul(0.03);
    return centres.unsqueeze(1).add(noise).tolist() as number[][][];
  });
  const placed = groups.flatMap((rows) => rows.slice(0, 10));
  const moved = groups.flatMap((rows) => rows.slice(10));
  const task = { placed, moved };
  const distance = (a: Point, b: Point) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  for (const map of [byVariance(task), byNeighbours(task)!]) {
    const all = [...map.placed, ...map.moved];
    const group = [...placed.map((_, i) => Math.floor(i / 10)), ...moved.map((_, i) => Math.floor(i / 2))];
    for (const [i, point] of all.entries()) {
      const others = map.placed
        .map((other, j) => ({ j, far: distance(point, other) }))
        .filter(({ j }) => j !== i);
      const nearest = others.toSorted((a, b) => a.far - b.far)[0]!;
      expect([i, group[nearest.j]]).toEqual([i, group[i]]);
    }
  }
  expect(byNeighbours(task)).toEqual(byNeighbours(task));
  expect(byVariance(task)).toEqual(byVariance(task));
  // Along the two widest directions points are as far apart as the rows are, at most.
  const { placed: plane } = byVariance(task);
  for (const [i, point] of plane.entries()) {
    const far = Math.hypot(...placed[i]!.map((x, d) => x - placed[0]![d]!));
    expect(distance(point, plane[0]!)).toBeLessThan(far + 1e-9);
  }
  expect(byNeighbours({ placed: placed.slice(0, 9), moved })).toBeUndefined();
  expect(byVariance({ placed: placed.slice(0, 1), moved: [] }).placed).toEqual([[0, 0]]);
  expect(cosine([0.6, 0.8], [0.8, -0.6])).toBeCloseTo(0, 12);
});

test('what a contrast does not have is said in words', () => {
  const info = (contrast?: object) =>
    ({ config: { experiment: { method: { contrast } } } }) as unknown as RunInfo;
  expect(withoutContrast(info())).toContain('its method has no contrast');
  expect(withoutContrast({ config: {} } as RunInfo)).toContain('recorded');
  const all = new Set(['anchors', 'negatives']);
  const plus = info({ type: 'pixel-to-prototype', anchorDomains: 'both' });
  expect(withoutPictures(plus, new Set(['anchors']))[0]).toContain('prototypes of the other classes');
  const source = info({ type: 'hybrid', anchorDomains: 'source', negativeDomains: 'source' });
  expect(withoutPictures(source, new Set())).toHaveLength(2);
  expect(withoutPictures(source, all)).toEqual([]);
});
