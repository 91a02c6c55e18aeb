// Rendered scenes: the same bytes for the same request, and labels that are defined.
import { createHash } from 'node:crypto';
import { CITYSCAPES_LABELS } from '@pgpc/datasets';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Domain } from '../src/domains.js';
import { ID } from '../src/primitives.js';
import { type RenderedScene, renderScene } from '../src/render.js';

const SMALL = { seed: 1, split: 'train', index: 0, width: 64, height: 32 };

function digest({ image, labelIds }: RenderedScene): string {
  return createHash('sha256').update(image.data).update(labelIds).digest('hex');
}

describe('reproducibility', () => {
  it('gives the same bytes for the same request, whatever was rendered before', () => {
    for (const domain of ['source', 'target', 'varied'] as const) {
      const first = digest(renderScene({ ...SMALL, domain }));
      renderScene({ ...SMALL, domain, index: 5 });
      expect(digest(renderScene({ ...SMALL, domain }))).toBe(first);
    }
  });

  it('gives other scenes for another seed, domain, split or index', () => {
    const requests = [
      { ...SMALL, domain: 'source' as const },
      { ...SMALL, domain: 'target' as const },
      { ...SMALL, domain: 'varied' as const },
      { ...SMALL, domain: 'varied' as const, index: 1 },
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
    ['varied', '0d0b35985737bf86c7a6546795b3e8b198510f3095400fbb9c41d5f92e12254d'],
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
        fc.constantFrom<Domain>('source', 'target', 'varied'),
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
      for (const domain of ['source', 'varied'] as const) {
        expect(renderScene({ ...SMALL, domain, index }).labelIds).not.toContain(ID.egoVehicle);
      }
    }
  });
});
