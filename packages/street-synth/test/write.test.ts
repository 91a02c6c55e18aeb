// Rendered scenes on disk: the readers give back exactly what was rendered, and writing twice is writing once.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { SegmentationDataset } from '@pgpc/datasets';
import {
  CITYSCAPES_LABEL_TO_TRAIN_ID,
  detectLayout,
  LABEL_PALETTE,
  openCityscapes,
  openGta5,
  openSynthia,
} from '@pgpc/datasets';
import { decode } from 'fast-png';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { renderScene, streetSynthFolders, writeStreetSynth } from '../src/index.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'pgpc-street-synth-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const OPTIONS = { seed: 9, sourceTrain: 3, sourceVal: 1, targetTrain: 2, targetVal: 2, width: 64 };

/** Every file below `root` with its time of change and content. */
async function snapshot(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files.set(
      path.relative(root, file),
      `${(await stat(file)).mtimeMs} ${(await readFile(file)).toString('base64')}`,
    );
  }
  return files;
}

/** The scene is to be written again, which its image cannot be. */
async function putFolderInPlaceOfImage(root: string): Promise<void> {
  for (const name of ['images/00002.png', 'labels/00002.png']) await rm(path.join(root, 'gta5', name));
  await mkdir(path.join(root, 'gta5/images/00002.png'));
}

it('reads back as it was rendered, through the real readers', async () => {
  expect(await writeStreetSynth(root, { ...OPTIONS, targetTest: 1 })).toEqual({ total: 9, written: 9 });
  const folders = streetSynthFolders(root);
  const parts: [SegmentationDataset, 'source' | 'target', 'train' | 'val' | 'test', number, number][] = [
    [await openGta5(folders.source), 'source', 'train', 3, 36],
    [await openGta5(folders.sourceVal), 'source', 'val', 1, 36],
    [await openCityscapes(folders.target, 'train'), 'target', 'train', 2, 32],
    [await openCityscapes(folders.target, 'val'), 'target', 'val', 2, 32],
    [await openCityscapes(folders.target, 'test'), 'target', 'test', 1, 32],
  ];
  for (const [set, domain, split, count, height] of parts) {
    expect(set.samples).toHaveLength(count);
    for (let index = 0; index < count; index++) {
      const scene = renderScene({ seed: 9, domain, split, index, width: 64, height });
      expect(await set.readImage(index)).toEqual(scene.image);
      const label = await set.readLabel(index);
      expect([label.width, label.height]).toEqual([64, height]);
      expect(label.data).toEqual(scene.labelIds.map((id) => CITYSCAPES_LABEL_TO_TRAIN_ID[id]!));
    }
  }
  expect(parts[2]![0].samples[1]!.id).toBe('synth/synth_000001_000019');
});

it('writes varied scenes beside the domains, and leaves all else as it is without them', async () => {
  await writeStreetSynth(root, OPTIONS);
  const manifest = await readFile(path.join(root, 'street-synth.json'), 'utf8');
  expect(manifest).not.toContain('varied');
  const before = await snapshot();
  expect(await writeStreetSynth(root, { ...OPTIONS, varied: 0 })).toEqual({ total: 8, written: 0 });
  expect(await snapshot()).toEqual(before);
  await expect(writeStreetSynth(root, { ...OPTIONS, varied: 2 })).rejects.toThrow(/counts .*"varied":2/);

  const more = path.join(root, 'more');
  expect(await writeStreetSynth(more, { ...OPTIONS, varied: 2 })).toEqual({ total: 10, written: 10 });
  const set = await openGta5(streetSynthFolders(more).varied);
  expect(set.samples).toHaveLength(2);
  for (const index of [0, 1]) {
    const request = { seed: 9, domain: 'varied', split: 'train', index, width: 64, height: 36 } as const;
    const scene = renderScene(request);
    expect(await set.readImage(index)).toEqual(scene.image);
    expect((await set.readLabel(index)).data).toEqual(
      scene.labelIds.map((id) => CITYSCAPES_LABEL_TO_TRAIN_ID[id]!),
    );
  }
  for (const [name, text] of before) {
    if (name === 'street-synth.json') continue;
    expect((await readFile(path.join(more, name))).toString('base64'), name).toBe(text.split(' ')[1]);
  }
});

it('writes source labels as palette images with the published colours, target labels as grey', async () => {
  await writeStreetSynth(root, OPTIONS);
  const source = decode(await readFile(path.join(root, 'gta5/labels/00001.png')));
  expect(source.palette).toEqual(LABEL_PALETTE);
  const file = 'cityscapes/gtFine/val/synth/synth_000000_000019_gtFine_labelIds.png';
  const target = decode(await readFile(path.join(root, file)));
  expect([target.palette, target.channels, target.depth]).toEqual([undefined, 1, 8]);
});

it('does nothing the second time, and finishes what is missing', async () => {
  await writeStreetSynth(root, OPTIONS);
  const before = await snapshot();
  expect(before.size).toBe(17);
  const seen: number[] = [];
  expect(await writeStreetSynth(root, { ...OPTIONS, onProgress: (done) => seen.push(done) })).toEqual({
    total: 8,
    written: 0,
  });
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await snapshot()).toEqual(before);

  const lost = [
    'gta5/images/00002.png',
    'cityscapes/gtFine/train/synth/synth_000001_000019_gtFine_labelIds.png',
  ];
  for (const name of lost) await rm(path.join(root, name));
  expect((await writeStreetSynth(root, OPTIONS)).written).toBe(2);
  const after = await snapshot();
  const content = (files: Map<string, string>) =>
    [...files].map(([name, text]) => [name, text.split(' ')[1]]).sort();
  expect(content(after)).toEqual(content(before));
});

