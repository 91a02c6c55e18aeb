// Margins of the camera's image in crops, against a look at every pixel.

import { tidy } from '@pgpc/torch';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { betweenImageMargins } from '../../src/pipeline/margins.js';
import { matrix } from '../support/method.js';

const side = fc.integer({ min: 1, max: 12 });
const margin = fc.double({ min: 0, max: 0.49, noNaN: true });

test('a pixel counts where it lies between the margins of its image, at its place and mirrored with it', () => {
  fc.assert(
    fc.property(
      fc.record({
        of: fc.record({ width: side, height: side }),
        crop: fc.record({ width: side, height: side }),
      }),
      fc.record({ top: margin, bottom: margin, left: margin, right: margin }),
      fc.boolean(),
      fc.nat(),
      fc.nat(),
      ({ of, crop }, margins, mirrored, down, across) => {
        const [width, height] = [Math.min(of.width, crop.width), Math.min(of.height, crop.height)];
        const [top, left] = [down % (of.height - height + 1), across % (of.width - width + 1)];
        const between = (at: number, length: number, before: number, after: number) =>
          at >= Math.round(before * length) && at < length - Math.round(after * length);
        const expected = Array.from({ length: crop.height }, (_, y) =>
          Array.from({ length: crop.width }, (_, x) => {
            const column = mirrored ? width - 1 - x : x;
            const inside =
              y < height &&
              x < width &&
              between(top + y, of.height, margins.top, margins.bottom) &&
              between(left + column, of.width, margins.left, margins.right);
            return inside ? 1 : 0;
          }),
        );
        tidy(() => {
          const place = { top, left, mirrored, of };
          const valid = betweenImageMargins([{ width, height, place }], margins, crop);
          expect(matrix(valid.squeeze(0))).toEqual(expected);
        });
      },
    ),
  );
});
