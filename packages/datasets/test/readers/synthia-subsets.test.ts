// SYNTHIA's subsets: what tells them, and that the same ids become each one's own classes.
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { cacheDataset } from '../../src/cache.js';
import { detectLayout, openDataset } from '../../src/open.js';
import { failure, grey, rgb, Workspace, wide } from '../support/files.js';

const space = new Workspace();
const open = (folder = '') => openDataset({ format: 'synthia', root: space.path(folder) });
const why = async (folder: string) => (await detectLayout(space.path(folder))).why;

async function pair(name: string, values: number[], root = ''): Promise<void> {
  await space.put(`${root}RGB/${name}.png`, rgb(values.length, 1));
  await space.put(`${root}GT/LABELS/${name}.png`, wide(values.length, 1, values));
}

describe('subsets of SYNTHIA', () => {
  it('are told by cameras, names, a README or ids; 12 is a lane or a motorcycle', async () => {
    await pair('Stereo_Left/Omni_F/000000', [3, 11, 12, 15], 'cameras/');
    await pair('000000', [3, 11, 12, 15], 'SYNTHIA-SEQS-04-DAWN/');
    await pair('0', [3, 11, 12, 15], 'SYNTHIA_RAND_CITYSCAPES/');
    await pair('0', [3, 11, 12, 15], 'readme/');
    await space.put('readme/README.txt', 'This package contains the SYNTHIA-SEQS-04-DAWN subset');
    await pair('0', [3, 11, 12, 22], 'ids/');
    const found = [];
    for (const folder of ['cameras', 'SYNTHIA-SEQS-04-DAWN', 'SYNTHIA_RAND_CITYSCAPES', 'readme', 'ids']) {
      found.push([await why(folder), [...(await (await open(folder)).readLabel(0)).data]]);
    }
    expect(found).toEqual([
      ['SYNTHIA-SEQS, by RGB/Stereo_Left/', [0, 18, 255, 6]],
      ["SYNTHIA-SEQS, by the folder's name", [0, 18, 255, 6]],
      ["SYNTHIA-RAND-CITYSCAPES, by the folder's name", [0, 18, 17, 6]],
      ['SYNTHIA-SEQS, by README.txt', [0, 18, 255, 6]],
      ['SYNTHIA-RAND-CITYSCAPES, by the id 22 in its labels', [0, 18, 17, 255]],
    ]);
    const seqs = await open('cameras');
    expect(seqs.samples[0]!.id).toBe('Stereo_Left/Omni_F/000000');
    await pair('Stereo_Left/Omni_F/000000', [16], 'cameras/');
    expect(await failure(seqs.readLabel(0))).toMatch(/16 \(1 pixel\)/);
  });

  it('are refused where the same id means different things and nothing tells which', async () => {
    await pair('0', [3, 11, 12, 15]);
    expect(await failure(open())).toMatch(/id 12, motorcycle in .* lane marking in .*README\.txt/);
    expect(await failure(detectLayout(space.root))).toMatch(/name the folder after its subset/);
    await space.put('README.txt', 'SYNTHIA-RAND-CITYSCAPES');
    expect([...(await (await open()).readLabel(0)).data]).toEqual([0, 18, 17, 6]);
  });

  it('may be several sequences in one folder', async () => {
    await pair('Stereo_Left/Omni_F/000000', [3], 'SYNTHIA-SEQS-01-DAWN/');
    await pair('Stereo_Left/Omni_F/000000', [4], 'SYNTHIA-SEQS-02-FOG/');
    const set = await open();
    expect(set.samples.map(({ id }) => id)).toEqual([
      'SYNTHIA-SEQS-01-DAWN/Stereo_Left/Omni_F/000000',
      'SYNTHIA-SEQS-02-FOG/Stereo_Left/Omni_F/000000',
    ]);
    expect([...(await set.readLabel(1)).data]).toEqual([1]);
  });

  it("read SYNTHIA-SF by the first channel, Cityscapes' trainId plus 1", async () => {
    const label = (depth: 8 | 16, ids: number[]) =>
      encode({
        width: ids.length,
        height: 1,
        channels: 3,
        depth,
        data: (depth === 8 ? Uint8Array : Uint16Array).from(ids.flatMap((id) => [id, 77, 0])),
      });
    for (const [sequence, depth] of [
      ['SEQ1', 8],
      ['SEQ2', 16],
    ] as const) {
      await space.put(`sf/${sequence}/RGBLeft/0000001.png`, rgb(5, 1));
      await space.put(`sf/${sequence}/RGBRight/0000001.png`, rgb(5, 1));
      await space.put(`sf/${sequence}/GTLeft/0000001.png`, label(depth, [0, 1, 19, 20, 22]));
    }
    expect(await why('sf')).toBe('SYNTHIA-SF, by SEQ1/RGBLeft/');
    const set = await open('sf');
    expect(set.samples.map(({ id }) => id)).toEqual(['SEQ1/0000001', 'SEQ2/0000001']);
    for (const index of [0, 1]) {
      expect([...(await set.readLabel(index)).data]).toEqual([255, 0, 18, 255, 255]);
    }
    await cacheDataset(set, space.path('copy'));
    expect(await (await open('copy')).readLabel(1)).toEqual(await set.readLabel(1));
    await space.put('sf/SEQ1/GTLeft/0000001.png', rgb(5, 1));
    expect(await failure(set.readLabel(0))).toMatch(/90 \(5 pixels\)/);
    await space.put('sf/SEQ1/GTLeft/0000001.png', grey(5, 1, [0, 1, 2, 3, 4]));
    expect(await failure(set.readLabel(0))).toMatch(/must have several channels .*1 of 8 bits/);
  });

  it("are not taken from folders RGB and masks of one's own", async () => {
    await space.put('RGB/a.png', rgb(3, 1));
    await space.put('masks/a.png', grey(3, 1, [0, 1, 2]));
    expect(await detectLayout(space.root)).toEqual({ format: 'folder', why: 'RGB/ and masks/' });
    const set = await openDataset({ format: 'folder', root: space.root });
    expect([...(await set.readLabel(0)).data]).toEqual([0, 1, 2]);
  });

  it('that are not read are named', async () => {
    await pair('0', [3]);
    await space.put('GTTXT/0.txt', '0 1');
    expect(await failure(open())).toMatch(/is SYNTHIA-RAND-CVPR16, by GTTXT\/, which is not read/);
  });
});