it('is the same from threads, which say what cannot be written', async () => {
  const one = path.join(root, 'one');
  const two = path.join(root, 'two');
  await writeStreetSynth(one, OPTIONS);
  const seen: number[] = [];
  const threads = { ...OPTIONS, threads: 2, onProgress: (done: number) => seen.push(done) };
  expect(await writeStreetSynth(two, threads)).toEqual({ total: 8, written: 8 });
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  const content = async (folder: string) =>
    [...(await snapshot())].flatMap(([name, text]) =>
      name.startsWith(`${folder}/`) ? [[name.slice(folder.length + 1), text.split(' ')[1]]] : [],
    );
  expect((await content('two')).sort()).toEqual((await content('one')).sort());

  await putFolderInPlaceOfImage(two);
  await expect(writeStreetSynth(two, threads)).rejects.toThrow(/00002\.png: cannot be written \(EISDIR\)/);
});

it('resumes after it was stopped', async () => {
  const controller = new AbortController();
  const stopped = writeStreetSynth(root, {
    ...OPTIONS,
    sourceTrain: 30,
    signal: controller.signal,
    onProgress: (done) => {
      if (done === 4) controller.abort(new Error('enough'));
    },
  });
  await expect(stopped).rejects.toThrow('enough');
  const partial = (await snapshot()).size;
  expect(partial).toBeGreaterThan(8);
  expect(partial).toBeLessThan(71);
  const { total, written } = await writeStreetSynth(root, { ...OPTIONS, sourceTrain: 30 });
  expect(total).toBe(35);
  expect(written).toBe(35 - (partial - 1) / 2);
  expect([...(await snapshot()).keys()].filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

it('refuses a folder with other parameters, naming them, and a folder of something else', async () => {
  await writeStreetSynth(root, OPTIONS);
  await expect(writeStreetSynth(root, { ...OPTIONS, seed: 10 })).rejects.toThrow(
    /other parameters \(seed 9 instead of 10\)/,
  );
  await expect(writeStreetSynth(root, { ...OPTIONS, sourceVal: 4 })).rejects.toThrow(
    /counts .*"sourceVal":4/,
  );
  const other = path.join(root, 'other');
  await mkdir(other);
  await writeFile(path.join(other, 'thesis.tex'), 'mine');
  await expect(writeStreetSynth(other, OPTIONS)).rejects.toThrow(
    /other: not empty and not made by street-synth/,
  );
  expect(await readdir(other)).toEqual(['thesis.tex']);
  await writeFile(path.join(root, 'street-synth.json'), '{');
  await expect(writeStreetSynth(root, OPTIONS)).rejects.toThrow(/street-synth\.json: not readable as JSON/);
});

it('says which file cannot be written', async () => {
  await mkdir(path.join(root, 'gta5/images/00002.png.partial'), { recursive: true });
  await expect(writeStreetSynth(root, OPTIONS)).rejects.toThrow(/not empty/);
  await rm(path.join(root, 'gta5'), { recursive: true });
  await writeStreetSynth(root, OPTIONS);
  await putFolderInPlaceOfImage(root);
  await expect(writeStreetSynth(root, OPTIONS)).rejects.toThrow(/00002\.png: cannot be written \(EISDIR\)/);
});

it.each([{ sourceTrain: -1 }, { targetVal: 1.5 }, { width: 20 }, { height: 16 }])(
  'refuses %j before writing anything',
  async (change) => {
    await expect(writeStreetSynth(root, { ...OPTIONS, ...change })).rejects.toThrow(RangeError);
    expect(await readdir(root)).toEqual([]);
  },
);

it('writes the source as SYNTHIA has it, where terrain, truck and train are void', async () => {
  await writeStreetSynth(root, { ...OPTIONS, sourceTrain: 6, varied: 1, sourceLayout: 'synthia' });
  const folders = streetSynthFolders(root, 'synthia');
  const set = await openSynthia(folders.source);
  expect(set.samples.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `000000${i}`));
  for (const folder of [folders.source, folders.varied]) {
    expect((await detectLayout(folder)).why).toBe('SYNTHIA-RAND-CITYSCAPES, by README.txt');
  }
  const absent = [9, 14, 16];
  const seen = new Set<number>();
  for (let index = 0; index < 6; index++) {
    const scene = renderScene({ seed: 9, domain: 'source', split: 'train', index, width: 64, height: 36 });
    const expected = Uint8Array.from(scene.labelIds, (labelId) => {
      const trainId = CITYSCAPES_LABEL_TO_TRAIN_ID[labelId]!;
      if (absent.includes(trainId)) seen.add(trainId);
      return absent.includes(trainId) ? 255 : trainId;
    });
    expect((await set.readLabel(index)).data).toEqual(expected);
    expect((await set.readImage(index)).data).toEqual(scene.image.data);
  }
  // The scenes have some of what SYNTHIA lacks, so that its absence was put to the test.
  expect(seen.size).toBeGreaterThan(0);
  // A second layout in the same folder would be another data set.
  await expect(writeStreetSynth(root, { ...OPTIONS, sourceTrain: 6 })).rejects.toThrow(
    /sourceLayout "synthia"/,
  );
});
