// Writing files as a whole: the new content, or the old one and an error, and no third file.
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { writeJson, writeWhole, writeWholeSync } from '../../src/files/write-whole.js';
import { Workspace } from '../support/files.js';

const space = new Workspace();

describe.each([
  ['writeWhole', writeWhole],
  ['writeWholeSync', async (file: string, content: string | Uint8Array) => writeWholeSync(file, content)],
])('%s', (_, write) => {
  it('replaces what is there', async () => {
    const file = await space.put('a.txt', 'an old and longer text');
    await write(file, 'new');
    expect(await readFile(file, 'utf8')).toBe('new');
    await write(file, Uint8Array.of(0, 255));
    expect([...(await readFile(file))]).toEqual([0, 255]);
    await write(space.path('b.txt'), 'b');
    expect((await readdir(space.root)).sort()).toEqual(['a.txt', 'b.txt']);
  });

  it('leaves nothing of what cannot take its name', async () => {
    await mkdir(space.path('folder'));
    await expect(write(space.path('folder'), 'text')).rejects.toThrow('EISDIR');
    await expect(write(space.path('none/a.txt'), 'text')).rejects.toThrow('ENOENT');
    expect(await readdir(space.root)).toEqual(['folder']);
  });
});

it('many writers of one file do not mix', async () => {
  const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(10_000));
  await Promise.all(texts.map((text) => writeWhole(space.path('a.txt'), text)));
  expect(texts).toContain(await readFile(space.path('a.txt'), 'utf8'));
  expect(await readdir(space.root)).toEqual(['a.txt']);
});

it('writes JSON with a line end', async () => {
  writeJson(space.path('a.json'), { a: [1] });
  expect(await readFile(space.path('a.json'), 'utf8')).toBe('{\n  "a": [\n    1\n  ]\n}\n');
});
