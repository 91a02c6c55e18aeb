// Checks of datasets, on tiny folders with every kind of fault.
import { stat, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkDataset, checkSamples } from '../src/check.js';
import { FileDataset } from '../src/readers/file-dataset.js';
import { openGta5 } from '../src/readers/gta5.js';
import { colored, grey, rgb, Workspace } from './support/files.js';

const space = new Workspace();

async function pair(id: string, values: readonly number[], width = values.length): Promise<void> {
  const height = values.length / width;
  await space.put(`gta5/images/${id}.png`, rgb(width, height));
  await space.put(`gta5/labels/${id}.png`, grey(width, height, values));
}

const gta5 = () => ({ format: 'gta5' as const, root: space.path('gta5') });

describe('check', () => {
  it('finds nothing wrong with good data', async () => {
    await pair('1', [7, 8]);
    const { faults, samples, labelled, dataset } = await checkDataset(gta5());
    expect([faults, samples, labelled, dataset?.samples.length]).toEqual([[], 1, 1, 1]);
  });

  it('reports every fault with its file, and keeps the good samples', async () => {
    for (const id of ['good', 'size', 'value', 'text', 'cut', 'both', 'coloured'])
      await pair(id, [7, 8, 11, 0], 2);
    await space.put('gta5/labels/size.png', grey(4, 1, [7, 7, 7, 7]));
    await space.put('gta5/labels/value.png', grey(2, 2, [7, 99, 99, 50]));
    await space.put('gta5/images/text.png', 'no image');
    const whole = rgb(2, 2);
    await space.put('gta5/images/cut.png', whole.slice(0, whole.length - 20));
    await space.put('gta5/images/both.png', 'no image');
    await space.put('gta5/labels/both.png', 'no label');
    await space.put('gta5/labels/coloured.png', colored(2, 2, [0x804080, 0, 0, 0]));
    await space.put('gta5/images/alone.png', rgb(1, 1));
    await space.put('gta5/labels/orphan.png', grey(1, 1, [7]));
    await symlink('loop.png', space.path('gta5/images/loop.png'));
    const progress: number[] = [];
    const { faults, samples, dataset } = await checkDataset(gta5(), {
      onProgress: (done) => progress.push(done),
    });
    expect(samples).toBe(7);
    expect(progress).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(dataset!.samples.map(({ id }) => id)).toEqual(['good']);
    const found = faults.map(({ file, kind }) => `${kind} ${path.relative(gta5().root, file)}`);
    expect(found.sort()).toEqual(
      [
        'label-format labels/coloured.png',
        'missing-pair images/alone.png',
        'missing-pair labels/orphan.png',
        'size-mismatch labels/size.png',
        'symlink-loop images/loop.png',
        'undecodable images/both.png',
        'undecodable images/cut.png',
        'undecodable images/text.png',
        'undecodable labels/both.png',
        'unknown-value labels/value.png',
      ].map((line) => line.replaceAll('/', path.sep)),
    );
    for (const { message, file } of faults) {
      expect(message.startsWith(`${file}: `)).toBe(true);
      expect(message).not.toContain('\n');
    }
    const unknown = faults.find(({ kind }) => kind === 'unknown-value')!;
    expect(unknown.message).toMatch(/50 \(1 pixel\), 99 \(2 pixels\)/);
    expect((await checkSamples(dataset!)).size).toBe(0);
  });

  it('reports an empty or missing folder as a fault', async () => {
    expect((await checkDataset(gta5())).faults.map(({ kind }) => kind)).toEqual(['missing']);
    await space.put('gta5/images/notes.txt', '');
    await space.put('gta5/labels/1.png', '');
    expect((await checkDataset(gta5())).faults.map(({ kind }) => kind)).toEqual(['empty']);
  });

  it('passes over what an earlier check found good, as long as it has not changed', async () => {
    for (const id of ['1', '2']) await pair(id, [7, 8]);
    await space.put('gta5/labels/2.png', 'text');
    const set = await openGta5(gta5().root);
    const bad = async (trustEarlier: boolean) => [...(await checkSamples(set, { trustEarlier })).keys()];
    expect(await bad(true)).toEqual([1]);
    expect(await bad(true)).toEqual([1]);
    // The same size and time, but no image any more: only a check of everything finds it.
    const image = space.path('gta5/images/1.png');
    const { size } = await stat(image);
    await utimes(image, 1e9, 1e9);
    expect(await bad(true)).toEqual([1]);
    await writeFile(image, 'x'.repeat(size));
    await utimes(image, 1e9, 1e9);
    expect(await bad(true)).toEqual([1]);
    expect(await bad(false)).toEqual([0, 1]);
    await utimes(image, 1e9, 1e9 + 1);
    expect(await bad(true)).toEqual([0, 1]);
    // Other classes make other values good.
    await pair('1', [7, 8]);
    await pair('2', [7, 8]);
    expect(await bad(true)).toEqual([]);
    const table = set.labelCoding.kind === 'values' ? set.labelCoding.table.slice() : new Uint8Array(256);
    table[8] = 254;
    const other = new FileDataset({ ...set, labelCoding: { kind: 'values', table } });
    expect((await checkSamples(other, { trustEarlier: true })).size).toBe(2);
  });

  it('stops when told to', async () => {
    await pair('1', [7]);
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(checkDataset(gta5(), { signal })).rejects.toThrow('stop');
  });
});
