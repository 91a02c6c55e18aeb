// Finding files: what is listed, what is passed over in silence or with a note, and names that systems spell in their way.
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DatasetError } from '../../src/errors.js';
import { IMAGE_ENDINGS, listFiles } from '../../src/files/list.js';
import { printable } from '../../src/files/names.js';
import { readText } from '../../src/files/text.js';
import { failure, Workspace } from '../support/files.js';

const space = new Workspace();

async function list(
  options: { endings?: string[]; except?: (id: string) => boolean; leaveOut?: string } = {},
) {
  const notes: string[] = [];
  const faults: DatasetError[] = [];
  const files = await listFiles(space.root, {
    what: 'images',
    endings: IMAGE_ENDINGS,
    onNote: (note) => notes.push(note.replaceAll(space.root, 'ROOT')),
    onFault: (fault) => faults.push(fault),
    ...options,
  });
  return { ids: [...files.keys()], notes, faults };
}

const put = (...names: string[]) => Promise.all(names.map((name) => space.put(name, 'x')));

describe('files of a folder', () => {
  it('are found by any ending that is read, in subfolders and through links', async () => {
    await put('a.JPG', 'b.jfif', 'c.avif', 'deep/er/d.tiff');
    await mkdir(space.path('elsewhere'));
    await space.put('elsewhere/e.png', 'x');
    await symlink(space.path('elsewhere'), space.path('linked'));
    await symlink(space.path('a.JPG'), space.path('f.jpg'));
    const { ids, notes, faults } = await list();
    expect(ids).toEqual(['a', 'b', 'c', 'deep/er/d', 'elsewhere/e', 'f', 'linked/e']);
    expect([notes, faults]).toEqual([[], []]);
  });

  it('are without what systems leave', async () => {
    const left = [
      '._1.jpg',
      '__MACOSX/._1.jpg',
      '__MACOSX/1.jpg',
      '@eaDir/1.jpg',
      '.trash/1.jpg',
      'Thumbs.db',
    ];
    await put('1.jpg', 'desktop.ini', '.DS_Store', ...left);
    expect(await list()).toEqual({ ids: ['1'], notes: [], faults: [] });
  });

  it('that are pictures of another kind are noted by kind and number, others are not', async () => {
    await put('a.jpg', '1.bmp', '2.BMP', 'sub/3.bmp', 'x.heic', 'readme.txt', 'data.json');
    expect((await list()).notes).toEqual([
      'ROOT: 3 .bmp files passed over (1.bmp, 2.BMP, ...); such files are not read; convert them to PNG',
      'ROOT: 1 .heic file passed over (x.heic); such files are not read; convert them to PNG',
    ]);
    await put('m.png');
    expect((await list({ endings: ['.png'] })).notes).toContain(
      'ROOT: 1 .jpg file passed over (a.jpg); images are read from .png, which keep every number as it is',
    );
  });

  it('in a folder for results are left out, by whatever path it is given', async () => {
    await put('a.jpg', 'out/a.png');
    await symlink(space.path('out'), space.path('results'));
    const { ids, notes } = await list({ leaveOut: space.path('results') });
    expect(ids).toEqual(['a']);
    expect(notes[0]).toMatch(/^ROOT\/(out|results): passed over, as results are written there$/);
  });

  it('have one id in any Unicode form, and two files of one name are a fault', async () => {
    await put('\u00e9t\u00e9.jpg'.normalize('NFD'));
    expect((await list()).ids).toEqual(['\u00e9t\u00e9']);
    await put('\u00e9t\u00e9.png');
    const { ids, faults } = await list();
    expect(ids).toEqual(['\u00e9t\u00e9']);
    expect(faults.map(({ kind }) => kind)).toEqual(['same-name']);
    expect(faults[0]!.message).toMatch(/has the same name, though in another Unicode form/);
  });

  it('whose names are not UTF-8 are named, and the rest is found', async () => {
    await put('plain.jpg');
    const bytes = Buffer.concat([
      Buffer.from(`${space.root}/Stra`),
      Buffer.from([0xdf]),
      Buffer.from('e.jpg'),
    ]);
    await writeFile(bytes, 'x');
    const { ids, faults } = await list();
    expect(ids).toEqual(['plain']);
    expect(
      faults.map(({ kind, message }) => [kind, message.includes('Stra\\xdfe.jpg: the name is not UTF-8')]),
    ).toEqual([['name', true]]);
  });

  it('that are not there are told from unwanted ones', async () => {
    const failed = (options = {}) =>
      failure(listFiles(space.root, { what: 'masks', endings: ['.png'], ...options }));
    expect(await failed()).toMatch(/no masks here \(no file ends in \.png\); check the path/);
    await put('1.jpg', '2.jpg', '._1.png');
    expect(await failed()).toMatch(
      /there are 2 \.jpg files, 1 hidden\); masks are read from \.png, which keep every number as it is$/,
    );
    await put('a.png', 'b.png', 'c.png');
    expect(await failed({ except: () => true })).toMatch(
      /none of the 3 masks here is wanted \(they are named a, b, \.\.\.\)/,
    );
    const file = listFiles(space.path('a.png'), { what: 'masks', endings: ['.png'] });
    expect(await failure(file)).toMatch(/a\.png: is a file; a folder of masks should be here/);
  });

  it('of names that would act on a terminal are shown without doing so', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)) }),
        (text) => {
          // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be left
          expect(printable(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
        },
      ),
    );
    expect(printable('a\u001b[31m\n')).toBe('a\\x1b[31m\\x0a');
  });
});

describe('text files', () => {
  it('are read as UTF-8 and as UTF-16 with its mark, and nothing else is taken for text', async () => {
    const text = 'stra\u00dfe\r\n\u56fe';
    const wide = Buffer.from(`\ufeff${text}`, 'utf16le');
    for (const bytes of [Buffer.from(text), Buffer.from(`\ufeff${text}`), wide, Buffer.from(wide).swap16()]) {
      expect(await readText(await space.put('list.txt', bytes))).toBe(text);
    }
    expect(await failure(readText(await space.put('l.txt', Buffer.from(text, 'utf16le'))))).toMatch(/UTF-16/);
    expect(await failure(readText(await space.put('l.txt', Buffer.from('stra\u00dfe', 'latin1'))))).toMatch(
      /l\.txt: the text is not UTF-8 \(perhaps Latin-1 or GBK\); save the file as UTF-8/,
    );
  });
});
