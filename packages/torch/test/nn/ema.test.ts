// The teacher's weights: copies and running averages.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { liveTensors, noGrad, rand, tidy } from '../../src/index.js';
import * as nn from '../../src/nn/index.js';

describe('the teacher', () => {
  const network = () =>
    new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.BatchNorm2d(3), new nn.Conv2d(3, 1, 1));
  const values = (module: nn.Module) => module.parameters().map((p) => Array.from(p.toArray(), Number));

  test('copyParameters copies parameters and leaves buffers', () => {
    const student = network();
    const teacher = network();
    student.call(rand([2, 2, 4, 4]));
    nn.copyParameters(student, teacher);
    expect(values(teacher)).toEqual(values(student));
    expect(teacher.buffers().map((b) => b.tolist())).toEqual(
      network()
        .buffers()
        .map((b) => b.tolist()),
    );
    noGrad(() => student.parameters()[0]!.add_(1));
    expect(values(teacher)).not.toEqual(values(student));
  });

  test('emaUpdate_ is alpha teacher + (1 - alpha) student, for parameters only', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (alpha) => {
        tidy(() => {
          const student = network();
          const teacher = network();
          student.call(rand([2, 2, 4, 4]));
          const [mine, theirs] = [values(student), values(teacher)];
          nn.emaUpdate_(teacher, student, alpha);
          const wanted = theirs.flatMap((row, i) =>
            row.map((value, j) => alpha * value + (1 - alpha) * mine[i]![j]!),
          );
          const got = values(teacher).flat();
          expect(Math.max(...got.map((value, i) => Math.abs(value - wanted[i]!)))).toBeLessThan(3e-7);
          expect(values(student)).toEqual(mine);
          expect(teacher.buffers().map((b) => b.tolist())).toEqual(
            network()
              .buffers()
              .map((b) => b.tolist()),
          );
        });
      }),
      { numRuns: 20 },
    );
  });

  test('nothing is recorded for autograd and nothing leaks', () => {
    const [student, teacher] = [network(), network()];
    const before = liveTensors();
    nn.copyParameters(student, teacher);
    nn.emaUpdate_(teacher, student, 0.9);
    expect(liveTensors()).toBe(before);
    expect(teacher.parameters().every((p) => p.isLeaf())).toBe(true);
  });

  test('networks of other parameters are refused', () => {
    const other = new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.BatchNorm2d(3), new nn.Conv2d(3, 2, 1));
    expect(() => nn.emaUpdate_(other, network(), 0.9)).toThrow('2.weight [1,3,1,1]');
    expect(() => nn.copyParameters(new nn.Sequential(), network())).toThrow('0.weight');
    expect(() => nn.copyParameters(network(), new nn.Sequential())).toThrow('0.weight');
    expect(() => nn.emaUpdate_(network(), network(), 1.1)).toThrow(RangeError);
  });
});
