// Class files of your own data: what they say, and what is wrong with them.
import { rm } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatClassFile, readClassFile } from '../../src/classes/class-file.js';
import { failure, Workspace } from '../support/files.js';

const space = new Workspace();

const classFile = (text: string) => space.put('classes.yaml', text);

describe('class file', () => {
  it('counts values from the place in the list, and takes given ones', async () => {
    const file = await classFile(`
classes:
  - background
  - { name: crack, color: '#ff8000', kind: thing }
  - { name: rust, value: 200, color: [1, 2, 3] }
ignore: [7]
`);
    const { classes, labelCoding } = await readClassFile(file);
    expect(classes).toEqual([
      { trainId: 0, labelId: 0, name: 'background', color: [128, 0, 0], kind: 'stuff' },
      { trainId: 1, labelId: 1, name: 'crack', color: [255, 128, 0], kind: 'thing' },
      { trainId: 2, labelId: 200, name: 'rust', color: [1, 2, 3], kind: 'stuff' },
    ]);
    const table = labelCoding.kind === 'values' ? [...labelCoding.table] : [];
    const known = new Map([
      [0, 0],
      [1, 1],
      [200, 2],
      [7, 255],
      [255, 255],
    ]);
    expect(table).toEqual(Array.from({ length: 256 }, (_, value) => known.get(value) ?? 254));
  });

  it('gives classes without a colour the colours of Pascal VOC', async () => {
    const { classes } = await readClassFile(await classFile('classes: [a, b, c, d, e, f, g, h]'));
    expect(classes.map(({ color }) => color.join())).toEqual([
      '128,0,0',
      '0,128,0',
      '128,128,0',
      '0,0,128',
      '128,0,128',
      '0,128,128',
      '128,128,128',
      '64,0,0',
    ]);
  });

  it('takes several values or colours for a class, the first for what is written and drawn', async () => {
    const values = await readClassFile(
      await classFile('classes: [{ name: a, value: [7, 8, 8], color: [1, 2, 3] }, { name: b, value: 9 }]'),
    );
    expect(values.classes.map(({ labelId, color }) => [labelId, color])).toEqual([
      [7, [1, 2, 3]],
      [9, [0, 128, 0]],
    ]);
    const table = values.labelCoding.kind === 'values' ? values.labelCoding.table : [];
    expect([6, 7, 8, 9].map((value) => table[value])).toEqual([254, 0, 0, 1]);
    const colors = await readClassFile(
      await classFile(
        "masks: colors\nclasses: [{ name: a, color: ['#010203', [4, 5, 6]] }, { name: b, color: [7, 8, 9] }]",
      ),
    );
    expect(colors.classes[0]!.color).toEqual([1, 2, 3]);
    expect(colors.labelCoding).toEqual({
      kind: 'colors',
      colors: Uint32Array.of(0x010203, 0x040506, 0x070809),
      trainIds: Uint8Array.of(0, 0, 1),
    });
    for (const definition of [values, colors]) {
      expect(await readClassFile(await classFile(formatClassFile(definition)))).toEqual(definition);
    }
  });

  it('reads files that begin with a byte order mark', async () => {
    const { classes } = await readClassFile(await classFile('\uFEFFclasses: [a, b]\r\n'));
    expect(classes.map(({ name }) => name)).toEqual(['a', 'b']);
    const wide = Buffer.from('\uFEFFclasses: [ä, b]', 'utf16le');
    const notepad = await readClassFile(await space.put('classes.yaml', wide));
    expect(notepad.classes.map(({ name }) => name)).toEqual(['ä', 'b']);
  });

  it('reads back what it writes', async () => {
    const name = fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' });
    const color = fc.integer({ min: 0, max: 0xffffff });
    const definition = fc.record({
      colors: fc.boolean(),
      classes: fc.uniqueArray(
        fc.record({ name, color, value: fc.integer({ min: 0, max: 254 }), thing: fc.boolean() }),
        {
          minLength: 1,
          maxLength: 12,
          comparator: (a, b) => a.name === b.name || a.color === b.color || a.value === b.value,
        },
      ),
    });
    await fc.assert(
      fc.asyncProperty(definition, async ({ colors, classes }) => {
        const text = JSON.stringify({
          masks: colors ? 'colors' : 'values',
          classes: classes.map(({ name, color, value, thing }) => ({
            name,
            color: `#${color.toString(16).padStart(6, '0')}`,
            kind: thing ? 'thing' : 'stuff',
            ...(colors ? {} : { value }),
          })),
        });
        const first = await readClassFile(await classFile(text));
        expect(first.classes.map((info) => info.name)).toEqual(classes.map((info) => info.name));
        expect(await readClassFile(await classFile(formatClassFile(first)))).toEqual(first);
      }),
      { numRuns: 50 },
    );
  });

  it('says what is wrong with it', async () => {
    const cases: [string, RegExp][] = [
      ['classes: [a, b', /cannot be read/],
      ['names: [a]', /'classes'/],
      ['classes: []', /classes/],
      ['classes: [a, a]', /two classes are named 'a'/],
      ['classes: [a, { name: b, value: 0 }]', /value 0 is given to both 'a' and 'b'/],
      ['classes: [a, { name: b, value: 256 }]', /255/],
      ['{ classes: [a, { name: b, value: 255 }], ignore: [255] }', /255 is given to both 'b' and 'ignore'/],
      ['classes: [a, b]\nignore: [1]', /value 1 is given to both 'b' and 'ignore'/],
      ["classes: [a, b]\nignore: ['#000000']", /colours can be ignored only where/],
      ['classes: [a, { name: b, color: #ff0000 }]', /classes/],
      ['classes:\n  - name: b\n    color: #ff0000', /in quotes/],
      ['classes: [{ name: b, color: [1, 2] }]', /in quotes|colour/],
      ['masks: colors\nclasses: [a]', /'a' has no color/],
      ["masks: colors\nclasses: [{ name: a, color: '#000000', value: 3 }]", /'a' has a value/],
      ["masks: colors\nclasses: [{ name: a, color: '#000000' }]\nignore: [3]", /3 is a value/],
      [
        "masks: colors\nclasses: [{ name: a, color: '#010203' }, { name: b, color: [1, 2, 3] }]",
        /colour 1, 2, 3 is given to both 'a' and 'b'/,
      ],
      [
        'classes: [{ name: a, value: [3, 4] }, { name: b, value: 4 }]',
        /value 4 is given to both 'a' and 'b'/,
      ],
      ['classes: [{ name: a, value: [] }]', /classes/],
      ["classes: [{ name: a, color: ['#010203', '#040506'] }]", /'a' has several colours/],
      [
        'classes: [a, { name: b, from: [c] }]',
        /maps classes by their names, which is for --classes of train/,
      ],
      ['classes: [a, b]\nignore: [c]', /maps classes by their names/],
      ['masks: colours\nclasses: [a]', /masks/],
      ['classes: [a]\nshift: 1', /shift/],
    ];
    for (const [text, expected] of cases) {
      const message = await failure(readClassFile(await classFile(text)));
      expect(message).toMatch(/classes\.yaml: /);
      expect(message).toMatch(expected);
    }
    await rm(space.path('classes.yaml'));
    expect(await failure(readClassFile(space.path('classes.yaml')))).toMatch(/cannot be read/);
  });
});
