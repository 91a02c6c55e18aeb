// The profiler: names, nesting, modules forward and backward, and that it leaves nothing behind.

import { describe, expect, test } from 'vitest';
import { nn, ones, ops, profile, randn, tidy } from '../src/index.js';

class Block extends nn.Module {
  readonly fc1 = new nn.Linear(32, 64);
  readonly fc2 = new nn.Linear(64, 32);
  forward(x: import('../src/index.js').Tensor) {
    return this.fc2.call(this.fc1.call(x).gelu());
  }
}

describe('profile', () => {
  test('counts every operator once and gives calls inside others to those', () => {
    const x = randn([8, 32]);
    const { events, wall } = profile(() => tidy(() => void ops.linear(x, ones([16, 32])).relu()));
    const names = events.map(({ name }) => name);
    expect(names.filter((name) => name === 'aten::relu')).toHaveLength(1);
    const linear = events.find(({ name }) => name === 'aten::linear')!;
    const inside = events.filter(
      ({ start, duration }) =>
        start >= linear.start && start + duration <= linear.start + linear.duration && start !== linear.start,
    );
    expect(inside.map(({ name }) => name)).toContain('aten::mm');
    // Every instant belongs to one operator alone: self times add up to the outermost durations, within the wall time.
    const self = events.reduce((sum, event) => sum + event.self, 0) / 1e6;
    expect(self).toBeGreaterThan(0);
    expect(self).toBeLessThanOrEqual(wall);
    for (const event of events) expect(event.self).toBeGreaterThanOrEqual(0);
  });

  test('names the module of every operator, forward and backward', () => {
    const block = new Block();
    const x = randn([128, 32]);
    const taken = profile(() => tidy(() => block.call(x).sum().backward()), {
      modules: { block },
      shapes: true,
    });
    const of = (name: string) => taken.events.filter((event) => event.name === name);
    expect(of('aten::addmm').map(({ module }) => module)).toEqual(['block.fc1', 'block.fc2']);
    expect(of('aten::gelu').map(({ module }) => module)).toEqual(['block']);
    expect(of('AddmmBackward0').map(({ module, kind }) => [module, kind])).toEqual([
      ['block.fc2', 'backward'],
      ['block.fc1', 'backward'],
    ]);
    expect(of('aten::addmm')[0]!.shapes).toContain('128x32');
    const rows = taken.byModule();
    const whole = rows.find(({ name }) => name === 'block')!;
    const parts = rows.filter(({ name }) => name.startsWith('block.'));
    expect(whole.calls).toBe(1);
    expect(whole.total).toBeCloseTo(whole.self + parts.reduce((sum, { total }) => sum + total, 0), 6);
    expect(whole.backward).toBeGreaterThan(0);
    const trace = taken.chromeTrace();
    expect(trace.traceEvents).toHaveLength(taken.events.length);
  });

  test('ends with the work, also when it fails', () => {
    expect(() =>
      profile(() => {
        throw new Error('broken');
      }),
    ).toThrow('broken');
    expect(profile(() => {}).events).toEqual([]);
    expect(() => profile(() => void profile(() => {}))).toThrow('a profile is being taken already');
    expect(profile(() => {}).events).toEqual([]);
  });
});
