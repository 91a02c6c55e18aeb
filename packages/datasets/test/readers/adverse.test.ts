// The readers of ACDC and Dark Zurich on tiny folders.
import { describe, expect, it } from 'vitest';
import { detectFormat } from '../../src/open.js';
import { openAcdc, openDarkZurich } from '../../src/readers/adverse.js';
import { failure, grey, rgb, Workspace } from '../support/files.js';

const space = new Workspace();

const ids = (set: { samples: readonly { id: string }[] }) => set.samples.map(({ id }) => id);

describe('ACDC', () => {
  const image = (place: string) => space.put(`rgb_anon/${place}_rgb_anon.png`, rgb(2, 1));
  const label = (place: string, values: number[], kind = 'labelTrainIds') =>
    space.put(`gt/${place}_gt_${kind}.png`, grey(2, 1, values));

  it('reads all conditions or some, in the published and the rearranged order', async () => {
    for (const condition of ['fog', 'night', 'rain', 'snow']) {
      await image(`${condition}/val/G1/G1_1`);
      await label(`${condition}/val/G1/G1_1`, [0, 255]);
    }
    const all = await openAcdc(space.root, 'val');
    expect(ids(all)).toEqual(['fog/G1/G1_1', 'night/G1/G1_1', 'rain/G1/G1_1', 'snow/G1/G1_1']);
    expect([...(await all.readLabel(0)).data]).toEqual([0, 255]);
    expect(ids(await openAcdc(space.root, 'val', { conditions: ['night'] }))).toEqual(['night/G1/G1_1']);
    await image('train/night/G2/G2_1');
    const train = await openAcdc(space.root, 'train', { conditions: ['night'] });
    expect(ids(train)).toEqual(['night/G2/G2_1']);
    expect(train.samples[0]).not.toHaveProperty('label');
  });

  it('reads label ids where there are no trainIds', async () => {
    await image('fog/val/G/1');
    await label('fog/val/G/1', [26, 1], 'labelIds');
    const set = await openAcdc(space.root, 'val', { conditions: ['fog'] });
    expect([...(await set.readLabel(0)).data]).toEqual([13, 255]);
  });

  it('names an image without label, and validation without labels', async () => {
    await image('fog/val/G/1');
    expect(await failure(openAcdc(space.root, 'val', { conditions: ['fog'], labels: 'required' }))).toMatch(
      /gt: not found; the labels of 'val'/,
    );
    await image('fog/val/G/2');
    await label('fog/val/G/1', [0, 0]);
    expect(await failure(openAcdc(space.root, 'val', { conditions: ['fog'] }))).toMatch(
      /2_rgb_anon\.png: no label .*gt.fog.val.G.2_gt_labelTrainIds\.png is missing/,
    );
  });
});

describe('Dark Zurich', () => {
  it('reads the night, whose labels only `val` has', async () => {
    await space.put('rgb_anon/train/night/G1/a_rgb_anon.png', rgb(1, 1));
    await space.put('rgb_anon/train/day/G2/b_rgb_anon.png', rgb(1, 1));
    await space.put('rgb_anon/val/night/G3/c_rgb_anon.png', rgb(1, 1));
    await space.put('gt/val/night/G3/c_gt_labelTrainIds.png', grey(1, 1, [13]));
    await space.put('gt/val/night/G3/c_gt_labelColor.png', rgb(1, 1));
    expect(ids(await openDarkZurich(space.root, 'train'))).toEqual(['night/G1/a']);
    expect(ids(await openDarkZurich(space.root, 'train', { conditions: ['day', 'night'] }))).toHaveLength(2);
    const val = await openDarkZurich(space.root, 'val');
    expect([...(await val.readLabel(0)).data]).toEqual([13]);
    expect(await detectFormat(space.root)).toBe('dark-zurich');
  });
});
